"""Frames for training: which, and how they are varied and made ready.

What `embed.videochat` sees when it is asked is what is seen here without variation: frames at the middles of equal
parts, by the same reader, through the same `Preprocess`.
"""

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from videochat import Frame, Reader, Sampling, Span, VideoError, Want
from videochat.window import sample_times
from videochat_plugins.learn.train_config import Augment
from videochat_plugins.learn.train_data import Item
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.resample import resize

if TYPE_CHECKING:
    import torch

SIDE = 448  # the shorter side of decoded frames, as the perceiver's option of this name has it
_RATIO = 4 / 3  # the widest shape of a crop, and upright the narrowest
_TRIES = 10


def read_frames(reader: Reader, item: Item, count: int, side: int, chance: np.random.Generator | None) -> list[Frame]:
    """Return so many frames of a video, some several times where it has fewer; of an image, one.

    Args:
        reader: that opens the file.
        item: whose frames.
        count: of a video.
        side: the shorter side, in pixels, that they should at least have.
        chance: draws each frame from one of `count` equal parts of the clip; None: they stand in the middles.

    Raises:
        VideoError: if the file cannot be read, or has no pictures where they are meant to be.
    """
    video = reader.probe(item.path)
    if not video.has_pictures:
        raise VideoError(f"{item.path} has no pictures")
    if item.medium == "image":
        times: Sequence[float] = [0.0]
    else:
        end = video.duration if item.end is None else min(item.end, video.duration)
        span = Span(item.start or 0.0, end)
        if span.start > end:
            raise VideoError(f"{item.path} ends at {video.duration:g} s, before the start, {span.start:g}")
        times = _times(span, count, chance)
    found = list(reader.frames(video, [Want(time, max(SIDE, side)) for time in times]))
    if not found:
        raise VideoError(f"{item.path} has no frames from {times[0]:g} s on")
    return [*found, *[found[-1]] * (len(times) - len(found))]  # a damaged file may end early


def _times(span: Span, count: int, chance: np.random.Generator | None) -> Sequence[float]:
    if chance is None:
        return sample_times(span, Sampling(frames=count))
    step = (span.end - span.start) / count
    return [span.start + (i + float(draw)) * step for i, draw in enumerate(chance.random(count))]


def to_pixels(
    frames: Sequence[Frame], prepare: Preprocess, augment: Augment, chance: np.random.Generator | None
) -> "torch.Tensor":
    """Return frames as the network takes them, varied where there is `chance`: (T, 3, h, w) float32."""
    import torch

    images = torch.from_numpy(np.stack([frame.image for frame in frames]))  # (T, H, W, 3)
    if chance is not None and augment.crop < 1 and prepare.crop is not None:
        images = _crop(images, prepare, augment.crop, chance)
    if chance is not None and augment.flip and chance.random() < 0.5:
        images = images.flip(2)
    return prepare(images)


def _crop(images: "torch.Tensor", prepare: Preprocess, least: float, chance: np.random.Generator) -> "torch.Tensor":
    """Return a random part of pictures, as large as the network takes them: (T, H, W, 3) -> (T, h, w, 3)."""
    assert prepare.crop is not None
    height, width = images.shape[1:3]
    top, left, high, wide = _box(height, width, least, chance)
    part = images[:, top : top + high, left : left + wide]
    planes = part.permute(0, 3, 1, 2).contiguous().flatten(0, 1)  # (T 3, high, wide)
    resized: torch.Tensor = resize(planes, prepare.crop, prepare.filter).unflatten(0, (-1, 3))  # (T, 3, h, w)
    return resized.permute(0, 2, 3, 1)


def _box(height: int, width: int, least: float, chance: np.random.Generator) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a part of a share from `least` to 1 and of a random shape.

    Where none fits in a few tries, it is the whole of the picture.
    """
    for _ in range(_TRIES):
        area = height * width * chance.uniform(least, 1)
        ratio = exp(chance.uniform(-log(_RATIO), log(_RATIO)))
        high, wide = round(sqrt(area / ratio)), round(sqrt(area * ratio))
        if 0 < high <= height and 0 < wide <= width:
            return int(chance.integers(height - high + 1)), int(chance.integers(width - wide + 1)), high, wide
    return 0, 0, height, width
