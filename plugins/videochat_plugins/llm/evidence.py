"""What records say, read from their fields: which things there are, how they move, where the cuts are."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from videochat import Record, Span
from videochat.budget import equal_neighbours
from videochat.clock import needs_hours, span_stamp
from videochat.question import Question
from videochat.vocabulary import COLOURS, DIRECTIONS
from videochat.words import terms

SLACK = 0.5  # seconds that a perceiver may place a change too early or too late
GAP = 1.5  # seconds; tracks begin at most so long after a cut
IN_PLACE = "in its place"  # the state of a thing that stirs without leaving
_KEPT = 0.2  # of a path's time: a shorter stretch is a jitter of the track, which a record's text leaves out too
CHANGE = 0.35  # how far two looks lie apart on the two sides of a cut, 0 to 1


class Stretch(NamedTuple):
    """Some time in which a thing keeps to one way, or a picture to one state."""

    start: float  # seconds
    end: float
    direction: str  # or the state


@dataclass(frozen=True, slots=True)
class Quote:
    """One line of evidence: a record, or equal neighbours as one."""

    records: tuple[Record, ...]

    @property
    def span(self) -> Span:
        """From the first start to the last end."""
        return Span(self.records[0].start, max(record.end for record in self.records))

    def line(self, hours: bool, boxes: bool) -> str:
        """Return it as `MM:SS-MM:SS kind: text [x1, y1, x2, y2]`."""
        first = self.records[0]
        box = f" {[round(edge) for edge in first.box]}" if first.box is not None and boxes else ""
        return f"{span_stamp(*self.span, hours)} {first.kind}: {first.text}{box}"


@dataclass(frozen=True, slots=True)
class Thing:
    """A moving region followed over time."""

    name: str
    records: tuple[Record, ...]
    stretches: tuple[Stretch, ...]

    def towards(self, directions: Sequence[str], window: Span) -> tuple[Stretch, ...]:
        """Return its stretches in a window that go one of these ways; with no way given, all in which it moves."""
        inside = [
            Stretch(max(part.start, window.start), min(part.end, window.end), part.direction)
            for part in self.stretches
            if min(part.end, window.end) - max(part.start, window.start) > 0
        ]
        if not directions:
            return tuple(part for part in inside if part.direction != "still")
        return tuple(part for part in inside if set(part.direction.split("-")) & set(directions))


@dataclass(frozen=True, slots=True)
class Evidence:
    """The records of one video, in time order."""

    records: tuple[Record, ...]
    label: str = ""  # what the prompt calls the video, where it holds several

    @property
    def duration(self) -> float:
        """The last end that any record knows of, seconds."""
        return max((record.end for record in self.records), default=0.0)

    @property
    def hours(self) -> bool:
        """Whether its time stamps have hours."""
        return needs_hours(self.duration)

    def stamp(self, start: float, end: float) -> str:
        """Return a stretch as MM:SS-MM:SS."""
        return span_stamp(start, end, self.hours)

    def phrase(self, parts: Sequence[Stretch]) -> str:
        """Return stretches in words: `right (00:00-00:03), then left (00:03-00:06)`."""
        out = ""
        for i, part in enumerate(parts):
            if i:
                out += ", again " if part.direction == parts[i - 1].direction else f", then {part.direction} "
            else:
                out = f"{part.direction} "
            out += f"({self.stamp(part.start, part.end)})"
        return out


@dataclass(frozen=True, slots=True)
class Answer:
    """What can be said of one video, and what it rests on."""

    lead: str
    quotes: tuple[Quote, ...]
    boxes: bool = False  # whether to print where things are

    @classmethod
    def of(cls, lead: str, records: Iterable[Record]) -> "Answer | None":
        """Return an answer that rests on records; none without any."""
        found = tuple(quotes(records))
        return cls(lead, found) if found else None


def quotes(records: Iterable[Record]) -> list[Quote]:
    """Return the records as quotes, in time order, equal neighbours as one."""
    return [Quote(tuple(group)) for group in equal_neighbours(sorted(records, key=lambda record: record.start))]


def words_of(record: Record) -> list[str]:
    """Return the stems of all that a record says in words."""
    said = [record.text, *(str(record.meta[key]) for key in ("colour", "camera") if key in record.meta)]
    return [word for text in said for word in terms(text)]


def colours_of(record: Record) -> frozenset[str]:
    """Return the colours that a record names."""
    return frozenset(COLOURS[word] for word in words_of(record) if word in COLOURS)


def stretches_of(record: Record) -> tuple[Stretch, ...]:
    """Return how a region moves over its time: its path, or its one direction, or the direction that its text names.

    Of a path the short stretches are left out, as they are in the text of a joined region.
    """
    direction = record.meta.get("direction")
    path = record.meta.get("path")
    found = [_stretch(part) for part in path] if isinstance(path, list | tuple) else []
    parts = [part for part in found if part is not None]
    total = sum(part.end - part.start for part in parts)
    long = [part for part in parts if part.end - part.start >= _KEPT * total]
    if isinstance(direction, str) and direction not in {part.direction for part in long}:
        long = [part for part in parts if part.direction == direction]
    if long and any(part.direction != "still" for part in long):
        return tuple(long)
    if IN_PLACE in record.text:
        return (Stretch(record.start, record.end, IN_PLACE),)
    if long:
        return tuple(long)
    if not isinstance(direction, str):
        named = [DIRECTIONS[word] for word in record.text.lower().split() if word in DIRECTIONS]
        moves = {"moving", "moves", "standing", "stands"} & set(record.text.lower().split())
        direction = "-".join(named) or "still" if moves else ""
    return (Stretch(record.start, record.end, direction),) if direction else ()


def _stretch(part: Any) -> Stretch | None:
    try:
        start, end, direction = part
        return Stretch(float(start), float(end), str(direction))
    except (TypeError, ValueError):
        return None


def things(records: Iterable[Record]) -> list[Thing]:
    """Return the regions among the records as things: by track, or where there is none by what they say."""
    groups: defaultdict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        if record.kind == "region":
            key = (record.source, record.track) if record.track is not None else (record.source, None, record.text)
            groups[key].append(record)
    found = [
        Thing(_name(group[0]), tuple(group), joined(part for record in group for part in stretches_of(record)))
        for group in groups.values()
    ]
    return sorted(found, key=lambda thing: (thing.records[0].start, thing.name))


def _name(record: Record) -> str:
    colour = record.meta.get("colour")
    return f"{colour} thing" if isinstance(colour, str) and colour else record.text or "thing"


def joined(parts: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """Return stretches in order, those of one way that touch as one."""
    out: list[Stretch] = []
    for part in sorted(parts):
        if out and out[-1].direction == part.direction and part.start <= out[-1].end + SLACK:
            out[-1] = out[-1]._replace(end=max(out[-1].end, part.end))
        else:
            out.append(part)
    return tuple(out)


def ordinal(question: Question) -> str:
    """Return "the first", "the second" ... "the last", as a question asks."""
    if question.order == "last":
        return "the last"
    names = ("first", "second", "third", "fourth", "fifth")
    return f"the {names[min(question.nth, len(names)) - 1]}"


def known_cuts(records: Sequence[Record]) -> list[float]:
    """Return the times in seconds of the cuts that records name, in order."""
    named = {record.start for record in records if record.kind == "cut" or "cut" in record.meta}
    return sorted(time for time in named if time > 0)


def cuts(records: Sequence[Record]) -> list[float]:
    """Return the times in seconds at which the picture seems to be cut, in order.

    A record that names a cut decides. Else a cut is where the look changes at once, best where no track lives on
    through that time; where no look changes, it is where all tracks end and others begin.
    """
    if known := known_cuts(records):
        return known
    breaks = _breaks([record for record in records if record.kind == "region"])
    changes = _changes([record for record in records if record.kind == "look"])
    return [time for time in breaks if any(abs(time - change) <= GAP for change in changes)] or changes or breaks


def _breaks(regions: Sequence[Record]) -> list[float]:
    """Return the starts of regions before which, and shortly before, all earlier ones have ended."""
    out = []
    latest = -math.inf
    for record in sorted(regions, key=lambda record: record.start):
        if -SLACK <= record.start - latest <= GAP:
            out.append(record.start)
        latest = max(latest, record.end)
    return out


def _changes(looks: Sequence[Record]) -> list[float]:
    out = []
    for before, after in pairwise(looks):
        if before.source == after.source and _apart(before, after) >= CHANGE:
            out.append(after.start)
    return out


def _apart(one: Record, other: Record) -> float:
    """Return how different two looks are: 0 alike, 1 nothing in common."""
    first, second = dict(shares_of(one)), dict(shares_of(other))
    return sum(abs(first.get(name, 0.0) - second.get(name, 0.0)) for name in first.keys() | second.keys()) / 2


def shares_of(look: Record) -> list[tuple[str, float]]:
    """Return the colours of a look with their shares of the picture."""
    pairs = look.meta.get("colours")
    out = []
    for pair in pairs if isinstance(pairs, list | tuple) else ():
        try:
            name, share = pair
            out.append((str(name), float(share)))
        except (TypeError, ValueError):
            continue
    return out
