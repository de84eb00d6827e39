"""MovieChat's memory (arXiv 2307.16449, section 3.2) on arrays: short-term frames, merged into long-term slots.

The similarity of two frames is that of their mean tokens: the mean of the product of all tokens A with all tokens B,
mean(A B^T), is the dot product of the mean tokens. Both are linear, so a merged slot's mean token is the merged mean
token: a merge costs one short vector, and the tokens themselves are blended once, when it is known what goes together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import sqrt
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]]
Vector = npt.NDArray[np.float64]
Similarity = Literal["cosine", "dot"]
Merge = Literal["weighted", "plain"]

_TIE = 1e-9  # scores that differ by less, as rounding makes them, are equal: the left-most pair is merged


@dataclass(slots=True, eq=False)
class Slot:
    """One frame, or neighbouring frames that became one."""

    tokens: Numbers  # (rows, width)
    start: float  # seconds
    end: float
    times: tuple[float, ...] = ()  # a frame's own; of merged frames the first and the last
    parents: tuple[str, ...] = ()  # likewise, so that a slot stays as small as it is
    weight: int = 1  # frames
    mean: Vector = field(default_factory=lambda: np.empty(0))  # (width,) the mean token; the memory fills it in


class Limits(Protocol):
    """How a memory works: the options of `moviechat`, explained there."""

    window: int
    merge_to: int
    short: int
    long: int
    similarity: Similarity
    merge: Merge
    carry: Literal["clear", "seed"]
    overflow: Literal["merge_again", "drop_oldest"]
    recent: Literal["unmerged", "repeated"]


def pooled(frames: Numbers) -> Vector:
    """Return the mean tokens (..., width) of frames (..., rows, width)."""
    rows = frames.shape[-2]
    with np.errstate(all="ignore"):  # what is not finite is the caller's to refuse
        mean: Vector = (np.ones(rows, frames.dtype) @ frames).astype(np.float64) / rows
    return mean


def neighbours(
    means: Sequence[Vector], weights: Sequence[int], to: int, similarity: Similarity, merge: Merge
) -> Iterator[tuple[int, list[float]]]:
    """Yield who is merged: for each slot that is left, the first of those that it is made of, and the share of each.

    The most similar neighbours become one, the left-most of equals, until `to` are left. A zero vector has the cosine 0
    with every other.

    Args:
        means: the mean tokens (width,), in order of time.
        weights: how many frames each stands for.
        to: how many may be left.
        similarity: how like two are.
        merge: by weight, or each pair half and half.
    """
    cosine = similarity == "cosine"
    weighted = merge == "weighted"  # then a vector is the sum of its frames, and the scale divides
    shares = [[float(weight) if weighted else 1.0] for weight in weights]
    totals = [share for (share,) in shares]
    vectors = [mean if total == 1 else mean * total for mean, total in zip(means, totals, strict=True)]
    scales = [_over(sqrt(v.dot(v)) if cosine else total) for v, total in zip(vectors, totals, strict=True)]
    scores = [float(a.dot(b)) * s * t for (a, b), (s, t) in zip(pairwise(vectors), pairwise(scales), strict=True)]
    while len(vectors) > to:
        best = max(scores)
        least = best - _TIE * abs(best)
        i = next(k for k, score in enumerate(scores) if score >= least)
        vector = vectors[i] + vectors.pop(i + 1)
        shares[i] += shares.pop(i + 1)
        totals[i] += totals.pop(i + 1)
        if not weighted:
            vector /= 2
            shares[i] = [share / 2 for share in shares[i]]
            totals[i] /= 2
        scale = _over(sqrt(vector.dot(vector)) if cosine else totals[i])
        vectors[i], scales[i] = vector, scale
        del scales[i + 1], scores[i]
        if i > 0:
            scores[i - 1] = float(vector.dot(vectors[i - 1])) * scale * scales[i - 1]
        if i < len(scores):
            scores[i] = float(vector.dot(vectors[i + 1])) * scale * scales[i + 1]
    first = 0
    for found, total in zip(shares, totals, strict=True):
        yield first, [share / total for share in found]
        first += len(found)


def blend(tokens: Numbers, shares: Sequence[float]) -> Numbers:
    """Return the sum (rows, width) of tokens (n, rows, width), each times its share; always a new array."""
    n, rows, width = tokens.shape
    return (np.asarray(shares, tokens.dtype) @ tokens.reshape(n, rows * width)).reshape(rows, width)


def consolidate(
    frames: Numbers, to: int, similarity: Similarity = "cosine", merge: Merge = "weighted"
) -> list[Numbers]:
    """Return at most `to` slots (rows, width) for frames (n, rows, width): neighbours merged, one frame a slot else."""
    parts = neighbours(list(pooled(frames)), [1] * len(frames), to, similarity, merge)
    return [blend(frames[first : first + len(shares)], shares) for first, shares in parts]


class Memory:
    """Takes frames in order of time and remembers any number of them in `limits.long` slots.

    The last frames wait in the short-term memory; where it is full, the oldest window of it is merged and goes over to
    the long-term memory.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._short: list[Slot] = []  # the tokens of slot i are row i of the buffer, so that neighbours lie together
        self._buffer: Numbers = np.empty((0, 0, 0), np.float32)  # (short, rows, width)
        self._carried = 0  # how many of the short-term slots are in the long-term memory too
        self._long: list[Slot] = []
        self._window: list[Slot] = []  # the frames that were merged last as they were, where they are shown again

    def add(self, slot: Slot) -> None:
        """Take the next frame in.

        Raises:
            ValueError: if a number of it is not finite.
        """
        if not self._buffer.size:
            dtype = np.result_type(slot.tokens.dtype, np.float32)
            self._buffer = np.empty((self._limits.short, *slot.tokens.shape), dtype)
        while len(self._short) == self._limits.short:
            self._consolidate()
        tokens = self._buffer[len(self._short)]
        tokens[:] = slot.tokens
        mean = pooled(tokens)
        if not np.isfinite(mean).all():
            raise ValueError(f"the embedding at {slot.start:g} s holds numbers that are not finite")
        self._short.append(replace(slot, tokens=tokens, mean=mean))

    def whole(self) -> list[Slot]:
        """Return everything as long-term slots (global mode). The memory has served then."""
        while len(self._short) > self._carried:
            self._consolidate()
        return self._long

    def moment(self) -> list[Slot]:
        """Return the long-term slots, then recent frames in detail, the last at the end (breakpoint mode).

        All together are no more than the long-term memory holds; of those, half at most are not merged yet. The memory
        has served then.
        """
        if not self._short:
            return []
        current = self._short.pop()
        current.tokens = current.tokens.copy()
        if self._limits.recent == "repeated":
            long = self.whole()
            over = len(long) + len(self._window) + 1 - self._limits.long
            recent = self._window[max(over, 0) :]  # what is there twice goes first
        else:
            while (over := len(self._short) - self._carried + 1 - self._limits.long // 2) > 0:
                self._consolidate(over)
            recent = self._short[self._carried :]
        self._fit(self._limits.long - len(recent) - 1)
        return [*self._long, *recent, current]

    def _consolidate(self, most: int | None = None) -> None:
        """Merge the oldest window of the short-term memory, or so many frames of it, into the long-term memory."""
        limits = self._limits
        window = limits.window if most is None else min(most, limits.window)
        n = min(self._carried + window, len(self._short))
        head, rest = self._short[:n], self._short[n:]
        if limits.recent == "repeated":
            self._window = [replace(slot, tokens=slot.tokens.copy()) for slot in head[self._carried :]]
        merged = [
            _joined(head[i : i + len(s)], self._buffer[i : i + len(s)], s)
            for i, s in self._parts(head, limits.merge_to)
        ]
        self._long += merged
        self._fit(limits.long)
        seeds = [replace(slot) for slot in merged] if limits.carry == "seed" else []
        self._carried = len(seeds)
        self._short = [*seeds, *rest]
        self._buffer[len(seeds) : len(self._short)] = self._buffer[n : n + len(rest)]
        for slot, row in zip(self._short, self._buffer, strict=False):
            if slot in seeds:
                row[:] = slot.tokens
            slot.tokens = row

    def _fit(self, most: int) -> None:
        """Bring the long-term memory down to a size: its most similar neighbours are merged, or the oldest slots go."""
        if len(self._long) <= most:
            return
        if self._limits.overflow == "drop_oldest":
            self._long = self._long[len(self._long) - most :]
            return
        runs = [(self._long[first : first + len(shares)], shares) for first, shares in self._parts(self._long, most)]
        self._long = [
            run[0] if len(run) == 1 else _joined(run, np.stack([slot.tokens for slot in run]), shares)
            for run, shares in runs
        ]

    def _parts(self, slots: Sequence[Slot], to: int) -> Iterator[tuple[int, list[float]]]:
        means, weights = [slot.mean for slot in slots], [slot.weight for slot in slots]
        return neighbours(means, weights, to, self._limits.similarity, self._limits.merge)


def _joined(slots: Sequence[Slot], tokens: Numbers, shares: Sequence[float]) -> Slot:
    """Return neighbours as one, with tokens of its own."""
    first, last = slots[0], slots[-1]
    if first is last:
        return replace(first, tokens=tokens[0].copy())
    return Slot(
        blend(tokens, shares),
        first.start,
        last.end,
        (*first.times[:1], *last.times[-1:]),
        tuple(dict.fromkeys((*first.parents[:1], *last.parents[-1:]))),
        sum(slot.weight for slot in slots),
        np.asarray(shares) @ np.stack([slot.mean for slot in slots]),
    )


def _over(value: float) -> float:
    """Return 1 over a value, and 0 over zero."""
    return 1 / value if value > 0 else 0.0
