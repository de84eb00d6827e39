"""The one neutral result type: what a perceiver saw, as text or as tokens (the E of Eq. 1 in the paper)."""

import hashlib
import json
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

import numpy.typing as npt

# Control, direction and invisible characters, lone surrogates, and the tags and variation selectors that can hide a
# text in a text.
HIDDEN = (
    r"\x00-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef"
)
_CONTROL = re.compile(f"[{HIDDEN}]+")


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
    """Make one line of any text: control, direction and invisible characters dropped, runs of whitespace one space."""
    return " ".join(_CONTROL.sub(" ", text).split())


@dataclass(frozen=True, slots=True)
class Record:
    """What one plugin found in one stretch of a video, as text OR as tokens.

    Equality and hash ignore the tokens themselves.

    Raises:
        ValueError, TypeError: if the times are not finite and in order, the kind is empty, a number is not one, the
            tokens are not (n, width), or the meta are not JSON values.
    """

    kind: str  # "action" "summary" "caption" "tag" "region" "speech" "text" "motion" "look" "embedding": an open set
    start: float  # seconds of media time, from source PTS
    end: float
    text: str = ""  # one line
    score: float | None = None  # 0 to 1
    box: Box | None = None  # source pixels, after rotation; kept to hundredths
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
        if self.tokens is not None and len(self.tokens.shape) != 2:
            raise ValueError(f"tokens must be (n, width), got the shape {tuple(self.tokens.shape)}")
        put = object.__setattr__  # the class is frozen
        put(self, "kind", fold(self.kind))
        put(self, "start", _number(self.start))
        put(self, "end", _number(self.end))
        put(self, "text", fold(self.text))
        put(self, "times", tuple(_number(t) for t in self.times))
        put(self, "parents", tuple(self.parents))
        # A copy of its own; what is no JSON fails here, where it is the fault of the plugin that gave it.
        meta = json.loads(json.dumps(dict(self.meta), allow_nan=False)) if self.meta else {}
        put(self, "meta", MappingProxyType(meta))
        if self.score is not None:
            put(self, "score", _number(self.score))
        if self.track is not None:
            put(self, "track", operator.index(self.track))
        if self.box is not None:
            put(self, "box", Box(*(_number(round(float(edge), 2)) for edge in self.box)))

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
            out["box"] = list(self.box)
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


def _number(value: float) -> float:
    """Return a finite Python float, without the sign of a zero: equal records are written alike."""
    number = float(value) + 0.0
    if not math.isfinite(number):
        raise ValueError(f"a record's numbers must be finite, got {number}")
    return number
