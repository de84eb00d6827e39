"""Objects, each with its name and box, by a YOLO network of the library ultralytics."""

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from videochat import Component, Key, Pool, UnavailableError, Weights, hookimpl
from videochat.cache import root
from videochat.errors import near
from videochat_plugins.models.checkpoint import Checkpoint, offline
from videochat_plugins.models.detection import Detection, DetectionPerceiver
from videochat_plugins.models.pretrained import upload
from videochat_plugins.models.yolo import Letterbox, configure, load_yolo

if TYPE_CHECKING:
    import torch


class DetectYolo(DetectionPerceiver):
    """Find the objects in a frame and name them, with YOLO by ultralytics: code and released weights are AGPL-3.0.

    Whoever passes on a program that uses this, or lets others use it over a network, owes them its source under that
    license, or needs another from Ultralytics; `detect.rtdetr` does the same work under Apache-2.0.

    One region record for each object: text is its name, box its place, score how sure the network is. A checkpoint is a
    pickle, which can hold code. Only known classes of torch and ultralytics are built from it; a file that asks for
    anything else is refused. Nothing is sent anywhere: the library's usage reports belong to parts that are not used.

    What it cannot know: anything that is none of its classes, and whether a thing is the one of the frame before: the
    refiner `track` joins them.
    """

    class Options(DetectionPerceiver.Options):
        """Which network, and how its boxes are told apart."""

        checkpoint: str = "yolo11n.pt"
        """The network: a .pt file of ultralytics, or the name of a released one (weights under AGPL-3.0)."""
        size: int = Field(default=640, ge=32, le=4096, multiple_of=32)
        """Longer side, in pixels, that frames are scaled to for the network."""
        overlap: float = Field(default=0.7, gt=0, le=1)
        """Share (intersection over union) of two boxes of one name above which the less sure is dropped."""

    extra = "yolo"
    released: ClassVar[Mapping[str, int]] = {
        "yolo11n.pt": 5_613_764,
        "yolo11s.pt": 19_313_732,
        "yolo11m.pt": 40_684_120,
        "yolo11l.pt": 51_387_343,
        "yolo11x.pt": 114_636_239,
        "yolov8n.pt": 6_549_796,
        "yolov8s.pt": 22_588_772,
        "yolov8m.pt": 52_117_635,
        "yolov8l.pt": 87_769_683,
        "yolov8x.pt": 136_867_539,
    }
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 1, "cuda": 32}
    options: Options
    _model: Any = None
    _classes: tuple[int, ...] | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Where its file is, or where it will be downloaded to."""
        name = self.options.checkpoint
        path = Path(name).expanduser()
        if name in self.released and not path.exists():
            path = root() / "ultralytics" / name
        return Checkpoint(str(path), self.released.get(name, 0), file=path.name)

    def weights(self) -> Sequence[Weights]:
        """Return the checkpoint, without loading it and without network."""
        if self.checkpoint.path is None:
            return (Weights(self.options.checkpoint, self.checkpoint.size, here=False),)
        return (self.checkpoint.weights(),)

    def check(self) -> None:
        """Make sure that the checkpoint is a whole .pt file, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        name, path = self.options.checkpoint, self.checkpoint.path
        if path is None:
            if name not in self.released:
                raise UnavailableError(f"there is no file {name}, and no YOLO of that name{near(name, self.released)}")
            if why := offline():
                raise self._unavailable(why)
        elif not zipfile.is_zipfile(path):  # a folder is none, nor a file that was cut short
            raise UnavailableError(f"the checkpoint {path} is no whole .pt file")

    def fetch(self) -> None:
        """Download the checkpoint if it is not here.

        Raises:
            UnavailableError: if it cannot be had.
        """
        self.check()
        if self.checkpoint.path is None:
            configure()
            from ultralytics.utils.downloads import attempt_download_asset

            Path(self.checkpoint.name).parent.mkdir(parents=True, exist_ok=True)
            try:
                attempt_download_asset(self.checkpoint.name, progress=False)
            except Exception as error:  # the library's, the HTTP library's and the system's are of a dozen kinds
                raise self._unavailable(type(error).__name__) from None
            self.check()

    def load(self, pool: Pool) -> None:
        """Load the network.

        Raises:
            UnavailableError: if it cannot be had, holds more than a network, or does not detect objects.
            StackError: if it does not know one of the labels that are asked for.
        """
        super().load(pool)
        self.fetch()
        precision = self.precision(pool)
        key = Key("YOLO", self.weights()[0].id, precision, "", self.device)
        self._model = pool.get(key, lambda: load_yolo(Path(self.checkpoint.name), precision, self.device))
        self.check_labels(set(self._model.names.values()))
        wanted = [index for index, name in self._model.names.items() if name in self.options.labels]
        self._classes = tuple(wanted) or None

    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> Sequence[Sequence[Detection]]:
        """Return what is in each frame (H, W, 3) above the threshold and of the wanted labels, the surest first."""
        from ultralytics.utils.nms import non_max_suppression

        frames = upload(images, self.device)
        fit = Letterbox.of(frames.shape, self.options.size, max(int(self._model.stride.max()), 32))
        output = self._model(fit(frames, next(self._model.parameters()).dtype))
        found = non_max_suppression(
            (output[0] if isinstance(output, tuple | list) else output).float(),
            self.options.threshold,
            self.options.overlap,
            classes=self._classes,
            max_det=self.options.most,
            max_time_img=math.inf,  # its time limit would leave frames out on a busy machine
            end2end=getattr(self._model, "end2end", False),
        )  # for each frame (n, 6): x1, y1, x2, y2, score, class
        return [
            [Detection(fit.undo(*box), score, self._model.names[int(index)]) for *box, score, index in rows]
            for rows in _to_host(found)
        ]

    def close(self) -> None:
        """Let go of the network."""
        self._model = None

    def _unavailable(self, why: str) -> UnavailableError:
        name = self.options.checkpoint
        return UnavailableError(
            f"the checkpoint {name} ({self.released[name] / 2**20:.0f} MB) is not here and could not be downloaded "
            f"({why}): set `checkpoint` to a .pt file of ultralytics that you have; the stack `offline` needs none"
        )


def _to_host(found: "Sequence[torch.Tensor]") -> list[list[list[float]]]:
    """Return the rows of each tensor (n, 6), copied to the host at once."""
    import torch

    rows = iter(torch.cat(list(found)).tolist())
    return [[next(rows) for _ in range(len(part))] for part in found]


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "detect.yolo", DetectYolo)
