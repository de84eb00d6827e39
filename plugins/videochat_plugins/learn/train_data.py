"""Reads training data: captions of videos and images for stage 1, talks about them for stage 2.

The files are those of the original: `[{"video": PATH, "caption": TEXT}]` and `[{"video": PATH, "QA": [{"q": TEXT,
"a": TEXT}]}]`, with "image" for "video" where it is one, and optionally "start" and "end", seconds of the part that is
meant. They are data from elsewhere: a path that leaves its folder is refused.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from videochat.errors import Problem, StackError
from videochat_plugins.learn.train_config import Stage

Medium = Literal["image", "video"]
MEDIA: tuple[Medium, ...] = ("image", "video")
_SHOWN = 20  # problems that a message lists


class Turn(NamedTuple):
    """A question, empty where any instruction to describe will do, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a file: a picture or clip, and what is said of it."""

    medium: Medium
    path: Path
    talk: tuple[Turn, ...]
    where: str  # file and entry, for messages
    start: float | None = None  # seconds, of a part of the video
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """What files hold, and what is wrong with them."""

    items: tuple[Item, ...]
    problems: tuple[Problem, ...] = ()

    def of(self, medium: Medium) -> list[Item]:
        """Return the items of one medium."""
        return [item for item in self.items if item.medium == medium]


def read_data(files: Sequence[Path], stage: Stage, root: Path | None, bad: Literal["refuse", "skip"]) -> Data:
    """Return the items of files, in order.

    Args:
        files: JSON files.
        stage: that they are for.
        root: the folder that videos and images are in; None: each file's own.
        bad: what to do with wrong entries; a file that is no such list at all is always refused.

    Raises:
        StackError: naming what is wrong, by file and entry, if it is to be refused or nothing is left.
    """
    items: list[Item] = []
    problems: list[Problem] = []
    for file in files:
        for number, entry in enumerate(_entries(file)):
            where = f"{file}: entry {number}"
            try:
                items.append(_item(entry, stage, where, (root or file.parent).resolve()))
            except ValueError as error:
                problems.append(Problem(where, "", str(error)))
    if problems and (bad == "refuse" or not items):
        raise StackError(listed(problems, "mend them, or leave them out with `bad: skip`"))
    if not items:
        raise StackError(f"{', '.join(map(str, files))}: no entries")
    return Data(tuple(items), tuple(problems))


def listed(problems: Sequence[Problem], mend: str) -> list[Problem]:
    """Return the first problems, and one that says how many more there are and what can be done."""
    rest = len(problems) - _SHOWN
    more = f"and {rest} more; " if rest > 0 else ""
    return [*problems[:_SHOWN], Problem("", "", f"{more}{mend}")]


def _entries(file: Path) -> Iterator[Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StackError([Problem(str(file), "", f"cannot be read: {error.strerror or error}")]) from None
    except (ValueError, RecursionError) as error:
        raise StackError([Problem(str(file), "", f"is no JSON: {error}")]) from None
    if not isinstance(found, list):
        raise StackError([Problem(str(file), "", f"must hold a JSON list of entries, not a {type(found).__name__}")])
    yield from found


def _item(entry: Any, stage: Stage, where: str, root: Path) -> Item:
    """Return an entry as an item.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"must be a JSON object, not {type(entry).__name__}")
    media = [medium for medium in MEDIA if medium in entry]
    if len(media) != 1:
        raise ValueError('must have either "video" or "image"')
    (medium,) = media
    return Item(medium, _path(entry[medium], root), _talk(entry, stage), where, *_part(entry))


def _path(name: Any, root: Path) -> Path:
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"a path must be text, not {name!r}")
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"{name} leads out of {root}")
    if not os.path.isfile(path):  # of a name that is too long, Path raises
        raise ValueError(f"there is no file {path}")
    return path


def _talk(entry: dict[str, Any], stage: Stage) -> tuple[Turn, ...]:
    if stage == "stage1":
        if "caption" not in entry:
            other = "; questions and answers are for stage2" if "QA" in entry else ""
            raise ValueError(f'has no "caption"{other}')
        return (Turn("", _text(entry["caption"], "caption")),)
    if "QA" not in entry:
        raise ValueError(f'has no "QA"{"; captions are for stage1" if "caption" in entry else ""}')
    given = entry["QA"]
    if not isinstance(given, list) or not given:
        raise ValueError('"QA" must be a list of at least one question and answer')
    turns = []
    for number, pair in enumerate(given):
        if not isinstance(pair, dict):
            raise ValueError(f'QA {number} must be an object with "q" and "a"')
        turns.append(Turn(_text(pair.get("q"), f"QA {number}: q"), _text(pair.get("a"), f"QA {number}: a")))
    return tuple(turns)


def _text(given: Any, name: str) -> str:
    if not isinstance(given, str):
        raise ValueError(f"{name} must be text, not {given!r}")
    if not given.strip():
        raise ValueError(f"{name} is empty")
    return given.strip()


def _part(entry: dict[str, Any]) -> tuple[float | None, float | None]:
    times = [entry.get(name) for name in ("start", "end")]
    for name, time in zip(("start", "end"), times, strict=True):
        number = isinstance(time, int | float) and not isinstance(time, bool)
        if time is not None and not (number and 0 <= time <= sys.float_info.max):
            raise ValueError(f"{name} must be seconds, not {time!r}")
    start, end = times
    if end is not None and end <= (start or 0):
        raise ValueError(f"end, {end}, must come after start, {start or 0}")
    return start, end
