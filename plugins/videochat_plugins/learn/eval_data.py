"""What is asked: questions about videos in one form, whatever file they came from, and what was wrong with the rest."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videochat import StackError
from videochat.errors import Problem, near
from videochat.record import fold
from videochat_plugins.learn.eval_files import Entry
from videochat_plugins.learn.eval_videos import Videos

LONGEST = {"question": 4000, "answer": 1000, "candidate": 1000}  # characters
_SHOWN = 20  # problems that a message lists


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its answer."""

    id: str
    video: Path
    question: str
    answer: str
    category: str
    group: str  # what intervals are clustered by: a video, or a clip and its reversed twin
    accept: tuple[str, ...] = ()  # other wordings of the answer
    candidates: tuple[str, ...] = ()  # what stands to choice, the answer among them
    others: tuple[str, ...] = ()  # more wordings of what is wrong
    start: float | None = None  # seconds: the stretch of the video to watch
    end: float | None = None
    at: float | None = None  # a moment, in seconds: nothing after it is known

    @property
    def stretch(self) -> tuple[Path, float | None, float | None, float | None]:
        """What has to be watched for it."""
        return self.video, self.start, self.end, self.at


@dataclass(frozen=True, slots=True)
class Raw:
    """A question as a file has it: any value may be missing or wrong."""

    video: Sequence[Any]  # names that the file of the video may have
    question: Any
    answer: Any
    category: Any
    group: Any = None  # default: the video
    accept: Any = ()
    candidates: Any = ()
    others: Sequence[str] = ()  # the reader's own
    start: Any = None
    end: Any = None
    at: Any = None


@dataclass
class Dataset:
    """Gathers the questions of a dataset, and each thing that is wrong with its files by file and line."""

    videos: Videos
    choice: bool = False  # whether its makers ask with lettered options
    examples: list[Example] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what is no fault, and yet to be told
    _ids: dict[str, str] = field(default_factory=dict)  # where each was given

    def bad(self, file: Path, line: int, id: object, message: str) -> None:
        """Note an entry that cannot be asked."""
        name = "" if id is None else fold(str(id))[:80]
        self.problems.append(Problem(f"{file}:{line}" if line else str(file), name, message))

    def add(self, file: Path, entry: Entry, id: Any, raw: Callable[[], Raw]) -> None:
        """Take a question, or note what is wrong with it.

        Args:
            file: where it stands.
            entry: what stands there.
            id: of the question, and of no other.
            raw: reads the rest of it; may raise ValueError.
        """
        try:
            if entry.fault:
                raise ValueError(entry.fault)
            known = _text("id", id)
            if known in self._ids:
                raise ValueError(f"the id stands at {self._ids[known]} already")
            example = self._checked(known, raw())
        except ValueError as error:
            self.bad(file, entry.line, id, str(error))
            return
        self._ids[known] = f"{file}:{entry.line}" if entry.line else str(file)
        self.examples.append(example)

    def check(self, skip: bool) -> None:
        """Make sure that there is something to ask and, unless bad entries are to be skipped, that none is bad.

        Raises:
            StackError: if not, telling of the first problems and how many there are.
        """
        if self.problems and not skip:
            raise StackError([*listed(self.problems), Problem("", "", "to leave bad entries out: --bad skip")])
        if not self.examples:
            raise StackError([*listed(self.problems), Problem("", "", "no question is left to ask")])

    def chosen(self, categories: Sequence[str], limit: int | None) -> list[Example]:
        """Return the questions of these categories, in their order; of too many, as many of each as there can be.

        Those that ask the same of one group, a question and its twin on the reversed clip, are never taken apart. Of
        different stretches or moments they are no twins.

        Args:
            categories: by their names, or what these begin with before a slash; none for all.
            limit: how many at most.

        Raises:
            StackError: if a category has none, or the limit has no room for one with its twin.
        """
        known = {example.category for example in self.examples}
        known |= {category.partition("/")[0] for category in known}
        if strange := [category for category in categories if category not in known]:
            raise StackError(f"--category {strange[0]}: the dataset has no such category{near(strange[0], known)}")

        def fits(example: Example) -> bool:
            return not categories or any(f"{example.category}/".startswith(f"{name}/") for name in categories)

        chosen = [example for example in self.examples if fits(example)]
        if limit is None or limit >= len(chosen):
            return chosen
        together: dict[tuple[Any, ...], list[int]] = {}
        for place, example in enumerate(chosen):
            of = (example.category, example.group, example.question, *example.stretch[1:])
            together.setdefault(of, []).append(place)
        seen: Counter[str] = Counter()
        turns = []
        for (category, *_), places in together.items():
            turns.append((seen[category], places))
            seen[category] += len(places)
        taken: list[int] = []
        for _, places in sorted(turns):
            taken += places if len(taken) + len(places) <= limit else []
        if not taken:
            least = min(len(places) for _, places in turns)
            raise StackError(f"--limit {limit}: a question and its twin are asked together: give {least} or more")
        return [chosen[place] for place in sorted(taken)]

    def _checked(self, id: str, raw: Raw) -> Example:
        question, answer = _text("question", raw.question), _text("answer", raw.answer)
        candidates = _texts("candidate", raw.candidates)
        if candidates and not 1 < len(candidates) == len(set(candidates)) <= 26:
            raise ValueError(f"needs 2 to 26 different candidates, not {_short(list(candidates))}")
        if candidates and answer not in candidates:
            raise ValueError(f"the answer {_short(answer)} is none of the candidates {_short(list(candidates))}")
        start, end = _seconds("start", raw.start), _seconds("end", raw.end)
        if end is not None and (start or 0.0) >= end:
            raise ValueError(f"the stretch from {start or 0:g} to {end:g} s is empty")
        video = self.videos.find(raw.video)
        return Example(
            id=id,
            video=video,
            question=question,
            answer=answer,
            category=_text("category", raw.category),
            group=video.relative_to(self.videos.folder).as_posix() if raw.group is None else _text("group", raw.group),
            accept=_texts("answer", raw.accept),
            candidates=candidates,
            others=tuple(raw.others),
            start=start,
            end=end,
            at=_seconds("at", raw.at),
        )


def listed(problems: Sequence[Problem]) -> list[Problem]:
    """Return the first problems, and one line on how many more there are."""
    more = len(problems) - _SHOWN
    return [*problems[:_SHOWN], *([Problem("", "", f"and {more:,} more bad entries")] if more > 0 else [])]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not (text := value.strip()):
        raise ValueError(f"the {name} must be text, not {_short(value)}")
    if len(text) > (limit := LONGEST.get(name, 200)):
        raise ValueError(f"the {name} is {len(text):,} characters long, at most {limit:,}")
    return text


def _texts(name: str, values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    if not isinstance(values, Iterable) or isinstance(values, str | dict):
        raise ValueError(f"the {name}s must be a list of texts, not {_short(values)}")
    return tuple(_text(name, value) for value in values)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be seconds, not {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
