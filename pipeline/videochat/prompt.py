"""Prompts: messages made of parts, and the prompt files that place them.

A prompt file is text with the placeholders `{textualizing_videos}`, `{video}`, `{times}` and `{question}`, and for how
often the video was looked at, `{caption_step}` and `{dense_step}`. Its first lines that begin with `#` are notes to
people. The line that holds `{question}` and all after it are the user's message, all before it the system's.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from videochat.record import Array, Record
from videochat.window import Frame

PLACEHOLDERS = ("textualizing_videos", "video", "times", "question", "caption_step", "dense_step")
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
    """Embeddings (n, width) in the space of one LLM."""

    tokens: Array
    space: str
    times: tuple[float, ...] = ()  # of the frames behind them, seconds


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

    def fill(self, values: Mapping[str, Part]) -> tuple[Message, ...]:
        """Put parts in the places of the placeholders, in one pass: values are never scanned again.

        Raises:
            KeyError: if a placeholder has no value.
        """
        before, found, _ = self.text.partition("{question}")
        cut = before.rfind("\n") + 1 if found else len(self.text)
        halves: list[tuple[Role, str]] = [("system", self.text[:cut].rstrip("\n")), ("user", self.text[cut:])]
        return tuple(Message(role, _parts(half, values.__getitem__)) for role, half in halves if half)


def _parts(text: str, value: Callable[[str], Part]) -> tuple[Part, ...]:
    pieces = _PLACEHOLDER.split(text)  # words, name, words, name, ..., words
    parts = (value(piece) if i % 2 else Text(piece) for i, piece in enumerate(pieces) if piece)
    return tuple(parts)
