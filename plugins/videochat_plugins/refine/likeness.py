"""How alike two readings, two regions and two boxes are."""

import math
from typing import Any, NamedTuple

from videochat import Box, Record

_LETTERS = 200  # of a reading that are compared; the rest of a longer one does not matter


class Sight(NamedTuple):
    """Where the centre of a region was."""

    time: float  # seconds
    x: float  # source pixels
    y: float


def difference(a: str, b: str) -> float:
    """Return the share of letters in which two readings differ (Levenshtein), case aside; 1 if their digits differ."""
    a, b = a.casefold()[:_LETTERS], b.casefold()[:_LETTERS]
    if a == b:
        return 0.0
    if [c for c in a if c.isdigit()] != [c for c in b if c.isdigit()]:
        return 1.0
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1] / max(len(a), len(b))


def alike(a: Record, b: Record) -> float:
    """Return how alike two regions look, 0 to 1: their colours' common share, or whether they are called the same."""
    if "colours" in a.meta and "colours" in b.meta:
        return max(shared_share(a.meta, b.meta), float(a.meta.get("colour") == b.meta.get("colour")) * 0.7)
    if "colour" in a.meta and "colour" in b.meta:
        return float(a.meta["colour"] == b.meta["colour"])
    return float(a.text == b.text)


def shared_share(a: Any, b: Any) -> float:
    """Return the part that two lists meta["colours"] of [name, share] have in common."""
    try:
        mine, other = ({str(name): float(share) for name, share in meta.get("colours", ())} for meta in (a, b))
    except (TypeError, ValueError):
        return 0.0  # another plugin's idea of colours
    total = max(sum(mine.values()), sum(other.values()))
    return sum(min(share, other.get(name, 0.0)) for name, share in mine.items()) / total if total else 0.0


def sight(record: Record, which: str) -> Sight:
    """Return meta["first"] or meta["last"], or the middle of the box at the record's start or end."""
    found = record.meta.get(which)
    if isinstance(found, list | tuple) and len(found) == 3 and all(isinstance(value, int | float) for value in found):
        return Sight(*found)
    x, y = centre(record.box) if record.box else (0.0, 0.0)
    return Sight(record.start if which == "first" else record.end, x, y)


def number(value: Any) -> float:
    """Return a number found in meta; 0 if it is none."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def centre(box: Box) -> tuple[float, float]:
    """Return the centre of a box."""
    return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2


def area(box: Box) -> float:
    """Return the area of a box."""
    return max(box.x2 - box.x1, 0.0) * max(box.y2 - box.y1, 0.0)


def diagonal(box: Box) -> float:
    """Return the length of a box's diagonal."""
    return math.hypot(box.x2 - box.x1, box.y2 - box.y1)


def distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the distance of two points."""
    return math.hypot(a[0] - b[0], a[1] - b[1])


def overlap(a: Box, b: Box) -> float:
    """Return the part of the smaller box that both share."""
    both = Box(max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2))
    smaller = min(area(a), area(b))
    return area(both) / smaller if smaller else 0.0
