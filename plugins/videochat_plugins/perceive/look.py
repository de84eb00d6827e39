"""What the picture looks like: brightness, dominant colours and sharpness."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from videochat import Component, Perceiver, Record, Sampling, Window, hookimpl
from videochat_plugins.perceive.colour import NAMES, name_indices, shares

_BRIGHTNESS = ((0.08, "black"), (0.25, "dark"), (0.42, "dim"), (0.65, "normally lit"))
_STEEPNESS = ((0.7, "blurred"), (1.4, "soft"))
_EDGE = 2.0  # of 255 from pixel to pixel: the gradient that an edge has at least
_SIDE = 180  # pixels that sharpness is scaled to


class Look(Perceiver):
    """Say how bright and sharp the picture is, and which colours make most of it.

    One record for each window. meta["brightness"]: mean luma (BT.601), 0 to 1. meta["sharpness"]: variance of the
    Laplacian (Pech-Pacheco et al., ICPR 2000), times shorter side / 180: edges are lines, so their share of the pixels
    falls as the picture grows. It grows with detail as with focus, so the words go by meta["steepness"], the Laplacian
    over the gradient at the strongest edges: about 2 or more in focus, under 0.7 where an edge is several pixels wide.
    meta["colours"]: [[name, share], ...], the largest share first.

    What it cannot know: what is in the picture, or whether a soft edge is out of focus or soft in the world. A blur of
    a pixel or two is gone once the frame is made small. Colours are those of the pixels: under red light a white wall
    is red.
    """

    class Options(Perceiver.Options):
        """How closely to look."""

        fps: float = Field(default=2.0, gt=0, le=60)
        """Frames looked at in a second."""
        side: int = Field(default=_SIDE, ge=64, le=1080)
        """Shorter side of those frames, in pixels."""
        share: float = Field(default=0.12, gt=0, le=1)
        """Part of the picture that a colour must fill to be named in words."""

    extra = "offline"
    options: Options

    @property
    def emits(self) -> Collection[str]:
        """Look records."""
        return {"look"}

    def sampling(self) -> Sampling:
        """Return a few frames of each window."""
        return Sampling(fps=self.options.fps, side=self.options.side, over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return one record for each window that has frames."""
        return [[self._record(window)] if window.frames else [] for window in windows]

    def _record(self, window: Window) -> Record:
        images = [frame.image for frame in window.frames]
        brightness, sharpness, steepness = np.median([_measure(image) for image in images], axis=0)
        colours = np.mean([shares(name_indices(image)) for image in images], axis=0)
        ranked = [(NAMES[i], float(colours[i])) for i in np.argsort(-colours, kind="stable") if colours[i] >= 0.02]
        named = [name for name, share in ranked if share >= self.options.share][:4] or [ranked[0][0]]
        words = [
            next((word for limit, word in _BRIGHTNESS if brightness < limit), "bright"),
            next((word for limit, word in _STEEPNESS if steepness < limit), "sharp") if steepness else "plain",
        ]
        meta: dict[str, Any] = {
            "brightness": round(float(brightness), 3),
            "sharpness": round(float(sharpness), 1),
            "steepness": round(float(steepness), 2),
            "colours": [[name, round(share, 3)] for name, share in ranked],
        }
        text = f"{', '.join(words)}; mostly {' and '.join([', '.join(named[:-1]), named[-1]] if named[1:] else named)}"
        return Record("look", window.start, window.end, text, meta=meta)


def _measure(image: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return mean luma, 0 to 1, scaled sharpness and the steepness of the edges, 0 where there are none."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    curve = cv2.Laplacian(grey, cv2.CV_32F)
    slope = np.hypot(*(cv2.Sobel(grey, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (1, 0)))
    edges = slope >= max(float(np.percentile(slope, 99)), _EDGE)
    beside = cv2.dilate(np.abs(curve), np.ones((3, 3), np.uint8))
    steepness = float(beside[edges].mean() / slope[edges].mean()) if edges.any() else 0.0
    return float(grey.mean()) / 255, float(curve.var()) * min(grey.shape) / _SIDE, steepness


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "look", Look)
