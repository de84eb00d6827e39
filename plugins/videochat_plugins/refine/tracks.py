"""Tracks: the records of one thing so far, and what it takes to be the next of them."""

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from videochat import Record
from videochat_plugins.refine.likeness import (
    alike,
    area,
    centre,
    diagonal,
    difference,
    distance,
    number,
    overlap,
    shared_share,
    sight,
)

_SURE = 1.005  # above any score, so that not even a score of 1 outweighs all others


class Limits(Protocol):
    """How alike two records of one thing are: the options of `join`, explained there."""

    gap: float
    overlap: float
    errors: float
    reach: float


@dataclass
class Track(ABC):
    """The records of one thing."""

    kind: ClassVar[str]
    counted: ClassVar[bool] = True  # whether it is a thing with a track number
    number: int | None
    limits: Limits
    first: Record
    last: Record
    end: float  # the latest of all ends, seconds
    parents: list[str] = field(default_factory=list)
    texts: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # each text's weight
    best: dict[str, Record] = field(default_factory=dict)  # of each text the record with the highest score

    @classmethod
    def begin(cls, record: Record, number: int | None, limits: Limits) -> Self:
        """Return the track of one record."""
        track = cls(number, limits, record, record, record.end)
        track.add(record)
        return track

    def add(self, record: Record) -> None:
        """Take the next record in."""
        self.last, self.end = record, max(self.end, record.end)
        self.parents.append(record.id)
        # The odds that it is right: one sure reading outweighs many doubtful ones.
        score = min(record.score, 1.0) if record.score is not None else 0.5
        self.texts[record.text] += score / (_SURE - score)
        if record.text not in self.best or (record.score or 0) > (self.best[record.text].score or 0):
            self.best[record.text] = record

    def closed(self, now: float) -> bool:
        """Return whether nothing that starts at `now` or later can follow."""
        return now > self.end + self.limits.gap + 1e-6

    def ends_at(self, cut: float) -> bool:
        """Return whether a cut at that time is the end of it."""
        return self.last.start < cut

    @abstractmethod
    def cost(self, record: Record) -> float:
        """Return how unlikely it is that a record of the same kind and source is the next; infinite if it cannot be."""

    @property
    def typical(self) -> Record:
        """The record whose text has the most weight: the best of them, or the first."""
        return self.best[max(self.texts, key=lambda text: self.texts[text])]  # the first of equals

    def record(self) -> Record:
        """Return all as one, in the name of the perceiver that saw it, with the frames of the typical one."""
        typical = self.typical
        return Record(
            self.kind,
            self.first.start,
            self.end,
            self.text(),
            typical.score,
            self.first.box,
            track=self.number,
            times=typical.times,
            source=typical.source,
            parents=tuple(self.parents),
            meta=self.meta(),
        )

    def text(self) -> str:
        """Return the words for all."""
        return self.typical.text

    def meta(self) -> dict[str, Any]:
        """Return the facts for all."""
        return dict(self.typical.meta)


class Text(Track):
    """A text on the screen."""

    kind = "text"

    def ends_at(self, cut: float) -> bool:
        """Return False: a text may stay through a cut, as a watermark does."""
        return False

    def cost(self, record: Record) -> float:
        """Count wrong letters and shifts; an equal reading may also have moved on."""
        errors = min(difference(record.text, text) for text in (self.last.text, self.typical.text))
        if errors > self.limits.errors:
            return math.inf
        if record.box is None or self.last.box is None:
            return errors if record.box is self.last.box else math.inf
        shared = overlap(record.box, self.last.box)
        moved = distance(centre(record.box), centre(self.last.box)) / (diagonal(self.last.box) or 1)
        if shared < self.limits.overlap and (errors or moved > self.limits.reach):
            return math.inf
        return errors + (1 - shared)


@dataclass
class Region(Track):
    """A moving thing."""

    kind = "region"
    path: list[tuple[float, float, str]] = field(default_factory=list)  # start, end, direction
    travelled: float = 0.0  # pixels

    def add(self, record: Record) -> None:
        """Take the next record in and go on with the path."""
        super().add(record)
        direction = str(record.meta.get("direction", ""))
        if self.path and self.path[-1][2] == direction:
            self.path[-1] = (self.path[-1][0], record.end, direction)
        else:
            self.path.append((record.start, record.end, direction))
        self.travelled += number(record.meta.get("speed")) * (record.end - record.start)

    def ends_at(self, cut: float) -> bool:
        """Return whether the last sight was before the cut."""
        return sight(self.last, "last").time < cut

    def cost(self, record: Record) -> float:
        """Measure how far off the expected place it is, and how unlike."""
        last = self.last
        if record.box is None or last.box is None or record.start < last.end - 1e-6:
            return math.inf
        unlike = 1 - alike(record, last)
        grown = abs(math.log2((area(record.box) or 1) / (area(last.box) or 1)))
        here, there, before = sight(record, "first"), sight(last, "last"), sight(last, "first")
        spent = there.time - before.time
        ahead = (here.time - there.time) / spent if spent > 0 else 0.0
        expected = (there.x + (there.x - before.x) * ahead, there.y + (there.y - before.y) * ahead)
        off = min(distance((here.x, here.y), expected), distance((here.x, here.y), (there.x, there.y)))
        off /= max(diagonal(record.box), diagonal(last.box)) or 1
        return math.inf if unlike > 0.6 or grown > 3 or off > self.limits.reach else off + unlike + grown / 3

    @property
    def direction(self) -> str:
        """The direction kept longest; "still" only if it stirred in its place for half of the time."""
        kept: defaultdict[str, float] = defaultdict(float)
        for start, end, direction in self.path:
            kept[direction] += end - start
        total = sum(kept.values())
        ways = [way for way in kept if way != "still"]
        if not ways or kept["still"] >= 0.5 * total:
            return "still" if "still" in kept else ""
        return max(ways, key=lambda way: kept[way])

    def text(self) -> str:
        """Return the words of the typical record, with the ways that it went one after the other."""
        head, moving, _ = self.typical.text.partition(" moving ")
        total = sum(end - start for start, end, _ in self.path)
        ways: list[str] = []
        for start, end, way in self.path:
            if end - start >= 0.2 * total and ways[-1:] != [way]:
                ways.append(way)
        if not moving or not all(way for _, _, way in self.path):
            return self.typical.text
        ways = ways if self.direction in ways else [self.direction]
        words = ["in its place" if way == "still" else way for way in ways]
        return f"{head} moving {', then '.join(words)}"

    def meta(self) -> dict[str, Any]:
        """Return the typical facts and the path; the hints for joining have served."""
        meta = {key: value for key, value in super().meta().items() if key not in ("first", "last", "since", "colours")}
        if "direction" in meta:
            seconds = sum(end - start for start, end, _ in self.path)
            meta["direction"] = self.direction
            meta["speed"] = round(self.travelled / seconds, 1) if seconds else 0.0
            meta["path"] = [[round(start, 3), round(end, 3), direction] for start, end, direction in self.path]
        return meta


class Look(Track):
    """How the picture looks, as long as it stays so."""

    kind = "look"
    counted = False

    def closed(self, now: float) -> bool:
        """Return whether the next look would leave a gap."""
        return now > self.end + 1e-6

    def cost(self, record: Record) -> float:
        """Compare the words, or the numbers behind them: a value near the border of two words is no change."""
        if record.start > self.end + 1e-6:
            return math.inf
        a, b = self.first.meta, record.meta
        light = abs(number(a.get("brightness")) - number(b.get("brightness")))
        steeper = number(a.get("steepness")) + 0.1, number(b.get("steepness")) + 0.1
        close = light < 0.08 and max(steeper) < 1.6 * min(steeper) and shared_share(a, b) > 0.85
        return 0.0 if record.text == self.first.text or close else math.inf


class Motion(Track):
    """How the camera moves, as long as it moves so."""

    kind = "motion"
    counted = False

    def closed(self, now: float) -> bool:
        """Return whether the next motion would leave a gap."""
        return now > self.end + 1e-6

    def cost(self, record: Record) -> float:
        """Compare the words, or the camera's motion and about how much moves."""
        a, b = self.first.meta, record.meta
        if record.start > self.end + 1e-6 or "cut" in a or "cut" in b:
            return math.inf
        close = a.get("camera") == b.get("camera") and abs(number(a.get("moving")) - number(b.get("moving"))) < 0.1
        return 0.0 if record.text == self.first.text or (close and "camera" in a) else math.inf


class Heard(Track):
    """Something that is heard, as long as it stays the same; the picture's cuts do not part it."""

    counted = False

    def closed(self, now: float) -> bool:
        """Return whether the next would leave a gap."""
        return now > self.end + 1e-6

    def ends_at(self, cut: float) -> bool:
        """Return False: sound goes on through a cut."""
        return False

    def cost(self, record: Record) -> float:
        """Compare the words."""
        return 0.0 if record.text == self.first.text and record.start <= self.end + 1e-6 else math.inf


class Voice(Heard):
    """A voice: a window's edge may have parted it."""

    kind = "voice"


class Sound(Heard):
    """How loud it is."""

    kind = "sound"

    def cost(self, record: Record) -> float:
        """Compare the words, or the loudness: where neither is silent or clipped, a few decibels are no change."""
        a, b = self.first, record
        apart = abs(number(a.meta.get("loudness")) - number(b.meta.get("loudness")))
        close = apart < 6 and {a.text, b.text} <= {"quiet", "normal", "loud"} and b.start <= self.end + 1e-6
        return 0.0 if close else super().cost(record)
