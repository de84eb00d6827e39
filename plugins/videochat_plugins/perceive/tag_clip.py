"""Tags by CLIP."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from videochat import Component, hookimpl
from videochat_plugins.perceive.tags import Tagger

if TYPE_CHECKING:
    import torch


class ClipTagger(Tagger):
    """Name what a frame shows, in words of a vocabulary, by CLIP (arXiv 2103.00020).

    Its score is a share: those of the whole vocabulary add up to 1, so one sure tag leaves little to the others, and a
    longer vocabulary lowers all. It says nothing of what the vocabulary does not hold.
    """

    class Options(Tagger.Options):
        """Which model, and how sure it must be."""

        checkpoint: str = "openai/clip-vit-base-patch32"
        """The model: a hub's `org/name` or `org/name@revision`, or a folder."""
        threshold: float = Field(default=0.02, ge=0, le=1)
        """Share that a tag must have."""

    released = {"openai/clip-vit-base-patch32": 605_000_000, "openai/clip-vit-large-patch14": 1_710_000_000}
    model_types = ("clip",)

    def model_class(self) -> Any:
        """Return the class of transformers that the checkpoint is of."""
        from transformers import CLIPModel

        return CLIPModel

    def scores(self, likeness: "torch.Tensor") -> "torch.Tensor":
        """Return the softmax over the vocabulary, at the model's own temperature."""
        share: torch.Tensor = (likeness * self._model.logit_scale.float().exp()).softmax(-1)
        return share

    def tokens(self, tokenizer: Any, texts: Sequence[str]) -> Any:
        """Return texts padded to the longest of them, cut where the text tower ends."""
        length = self._model.config.text_config.max_position_embeddings
        return tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "tag.clip", ClipTagger)
