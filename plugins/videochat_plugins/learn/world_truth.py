"""The truth about a video as records, in the kinds in which perceivers say what they see."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from videochat import Box, Record
from videochat_plugins.learn.world_physics import WALL, Floats, Log
from videochat_plugins.learn.world_render import word_box
from videochat_plugins.learn.world_temporal import direction
from videochat_plugins.learn.world_things import FPS

SOURCE = "world"
_MOVED = 1.5  # pixels in a second: less is no motion


def records(log: Log, caption: str, story: str) -> list[Record]:
    """Return what there is and happens in a video, in order of time.

    - "caption" and "summary": the whole video in words.
    - "track": each thing, from its first to its last sight; meta has what it is, `path`, [[time, x, y], ...] of its
      centre in pixels of the picture, and `direction` where there is one.
    - "region": each thing in each second and scene, as `regions` says it: box in the middle, meta has `colour`,
      `direction` ("left", "up-left", ..., "still") and `speed`, pixels in a second, both in the scene.
    - "motion": each scene, meta["camera"]; each cut, meta["cut"], the time of the first frame after it.
    - "look": each scene, meta["background"]. "text": each word with its box.
    - "event": what happens, meta has `event`, `thing` and `cause`, numbers of tracks or "edge".
    """
    end = log.frames / FPS
    found = [
        Record("caption", 0.0, end, caption, source=SOURCE),
        Record("summary", 0.0, end, story, source=SOURCE),
        *_scenes(log),
        *_tracks(log),
        *_regions(log),
        *(
            Record("text", word.start / FPS, word.end / FPS, word.text, box=Box(*word_box(word)), source=SOURCE)
            for word in log.words
        ),
        *_events(log),
    ]
    return sorted(found, key=lambda record: (record.start, record.end, record.kind))


def _box(log: Log, frame: int, thing: int) -> Box:
    """Return the square around a thing in one frame, in pixels of the picture."""
    x, y = log.shown[frame, thing]
    radius = log.things[thing].radius * float(log.scales[frame, thing])
    return Box(x - radius, y - radius, x + radius, y + radius)


def _scenes(log: Log) -> Iterator[Record]:
    for number, scene in enumerate(log.scenes):
        frames = np.flatnonzero(log.shots == number)
        start, end = int(frames[0]) / FPS, (int(frames[-1]) + 1) / FPS
        if number:
            yield Record("motion", start, start, "cut to another shot", source=SOURCE, meta={"cut": start})
        camera = _camera(log, frames)
        yield Record("motion", start, end, f"camera {camera}", source=SOURCE, meta={"camera": camera})
        look = {"background": scene.background}
        yield Record("look", start, end, f"a {scene.background} background", source=SOURCE, meta=look)


def _camera(log: Log, frames: npt.NDArray[np.int64]) -> str:
    x, y = log.camera[frames[-1]] - log.camera[frames[0]]
    if not x and not y:
        return "still"
    return f"pan {'left' if x < 0 else 'right'}" if x else f"tilt {'up' if y < 0 else 'down'}"


def _tracks(log: Log) -> Iterator[Record]:
    for i, thing in enumerate(log.things):
        seen = np.flatnonzero(log.seen[:, i])
        meta = {
            **{name: getattr(thing, name) for name in ("colour", "shape", "size", "texture", "motion")},
            "direction": direction(log, i),
            "path": [[round(f / FPS, 2), *(round(float(v), 1) for v in log.shown[f, i])] for f in seen],
        }
        first, last = int(seen[0]), int(seen[-1])
        text = f"{thing.size} {thing.texture} {thing.name}"
        box = _box(log, (first + last) // 2, i)
        yield Record("track", first / FPS, (last + 1) / FPS, text, box=box, track=i, source=SOURCE, meta=meta)


def _regions(log: Log) -> Iterator[Record]:
    """Yield each thing for each second in which it is seen for at least half of it."""
    for begin in range(0, log.frames, FPS):
        for shot in dict.fromkeys(log.shots[begin : begin + FPS].tolist()):
            for i, thing in enumerate(log.things):
                window = np.arange(begin, min(begin + FPS, log.frames))
                frames = window[log.seen[window, i] & (log.shots[window] == shot)]
                if len(frames) < FPS // 2:
                    continue
                first, last = int(frames[0]), int(frames[-1])
                move = log.places[last, i] - log.places[first, i]
                speed = float(np.hypot(*move)) * FPS / (last - first)
                way = _compass(move) if speed > _MOVED else "still"
                meta = {"colour": thing.colour, "shape": thing.shape, "direction": way, "speed": round(speed, 1)}
                box = _box(log, (first + last) // 2, i)
                text = f"{thing.name}, {way}"
                yield Record("region", first / FPS, (last + 1) / FPS, text, box=box, track=i, source=SOURCE, meta=meta)


def _compass(move: Floats) -> str:
    """Return the nearest of eight directions."""
    ways = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")
    return ways[round(float(np.arctan2(move[1], move[0])) / (np.pi / 4)) % 8]


def _events(log: Log) -> Iterator[Record]:
    for event in log.events:
        cause = "edge" if event.cause == WALL else event.cause
        text = f"{log.things[event.thing].name}: {event.kind}"
        if event.cause is not None:
            text += f", {'the edge' if event.cause == WALL else log.things[event.cause].name}"
        meta = {"event": event.kind, "thing": event.thing, "cause": cause}
        yield Record("event", event.start / FPS, event.end / FPS, text, track=event.thing, source=SOURCE, meta=meta)
