"""What can be asked of what is to be seen: which colour, what shape, how many, where."""

from collections import Counter
from collections.abc import Iterator
from itertools import permutations

import numpy as np

from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_ask import Fact
from videochat_plugins.learn.world_physics import Log
from videochat_plugins.learn.world_things import BACKGROUNDS, COLOURS, HEIGHT, SHAPES, SIZES, TEXTURES, WIDTH, WORDS

_CLEAR = 14.0  # pixels from the picture's middle lines to what lies in a corner
_BESIDE = 22.0  # pixels from one thing to another that lies beside it
_NUMBERS = ("2", "3", "4", "5")


def spatial(author: Author, log: Log) -> Iterator[Fact]:
    """Yield facts that do not depend on the order of the frames; `author` draws wrong candidates."""
    shapes = Counter(thing.shape for thing in log.things)
    for thing in log.things:
        named, parts = (thing.name,), (thing.colour, thing.shape, thing.name)
        if shapes[thing.shape] == 1:
            yield Fact("spatial/colour", (thing.shape,), thing.colour, tuple(COLOURS), about=(thing.shape,))
        yield Fact("spatial/shape", (thing.colour,), thing.shape, SHAPES, about=(thing.colour,))
        if thing.swell == 1:
            yield Fact("spatial/size", named, thing.size, tuple(SIZES), about=parts)
        if thing.motion != "spin":  # a spinning circle is never plain
            yield Fact("spatial/texture", named, thing.texture, TEXTURES, about=parts)
    flashing = {event.thing for event in log.of("flash")}
    if len(flashing) == 1:
        yield Fact("spatial/colour_of_flash", (), log.things[flashing.pop()].colour, tuple(COLOURS))
    if str(len(log.things)) in _NUMBERS:
        yield Fact("spatial/number", (), str(len(log.things)), _NUMBERS)
    for shape, count in sorted(shapes.items()):
        if count <= 3:
            many = "crosses" if shape == "cross" else f"{shape}s"
            yield Fact("spatial/number_of_shape", (many,), str(count), ("1", "2", "3"), about=(shape,))
    if len(log.words) == 1:
        (word,) = log.words
        others = author.sample([text for text in WORDS if text != word.text], 3)
        yield Fact("spatial/word", (), word.text, tuple(sorted((word.text, *others))))
    if len(log.scenes) == 1:
        yield Fact("spatial/background", (), log.scenes[0].background, BACKGROUNDS)
        yield from _places(log)


def _places(log: Log) -> Iterator[Fact]:
    """Yield where things are that stay in one place of the picture."""
    moved = np.ptp(log.shown, axis=0).max(axis=1)  # (N,)
    still = {i: log.shown[0, i] for i in np.flatnonzero(moved < 1)}
    for i, (x, y) in still.items():
        thing = log.things[i]
        parts = (thing.colour, thing.shape, thing.name)
        if abs(x - WIDTH / 2) > _CLEAR and abs(y - HEIGHT / 2) > _CLEAR:
            corner = f"{'upper' if y < HEIGHT / 2 else 'lower'} {'left' if x < WIDTH / 2 else 'right'}"
            corners = ("upper left", "upper right", "lower left", "lower right")
            yield Fact("spatial/where", (thing.name,), corner, corners, about=parts)
    for i, j in permutations(still, 2):
        x, y = still[i] - still[j]
        named = (log.things[i].name, log.things[j].name)
        about = tuple(f"{n}: {part}" for n, name in enumerate(named) for part in name.split())
        if abs(x) > _BESIDE:
            side = "left" if x < 0 else "right"
            yield Fact("spatial/left_right", named, side, ("left", "right"), about=about)
        if abs(y) > _BESIDE:
            side = "above" if y < 0 else "below"
            yield Fact("spatial/above_below", named, side, ("above", "below"), about=about)
