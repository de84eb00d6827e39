"""Join what is the same over time: one record for a text, a moving region, a look or a camera motion and its span."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import ClassVar

from pydantic import Field

from videochat import Component, Record, Refiner, hookimpl
from videochat_plugins.refine.tracks import Look, Motion, Region, Sound, Text, Track, Voice


class Join(Refiner):
    """Make one record of the records of one thing.

    Each joined record spans its parents' times and keeps their ids in `parents`; every record of the kinds it reads
    ends up in exactly one. Regions and texts get a `track`, an integer in order of first sight, the same in every run.

    - Text: equal or nearly equal readings in one place; the reading seen most often and most surely is kept.
    - Region: like colours where the thing must have moved to. `box` is that of the first sight; meta has `path`,
      [[start, end, direction], ...] in seconds, `direction`, the one it kept longest, and `speed`, the mean in pixels a
      second. No region goes on across a cut: the time in meta["cut"] of a motion record or meta["since"] of a region.
    - Look and motion: neighbours within a shot that say the same; voice and sound: neighbours, whatever the picture.

    What it cannot know: whether what comes back after `gap` seconds is what went; whether two things of one colour that
    meet have passed each other or turned back; whether a text that changes by a letter is another or a misreading.
    """

    class Options(Refiner.Options):
        """When two records are of one thing."""

        gap: float = Field(default=1.5, ge=0)
        """Seconds that a thing or a text may be unseen."""
        overlap: float = Field(default=0.3, gt=0, le=1)
        """Part of the smaller box that two boxes of one text share at least."""
        errors: float = Field(default=0.2, ge=0, lt=1)
        """Part of the letters that two readings of one text may differ in; readings with other digits are never one."""
        reach: float = Field(default=1.0, gt=0)
        """How far from where it is expected a region may be, in lengths of its box's diagonal."""

    options: Options
    kinds: ClassVar[tuple[type[Track], ...]] = (Text, Region, Look, Motion, Voice, Sound)

    @property
    def reads(self) -> Collection[str]:
        """What the perceivers of the offline stack say."""
        return {kind.kind for kind in self.kinds}

    @property
    def emits(self) -> Collection[str]:
        """The same kinds."""
        return self.reads

    def refine(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the joined records, each when nothing can follow it any more; open tracks are all that is held."""
        kinds = {kind.kind: kind for kind in self.kinds}
        opened: list[Track] = []
        cuts: list[float] = []  # times of shots' first frames
        count = 0
        for now, group in groupby(records, key=lambda record: record.start):
            together = list(group)
            yield from (track.record() for track in opened if track.closed(now))
            opened = [track for track in opened if not track.closed(now)]
            yield from (record for record in together if record.kind not in kinds)
            fresh = sorted((record for record in together if record.kind in kinds), key=lambda record: record.id)
            cuts = [cut for cut in cuts if cut > now - 2 * self.options.gap] + cuts_of(fresh)
            followed = pairs(opened, fresh, cuts)
            for k, j in followed:
                opened[k].add(fresh[j])
            for j in sorted(set(range(len(fresh))) - {j for _, j in followed}):
                kind = kinds[fresh[j].kind]
                opened.append(kind.begin(fresh[j], count if kind.counted else None, self.options))
                count += kind.counted
        yield from (track.record() for track in opened)


def cuts_of(records: Iterable[Record]) -> list[float]:
    """Return the times at which records say that a shot began."""
    return [
        float(time)
        for record in records
        for time in (record.meta.get("cut"), record.meta.get("since"))
        if isinstance(time, int | float)
    ]


def pairs(tracks: Sequence[Track], records: Sequence[Record], cuts: Sequence[float]) -> list[tuple[int, int]]:
    """Return which record follows which track, by their indices: the likeliest first, none of them twice."""
    costs = sorted(
        (cost, k, j)
        for k, track in enumerate(tracks)
        for j, record in enumerate(records)
        if track.kind == record.kind
        and track.last.source == record.source
        and not any(track.ends_at(cut) and cut <= record.start for cut in cuts)
        and (cost := track.cost(record)) < math.inf
    )
    out: list[tuple[int, int]] = []
    old, new = set(range(len(tracks))), set(range(len(records)))
    for _, k, j in costs:
        if k in old and j in new:
            old.remove(k)
            new.remove(j)
            out.append((k, j))
    return out


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the refiner."""
    register("refine", "join", Join)
