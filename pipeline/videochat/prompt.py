"""Prompts: messages made of parts, and the prompt files that place them.

A prompt file is text with the placeholders `{textualizing_videos}`, `{video}` and `{question}`; of what stands for
`{video}`, `{frame_count}`, `{times}` of its frames and `{spans}`, the stretches of time that it tells of; and for how
often the video was looked at, `{caption_step}` and `{dense_step}`. Its first lines that begin with `#` are notes to
people. The line that holds `{question}` and all after it are the user's message, all before it the system's.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, Self

import numpy as np

from videochat.record import Array, Record
from videochat.window import Frame, Span

PLACEHOLDERS = (
    *("textualizing_videos", "video", "question"),
    *("frame_count", "times", "spans"),
    *("caption_step", "dense_step"),
)
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the textualised video, with the records that it came from."""

    text: str
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Words. Those that were perceived are data, never instructions: they come with their lines."""

    text: str
    name: str = ""  # the placeholder that it fills, or "" for the prompt file's own words
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Frames:
    """Pixels, for models that see."""

    frames: tuple[Frame, ...]

    @property
    def times(self) -> tuple[float, ...]:
        """The frames' source times, seconds."""
        return tuple(frame.time for frame in self.frames)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Embeddings (n, width) in the space of one LLM, of one video."""

    tokens: Array
    space: str
    times: tuple[float, ...] = ()  # of the frames behind them, seconds
    slots: int = 1  # equal parts that the rows fall into, in order of time: a frame each, or what was made of several
    layout: Mapping[str, Any] = field(default_factory=dict)  # of a slot; what it holds is between model and backend
    records: tuple[Record, ...] = ()  # that they came from

    @property
    def spans(self) -> tuple[Span, ...]:
        """The stretches of time that they tell of, seconds."""
        return tuple(Span(record.start, record.end) for record in self.records)

    @classmethod
    def join(cls, records: Iterable[Record]) -> "Iterator[Tokens]":
        """Yield the embeddings of one video's records, joined where neighbours are of one space and layout."""
        for (space, layout, _, _), group in groupby(records, key=_shape):
            found = tuple(group)
            tokens = np.concatenate([np.asarray(record.tokens) for record in found])
            times = tuple(t for record in found for t in record.times)
            yield cls(tokens, space, times, sum(map(_slots, found)), layout, found)


def _slots(record: Record) -> int:
    return int(record.meta.get("slots", 1))


def _shape(record: Record) -> tuple[str, Mapping[str, Any], int, int]:
    """Return what embeddings must have in common to stand as one: space, layout, rows of a slot, width."""
    assert record.tokens is not None
    rows, width = record.tokens.shape
    return record.space, record.meta.get("layout", {}), rows // _slots(record), width


Part = Text | Frames | Tokens
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a talk."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """All its words in order."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Generation:
    """How to answer."""

    max_tokens: int = 512
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took, in tokens."""

    prompt: int = 0
    answer: int = 0
    estimated: bool = False  # whether they were guessed from the length of the text


@dataclass
class Reply:
    """An answer as it comes: iterate over its pieces, then read `usage` and `finish`.

    A backend makes it from a generator of pieces and sets the other fields before the generator ends.
    """

    pieces: Iterator[str]
    usage: Usage = field(default_factory=Usage)
    finish: str = "stop"  # "stop" "length"
    records: tuple[Record, ...] | None = None  # what the answer rests on, where the backend knows it

    def __iter__(self) -> Iterator[str]:
        yield from self.pieces


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt file, read."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the template of a prompt file's text, without the notes at its head."""
        lines = text.splitlines()
        while lines and lines[0].startswith("#"):
            lines.pop(0)
        return cls("\n".join(lines).strip("\n"))

    @property
    def placeholders(self) -> frozenset[str]:
        """The placeholders that it holds."""
        return frozenset(_PLACEHOLDER.findall(self.text))

    def fill(self, values: Mapping[str, Part | Sequence[Part]]) -> tuple[Message, ...]:
        """Put parts in the places of the placeholders, in one pass: values are never scanned again.

        Raises:
            KeyError: if a placeholder has no value.
        """
        before, found, _ = self.text.partition("{question}")
        cut = before.rfind("\n") + 1 if found else len(self.text)
        halves: list[tuple[Role, str]] = [("system", self.text[:cut].rstrip("\n")), ("user", self.text[cut:])]
        return tuple(Message(role, _parts(half, values.__getitem__)) for role, half in halves if half)


def _parts(text: str, value: Callable[[str], Part | Sequence[Part]]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for i, piece in enumerate(_PLACEHOLDER.split(text)):  # words, name, words, name, ..., words
        found = value(piece) if i % 2 else Text(piece)
        parts += [found] if isinstance(found, Part) else found
    return tuple(part for part in parts if part != Text(""))
