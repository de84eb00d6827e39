"""The action of a window, by the classifier of VideoChat-Text: UniFormerV2."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from videochat import Component, Key, Pool, UnavailableError, hookimpl
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.kinetics400 import labels
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.perceive.action import ActionPerceiver

if TYPE_CHECKING:
    import torch

    from videochat_plugins.models.uniformerv2 import UniFormerV2

_FILE = "k400+k710_uniformerv2_b16_8x224.pyth"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class UniFormerV2Classifier(ActionPerceiver):
    """Name the action of a window, one of the 400 of Kinetics, by UniFormerV2 (arXiv 2211.09552).

    It knows no other actions: where none of them fits, the likeliest is still named, with a low score.
    """

    class Options(ActionPerceiver.Options):
        """Which weights, and which actions are named."""

        checkpoint: str = "Andy1621/uniformerv2"
        """The model: a hub's `org/name` or `org/name@revision` that holds the released file, or such a file."""
        frames: int = Field(default=8, ge=1, le=256)
        """Frames of a window that the network sees, at the middles of equal parts of it: as many as in its training."""

    released: ClassVar[Mapping[str, int]] = {"Andy1621/uniformerv2": 458_289_355}

    @property
    def checkpoint(self) -> Checkpoint:
        """Where its file is."""
        name = self.options.checkpoint
        return Checkpoint(name, self.released.get(name, 0), file=_FILE)

    @property
    def frames(self) -> int:
        """How many frames the network sees."""
        return int(self.options.frames)

    def load(self, pool: Pool) -> None:
        """Load the file.

        Raises:
            UnavailableError: if it cannot be had, or holds something else.
        """
        super().load(pool)
        key = Key("UniFormerV2", self.checkpoint.weights().id, self.precision(pool), "", self.device)
        self.model = pool.get(key, lambda: self._build(key.precision))
        self.prepare = preprocess(self.model.config.resolution)
        self.labels = labels()

    def classify(self, clips: "torch.Tensor") -> "torch.Tensor":
        """Return the score of each class before the softmax: (N, T, 3, h, w) -> (N, classes)."""
        scores: torch.Tensor = self.model(clips)
        return scores

    def _build(self, precision: str) -> "UniFormerV2":
        import torch

        from videochat_plugins.models.uniformerv2 import load_released

        path = self.checkpoint.fetch()
        model = load_released(path)
        if model.config.classes != len(labels()):
            raise UnavailableError(
                f"{path} tells {model.config.classes} classes apart, and this names the {len(labels())} of Kinetics-400"
            )
        return model.to(self.device, getattr(torch, precision))


def preprocess(resolution: int) -> Preprocess:
    """Return how frames are made ready for a network of so many pixels: of 256 on the shorter side it sees 224."""
    side = 256 * resolution // 224
    return Preprocess(side, {"shortest_edge": side}, "bilinear", (resolution, resolution), 1 / 255, _MEAN, _STD)


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "action.uniformerv2", UniFormerV2Classifier)
