"""The one neutral result type: what a perceiver saw, as text or as tokens (the E of Eq. 1 in the paper)."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

import numpy.typing as npt

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]+")


class Box(NamedTuple):
    """A rectangle in pixels: left, top, right and bottom edge."""

    x1: float
    y1: float
    x2: float
    y2: float


class Array(Protocol):
    """What tokens must offer: a shape, a dtype and a way to become a numpy array, at once or when asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""
        ...

    @property
    def dtype(self) -> Any:
        """The type of its numbers."""
        ...

    def __array__(self, dtype: None = None, /, *, copy: bool | None = None) -> npt.NDArray[Any]: ...


def fold(text: str) -> str:
    """Make one line of any text: control and direction characters dropped, runs of whitespace made one space."""
    return " ".join(_CONTROL.sub(" ", text).split())


@dataclass(frozen=True, slots=True)
class Record:
    """What one plugin found in one stretch of a video, as text OR as tokens.

    Equality and hash ignore the tokens themselves.

    Raises:
        ValueError: if the times are not finite and in order, or the kind is empty.
    """

    kind: str  # "action" "summary" "caption" "tag" "region" "speech" "text" "motion" "look" "embedding": an open set
    start: float  # seconds of media time, from source PTS
    end: float
    text: str = ""  # one line
    score: float | None = None  # 0 to 1
    box: Box | None = None  # source pixels, after rotation
    track: int | None = None  # the same thing over time
    tokens: Array | None = field(default=None, compare=False, repr=False)  # (n, width) embeddings
    space: str = ""  # id of the LLM that the tokens were made for
    times: tuple[float, ...] = ()  # of the frames behind it, seconds
    source: str = ""  # the plugin's name in the stack
    parents: tuple[str, ...] = ()  # ids of the records that a refiner made it from
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)  # what is particular to a kind; JSON values only

    def __post_init__(self) -> None:
        if not fold(self.kind):
            raise ValueError("a record needs a kind")
        if not (math.isfinite(self.start) and math.isfinite(self.end) and self.start <= self.end):
            raise ValueError(f"a record needs finite times in order, got {self.start} to {self.end}")
        put = object.__setattr__  # the class is frozen
        put(self, "kind", fold(self.kind))
        put(self, "text", fold(self.text))
        put(self, "times", tuple(float(t) for t in self.times))
        put(self, "parents", tuple(self.parents))
        put(self, "meta", MappingProxyType(dict(self.meta)))
        if self.box is not None:
            put(self, "box", Box(*(float(edge) for edge in self.box)))

    @property
    def id(self) -> str:
        """Digest of what the record says and where it came from: 16 hex digits, the same in every run."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, without its tokens; fields that hold their default are left out."""
        out: dict[str, Any] = {"kind": self.kind, "start": self.start, "end": self.end}
        for name in ("text", "score", "track", "space", "source"):
            value = getattr(self, name)
            if value not in ("", None):
                out[name] = value
        if self.box is not None:
            out["box"] = [round(edge, 2) for edge in self.box]
        for name in ("times", "parents"):
            if getattr(self, name):
                out[name] = list(getattr(self, name))
        if self.meta:
            out["meta"] = dict(self.meta)
        return out

    @classmethod
    def from_json(cls, values: Mapping[str, Any], tokens: Array | None = None) -> Self:
        """Return the record that `to_json` wrote.

        Raises:
            ValueError, TypeError: if the values are not those of a record.
        """
        box = values.get("box")
        fields = {**values, "tokens": tokens, "box": None if box is None else Box(*box)}
        return cls(**fields)


