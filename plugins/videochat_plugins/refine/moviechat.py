"""Remember a film of any length in a fixed number of embeddings, as MovieChat does (arXiv 2307.16449)."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from videochat import Component, Pool, Record, Refiner, Weights, hookimpl
from videochat.cache import file_hash
from videochat_plugins.refine.memory import Memory, Slot
from videochat_plugins.refine.positions import Table, hierarchical, read_table

_OWN = ("slots", "weight")  # the meta that say how much a record holds; all others say what it is
_ORIGINAL = {"similarity": "dot", "merge": "plain", "overflow": "drop_oldest", "positions": "hierarchical"}
_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "ours": {},
    "original": {**_ORIGINAL, "window": 8, "carry": "clear", "recent": "repeated"},
    "lmms": {**_ORIGINAL, "window": 16, "carry": "seed"},
}


class MovieChat(Refiner):
    """Keep at most `long` embeddings of a video: the most similar neighbours become one, window by window.

    It reads the embeddings of any perceiver: each equal part of a record (meta["slots"], one if it does not say) is a
    frame here and stays whole, whatever its grid of tokens. Every perceiver has a memory of its own. What comes out is
    one record a slot, in order of time: its tokens in the type that came in, computed in float32 or better; the stretch
    of time that it covers; meta["weight"], the frames in it. However many those are, `times` and `parents` of a slot of
    several frames are those of the first and the last. The meta that all of them share stay.

    A video is remembered as a whole; asked about a moment (`--at`), it is what came before, the last frames in detail:
    what is not merged yet, in half of the slots at most.

    The defaults are ours, for these reasons. Cosine, since a dot product grows with the norms: one bright frame takes
    in its neighbours. Weighted, so that every frame counts alike, in whatever order frames were merged. What was merged
    is not carried into the next window, where it would count again. A full memory merges again, so that it holds all
    of a film, only coarser; else its beginning is lost. No positions, since they mean something only to the network
    that learnt the table. Recent frames stand there once, since twice is no more detail.

    Presets fill what is not given: `original` is the released MovieChat, `lmms` its port to lmms-eval.

    What it cannot know: what a question will be about; two scenes that look alike and follow each other are one to it.
    """

    class Options(Refiner.Options):
        """How much is remembered, and what is merged."""

        preset: Literal["ours", "original", "lmms"] = "ours"
        """Whose values the options have that are not given."""
        window: int = Field(default=8, ge=1)
        """Frames that are merged at once, the oldest of the short-term memory."""
        merge_to: int = Field(default=2, ge=1)
        """Slots that are left of a window."""
        short: int = Field(default=18, ge=1)
        """Frames that the short-term memory holds."""
        long: int = Field(default=256, ge=2)
        """Slots that the long-term memory holds: no more come out."""
        similarity: Literal["cosine", "dot"] = "cosine"
        """How like two frames are: the cosine or the dot product of their mean tokens."""
        merge: Literal["weighted", "plain"] = "weighted"
        """How two become one: by the frames that each stands for, or half and half."""
        carry: Literal["clear", "seed"] = "clear"
        """Whether the next window begins with what the last one was merged to."""
        overflow: Literal["merge_again", "drop_oldest"] = "merge_again"
        """What a full long-term memory does: merge its most similar neighbours, or forget its beginning."""
        recent: Literal["unmerged", "repeated"] = "unmerged"
        """What is in detail at a moment: what is not merged yet, or once more the last window, as in the original."""
        positions: Literal["none", "hierarchical"] = "none"
        """Whether each slot's place in the sequence is added to its tokens."""
        table: Path | None = None
        """A safetensors file with the one table of positions (rows, width) that the network learnt."""
        alpha: float = Field(default=0.01, gt=0, lt=1)
        """The share of the coarse step in a position."""
        n: int = Field(default=16, ge=1)
        """Rows of the table that are used; there are n * n positions."""

        @model_validator(mode="before")
        @classmethod
        def _preset(cls, given: Any) -> Any:
            return {**_PRESETS.get(str(given.get("preset")), {}), **given} if isinstance(given, dict) else given

        @model_validator(mode="after")
        def _consistent(self) -> "MovieChat.Options":
            carried = self.merge_to if self.carry == "seed" else 0
            if self.window + carried > self.short:
                raise ValueError(f"short must be {self.window + carried} at least: the window and what is carried")
            if self.merge_to > self.window:
                raise ValueError("merge_to must be no more than the window")
            if self.positions == "hierarchical" and self.table is None:
                raise ValueError("hierarchical positions need a table, a safetensors file; or set positions: none")
            if self.positions == "hierarchical" and self.n**2 < self.long:
                raise ValueError(
                    f"n must be larger: {self.n} * {self.n} positions are not enough for {self.long} slots"
                )
            return self

    emits: ClassVar[Collection[str]] = ("embedding",)
    reads: ClassVar[Collection[str]] = ("embedding",)
    options: Options
    _positions: Table | None = None  # (n * n, width)

    def weights(self) -> Sequence[Weights]:
        """Return the table of positions, if it is used."""
        if (file := self._table) is None:
            return ()
        if not file.is_file():
            return (Weights(str(file)),)
        return (Weights(f"{file.name}@{file_hash(file)[:12]}", file.stat().st_size),)

    def check(self) -> None:
        """Make sure that the table of positions is here.

        Raises:
            UnavailableError: if it is not, or is no such table.
        """
        if self._table is not None:
            read_table(self._table, self.options.n)

    def load(self, pool: Pool) -> None:
        """Read the table of positions, if it is used.

        Raises:
            UnavailableError: if it is not here, or is no such table.
        """
        if self._table is not None:
            self._positions = hierarchical(read_table(self._table, self.options.n), self.options.n, self.options.alpha)

    def close(self) -> None:
        """Let go of the positions."""
        self._positions = None

    def refine(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield what is no embedding as it comes, then the memory of each perceiver; it is all that is held.

        Raises:
            ValueError: if embeddings cannot be remembered together, or hold numbers that are not finite.
        """
        kept: dict[str, _Kept] = {}  # by source
        for record in records:
            if record.kind not in self.reads:
                yield record
            elif record.source in kept:
                kept[record.source].add(record)
            else:
                kept[record.source] = _Kept(record, Memory(self.options))
        for film in kept.values():
            yield from film.records(self.at is not None, self._positions)

    @property
    def _table(self) -> Path | None:
        o = self.options
        return o.table.expanduser() if o.positions == "hierarchical" and o.table is not None else None


class _Kept:
    """What one perceiver saw: its memory, and what all its embeddings have in common."""

    def __init__(self, record: Record, memory: Memory) -> None:
        self._memory = memory
        self._first = record
        self._shape = _shape(record)
        self._meta = {key: value for key, value in record.meta.items() if key not in _OWN}
        self.add(record)

    def add(self, record: Record) -> None:
        """Take the next embeddings in, frame by frame."""
        if (shape := _shape(record)) != self._shape:
            different = "; ".join(
                f"{key} {self._shape[key]!r}, now {shape[key]!r}" for key in shape if shape[key] != self._shape[key]
            )
            raise ValueError(
                f"the embeddings of {record.source!r} change at {record.start:g} s: {different}; only what has one "
                "layout can be remembered together: make it the same for the whole video"
            )
        self._meta = {key: value for key, value in self._meta.items() if record.meta.get(key) == value}
        for slot in frames(record):
            self._memory.add(slot)

    def records(self, moment: bool, positions: Table | None) -> Iterator[Record]:
        """Yield what is remembered, one record a slot."""
        first = self._first
        assert first.tokens is not None
        width = first.tokens.shape[1]
        if positions is not None and positions.shape[1] != width:
            raise ValueError(f"the positions are {positions.shape[1]} wide, the embeddings of {first.source!r} {width}")
        for i, slot in enumerate(self._memory.moment() if moment else self._memory.whole()):
            tokens = slot.tokens if positions is None else slot.tokens + positions[i]
            yield Record(
                first.kind,
                slot.start,
                slot.end,
                tokens=tokens.astype(first.tokens.dtype),
                space=first.space,
                times=slot.times,
                source=first.source,
                parents=slot.parents,
                meta={**self._meta, "slots": 1, "weight": slot.weight},
            )


def frames(record: Record) -> Iterator[Slot]:
    """Yield the equal parts of an embedding as slots of one frame each.

    Where as many times stand with it, or a multiple, each part begins at its first; else all are of equal length.
    """
    rows, n = np.asarray(record.tokens), _slots(record)
    parts = rows.reshape(n, -1, rows.shape[1])
    each, rest = divmod(len(record.times), n)
    times = [record.times[i * each : (i + 1) * each] if not rest else () for i in range(n)]
    if each and not rest:
        inner = [min(max(of[0], record.start), record.end) for of in times[1:]]
    else:
        inner = [record.start + (record.end - record.start) * i / n for i in range(1, n)]
    edges = [record.start, *inner, record.end]
    weight = max(1, int(record.meta.get("weight", 1)))  # of what was remembered before
    for part, of, (start, end) in zip(parts, times, pairwise(edges), strict=True):
        yield Slot(part, start, end, of, (record.id,), weight)


def _shape(record: Record) -> dict[str, Any]:
    """Return what embeddings must have in common to be merged."""
    if record.tokens is None:
        raise ValueError(f"the embedding of {record.source!r} at {record.start:g} s has no tokens")
    rows, width = record.tokens.shape
    n = _slots(record)
    if n < 1 or not rows or not width or rows % n:
        raise ValueError(
            f"the embedding of {record.source!r} at {record.start:g} s has {rows} rows of {width} numbers, which do "
            f"not fall into {n} equal parts, as its meta['slots'] says"
        )
    layout = record.meta.get("layout", {})
    return {
        "rows": rows // n,
        "width": width,
        "type": str(record.tokens.dtype),
        "space": record.space,
        "layout": layout,
    }


def _slots(record: Record) -> int:
    return int(record.meta.get("slots", 1))


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the refiner."""
    register("refine", "moviechat", MovieChat)
