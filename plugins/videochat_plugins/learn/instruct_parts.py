"""What is finished, on disk: a line for each piece as it comes, and the files that are made of them.

OUT/parts.jsonl      a piece a line, appended; a line torn by a kill is dropped
OUT/instruct.json    [{"video": "a.mp4", "QA": [{"q": "...", "a": "..."}]}]: the original's form, a piece an entry
OUT/messages.jsonl   {"messages": [{"role": "user", "content": "..."}, ...], "videos": ["a.mp4"]}, a piece a line
OUT/rejected.jsonl   {"video": "a.mp4", "make": "conversations", "reason": "...", "raw": "..."}
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

from videochat import StackError
from videochat.cache import write_whole
from videochat_plugins.learn.instruct_check import Round

RESULTS = ("instruct.json", "messages.jsonl", "rejected.jsonl")
FACTS = "run.json"


@dataclass(frozen=True, slots=True)
class Piece:
    """What became of one piece of training data."""

    key: str  # what it was made of and with
    make: str  # "descriptions" "conversations" "captions"
    rounds: tuple[Round, ...] = ()
    reason: str = ""  # why it was set aside
    raw: str = ""  # the answer that could not be used
    faulty: bool = False  # whether perceivers faulted: it counts until it can be made of more
    left_out: str = ""  # what of the video did not fit the model's window, in words

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without what is empty."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value} | {
            "rounds": [list(one) for one in self.rounds],
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """A piece with the video that it is about."""

    video: str  # path, relative to where all videos lie
    instruction: str  # what a description or caption answers
    piece: Piece

    @property
    def rounds(self) -> list[tuple[str, str]]:
        """Questions and answers."""
        return [(one.question or self.instruction, one.answer) for one in self.piece.rounds]


class Aside(NamedTuple):
    """What did not become training data."""

    video: str
    make: str
    reason: str
    raw: str = ""  # the answer that could not be used


class Parts:
    """The pieces that are finished, those of a run that was stopped among them.

    Args:
        folder: where they are.

    Raises:
        StackError: if the folder holds results that this command did not write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "parts.jsonl"
        self.pieces: dict[str, Piece] = {}
        self.retried: frozenset[str] = frozenset()  # keys of pieces that are to be made again
        self._adding = Lock()
        if foreign := [name for name in (*RESULTS, FACTS) if (folder / name).exists() and not self.file.exists()]:
            raise StackError(f"{folder} holds {', '.join(foreign)} of other making: take another folder with -o")
        for line in _whole_lines(self.file):
            try:
                values = json.loads(line)
                piece = Piece(**{**values, "rounds": tuple(Round(*one) for one in values["rounds"])})
            except (ValueError, TypeError, KeyError):
                continue  # a damaged line: its piece is made again
            self.pieces[piece.key] = piece

    @classmethod
    @contextmanager
    def writing(cls, folder: Path) -> Iterator[Self]:
        """Open a folder to add to it, with other runs kept out and a torn last line dropped.

        Raises:
            StackError: if another run writes there, or as above.
        """
        parts = cls(folder)  # so that nothing is written into a folder of other making
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StackError(f"another run is writing to {folder}: wait for it, or take another folder") from None
        try:
            parts = cls(folder)
            with parts.file.open("ab") as file:
                file.truncate(sum(map(len, _whole_lines(parts.file))))
            yield parts
        finally:
            lock.release()

    def add(self, piece: Piece) -> None:
        """Append a piece; any thread may."""
        with self._adding, self.file.open("ab") as file:
            self.pieces[piece.key] = piece
            file.write(_jsonl([piece.to_json()]))

    def retry_aside(self, entries: Iterable[Entry]) -> None:
        """Have what is set aside made again; until it is, it stays as it is."""
        self.retried = frozenset(entry.piece.key for entry, reason in _judged(entries) if reason)

    def assemble(self, entries: Iterable[Entry], failed: Iterable[Aside]) -> tuple[list[Entry], list[Aside]]:
        """Write the results whole, in the order of the entries; return what they hold, and what is set aside.

        A description or conversation that says just what another video's says is set aside: a model that says the
        same of two videos has looked at neither. Of what was to be made again and failed, the failure is told.
        """
        kept, aside = list[Entry](), list(failed)
        told = {(one.video, one.make) for one in aside}
        for entry, reason in _judged(entries):
            if not reason:
                kept.append(entry)
            elif (entry.video, entry.piece.make) not in told:
                raw = entry.piece.raw or "\n".join(one.answer for one in entry.piece.rounds)
                aside.append(Aside(entry.video, entry.piece.make, reason, raw))
        dialogues = [{"video": one.video, "QA": [{"q": q, "a": a} for q, a in one.rounds]} for one in kept]
        write_whole(self.folder / RESULTS[0], _encoded(json.dumps(dialogues, ensure_ascii=False, indent=1)))
        write_whole(self.folder / RESULTS[1], _jsonl(map(_messages, kept)))
        write_whole(self.folder / RESULTS[2], _jsonl(one._asdict() for one in aside))
        return kept, aside


def _judged(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """Yield entries with why each is set aside, or "" for those that are kept."""
    said: dict[tuple[Round, ...], str] = {}
    for entry in entries:
        piece, reason = entry.piece, entry.piece.reason
        if piece.make != "captions" and piece.rounds:
            twin = said.setdefault(piece.rounds, entry.video)
            reason = "" if twin == entry.video else f"it says the same as that of {twin}"
        yield entry, reason


def _messages(entry: Entry) -> dict[str, Any]:
    turns = [turn for q, a in entry.rounds for turn in (("user", q), ("assistant", a))]
    return {"messages": [{"role": role, "content": text} for role, text in turns], "videos": [entry.video]}


def _jsonl(rows: Iterable[Any]) -> bytes:
    return b"".join(_encoded(json.dumps(row, ensure_ascii=False)) for row in rows)


def _encoded(text: str) -> bytes:
    """Return a line as UTF-8; what is half a character, in an answer or a file's name, becomes a question mark."""
    return text.encode("utf-8", "replace") + b"\n"


def _whole_lines(file: Path) -> Iterator[bytes]:
    if file.exists():
        with file.open("rb") as lines:
            yield from (line for line in lines if line.endswith(b"\n"))
