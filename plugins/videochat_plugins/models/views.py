"""Perceivers that look at single frames: the frames of all windows, batched together."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from videochat import Perceiver, Record, Sampling, Span, Window
from videochat_plugins.models.pretrained import ModelOptions, Pretrained


class View(NamedTuple):
    """One frame of a window, and the part of the window that it stands for."""

    image: npt.NDArray[np.uint8]  # RGB (H, W, 3)
    time: float  # seconds of media time
    span: Span


class FramePerceiver(Pretrained, Perceiver):
    """A perceiver with a network that sees one frame at a time."""

    class Options(ModelOptions, Perceiver.Options):
        """What it looks at."""

        frames: int = Field(default=1, ge=1, le=1024)
        """Frames looked at in each window, at the middles of equal parts of it."""
        side: int = Field(default=384, ge=16, le=4320)
        """Shorter side of the frames decoded for it, in pixels; more if the checkpoint takes larger ones."""

    options: Any

    @property
    def batch(self) -> int:  # type: ignore[override]
        """Windows that fill one forward."""
        return max(1, self.batches.size // int(self.options.frames))

    def sampling(self) -> Sampling:
        """Return the frames of each window."""
        return Sampling(frames=self.options.frames, side=max(self.options.side, self.taken), over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the records of each window: those of its frames, in order of time."""
        import torch

        with torch.inference_mode():
            views = [list(_views(window, self.options.frames)) for window in windows]
            found = iter(self.batches.map(self.look, [view for part in views for view in part]))
        return [[record for records in islice(found, len(part)) for record in records] for part in views]

    @abstractmethod
    def look(self, views: Sequence[View]) -> Sequence[Sequence[Record]]:
        """Return the records of each frame of one batch; their times from the view, boxes in the frame's pixels."""


def _views(window: Window, count: int) -> Iterator[View]:
    step = (window.end - window.start) / count
    for i, frame in enumerate(window.frames):
        start = window.start + i * step
        yield View(frame.image, frame.time, Span(start, min(window.end, start + step)))
