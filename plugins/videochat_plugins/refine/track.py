"""Tell which regions are the same thing over time, by where their boxes lie."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from videochat import Box, Component, Record, Refiner, hookimpl
from videochat_plugins.refine.join import cuts_of

_STEPS = 31  # distances between frames that the usual one is the median of
_NAME = 3  # words of the longest name of a class, such as "potted plant"; what is longer describes
_SLACK = 1e-6  # seconds


class TrackRegions(Refiner):
    """Number the regions of each thing: those that one detector finds at one place from frame to frame.

    Every region comes out once, in its place, with its own box and time, its `track` set and its id before that in
    `parents`. Tracks are integers in order of first sight, the same in every run. A region follows the one of an
    earlier frame that its box overlaps most: intersection over union, with no model of motion, as in the IoU tracker of
    Bochinski et al., AVSS 2017. Names of up to three words must be equal, as a detector's classes are; longer texts are
    descriptions, whose words change while the thing stays. No track goes on across a cut: the time in meta["cut"] of a
    motion record or meta["since"] of a region. A region without a box, or with a track already, passes as it is.

    What it cannot know: whether what moves on by more than its own size between two frames is the same thing: sample
    more frames, or let `join` follow the regions of the perceiver `regions`; whether what comes back is what went;
    which of two things that cross is which.
    """

    class Options(Refiner.Options):
        """When two regions are of one thing."""

        overlap: float = Field(default=0.3, gt=0, le=1)
        """Intersection over union that the boxes of one thing have at least."""
        gap: float = Field(default=2.5, ge=1)
        """How long a thing may go unseen, in steps from frame to frame; with 2.5 a detector may miss it once."""

    options: Options

    @property
    def reads(self) -> Collection[str]:
        """Regions, and motion for the cuts in it."""
        return {"region", "motion"}

    @property
    def emits(self) -> Collection[str]:
        """Regions."""
        return {"region"}

    def refine(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records in the order in which they come; the tracks that may go on are all that is held."""
        threads: defaultdict[str, Thread] = defaultdict(Thread)  # by source
        numbers = count()
        for now, group in groupby(records, key=lambda record: record.start):
            together = list(group)
            cuts = [cut for cut in cuts_of(together) if cut <= now]
            for thread in threads.values() if cuts else ():
                thread.opened = [sight for sight in thread.opened if sight.last >= max(cuts)]
            seen = [i for i, record in enumerate(together) if _followed(record)]
            seen.sort(key=lambda i: (together[i].source, together[i].id))  # whatever their order
            for source, indices in groupby(seen, key=lambda i: together[i].source):
                frame = list(indices)
                tracks = self._follow(threads[source], now, [together[i] for i in frame], numbers)
                for i, track in zip(frame, tracks, strict=True):
                    together[i] = replace(together[i], track=track, parents=(together[i].id,))
            yield from together

    def _follow(self, thread: "Thread", now: float, frame: Sequence[Record], numbers: Iterator[int]) -> list[int]:
        """Return the tracks of the regions of one frame, and go on from there."""
        reach = self.options.gap * thread.step(now) + _SLACK
        thread.opened = [sight for sight in thread.opened if now - sight.last <= reach]
        here = [Sight.of(record) for record in frame]
        before = [sight for sight in thread.opened if sight.last <= now]  # what lasts longer may still be there
        for k, j in pairs(before, here, self.options.overlap):
            here[j].track = before[k].track
            thread.opened.remove(before[k])
        for sight in here:
            if sight.track < 0:
                sight.track = next(numbers)
        thread.opened += here
        return [sight.track for sight in here]


@dataclass(eq=False)
class Sight:
    """The last that was seen of a thing."""

    text: str
    box: Box
    last: float  # seconds
    track: int = -1  # none yet

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return what a region shows; it must have a box."""
        assert record.box is not None
        return cls(record.text.casefold(), record.box, record.times[-1] if record.times else record.end)

    @property
    def named(self) -> bool:
        """Whether its text is a name rather than a description."""
        return len(self.text.split()) <= _NAME


@dataclass
class Thread:
    """What one perceiver sees."""

    opened: list[Sight] = field(default_factory=list)  # of the tracks that may go on
    last: float | None = None  # seconds
    steps: deque[float] = field(default_factory=lambda: deque(maxlen=_STEPS))

    def step(self, now: float) -> float:
        """Return the usual time from frame to frame, this frame included: empty frames do not show in the records."""
        if self.last is not None:
            self.steps.append(now - self.last)
        self.last = now
        return float(np.median(self.steps)) if self.steps else 0.0


def pairs(before: Sequence[Sight], here: Sequence[Sight], least: float) -> list[tuple[int, int]]:
    """Return which sight follows which, by their indices, none of them twice.

    Those of equal text come first, then those that overlap most.
    """
    if not before or not here:
        return []
    shared = overlaps(np.array([sight.box for sight in before]), np.array([sight.box for sight in here]))  # (K, J)
    equal = np.array([sight.text for sight in before])[:, None] == np.array([sight.text for sight in here])
    named = np.array([sight.named for sight in before])[:, None] & np.array([sight.named for sight in here])
    may = (shared >= least) & (equal | ~named)
    olds, news = np.nonzero(may)
    tracks = np.array([sight.track for sight in before])
    order = np.lexsort((news, tracks[olds], -shared[may], ~equal[may]))  # the last key counts most
    found: dict[int, int] = {}
    taken: set[int] = set()
    for k, j in zip(olds[order].tolist(), news[order].tolist(), strict=True):
        if k not in found and j not in taken:
            found[k] = j
            taken.add(j)
    return list(found.items())


def overlaps(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the intersection over union (K, J) of boxes (K, 4) with boxes (J, 4)."""
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (K, J, 2)
    both = sides.clip(0).prod(-1)
    either = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    shared: npt.NDArray[np.float64] = both / np.maximum(either, np.finfo(np.float64).tiny)
    return shared


def _followed(record: Record) -> bool:
    return record.kind == "region" and record.box is not None and record.track is None


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the refiner."""
    register("refine", "track", TrackRegions)
