"""MovieChat's memory against what the original computed, and as a plain loop that our memory is held against."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isqrt, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from videochat import Pool, Record
from videochat_plugins.refine.memory import Memory, Slot
from videochat_plugins.refine.moviechat import MovieChat
from videochat_plugins.refine.positions import hierarchical

TOLERANCE = 1e-6
CASE = re.compile(r"(?P<case>(consolidate_\w+|pos_table|global_\d+|breakpoint_\d+|lmms(_\w+)?))_(in|cur|out)")
Arrays = Mapping[str, Any]


def cases(names: Iterable[str]) -> list[str]:
    """Return the cases that the names of arrays stand for; a name of no known kind stands for itself."""
    return sorted({found["case"] if (found := CASE.fullmatch(name)) else name for name in names})


def check_case(arrays: Arrays, case: str, folder: Path) -> None:
    """Compare what one case gives with what the original gave.

    Raises:
        AssertionError: if it differs, or is of no known kind.
    """
    assert f"{case}_in" in arrays, f"no test knows a case {case!r}"
    assert f"{case}_out" in arrays, f"{case} expects nothing"
    given = np.asarray(arrays[f"{case}_in"], np.float64)
    wanted = np.asarray(arrays[f"{case}_out"], np.float64)
    if case == "pos_table":
        found = hierarchical(given, isqrt(len(wanted)), alpha=0.01)
    elif case.startswith("consolidate_"):
        found = run([given], window=max(2, len(given)))
    elif case.startswith("lmms"):
        found = port(given)
        wanted = wanted.reshape(-1, *given.shape[-2:])
        found = found[-len(wanted) :]
    else:
        save_file({"table": np.asarray(arrays["pos_table_in"], np.float64)}, folder / "table.safetensors")
        at_moment = [arrays[f"{case}_cur"]] if case.startswith("breakpoint_") else []
        how = {"window": max(2, given.shape[1]), "positions": "hierarchical", "table": folder / "table.safetensors"}
        found = run([*given, *at_moment], moment=bool(at_moment), **how)
        wanted = wanted.reshape(-1, *given.shape[-2:])
    np.testing.assert_allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)


def run(fragments: Iterable[Any], moment: bool = False, preset: str = "original", **how: Any) -> Any:
    """Return what the refiner remembers (slots, rows, width) of fragments (n, rows, width), one record each."""
    how = {"positions": "none", "short": max(18, how.get("window", 0)), **how}
    refiner = MovieChat(MovieChat.Options(preset=preset, **how))  # type: ignore[arg-type]
    refiner.load(Pool("cpu"))
    records = []
    for i, fragment in enumerate(fragments):
        rows = np.asarray(fragment, np.float64).reshape(-1, fragment.shape[-1])
        records.append(Record("embedding", i, i + 1, tokens=rows, source="eye", meta={"slots": len(fragment)}))
    refiner.at = float(len(records)) if moment else None
    return np.stack([np.asarray(record.tokens) for record in refiner.refine(iter(records))])


def port(given: Any) -> Any:
    """Return the slots that the port makes of frames (..., rows, width): 16 at once, and the 2 slots before them.

    Two frames more than a multiple of 16 are slots carried over from before; a window that is not full is never merged.
    """
    flat = given.reshape(-1, *given.shape[-2:])
    carried = 2 if len(flat) % 16 == 2 else 0
    memory = Memory(MovieChat.Options(preset="lmms", positions="none"))
    for i, frame in enumerate(flat[: carried + (len(flat) - carried) // 16 * 16]):
        if i == carried:
            memory._carried = carried
        memory.add(Slot(frame, i, i + 1))
    return np.stack([slot.tokens for slot in memory.whole()])


@dataclass
class Plain:
    """A slot of the plain loop: its tokens may be of any numbers that Python can add."""

    tokens: Any  # (rows, width)
    first: int  # frame
    last: int
    weight: int = 1


def score(a: Plain, b: Plain, similarity: str) -> float:
    """Return how like two slots are, by the product of all their tokens."""

    def product(x: Plain, y: Plain) -> Any:
        return (x.tokens @ y.tokens.T).mean()

    if similarity == "dot":
        return float(product(a, b))
    norms = float(product(a, a) * product(b, b))
    return float(product(a, b)) / sqrt(norms) if norms else 0.0


def consolidate(slots: Sequence[Plain], to: int, similarity: str, merge: str) -> list[Plain]:
    """Merge the most similar neighbours until `to` are left, all scores computed anew each time."""
    slots = list(slots)
    while len(slots) > to:
        scores = [score(a, b, similarity) for a, b in pairwise(slots)]
        i = next(i for i, value in enumerate(scores) if value >= max(scores) - 1e-9 * abs(max(scores)))
        a, b = slots[i], slots[i + 1]
        x, y = (a.weight, b.weight) if merge == "weighted" else (1, 1)
        slots[i : i + 2] = [Plain((x * a.tokens + y * b.tokens) / (x + y), a.first, b.last, a.weight + b.weight)]
    return slots


def remember(frames: Sequence[Any], o: MovieChat.Options, moment: bool) -> list[Plain]:
    """Return what is remembered of frames, with everything held at once."""
    every = [Plain(tokens, i, i) for i, tokens in enumerate(frames)]
    windows = [o.window] * (len(every) // o.window + 1)
    past, recent, current = every, [], every[len(every) :]
    if moment and o.recent == "repeated":
        past, current = every[:-1], every[-1:]
        recent = past[-(len(past) % o.window or o.window) :]
    elif moment:
        gone, carried = 0, 0
        while len(every) - gone + carried > o.short:  # what the short-term memory has no room for
            gone += o.window
            carried = o.merge_to if o.carry == "seed" else 0
        windows = [o.window] * (gone // o.window)
        while (over := len(every) - gone - o.long // 2) > 0:  # and what would be more than half of what comes out
            windows.append(min(over, o.window))
            gone += windows[-1]
        past, recent, current = every[:gone], every[gone:-1], every[-1:]
    long: list[Plain] = []
    seeds: list[Plain] = []
    for window in windows:
        merged = consolidate([*seeds, *past[:window]], o.merge_to, o.similarity, o.merge) if past else []
        past, seeds = past[window:], [replace(slot) for slot in merged] if o.carry == "seed" else []
        long = shrink([*long, *merged], o.long, o)
    if moment and o.recent == "repeated":
        while recent and len(long) + len(recent) + 1 > o.long:
            recent = recent[1:]
    return [*shrink(long, o.long - len(recent) - len(current), o), *recent, *current]


def shrink(long: list[Plain], most: int, o: MovieChat.Options) -> list[Plain]:
    """Bring slots down to a number."""
    if o.overflow == "drop_oldest":
        return long[max(0, len(long) - most) :]
    return consolidate(long, most, o.similarity, o.merge)
