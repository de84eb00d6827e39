"""What detectors find, and what the perceivers that tell it share."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from videochat import Box, Pool, Record, StackError
from videochat.errors import near
from videochat_plugins.models.views import FramePerceiver, View


class Detection(NamedTuple):
    """A thing in a picture."""

    box: Box  # pixels of the picture that was given, within its edges
    score: float  # 0 to 1
    label: str


class DetectionPerceiver(FramePerceiver):
    """A perceiver that makes a region record of each thing in a frame."""

    class Options(FramePerceiver.Options):
        """What it looks for."""

        side: int = Field(default=640, ge=16, le=4320)
        """Shorter side of the frames decoded for it, in pixels; more if the checkpoint takes larger ones."""
        threshold: float = Field(default=0.5, ge=0, lt=1)
        """The score that a detection must exceed."""
        most: int = Field(default=20, ge=1, le=300)
        """Regions of one frame at most: the surest are kept."""
        labels: tuple[str, ...] = ()
        """Names, as the checkpoint spells them, that are kept; empty: all."""

    options: Any

    @property
    def emits(self) -> Collection[str]:
        """Region records."""
        return {"region"}

    def precision(self, pool: Pool) -> str:
        """Return the numbers that it computes in: on a GPU, float16.

        bfloat16 has 8 bits for an edge: of a picture 1280 pixels wide it would know every fifth pixel.
        """
        found = super().precision(pool)
        return "float16" if found == "bfloat16" and self.options.precision == "auto" else found

    def look(self, views: Sequence[View]) -> Sequence[Sequence[Record]]:
        """Return the regions of each frame, the surest first."""
        found = self.detect([view.image for view in views])
        return [
            [
                Record("region", view.time, view.time, label, score, box, times=(view.time,))
                for box, score, label in detections[: self.options.most]
            ]
            for view, detections in zip(views, found, strict=True)
        ]

    @abstractmethod
    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> Sequence[Sequence[Detection]]:
        """Return what is in each frame (H, W, 3) above the threshold and of the wanted labels, the surest first."""

    def check_labels(self, known: Collection[str]) -> None:
        """Make sure that a model knows all labels that are asked for.

        Raises:
            StackError: naming the first that it does not know.
        """
        for label in self.options.labels:
            if label not in known:
                raise StackError(f"labels: {self.options.checkpoint} knows no {label!r}{near(label, known)}")
