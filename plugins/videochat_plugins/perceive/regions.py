"""Moving regions with their colour, box and direction: what a dense captioner would say, without a model."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import Field

from videochat import Box, Component, Perceiver, Record, Sampling, Window, hookimpl
from videochat_plugins.perceive.colour import NAMES
from videochat_plugins.perceive.flow import steps
from videochat_plugins.perceive.foreground import Blob, Floats, blobs

DIRECTIONS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")  # clockwise from +x
_STIR = 0.02  # of the frame: what stirs in its place and is smaller is leaves, light or noise
_SIZES = ((0.01, "small "), (0.12, ""))


@dataclass
class Thing:
    """One moving thing: its blobs in the frames of one shot."""

    sights: list[Blob] = field(default_factory=list)

    @property
    def colours(self) -> Floats:
        """Shares of the colour names, over all sights."""
        return np.average([blob.colours for blob in self.sights], axis=0, weights=[blob.area for blob in self.sights])

    def predict(self, frame: int) -> Floats:
        """Return where its centre should be in a frame, if it goes on as it did."""
        last = self.sights[-1]
        if len(self.sights) < 2:
            return last.place
        before = self.sights[-2]
        return last.place + (last.place - before.place) * (frame - last.frame) / (last.frame - before.frame)


class Regions(Perceiver):
    """Find what moves against the background, and say its colour, box and direction.

    One record for each thing in each window; `box` is where it is nearest to the window's middle. meta["colour"]: one
    of the eleven names in colour.py; meta["direction"]: "left", "right", "up", "down", "up-left" ... or "still" for
    what moves in its place; meta["speed"]: source pixels in a second. For `join` there are meta["first"] and
    meta["last"]: [time, x, y] of its centre at its first and last sight, in seconds and source pixels; meta["colours"]:
    its three main colours as [name, share]; and, where the shot began within what the window saw, meta["since"]: when
    it did.

    What it cannot know: what the thing is. A thing that stands still, however plain to see, is background; things that
    overlap or touch are one, and parts of one that move apart are two; shadows move too. Direction and speed are those
    in the scene where the camera moves and the background shows it; a background of several depths shows it wrongly.
    Nothing is said of what is under `area` of the picture or seen in fewer than three frames, nor where half of the
    picture changes.
    """

    class Options(Perceiver.Options):
        """How closely to look."""

        fps: float = Field(default=4.0, gt=0, le=60)
        """Frames looked at in a second."""
        side: int = Field(default=180, ge=64, le=1080)
        """Shorter side of those frames, in pixels."""
        lead: float = Field(default=1.0, ge=0, le=30)
        """Seconds before the window from which the background is learnt too."""
        area: float = Field(default=0.0015, gt=0, lt=1)
        """Smallest share of the picture that is a thing."""

    extra = "offline"
    options: Options

    @property
    def emits(self) -> Collection[str]:
        """Region records."""
        return {"region"}

    def sampling(self) -> Sampling:
        """Return a steady rate, with a lead to learn the background from."""
        options = self.options
        return Sampling(fps=options.fps, side=options.side, over=options.over, lead=options.lead)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return one record for each thing in each window."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> list[Record]:
        frames = [frame for i, frame in enumerate(window.frames) if not i or frame.time > window.frames[i - 1].time]
        between = steps([frame.image for frame in frames])
        cuts = [i + 1 for i, step in enumerate(between) if step.is_cut]
        records = []
        for begin, end in zip([0, *cuts], [*cuts, len(frames)], strict=True):
            if end - begin >= 3 and frames[end - 1].time >= window.start:
                times = [frame.time for frame in frames[begin : min(end + 1, len(frames))]]
                images = [frame.image for frame in frames[begin:end]]
                things = track(blobs(images, between[begin : end - 1], self.options.area), images[0].shape[1])
                found = [describe(thing, window, times, images[0].shape[1::-1]) for thing in things]
                since = {"since": times[0]} if begin else {}
                records += [replace(record, meta={**record.meta, **since}) for record in found if record]
        return records


def track(found: Sequence[Sequence[Blob]], width: int) -> list[Thing]:
    """Return the things that the blobs of successive frames are: where each should be, and of its colours."""
    things: list[Thing] = []
    for i, here in enumerate(found):
        pairs = sorted(
            (cost, k, j)
            for k, thing in enumerate(things)
            for j, blob in enumerate(here)
            if i - thing.sights[-1].frame <= 2 and (cost := _cost(thing, blob, width)) < np.inf
        )
        old, new = set(range(len(things))), set(range(len(here)))
        for _, k, j in pairs:
            if k in old and j in new:
                old.remove(k)
                new.remove(j)
                things[k].sights.append(here[j])
        things += [Thing([here[j]]) for j in sorted(new)]
    return things


def _cost(thing: Thing, blob: Blob, width: int) -> float:
    """Return how unlikely it is that the blob is the thing's next sight; infinite if it cannot be."""
    last = thing.sights[-1]
    alike = float(np.minimum(thing.colours, blob.colours).sum())
    grown = max(blob.area, last.area) / min(blob.area, last.area)
    reach = 0.25 * width if len(thing.sights) == 1 else 0.08 * width + 0.5 * _size(last)
    away = min(_distance(blob.place, thing.predict(blob.frame)), _distance(blob.place, last.place))
    if alike < 0.4 or grown > (8 if blob.cut_off or last.cut_off else 4) or away > reach:
        return np.inf
    return away / reach + (1 - alike) + 0.2 * float(np.log2(grown))


def describe(thing: Thing, window: Window, times: Sequence[float], size: tuple[int, int]) -> Record | None:
    """Return what a thing does in a window, or None if it is not there or is no thing.

    `times` are those of the shot's frames, and of the next shot's first if there is one; `size` is that of the frames.
    """
    inside = [blob for blob in thing.sights if times[blob.frame] >= window.start]
    if len(inside) < 2 or len(thing.sights) < 3:
        return None
    before = [blob for blob in thing.sights if times[blob.frame] < window.start][-1:]
    way = np.array([blob.place for blob in before + inside])  # (sights, 2)
    move = way[-1] - way[0]
    length = float(np.hypot(*np.diff(way, axis=0).T).sum())
    moved, seconds = _distance(way[-1], way[0]), times[inside[-1].frame] - times[(before + inside)[0].frame]
    share = float(np.median([blob.area for blob in inside])) / (size[0] * size[1])
    goes = moved > max(0.01 * size[0], 0.06 * _size(inside[-1])) and moved > 0.5 * length
    if not goes and (len(thing.sights) < 4 or share < _STIR or np.mean([blob.flowing for blob in inside]) < 0.4):
        return None  # it flickers, or appeared and stayed
    names = thing.colours
    colour, direction = NAMES[int(names.argmax())], direction_of(move) if goes else "still"
    middle = min(inside, key=lambda blob: abs(times[blob.frame] - (window.start + window.end) / 2))
    wide, high = window.video.width / size[0], window.video.height / size[1]
    after = inside[-1].frame + 1
    meta = {
        "colour": colour,
        "direction": direction,
        "speed": round(float(np.hypot(move[0] * wide, move[1] * high)) / seconds, 1) if goes else 0.0,
        "colours": [[NAMES[i], round(float(names[i]), 2)] for i in np.argsort(-names, kind="stable")[:3]],
        "first": _sight(inside[0], times, wide, high),
        "last": _sight(inside[-1], times, wide, high),
    }
    return Record(
        "region",
        min(window.end, times[inside[0].frame]),
        min(window.end, times[after]) if after < len(times) else window.end,
        f"{next((word for limit, word in _SIZES if share < limit), 'large ')}{colour} thing "
        + (f"moving {direction}" if goes else "moving in its place"),
        box=Box(*middle.box),
        times=tuple(times[blob.frame] for blob in inside),
        meta=meta,
    )


def _sight(blob: Blob, times: Sequence[float], wide: float, high: float) -> list[float]:
    x1, y1, x2, y2 = blob.box
    return [round(times[blob.frame], 3), round((x1 + x2) / 2 * wide, 1), round((y1 + y2) / 2 * high, 1)]


def direction_of(move: Floats) -> str:
    """Return the word for a displacement x, y, y downwards: the nearest of eight."""
    return DIRECTIONS[round(float(np.arctan2(move[1], move[0])) / (np.pi / 4)) % 8]


def _size(blob: Blob) -> float:
    x1, y1, x2, y2 = blob.box
    return float(np.sqrt((x2 - x1) * (y2 - y1)))


def _distance(a: Floats, b: Floats) -> float:
    return float(np.hypot(*(a - b)))


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "regions", Regions)
