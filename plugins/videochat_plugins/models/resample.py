"""Pillow's resampling of 8-bit pictures for whole batches, on any device: the same bytes as `Image.resize`.

Pillow resamples along one axis, rounds to 8 bits, then does the same along the other. An output pixel is a weighted
mean of input pixels under a kernel, which widens as the picture shrinks; weights are rounded to multiples of 2^-22.
Products of such weights and pixels, and their sums, are exact in float64: matrix products, in any order, give the same
bytes. An output rests on few inputs, so a matrix is multiplied in bands along its diagonal; the rest of it is zero.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Filter = Literal["nearest", "lanczos", "bilinear", "bicubic", "box"]
FILTERS: tuple[Filter, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box")  # by their numbers in Pillow

_Floats = npt.NDArray[np.float64]
_Places = npt.NDArray[np.int64]
_BITS = 22  # of a weight, after the point
_BAND = 12  # outputs of one band: narrower ones save work, wider ones calls; as measured on a CPU


class _Band(NamedTuple):
    outputs: slice
    inputs: slice
    weights: "torch.Tensor"  # (outputs, inputs) float64


class _Axis(NamedTuple):
    """How to resample along one axis."""

    needed: slice  # inputs that the outputs rest on; bands count from its start
    bands: tuple[_Band, ...]  # none: the needed inputs are the outputs


def resize(
    planes: "torch.Tensor", size: tuple[int, int], kernel: Filter, crop: tuple[slice, slice] | None = None
) -> "torch.Tensor":
    """Resize pictures of one channel.

    Args:
        planes: (P, H, W) uint8, on a device that has float64.
        size: height and width to resize to.
        kernel: the filter's name.
        crop: rows and columns of the result to keep, each from start to stop; no others are computed. Default: all.

    Returns:
        (P, height, width) uint8, or what `crop` keeps of it, on the same device.
    """
    _, height, width = planes.shape
    rows, columns = crop or (slice(0, size[0]), slice(0, size[1]))
    if kernel == "nearest":
        return planes[:, _nearest(height, size[0])[rows]][:, :, _nearest(width, size[1])[columns]]
    down = _axis(height, size[0], rows.start, rows.stop, kernel, planes.device)
    across = _axis(width, size[1], columns.start, columns.stop, kernel, planes.device)
    planes = planes[:, down.needed, across.needed]
    if height - size[0] > max(0, 2 * (width - size[1])):  # the height first, where it shrinks most: since Pillow 13
        return _resample_across(_resample_down(planes, down), across)
    return _resample_down(_resample_across(planes, across), down)


def _resample_across(planes: "torch.Tensor", axis: _Axis) -> "torch.Tensor":
    if not axis.bands:
        return planes
    made = planes.new_empty(*planes.shape[:2], axis.bands[-1].outputs.stop)
    for outputs, inputs, weights in axis.bands:
        made[:, :, outputs] = _rounded(planes[:, :, inputs].double() @ weights.T)  # (P, H, outputs)
    return made


def _resample_down(planes: "torch.Tensor", axis: _Axis) -> "torch.Tensor":
    if not axis.bands:
        return planes
    made = planes.new_empty(planes.shape[0], axis.bands[-1].outputs.stop, planes.shape[2])
    for outputs, inputs, weights in axis.bands:
        made[:, outputs] = _rounded(weights @ planes[:, inputs].double())  # (P, outputs, W)
    return made


def _rounded(values: "torch.Tensor") -> "torch.Tensor":
    """Return what becomes the nearest bytes, halves upwards, once the conversion to uint8 cuts off the fraction."""
    return values.add_(0.5).clamp_(0, 255)


@lru_cache(maxsize=64)
def _axis(inputs: int, outputs: int, start: int, stop: int, kernel: Filter, device: "torch.device") -> _Axis:
    """Return how `inputs` pixels become `outputs`, of which those from `start` to `stop` are kept."""
    import torch

    if inputs == outputs:
        return _Axis(slice(start, stop), ())
    weights, first, last = _weights(inputs, outputs, kernel)
    origin = int(first[start])
    bands = []
    for low in range(start, stop, _BAND):
        high = min(low + _BAND, stop)
        left, right = int(first[low]), int(last[high - 1])
        band = torch.from_numpy(weights[low:high, left:right].copy()).to(device)
        bands.append(_Band(slice(low - start, high - start), slice(left - origin, right - origin), band))
    return _Axis(slice(origin, int(last[stop - 1])), tuple(bands))


def _weights(inputs: int, outputs: int, kernel: Filter) -> tuple[_Floats, _Places, _Places]:
    """Return the weight of each input in each output (outputs, inputs), and each output's first and last + 1 input."""
    support, curve = _KERNELS[kernel]
    step = inputs / outputs
    widening = max(step, 1.0)
    centres = (np.arange(outputs) + 0.5) * step
    first = np.maximum((centres - support * widening + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + support * widening + 0.5).astype(np.int64), inputs)
    at = np.arange(inputs)
    weights = curve((at - centres[:, None] + 0.5) * (1.0 / widening))
    weights[(at < first[:, None]) | (at >= last[:, None])] = 0.0
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # summed from left to right, as Pillow does
    scaled = weights * (1 << _BITS)
    return np.trunc(scaled + np.copysign(0.5, scaled)) / (1 << _BITS), first, last


def _nearest(inputs: int, outputs: int) -> _Places:
    """Return the input that each output copies."""
    step = inputs / outputs
    return np.cumsum([step * 0.5] + [step] * (outputs - 1)).astype(np.int64)  # Pillow, too, adds up its steps


def _box(x: _Floats) -> _Floats:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _bilinear(x: _Floats) -> _Floats:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _bicubic(x: _Floats) -> _Floats:
    """Keys' cubic convolution (IEEE TASSP 29(6), 1981) with a = -1/2."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((2.5 - 0.5 * x) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))


def _lanczos(x: _Floats) -> _Floats:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


_KERNELS: dict[Filter, tuple[float, Callable[[_Floats], _Floats]]] = {  # each with the radius that it reaches
    "lanczos": (3.0, _lanczos),
    "bilinear": (1.0, _bilinear),
    "bicubic": (2.0, _bicubic),
    "box": (0.5, _box),
}
