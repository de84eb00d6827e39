"""Windows of drawn scenes for the tests of perceivers: numpy pictures, no file and no decoder."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from videochat import Frame, Perceiver, Pool, Record, Span, Video, Window
from videochat.registry import registry
from videochat.window import sample_times

Image = npt.NDArray[np.uint8]
Scene = Callable[[float], Image]  # seconds to RGB

WIDTH, HEIGHT = 320, 180
RED, GREEN, BLUE, LIGHT, DARK = (220, 30, 30), (40, 190, 70), (30, 60, 210), (235, 235, 225), (15, 25, 80)


def plain(colour: tuple[int, int, int] = LIGHT, noise: float = 0.0, seed: int = 0) -> Image:
    image = np.full((HEIGHT, WIDTH, 3), colour, np.float64)
    if noise:
        image += np.random.default_rng(seed).normal(0, noise, image.shape)
    return image.clip(0, 255).astype(np.uint8)


@cache
def texture(width: int = 2 * WIDTH, height: int = 2 * HEIGHT) -> Image:
    """A wide picture with detail everywhere, to point a camera at."""
    coarse = np.random.default_rng(7).integers(40, 210, (height // 10, width // 10, 3), dtype=np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)


def disc(image: Image, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> Image:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = colour
    return image


def square(image: Image, x: float, y: float, half: int, colour: tuple[int, int, int]) -> Image:
    image[max(0, round(y) - half) : max(0, round(y) + half), max(0, round(x) - half) : max(0, round(x) + half)] = colour
    return image


def windows(scene: Scene, perceiver: Perceiver, seconds: float, step: float = 1.0) -> list[Window]:
    """The windows that the perceiver asks for over so many seconds of a scene."""
    sampling = perceiver.sampling()
    shape = scene(0.0).shape
    video = Video(Path("scene.mp4"), seconds, shape[1], shape[0], fps=25.0)
    spans = [Span(i * step, min((i + 1) * step, seconds)) for i in range(int(np.ceil(seconds / step)))]
    return [
        Window(*span, video, tuple(Frame(time, scene(time)) for time in sample_times(span, sampling))) for span in spans
    ]


@cache
def perceiver(name: str, **options: Any) -> Perceiver:
    """A registered perceiver, loaded; found as a stack finds it."""
    cls = registry().find("perceive", name).cls
    found = cls(cls.Options(**options))
    assert isinstance(found, Perceiver)
    found.load(Pool("cpu"))
    return found


def watch(scene: Scene, name: str, seconds: float, **options: Any) -> list[Record]:
    """What a perceiver says of a scene, in time order."""
    found = perceiver(name, **options)
    records = [record for part in found.perceive(windows(scene, found, seconds)) for record in part]
    return sorted(records, key=lambda record: record.start)
