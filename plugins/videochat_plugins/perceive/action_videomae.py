"""The action of a window, by a video classifier of the transformers library."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from videochat import Component, Pool, UnavailableError, hookimpl
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.perceive.action import ActionPerceiver

if TYPE_CHECKING:
    import torch

_FRAMES = {"videomae": 16, "vivit": 32, "timesformer": 8}  # that a model of the type takes if its config does not say


class VideoClassifier(ActionPerceiver):
    """Name the action of a window, by VideoMAE (arXiv 2203.12602), ViViT or TimeSformer.

    How many frames it takes, which classes it knows and what they are called is the checkpoint's. It knows no others:
    where none of them fits, the likeliest is still named, with a low score.
    """

    class Options(ActionPerceiver.Options):
        """Which classifier, and which actions are named."""

        checkpoint: str = "MCG-NJU/videomae-base-finetuned-kinetics"
        """The model: a hub's `org/name` or `org/name@revision`, or a folder."""

    released: ClassVar[Mapping[str, int]] = {
        "MCG-NJU/videomae-base-finetuned-kinetics": 346_000_000,
        "google/vivit-b-16x2-kinetics400": 356_000_000,
        "facebook/timesformer-base-finetuned-k400": 486_000_000,
    }
    needs = ("config.json", "preprocessor_config.json|processor_config.json")
    model_types = tuple(_FRAMES)

    @property
    def frames(self) -> int:
        """How many frames the checkpoint takes; of one that is not here yet, those of VideoMAE."""
        try:
            config = self.checkpoint.config()
        except UnavailableError:  # `check` tells of it
            config = {}
        found = config.get("num_frames")
        return found if isinstance(found, int) and 0 < found <= 1024 else _FRAMES.get(str(config.get("model_type")), 16)

    def load(self, pool: Pool) -> None:
        """Load the checkpoint.

        Raises:
            UnavailableError: if it cannot be had, or its files do not fit.
        """
        from transformers import AutoModelForVideoClassification

        super().load(pool)
        self.model = self.pretrained(pool, AutoModelForVideoClassification)
        self.prepare = Preprocess.read(self.checkpoint.fetch())
        self.labels = [str(self.model.config.id2label[i]) for i in range(self.model.config.num_labels)]

    def classify(self, clips: "torch.Tensor") -> "torch.Tensor":
        """Return the score of each class before the softmax: (N, T, 3, h, w) -> (N, classes)."""
        scores: torch.Tensor = self.model(pixel_values=clips).logits
        return scores


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "action.videomae", VideoClassifier)
