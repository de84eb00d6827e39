"""Cuts pieces out of a picture and makes them squares of one size."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from videochat import Box

if TYPE_CHECKING:
    import torch


def cut(image: "torch.Tensor", boxes: Sequence[Box], side: int) -> "torch.Tensor":
    """Return pieces of a picture, resized by the bicubic filter that widens as a piece shrinks.

    That is Pillow's filter without its rounding between width and height. Each piece has a size of its own, and so one
    launch on the device; nothing is copied to or from it.

    Args:
        image: (H, W, 3) uint8, on any device.
        boxes: K pieces in its pixels, which are widened to whole pixels, to one at least, within the picture.
        side: width and height of each result, in pixels; proportions are not kept.

    Returns:
        (K, side, side, 3) uint8 on the same device.
    """
    import torch
    from torch.nn.functional import interpolate

    height, width, _ = image.shape
    planes = image.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    pieces = planes.new_empty(len(boxes), 3, side, side)
    for i, box in enumerate(boxes):
        rows, columns = _pixels(box.y1, box.y2, height), _pixels(box.x1, box.x2, width)
        pieces[i] = interpolate(planes[:, :, rows, columns], (side, side), mode="bicubic", antialias=True)[0]
    return pieces.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _pixels(low: float, high: float, length: int) -> slice:
    start = min(max(math.floor(low), 0), length - 1)
    return slice(start, max(min(math.ceil(high), length), start + 1))
