"""Camera motion and how much moves, from optical flow."""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise

import numpy as np
from pydantic import Field

from videochat import Component, Perceiver, Record, Sampling, Window, hookimpl
from videochat_plugins.perceive.flow import Step, steps

_AMOUNTS = ((0.003, "hardly anything moves"), (0.05, "little moves"), (0.25, "some of the picture moves"))


class Motion(Perceiver):
    """Say how the camera moves and what share of the picture moves against it.

    One record for each window with at least two frames of one shot, and one for each cut, at the time of the first
    frame after it, with meta["cut"], that time. meta["camera"]: "still", "pan left", "pan right", "tilt up", "tilt
    down", "zoom in", "zoom out", "shake", or "unclear" where no one motion of the camera fits; it names where the
    camera goes, so a picture that slides right is a pan left. meta["moving"]: share of the pixels that move against it,
    0 to 1.

    What it cannot know: it sees the picture slide, not the camera turn, so a sideways travel counts as a pan and a walk
    forwards as a zoom. A thing that fills most of the frame passes for the background; over a plain background the
    camera counts as still; a shake faster than half the frame rate is missed. A dissolve is no cut, nor is a cut
    between two views that look alike; a flash is none either.
    """

    class Options(Perceiver.Options):
        """How closely to look."""

        fps: float = Field(default=4.0, gt=0, le=60)
        """Frames looked at in a second."""
        side: int = Field(default=180, ge=64, le=1080)
        """Shorter side of those frames, in pixels."""
        pan: float = Field(default=0.025, gt=0)
        """Slide of the picture that counts as a pan or tilt, and zoom, as a share of its longer side in a second."""
        shake: float = Field(default=0.05, gt=0)
        """Unsteadiness that counts as a shake, in the same measure."""

    extra = "offline"
    options: Options

    @property
    def emits(self) -> Collection[str]:
        """Motion records."""
        return {"motion"}

    def sampling(self) -> Sampling:
        """Return a steady rate, with the one frame before the window that its first step starts from."""
        options = self.options
        return Sampling(fps=options.fps, side=options.side, over=options.over, lead=1 / options.fps)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the cuts in each window and one record of its motion."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> list[Record]:
        between = zip(steps([frame.image for frame in window.frames]), pairwise(window.times), strict=True)
        seen = [(step, before, after) for step, (before, after) in between if after > before and after >= window.start]
        found = [(step, after - before) for step, before, after in seen if not step.is_cut]
        cuts = [
            Record("motion", after, after, "cut to another shot", meta={"cut": after})
            for step, _, after in seen
            if step.is_cut
        ]
        if not found:
            return cuts
        camera = self._camera([slide(step, seconds) for step, seconds in found if step.camera is not None])
        moving = float(np.mean([moving_share(step, seconds) for step, seconds in found]))
        amount = next((words for limit, words in _AMOUNTS if moving < limit), "much of the picture moves")
        meta = {"camera": camera, "moving": round(moving, 3)}
        return [*cuts, Record("motion", window.start, window.end, f"camera {camera}; {amount}", meta=meta)]

    def _camera(self, slides: Sequence[tuple[float, float, float]]) -> str:
        """Return the word for the steps' slides right, slides down and growths, each in a second."""
        if not slides:
            return "unclear"
        rates = np.array(slides)  # (steps, 3)
        middle = np.median(rates, axis=0)
        unsteady = np.hypot(*(rates - middle)[:, :2].T).mean()
        i = int(np.abs(middle).argmax())
        if abs(middle[i]) >= self.options.pan and abs(middle[i]) >= unsteady:
            return (("pan left", "pan right"), ("tilt up", "tilt down"), ("zoom in", "zoom out"))[i][int(middle[i] < 0)]
        return "shake" if unsteady >= self.options.shake else "still"


def slide(step: Step, seconds: float) -> tuple[float, float, float]:
    """Return how the camera makes the picture slide right, slide down and grow in a second.

    All in shares of the longer side; growth is that of a point half a longer side from the centre.
    """
    assert step.camera is not None
    height, width = step.before.shape[:2]
    centre = np.array([width / 2, height / 2, 1.0])
    x, y = (step.camera @ centre - centre[:2]) / max(height, width) / seconds
    growth = float(np.hypot(step.camera[0, 0], step.camera[1, 0])) - 1
    return float(x), float(y), growth / 2 / seconds


def moving_share(step: Step, seconds: float) -> float:
    """Return the share of pixels that move against the camera by over 2 % of the longer side in a second.

    Flow runs out over a plain background; only where the picture changed does it count, and in the gaps between.
    """
    import cv2

    speed = np.hypot(step.moving[..., 0], step.moving[..., 1])
    side = max(speed.shape)
    mask = (speed > max(0.75, 0.02 * side * seconds)) & step.changed
    return float(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((side // 8,) * 2, np.uint8)).mean())


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "motion", Motion)
