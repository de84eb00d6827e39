"""Described regions in GRiT's two steps: a detector proposes them, a captioner says what is in each."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from videochat import Box, Component, Pool, Record, Weights, hookimpl
from videochat.component import FASTER_ONLY
from videochat_plugins.models.batches import Batches
from videochat_plugins.models.captioner import Captioner, CaptionOptions
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.crops import cut
from videochat_plugins.models.detection import Detection
from videochat_plugins.models.detector import Detector
from videochat_plugins.models.pretrained import upload
from videochat_plugins.models.views import FramePerceiver, View

if TYPE_CHECKING:
    import torch


class DenseDetectCaption(FramePerceiver):
    """Find the things in a frame and describe each in a sentence.

    The two steps of GRiT (arXiv 2212.00280), with a detector and a captioner that were trained apart: the frames of a
    batch go through the detector together, then the pieces of all frames through the captioner. One region record for
    each: text is the caption, score the detector's, meta["label"] the name that the detector gave.

    What it cannot know: anything that is none of the detector's classes; what is outside of a region, so a caption may
    miss what a thing is part of; how sure the captioner is.
    """

    class Options(FramePerceiver.Options, CaptionOptions):
        """What is described, and how."""

        checkpoint: str = "PekingU/rtdetr_r50vd"
        """The detector, as for detect.rtdetr: a hub's `org/name` or `org/name@revision`, or a folder."""
        captioner: str = Field(default="Salesforce/blip-image-captioning-base", min_length=1)
        """The captioner, of BLIP, BLIP-2 or GIT: a hub's `org/name` or `org/name@revision`, or a folder."""
        side: int = Field(default=640, ge=16, le=4320)
        """Shorter side of the frames that are decoded for it, in pixels; the models resize to their own sizes."""
        threshold: float = Field(default=0.5, ge=0, lt=1)
        """The score that a region must exceed."""
        most: int = Field(default=20, ge=1, le=300)
        """Regions of one frame at most: the surest are described."""
        margin: float = Field(default=0.1, ge=0, le=1)
        """What the captioner sees around a region, on each side, as a part of its width and height."""
        beams: int = Field(default=1, ge=1, le=16)
        """Wordings that are followed at once; 1, as in GRiT: the likeliest next word is taken each time."""
        crops: int | None = Field(default=None, ge=1, le=4096, json_schema_extra=FASTER_ONLY)
        """Regions in one forward of the captioner; null: 1 on a CPU, 64 on a GPU. Halved where memory runs out."""

    released: ClassVar[Mapping[str, int]] = {"PekingU/rtdetr_r18vd": 81_000_000, "PekingU/rtdetr_r50vd": 172_000_000}
    needs = Detector.needs
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 1, "cuda": 16}
    options: Options
    _detector: Detector | None = None
    _captioner: Captioner | None = None

    def __init__(self, options: Options | None = None) -> None:
        """Keep the options; how large batches are is known once loaded."""
        super().__init__(options)
        self._crops = Batches(1)

    @property
    def emits(self) -> Collection[str]:
        """Region records."""
        return {"region"}

    @property
    def captioner(self) -> Checkpoint:
        """Where the files of the captioner are."""
        name = self.options.captioner
        return Checkpoint(name, Captioner.released.get(name, 0), Captioner.needs)

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What happened in a run that its ledger should tell."""
        return [*self.batches.notes, *(f"regions: {note}" for note in self._crops.notes)]

    def weights(self) -> Sequence[Weights]:
        """Return both checkpoints, without loading them and without network."""
        return (self.checkpoint.weights(), self.captioner.weights())

    def check(self) -> None:
        """Make sure that both checkpoints are of kinds that this can use, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        Detector.check(self.checkpoint)
        Captioner.check(self.captioner)

    def fetch(self) -> None:
        """Download the checkpoints that are not here.

        Raises:
            UnavailableError: if one cannot be had.
        """
        self.checkpoint.fetch()
        self.captioner.fetch()

    def precision(self, pool: Pool) -> str:
        """Return the numbers that the detector computes in: on a GPU float16, as in detect.rtdetr."""
        found = super().precision(pool)
        return "float16" if found == "bfloat16" and self.options.precision == "auto" else found

    def load(self, pool: Pool) -> None:
        """Load detector and captioner.

        Raises:
            UnavailableError: if one cannot be had.
        """
        super().load(pool)
        self._detector = Detector.load(self.checkpoint, pool, self.precision(pool), self.device)
        usual = super().precision(pool)  # so that caption.blip beside it has the same model
        self._captioner = Captioner.load(self.captioner, pool, usual, self.device, self.options)
        self._crops = Batches(self.options.crops or (64 if self.device.startswith("cuda") else 1))

    def look(self, views: Sequence[View]) -> Sequence[Sequence[Record]]:
        """Return the described regions of each frame, the surest first."""
        import torch

        assert self._detector is not None  # loaded
        assert self._captioner is not None
        images = upload([view.image for view in views], self.device)
        found = [self._chosen(detections) for detections in self._detector(images, self.options.threshold)]
        side = self._captioner.side
        pieces = [
            cut(image, [self._widened(one.box) for one in regions], side)
            for image, regions in zip(images, found, strict=True)
        ]
        texts = iter(self._describe(torch.cat(pieces)))
        return [
            [_record(view, one, next(texts)) for one in regions] for view, regions in zip(views, found, strict=True)
        ]

    def _chosen(self, detections: Sequence[Detection]) -> list[Detection]:
        """Return the surest regions; of those in one and the same place, which differ in their names, the first."""
        places: dict[Box, Detection] = {}
        for one in detections:
            places.setdefault(one.box, one)
        return list(places.values())[: self.options.most]

    def _widened(self, box: Box) -> Box:
        across, down = (self.options.margin * edge for edge in (box.x2 - box.x1, box.y2 - box.y1))
        return Box(box.x1 - across, box.y1 - down, box.x2 + across, box.y2 + down)

    def _describe(self, pieces: "torch.Tensor") -> list[str]:
        """Return the caption of each piece (K, side, side, 3), in as few forwards as memory allows."""
        captioner = self._captioner
        assert captioner is not None  # loaded
        return self._crops.map(lambda part: captioner.describe(pieces[part[0] : part[-1] + 1]), range(len(pieces)))

    def close(self) -> None:
        """Let go of detector and captioner."""
        self._detector = self._captioner = None


def _record(view: View, found: Detection, caption: str) -> Record:
    box, score, label = found
    meta = {"label": label}
    return Record("region", view.time, view.time, caption or label, score, box, times=(view.time,), meta=meta)


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "dense.detect_caption", DenseDetectCaption)
