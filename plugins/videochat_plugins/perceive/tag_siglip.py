"""Tags by SigLIP."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from videochat import Component, hookimpl
from videochat_plugins.perceive.tags import Tagger

if TYPE_CHECKING:
    import torch


class SiglipTagger(Tagger):
    """Name what a frame shows, in words of a vocabulary, by SigLIP (arXiv 2303.15343).

    Its score is the probability that a text belongs to the picture, each tag judged by itself; so several may be sure,
    or none. It says nothing of what the vocabulary does not hold, and may take a part or a lookalike for the thing.
    """

    class Options(Tagger.Options):
        """Which model, and how sure it must be."""

        checkpoint: str = "google/siglip-base-patch16-224"
        """The model: a hub's `org/name` or `org/name@revision`, or a folder."""
        threshold: float = Field(default=0.05, ge=0, le=1)
        """Probability that a tag must have; SigLIP is sparing with it."""

    released = {"google/siglip-base-patch16-224": 813_000_000, "google/siglip2-base-patch16-224": 1_500_000_000}
    model_types = ("siglip",)

    def model_class(self) -> Any:
        """Return the class of transformers that the checkpoint is of."""
        from transformers import SiglipModel

        return SiglipModel

    def scores(self, likeness: "torch.Tensor") -> "torch.Tensor":
        """Return the probability of each pair, as its sigmoid loss means it (equation 1)."""
        scale, bias = self._model.logit_scale.float().exp(), self._model.logit_bias.float()
        chance: torch.Tensor = (likeness * scale + bias).sigmoid()
        return chance

    def tokens(self, tokenizer: Any, texts: Sequence[str]) -> Any:
        """Return texts padded to their full length, as SigLIP was trained."""
        length = self._model.config.text_config.max_position_embeddings
        # Without a mask: the padding is seen, as in training.
        found = tokenizer(list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        found.pop("attention_mask", None)
        return found


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "tag.siglip", SiglipTagger)
