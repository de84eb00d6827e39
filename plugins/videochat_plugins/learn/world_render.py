"""Draws what happened: things as turning, growing pictures over a background that the camera goes along."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from videochat import UnavailableError
from videochat_plugins.learn.world_physics import Log
from videochat_plugins.learn.world_things import BAND, COLOURS, HEIGHT, WIDTH, Clip, Words

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_PAD = 40  # pixels around the picture: more than a thing is wide and the camera goes
_SPRITE = 64  # pixels that a thing is drawn at, before it is scaled
_UNIT = 29.0  # of those, from its middle to its rim
_DARK = 0.55  # brightness of a texture's dark parts
_LEVELS = {"dark": (34.0, 58.0), "light": (188.0, 210.0)}  # grey, lower and upper edge
_TINT, _CLOUDS, _GRAIN = 4.0, 12.0, 1.5  # standard deviations, grey levels
_INK = {"dark": (245, 245, 235), "light": (20, 20, 28)}


def need_cv2() -> None:
    """Make sure that OpenCV is here.

    Raises:
        UnavailableError: with the command that gets it.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise UnavailableError(f"world draws with OpenCV ({error}): pip install 'videochat[offline]'") from error


def draw(clip: Clip, log: Log) -> list[Image]:
    """Return the frames of a video, RGB (HEIGHT, WIDTH, 3) each; `log` is what happens in it, forwards.

    The same in every run on one machine: the noise is the clip's own.
    """
    import cv2

    rng = np.random.default_rng([clip.seed, clip.index, 1])
    backgrounds = [_background(rng, scene.background) for scene in log.scenes]
    grain = rng.normal(0, _GRAIN, (HEIGHT * 2, WIDTH * 2, 1)).round().astype(np.int16).repeat(3, axis=2)
    places = log.shown + _PAD
    sprites = [_sprite(thing.colour, thing.shape, thing.texture) for thing in log.things]
    frames = []
    for i in range(log.frames):
        shot = int(log.shots[i])
        canvas = _view(backgrounds[shot], log.camera[i])
        for j in np.flatnonzero(log.seen[i]):
            sprite = sprites[j][int(log.flashing[i, j])]
            _put(canvas, sprite, places[i, j], log.angles[i, j], log.things[j].radius * log.scales[i, j])
        picture = canvas[_PAD:-_PAD, _PAD:-_PAD]
        y, x = rng.integers(0, (HEIGHT, WIDTH))
        # It saturates where numpy would wrap.
        noisy = np.asarray(cv2.add(picture, grain[y : y + HEIGHT, x : x + WIDTH], dtype=cv2.CV_8U), np.uint8)
        for word in log.words:
            if word.start <= i < word.end:
                _write(noisy, word, log.scenes[shot].background)
        frames.append(noisy)
    return frames


def word_box(word: Words) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom edge of a word, in pixels."""
    (width, height), _ = _cv2().getTextSize(word.text, *_font())
    return word.left, HEIGHT - BAND / 3 - height, word.left + width, HEIGHT - BAND / 3


def _background(rng: np.random.Generator, kind: str) -> Image:
    """Return a soft slope of colour with a cloudy texture, larger than the picture by what the camera may go."""
    cv2 = _cv2()
    height, width = HEIGHT + 4 * _PAD, WIDTH + 4 * _PAD
    low, high = _LEVELS[kind]
    tint = rng.normal(0, _TINT, 3)
    slope = np.linspace(high, low, height, dtype=np.float32)[:, None, None] + tint.astype(np.float32)
    clouds = sum(
        cv2.resize(
            rng.normal(0, _CLOUDS, (height // cell, width // cell)).astype(np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for cell in (22, 7)
    )
    return np.asarray(np.clip(slope + np.asarray(clouds)[..., None], 0, 255), np.uint8)


def _view(background: Image, camera: npt.NDArray[np.float64]) -> Image:
    """Return the part of the background that the camera sees, with `_PAD` pixels around, at a fraction of a pixel."""
    x, y = camera + _PAD
    if float(x).is_integer() and float(y).is_integer():
        return background[int(y) : int(y) + HEIGHT + 2 * _PAD, int(x) : int(x) + WIDTH + 2 * _PAD].copy()
    shift = np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]])
    return np.asarray(_cv2().warpAffine(background, shift, (WIDTH + 2 * _PAD, HEIGHT + 2 * _PAD)))


def _put(canvas: Image, sprite: Floats, place: npt.NDArray[np.float64], angle: float, radius: float) -> None:
    """Draw a sprite, (S, S, 4) with its cover last, around a place of the canvas."""
    half = int(radius * 1.05) + 3
    left, top = (int(value) - half for value in np.floor(place))
    side = 2 * half + 1
    scale = radius / _UNIT
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = place - (left, top) - turn @ np.full(2, _SPRITE / 2 - 0.5)
    laid = _cv2().warpAffine(sprite, np.column_stack([turn, middle]), (side, side), flags=_cv2().INTER_AREA)
    part = canvas[top : top + side, left : left + side]
    part[:] = (part * (1 - laid[..., 3:]) + laid[..., :3] + 0.5).astype(np.uint8)


@cache
def _sprite(colour: str, shape: str, texture: str) -> tuple[Floats, Floats]:
    """Return a thing as it is and as it flashes, each (S, S, 4): colours times cover, and cover, 0 to 1."""
    cover = (_shape(shape) / 255.0).astype(np.float32)[..., None]
    tone = np.where(_texture(texture), _DARK, 1.0)[..., None] * np.array(COLOURS[colour], float)
    plain = np.concatenate([tone * cover, cover], axis=2).astype(np.float32)
    white = np.concatenate([np.full(3, 255.0) * cover, cover], axis=2).astype(np.float32)
    return plain, white


@cache
def _shape(shape: str) -> Image:
    """Return what a shape covers, 0 to 255, (S, S)."""
    cv2 = _cv2()
    out = np.zeros((_SPRITE, _SPRITE), np.uint8)
    middle = _SPRITE / 2 - 0.5

    def ball(value: int, x: float, radius: float) -> None:
        centre = (round((middle + x * _UNIT) * 16), round(middle * 16))
        cv2.circle(out, centre, round(radius * _UNIT * 16), value, cv2.FILLED, cv2.LINE_AA, 4)

    if shape in ("circle", "crescent"):
        ball(255, 0.0, 1.0)
        if shape == "crescent":
            ball(0, 0.55, 0.8)
        return out
    corners = np.array(_CORNERS[shape]())
    cv2.fillPoly(out, [np.rint((corners * _UNIT + middle) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return out


def _star() -> list[tuple[float, float]]:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2, 0.45, 1.05)
    return list(zip(radii * np.cos(angles), radii * np.sin(angles), strict=True))


_CORNERS: dict[str, Any] = {
    "square": lambda: [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": lambda: [(0.0, -1.0), (0.95, 0.8), (-0.95, 0.8)],
    "star": _star,
    "cross": lambda: [
        *((-0.33, -1.0), (0.33, -1.0), (0.33, -0.33), (1.0, -0.33), (1.0, 0.33), (0.33, 0.33)),
        *((0.33, 1.0), (-0.33, 1.0), (-0.33, 0.33), (-1.0, 0.33), (-1.0, -0.33), (-0.33, -0.33)),
    ],
}


@cache
def _texture(texture: str) -> npt.NDArray[np.bool_]:
    """Return where a texture is dark, (S, S)."""
    y, x = np.mgrid[:_SPRITE, :_SPRITE]
    if texture == "striped":
        return np.asarray(y % 16 < 6)
    if texture == "dotted":
        return np.asarray(np.hypot((x + 4) % 18 - 9, (y + 4) % 18 - 9) < 5)
    return np.asarray((x // 11 + y // 11) % 2 == 0) if texture == "checked" else np.zeros(x.shape, bool)


def _write(picture: Image, word: Words, background: str) -> None:
    font, scale, thick = _font()
    at = (word.left, HEIGHT - BAND // 3)
    _cv2().putText(picture, word.text, at, font, scale, _INK[background], thick, _cv2().LINE_AA)


def _font() -> tuple[int, float, int]:
    return _cv2().FONT_HERSHEY_DUPLEX, 0.6, 1


def _cv2() -> Any:
    import cv2

    return cv2
