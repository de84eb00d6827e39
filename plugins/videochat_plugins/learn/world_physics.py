"""What happens in a scene: trajectories integrated step by step, and the events that come out of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from videochat_plugins.learn.world_things import CAMERAS, FLASH, FPS, WIDTH, Scene, Thing, Words

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STEPS = 6  # of the integration, in a frame
WALL = -1  # the cause of a turn at the edge of the picture
_REST = 0.5  # pixels in a second: slower is at rest
# What the reversed video shows of each kind of event; the others stay what they are.
_REVERSED = {"appear": "vanish", "vanish": "appear", "start": "stop", "stop": "start"}


@dataclass(frozen=True, order=True)
class Event:
    """Something that happened, first seen in the frame `start` and over in the frame `end`.

    Kinds: "start" and "stop" of a motion, "turn", "vanish", "appear", "flash", "meet" (with whom: `cause`).
    """

    start: int
    end: int
    kind: str
    thing: int
    cause: int | None = None  # the thing that did it, or WALL


@dataclass(frozen=True)
class Log:
    """All that happens in a video: states of every frame, F, and thing, N, and the events."""

    things: tuple[Thing, ...]
    places: Floats  # (F, N, 2) in the scene, pixels
    angles: Floats  # (F, N) radians, clockwise
    scales: Floats  # (F, N) of the size at the start
    seen: Mask  # (F, N)
    flashing: Mask  # (F, N)
    camera: Floats  # (F, 2) the scene's point in the upper left corner
    shots: npt.NDArray[np.int64]  # (F,) which scene
    scenes: tuple[Scene, ...]
    words: tuple[Words, ...]
    events: tuple[Event, ...]
    forward: bool = True

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.places)

    @property
    def shown(self) -> Floats:
        """Places in the picture, (F, N, 2)."""
        return self.places - self.camera[:, None]

    def of(self, kind: str, thing: int | None = None) -> list[Event]:
        """Return the events of a kind, of one thing if it is given."""
        return [event for event in self.events if event.kind == kind and thing in (None, event.thing)]


def run(scenes: Sequence[Scene], without: int | None = None) -> Log:
    """Let a video happen.

    Args:
        scenes: one after the other.
        without: the number of a thing, over all scenes, that is taken away before it begins.
    """
    parts, first, start = [], 0, 0
    for number, scene in enumerate(scenes):
        parts.append(_run_scene(scene, number, first, start, without))
        first, start = first + len(scene.things), start + scene.frames
    return _joined(parts) if len(parts) > 1 else parts[0]


def reverse(log: Log) -> Log:
    """Return what the reversed video shows. Why something happened is not known of it."""
    total = log.frames
    events = [
        Event(
            total - event.end,
            total - event.start,
            _REVERSED.get(event.kind, event.kind),
            event.thing,
            event.cause if event.kind == "meet" else None,
        )
        for event in log.events
    ]
    words = [replace(word, start=total - word.end, end=total - word.start) for word in log.words]
    return Log(
        things=log.things,
        places=log.places[::-1],
        angles=log.angles[::-1],
        scales=log.scales[::-1],
        seen=log.seen[::-1],
        flashing=log.flashing[::-1],
        camera=log.camera[::-1],
        shots=len(log.scenes) - 1 - log.shots[::-1],
        scenes=log.scenes[::-1],
        words=tuple(sorted(words, key=lambda word: word.start)),
        events=tuple(sorted(events)),
        forward=not log.forward,
    )


def _run_scene(scene: Scene, number: int, first: int, start: int, without: int | None) -> Log:
    things, frames = scene.things, scene.frames
    count = np.arange(frames)[:, None]
    places, present, events = _integrate(scene, None if without is None else without - first)
    spins, swells = (np.array([getattr(thing, name) for thing in things]) for name in ("spin", "swell"))
    flashing = np.zeros((frames, len(things)), bool)
    for i, thing in enumerate(things):
        for flash in thing.flashes:
            if present[flash : flash + FLASH, i].all():
                flashing[flash : flash + FLASH, i] = True
                events.append(Event(flash, flash + FLASH, "flash", i))
    shift = np.array(CAMERAS[scene.camera]) / FPS
    return Log(
        things=things,
        places=places,
        angles=count / FPS * spins,
        scales=1 + (swells - 1) * count / (frames - 1),
        seen=present,
        flashing=flashing,
        camera=(count - frames // 2) * shift,
        shots=np.full(frames, number),
        scenes=(scene,),
        words=tuple(replace(word, start=word.start + start, end=word.end + start) for word in scene.words),
        events=tuple(
            sorted(
                replace(
                    event,
                    start=event.start + start,
                    end=event.end + start,
                    thing=event.thing + first,
                    cause=event.cause if event.cause is None or event.cause == WALL else event.cause + first,
                )
                for event in events
            )
        ),
    )


def _joined(parts: Sequence[Log]) -> Log:
    """Return the scenes' logs as one; a thing is unseen outside its scene."""
    counts = [len(part.things) for part in parts]

    def wide(name: str) -> Any:
        blocks = []
        for i, part in enumerate(parts):
            value = getattr(part, name)
            around = (sum(counts[:i]), sum(counts[i + 1 :]))
            blocks.append(np.pad(value, [(0, 0), around, *[(0, 0)] * (value.ndim - 2)]))
        return np.concatenate(blocks)

    return Log(
        things=tuple(thing for part in parts for thing in part.things),
        places=wide("places"),
        angles=wide("angles"),
        scales=wide("scales"),
        seen=wide("seen"),
        flashing=wide("flashing"),
        camera=np.concatenate([part.camera for part in parts]),
        shots=np.concatenate([part.shots for part in parts]),
        scenes=tuple(scene for part in parts for scene in part.scenes),
        words=tuple(word for part in parts for word in part.words),
        events=tuple(sorted(event for part in parts for event in part.events)),
    )


def _integrate(scene: Scene, without: int | None) -> tuple[Floats, Mask, list[Event]]:
    """Return places (F, N, 2), who is there (F, N), and what happened by itself or by contact."""
    things = scene.things
    place = np.array([thing.place for thing in things], float)  # (N, 2)
    speed = np.array([thing.velocity for thing in things], float)
    radius = np.array([thing.radius for thing in things])
    ease = np.array([0.0 if thing.heavy else 1.0 for thing in things])  # the inverse of the mass
    gone = np.array([i == without for i in range(len(things))])
    edge = np.array([WIDTH, scene.floor])
    places: list[Floats] = []
    present: list[Mask] = []
    events: list[Event] = []
    for frame in range(scene.frames):
        here = ~gone & np.array([thing.appears <= frame < thing.vanishes for thing in things])
        if frame:
            events += _self_made(things, present[-1], here, frame)
        places.append(place.copy())
        present.append(here)
        if not _busy(place, speed, radius, edge, here & ~gone):
            place += speed / FPS
            continue
        for _ in range(STEPS):
            place += speed / FPS / STEPS
            out = ((place < radius[:, None]) & (speed < 0)) | ((place > edge - radius[:, None]) & (speed > 0))
            turned = np.flatnonzero(out.any(axis=1) & here).tolist()
            events += [Event(frame + 1, frame + 1, "turn", i, WALL) for i in turned]
            speed = np.where(out, -speed, speed)
            for pair in _contacts(place, speed, radius, here & ~gone):
                events += _collide(things, place, speed, ease, gone, pair, frame + 1)
    # What happens in the last step is not seen any more.
    return np.stack(places), np.stack(present), [event for event in events if event.start < scene.frames]


def _self_made(things: Sequence[Thing], before: Mask, here: Mask, frame: int) -> list[Event]:
    out = []
    for i, thing in enumerate(things):
        if here[i] and not before[i]:
            out.append(Event(frame, frame, "appear", i))
        elif before[i] and not here[i] and frame == thing.vanishes:
            out.append(Event(frame, frame, "vanish", i))
    return out


def _busy(place: Floats, speed: Floats, radius: Floats, edge: Floats, here: Mask) -> bool:
    """Return whether anything may touch anything before the next frame."""
    reach = radius + np.hypot(*speed.T) / FPS  # (N,)
    if ((place < reach[:, None]) | (place > edge - reach[:, None])).any():
        return True
    apart = ((place[None] - place[:, None]) ** 2).sum(axis=2)
    near = (apart < (reach[None] + reach[:, None]) ** 2) & here[None] & here[:, None]
    return int(near.sum()) > int(here.sum())  # each is near itself


def _contacts(place: Floats, speed: Floats, radius: Floats, here: Mask) -> list[tuple[int, int]]:
    """Return the pairs that touch and come nearer."""
    apart = place[None] - place[:, None]  # (N, N, 2) from the first to the second
    near = (apart**2).sum(axis=2) < (radius[None] + radius[:, None]) ** 2
    nearer = ((speed[None] - speed[:, None]) * apart).sum(axis=2) < -1e-9
    touch = np.triu(near & nearer & here[None] & here[:, None], k=1)
    return [(int(i), int(j)) for i, j in np.argwhere(touch)]


def _collide(
    things: Sequence[Thing],
    place: Floats,
    speed: Floats,
    ease: Floats,
    gone: Mask,
    pair: tuple[int, int],
    frame: int,
) -> list[Event]:
    """Let two things hit each other, elastically, unless one breaks; return what that changes."""
    i, j = pair
    out = [Event(frame, frame, "meet", i, j)]
    broken = [(a, b) for a, b in (pair, pair[::-1]) if things[a].fragile]
    if broken:
        for a, b in broken:
            gone[a] = True
            out.append(Event(frame, frame, "vanish", a, b))
        return out
    normal = (place[j] - place[i]) / np.hypot(*(place[j] - place[i]))
    push = 2 * (speed[j] - speed[i]) @ normal / (ease[i] + ease[j]) * normal
    before = speed[[i, j]].copy()
    speed[i] += ease[i] * push
    speed[j] -= ease[j] * push
    for (a, b), old in zip((pair, pair[::-1]), before, strict=True):
        was, now = np.hypot(*old) > _REST, np.hypot(*speed[a]) > _REST
        if not now:
            speed[a] = 0.0
        if was != now:
            out.append(Event(frame, frame, "start" if now else "stop", a, b))
        elif was and old @ speed[a] < 0:
            out.append(Event(frame, frame, "turn", a, b))
    return out
