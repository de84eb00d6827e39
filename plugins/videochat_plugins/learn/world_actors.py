"""The actors of stories: where two or three things must stand, and how fast go, so that they meet when they should."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np

from videochat_plugins.learn.world_physics import Floats
from videochat_plugins.learn.world_things import FPS, FRAMES, SIZES, TEXTURES, Point, Thing

T = TypeVar("T")

_SECONDS = FRAMES / FPS
_SLOWEST = 9.0  # pixels in a second
_FASTEST = 46.0
_ROOM = 2.0  # pixels left free at the end of a way


class Misfit(Exception):
    """What was drawn does not fit the scene: draw again."""


class Author:
    """Draws at random; all that a video is comes out of one generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def between(self, low: float, high: float) -> float:
        """Return a number of a range."""
        return float(self._rng.uniform(low, max(low, high)))

    def number(self, low: int, high: int) -> int:
        """Return a whole number of a range, both ends included."""
        return int(self._rng.integers(low, max(low, high) + 1))

    def chance(self, share: float) -> bool:
        """Return true in this share of the cases."""
        return bool(self._rng.random() < share)

    def pick(self, options: Sequence[T]) -> T:
        """Return one of several."""
        return options[int(self._rng.integers(len(options)))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """Return several, all different, in any order."""
        return [options[int(i)] for i in self._rng.permutation(len(options))[:count]]


@dataclass(frozen=True)
class Line:
    """A straight way through a scene, from one edge to another."""

    begin: Floats  # (2,) pixels
    way: Floats  # (2,) of length 1
    length: float
    motion: str

    def margin(self, radius: float) -> float:
        """Return how far along its middle is when a thing at the beginning is wholly inside."""
        return radius / float(min(abs(part) for part in self.way if part)) + 1

    def thing(self, author: Author, size: str, along: float, speed: float = 0.0, aside: float = 0.0) -> Thing:
        """Return a thing somewhere on the way, or beside it."""
        place = self.begin + along * self.way + aside * self.way[::-1] * (1, -1)
        speeds = speed * self.way
        going: Point = (float(speeds[0]), float(speeds[1]))
        texture = author.pick(TEXTURES)
        return Thing("", "", size, texture, self.motion, (float(place[0]), float(place[1])), going)


Actors = tuple[Thing, ...]  # of a story; they come first in their scene


def _push(author: Author, line: Line) -> Actors:
    """One thing runs into one that rests, which goes on in its place."""
    return _chain(author, line, [author.between(1.0, 2.6)])


def _domino(author: Author, line: Line) -> Actors:
    """The pushed thing pushes a third."""
    return _chain(author, line, [author.between(0.8, 1.4), author.between(2.1, 2.8)])


def _chain(author: Author, line: Line, times: Sequence[float]) -> Actors:
    sizes = [author.pick(list(SIZES)) for _ in range(len(times) + 1)]
    radii = [SIZES[size] for size in sizes]
    start = line.margin(radii[0]) + author.between(0, 8)
    steps = [a + b for a, b in pairwise(radii)]  # from middle to middle when they touch
    speed = _speed(author, line.length - line.margin(radii[-1]) - _ROOM - start - sum(steps), _SECONDS)
    places = [start, *(start + speed * time + sum(steps[: i + 1]) for i, time in enumerate(times))]
    speeds = [speed, *[0.0] * len(times)]
    return tuple(line.thing(author, *one) for one in zip(sizes, places, speeds, strict=True))


def _rebound(author: Author, line: Line) -> Actors:
    """One thing runs into a heavy one and comes back."""
    return _bounce(author, line, both=False)


def _meet(author: Author, line: Line) -> Actors:
    """Two things run into each other and both go back."""
    return _bounce(author, line, both=True)


def _bounce(author: Author, line: Line, both: bool) -> Actors:
    sizes = author.pick(list(SIZES)), author.pick(list(SIZES))
    one, other = (SIZES[size] for size in sizes)
    when = author.between(1.2, 2.7)
    longest = max(when, _SECONDS - when)
    room = line.length - line.margin(one) - line.margin(other) - one - other - _ROOM
    speed = _speed(author, room / 2 if both else room, longest)
    touch = line.margin(one) + speed * longest  # where the first is when they touch
    first = line.thing(author, sizes[0], touch - speed * when, speed)
    if both:
        return first, line.thing(author, sizes[1], touch + one + other + speed * when, -speed)
    return first, replace(line.thing(author, sizes[1], touch + one + other), motion="rest", heavy=True)


def _pop(author: Author, line: Line) -> Actors:
    """One thing runs into a fragile one, which vanishes."""
    first, other, _ = _passing(author, line, touching=True)
    return first, replace(other, fragile=True)


def _fade(author: Author, line: Line) -> Actors:
    """One thing passes by another, which vanishes by itself."""
    first, other, when = _passing(author, line, touching=False)
    return first, replace(other, vanishes=round((when + author.between(-0.3, 0.3)) * FPS))


def _passing(author: Author, line: Line, touching: bool) -> tuple[Thing, Thing, float]:
    """Return who goes, who rests on the way or beside it, and at what time one is where the other is."""
    sizes = author.pick(list(SIZES)), author.pick(list(SIZES))
    one, other = (SIZES[size] for size in sizes)
    start = line.margin(one) + author.between(0, 8)
    speed = _speed(author, line.length - line.margin(one) - _ROOM - start, _SECONDS)
    when = author.between(1.2, 2.6)
    aside = 0.0 if touching else author.pick((-1.0, 1.0)) * (one + other + 5)
    place = start + speed * when + (one + other if touching else author.between(-4, 4))
    if place > line.length - line.margin(other):
        raise Misfit
    first = line.thing(author, sizes[0], start, speed)
    return first, replace(line.thing(author, sizes[1], place, aside=aside), motion="rest"), when


def _wall(author: Author, line: Line) -> Actors:
    """One thing runs to the edge of the picture and comes back."""
    size = author.pick(list(SIZES))
    when = author.between(1.2, 2.7)
    end = line.length - SIZES[size]
    speed = _speed(author, end - line.margin(SIZES[size]) - _ROOM, max(when, _SECONDS - when))
    return (line.thing(author, size, end - speed * when, speed),)


def _shuttle(author: Author, line: Line) -> Actors:
    """One thing goes to and fro between the edges."""
    size = author.pick(list(SIZES))
    radius = SIZES[size]
    way = line.length - 2 * radius
    place = radius + 1 + author.between(0.1, 0.9) * (way - 2)
    return (line.thing(author, size, place, way * author.between(1.6, 3.4) / _SECONDS),)


def _speed(author: Author, room: float, seconds: float) -> float:
    """Return a speed at which a way takes no longer than it may."""
    speed = min(room / seconds, _FASTEST) * author.between(0.8, 1.0)
    if speed < _SLOWEST:
        raise Misfit
    return speed


STORIES: dict[str, Callable[[Author, Line], Actors]] = {
    "push": _push,
    "domino": _domino,
    "rebound": _rebound,
    "meet": _meet,
    "pop": _pop,
    "fade": _fade,
    "wall": _wall,
    "shuttle": _shuttle,
    "parade": lambda author, line: (),
}
STILL_ONLY = ("wall", "shuttle")  # whose edges are those of the picture
CAUSES = {"push": 0, "domino": 0, "rebound": 1, "meet": 1, "pop": 0}  # which actor hits, or is in the way
