"""Objects, each with its name and box, by a detector of the DETR family."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from videochat import Component, Pool, hookimpl
from videochat_plugins.models.detection import Detection, DetectionPerceiver
from videochat_plugins.models.detector import Detector
from videochat_plugins.models.pretrained import upload


class DetectRTDetr(DetectionPerceiver):
    """Find the objects in a frame and name them.

    One region record for each: text is its name, box its place, score how sure the detector is. Any checkpoint of
    RT-DETR (arXiv 2304.08069), RT-DETRv2, D-FINE, DETR, Conditional DETR or Deformable DETR serves; the default knows
    the 80 classes of COCO.

    What it cannot know: anything that is none of its classes, and whether a thing is the one of the frame before: the
    refiner `track` joins them.
    """

    class Options(DetectionPerceiver.Options):
        """Which detector."""

        checkpoint: str = "PekingU/rtdetr_r50vd"
        """The detector: a hub's `org/name` or `org/name@revision`, or a folder."""

    released: ClassVar[Mapping[str, int]] = {
        "PekingU/rtdetr_r18vd": 81_000_000,
        "PekingU/rtdetr_r50vd": 172_000_000,
        "PekingU/rtdetr_v2_r18vd": 81_000_000,
        "PekingU/rtdetr_v2_r50vd": 172_000_000,
        "facebook/detr-resnet-50@no_timm": 167_000_000,
    }
    needs = Detector.needs
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 1, "cuda": 16}
    options: Options
    _detector: Detector | None = None

    def check(self) -> None:
        """Make sure that the checkpoint is a detector that this can use, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        Detector.check(self.checkpoint)

    def load(self, pool: Pool) -> None:
        """Load the detector.

        Raises:
            UnavailableError: if it cannot be had.
            StackError: if it does not know one of the labels that are asked for.
        """
        super().load(pool)
        detector = Detector.load(self.checkpoint, pool, self.precision(pool), self.device)
        self.check_labels(detector.labels)
        self._detector = detector

    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> Sequence[Sequence[Detection]]:
        """Return what is in each frame (H, W, 3) above the threshold and of the wanted labels, the surest first."""
        assert self._detector is not None  # loaded
        found = self._detector(upload(images, self.device), self.options.threshold)
        wanted = self.options.labels
        return [[one for one in detections if not wanted or one.label in wanted] for detections in found]

    def close(self) -> None:
        """Let go of the detector."""
        self._detector = None


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "detect.rtdetr", DetectRTDetr)
