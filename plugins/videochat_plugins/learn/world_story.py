"""Makes up videos: a story's actors where they will meet, bystanders where they will not, and then their looks."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from videochat_plugins.learn.world_actors import CAUSES, STILL_ONLY, STORIES, Author, Line, Misfit
from videochat_plugins.learn.world_physics import WALL, Floats, run
from videochat_plugins.learn.world_things import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    FLASH,
    FPS,
    FRAMES,
    MOTIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    WIDTH,
    WORDS,
    Clip,
    Scene,
    Thing,
    Words,
    held_out,
    split_of,
)

_GAP = 3.0  # pixels that things which are not to meet keep apart, at least
_TRIES = 40
_CALM = 6  # frames from the start of one flash to that of the next, at least
_SWELL = 1.75


def write(seed: int, index: int, things: int = 0) -> Clip:
    """Make up one video: the same for the same numbers, whatever else the world holds.

    Args:
        seed: of the world.
        index: of the video in it.
        things: in a scene, at most, none of which meets another; 0: stories of two to five.
    """
    author = Author(np.random.default_rng([seed, index]))
    while True:
        try:
            cut = author.chance(0.2)
            scenes = _two_scenes(author, min(things or 2, 2)) if cut else (_scene(author, FRAMES, things),)
            break
        except Misfit:
            continue
    return Clip(seed, index, _looks(author, scenes, split_of(index) == "test"))


def _two_scenes(author: Author, most: int) -> tuple[Scene, ...]:
    """Return two scenes with another background and a cut between them, of so many things each at most."""
    cut = author.number(14, FRAMES - 14)
    dark = author.chance(0.5)
    first, second = BACKGROUNDS if dark else BACKGROUNDS[::-1]
    return (
        replace(_scene(author, cut, most), background=first),
        replace(_scene(author, FRAMES - cut, most), background=second),
    )


def _scene(author: Author, frames: int, most: int) -> Scene:
    """Return a scene of things that have no looks yet; with `most`, of so many bystanders at most and no actors."""
    story = "parade" if most else author.pick(list(STORIES))
    moving = story not in STILL_ONLY and author.chance(0.35)
    camera = author.pick([name for name in CAMERAS if name != "still"]) if moving else "still"
    words = _words(author, frames, single=bool(most)) if author.chance(0.3) else ()
    scene = Scene((), frames, author.pick(BACKGROUNDS), camera, words)
    actors = STORIES[story](author, _line(author, scene, story))
    if actors:
        _check(replace(scene, things=actors), story)
    wanted = author.number(1, most) if most else author.number(2, 5)
    scene = replace(scene, things=(*actors, *_bystanders(author, scene, actors, story, wanted - len(actors))))
    if not scene.things:
        raise Misfit
    return replace(scene, things=_flashing(author, scene))


def _words(author: Author, frames: int, single: bool) -> tuple[Words, ...]:
    left = author.number(6, 60)
    first, second = author.sample(WORDS, 2)
    if single or author.chance(0.5):
        return (Words(first, 0, frames, left),)
    change = author.number(frames * 3 // 8, frames * 5 // 8)
    return Words(first, 0, change, left), Words(second, change, frames, left)


def _line(author: Author, scene: Scene, story: str) -> Line:
    """Return a straight way through the scene for its actors."""
    motion = author.pick(MOTIONS[:2] if story in STILL_ONLY else MOTIONS[:3])
    low, high = _bounds(scene)
    span = high - low
    thick = max(SIZES.values()) + 2
    way = {"across": (1.0, 0.0), "upright": (0.0, 1.0), "slant": (0.8, 0.6)}[motion]
    length = float(min(span[i] / way[i] for i in range(2) if way[i]))
    free = [span[i] - length * way[i] if way[i] else span[i] - 2 * thick for i in range(2)]
    begin = low + [author.between(0, free[i]) + (0 if way[i] else thick) for i in range(2)]
    sign = np.array([author.pick((-1.0, 1.0)) for _ in range(2)])
    flipped = np.where(sign < 0, low + high - begin, begin)
    return Line(flipped, np.array(way) * sign, length, motion)


def _bounds(scene: Scene) -> tuple[Floats, Floats]:
    """Return the corners of what is in the picture all the time."""
    margin = np.abs(CAMERAS[scene.camera]) * scene.frames / FPS / 2
    return margin, np.array([WIDTH, scene.floor]) - margin


def _bystanders(author: Author, scene: Scene, actors: tuple[Thing, ...], story: str, count: int) -> list[Thing]:
    """Return up to so many more things, which keep clear of all others: fewer where there is no room.

    Where something is hit, the first mostly moves as the thing that hits it does, so that it could have been the cause.
    """
    double = actors[CAUSES[story]].motion if story in CAUSES and author.chance(0.8) else ""
    low, high = _bounds(scene)
    times = np.arange(scene.frames)[:, None] / FPS
    places = run([replace(scene, things=actors)]).places if actors else np.empty((scene.frames, 0, 2))
    ways = [(places[:, i], thing.radius) for i, thing in enumerate(actors)]
    out: list[Thing] = []
    for _ in range(_TRIES):
        if len(out) >= count:
            break
        thing = _bystander(author, low, high, scene.frames, "" if out else double)
        way = np.array(thing.place) + times * np.array(thing.velocity)  # (F, 2)
        radius = thing.radius * max(1.0, thing.swell)
        inside = (way[[0, -1]] >= low + radius).all() and (way[[0, -1]] <= high - radius).all()
        if inside and all(np.hypot(*(way - other).T).min() > radius + wide + _GAP for other, wide in ways):
            out.append(thing)
            ways.append((way, radius))
    return out


def _bystander(author: Author, low: Floats, high: Floats, frames: int, motion: str) -> Thing:
    motion = motion or author.pick(MOTIONS)
    size = author.pick(list(SIZES))
    place = (author.between(low[0], high[0]), author.between(low[1], high[1]))
    thing = Thing("", "", size, author.pick(TEXTURES), motion, place)
    signs = author.pick((-1.0, 1.0)), author.pick((-1.0, 1.0))
    if motion in MOTIONS[:3]:
        speed = author.between(14, 36)
        x, y = {"across": (1.0, 0.0), "upright": (0.0, 1.0), "slant": (0.8, 0.6)}[motion]
        thing = replace(thing, velocity=(x * speed * signs[0], y * speed * signs[1]))
    elif motion == "spin":
        thing = replace(thing, spin=author.between(1.2, 2.2) * signs[0])
    elif motion == "swell":
        thing = replace(thing, swell=_SWELL if size == "small" else 1 / _SWELL)
    if author.chance(0.3) and frames >= 30:
        when = author.number(9, frames - 9)
        thing = replace(thing, appears=when) if author.chance(0.5) else replace(thing, vanishes=when)
    return thing


def _flashing(author: Author, scene: Scene) -> tuple[Thing, ...]:
    """Return the things with flashes: a few in the scene, no two at one time, some things more often than others."""
    times = sorted(author.number(3, scene.frames - FLASH - 3) for _ in range(author.number(0, 5)))
    times = [time for time, last in zip(times, [-_CALM, *times], strict=False) if time - last >= _CALM]
    who = author.sample(range(len(scene.things)), min(2, len(scene.things)))
    seen = run([scene]).seen
    flashes: dict[int, list[int]] = {i: [] for i in who}
    for time in times:
        i = author.pick(who)
        if seen[time - 2 : time + FLASH + 2, i].all():
            flashes[i].append(time)
    return tuple(replace(thing, flashes=tuple(flashes.get(i, ()))) for i, thing in enumerate(scene.things))


def _check(scene: Scene, story: str) -> None:
    """Make sure that the actors do what the story wants.

    Raises:
        Misfit: if they leave the picture, or two things happen to one of them nearly at once.
    """
    log = run([scene])
    walls = any(event.cause == WALL for event in log.of("turn"))
    low, high = _bounds(scene)
    radius = np.array([thing.radius for thing in scene.things])[:, None]
    slack = 2.0  # pixels: a thing turns a step after it has touched the edge
    inside = (log.places > low + radius - slack).all() and (log.places < high - radius + slack).all()
    if walls != (story in STILL_ONLY) or not inside or bool(log.of("meet")) != (story in CAUSES):
        raise Misfit
    events = [event for event in log.events if event.kind in ("turn", "vanish", "start")]
    if any(a.thing == b.thing and b.start - a.start < 3 for a, b in combinations(events, 2)):
        raise Misfit


def _looks(author: Author, scenes: tuple[Scene, ...], test: bool) -> tuple[Scene, ...]:
    """Give the things of a video colours, all different, and shapes.

    In the train split no combination is held out; in the test split at least one is.
    """
    things = [thing for scene in scenes for thing in scene.things]
    while True:
        colours = author.sample(tuple(COLOURS), len(things))
        shapes = [author.pick(SHAPES) for _ in things]
        if len(things) > 2 and author.chance(0.4):
            shapes[1:] = [shapes[0] if author.chance(0.5) else shape for shape in shapes[1:]]
        held = [held_out(c, s, thing.motion) for c, s, thing in zip(colours, shapes, things, strict=True)]
        if any(held) == test and (not test or author.chance(1 / sum(held))):
            break
    dressed = iter(
        replace(thing, colour=colour, shape=shape, texture=_texture(author, thing, shape))
        for thing, colour, shape in zip(things, colours, shapes, strict=True)
    )
    return tuple(replace(scene, things=tuple(next(dressed) for _ in scene.things)) for scene in scenes)


def _texture(author: Author, thing: Thing, shape: str) -> str:
    """Return its texture; one that shows the turning of a circle."""
    return author.pick(TEXTURES[1:]) if thing.motion == "spin" and shape == "circle" else thing.texture
