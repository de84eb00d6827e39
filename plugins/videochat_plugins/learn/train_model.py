"""VideoChat-Embed and its language model as one network to train (arXiv 2305.06355, section 3.2.3).

Trained are GMHRA, ln_vision, the extra queries and the projection, and LoRA adapters if wanted. ViT, Q-Former and
language model are frozen, and nothing in them drops out.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videochat_plugins.learn.train_batches import IGNORED
from videochat_plugins.models.videochat_embed.gmhra import GMHRA
from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

TRAINED = re.compile(r"gmhra(_cls_token|\.\d+)\b.*|vision_model\.post_layernorm\..*|extra_query_tokens|llama_proj\..*")


class Learner(nn.Module):
    """Predict answers from a video and a question.

    Args:
        network: makes embeddings of the video.
        llm: a causal language model, maybe with adapters of peft.
        checkpointing: whether activations are computed again rather than kept.
    """

    accepts_loss_kwargs = True  # for transformers' Trainer: the loss is divided by all processes' tokens

    def __init__(self, network: VideoChatEmbed, llm: Any, checkpointing: bool = False) -> None:
        super().__init__()
        self.network = network
        self.llm = llm
        for name, weight in network.named_parameters():
            weight.requires_grad_(bool(TRAINED.fullmatch(name)))
            if weight.requires_grad:
                weight.data = weight.data.float()
        for name, weight in llm.named_parameters():
            weight.requires_grad_("lora_" in name)
            if weight.requires_grad:
                weight.data = weight.data.float()
        if checkpointing:
            _keep_less(self)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Set what is trained, and only that, to training or to evaluation."""
        super().train(False)
        for name, module in self.named_modules():
            if isinstance(module, GMHRA) or "lora_dropout" in name:
                module.train(mode)
        self.training = mode
        return self

    def forward(
        self,
        pixel_values: Tensor,
        times: Tensor,
        input_ids: Tensor,
        visual: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean cross-entropy of what is learnt, as "loss".

        Args:
            pixel_values: (B, T, 3, H, W), normalised frames.
            times: (B, T), seconds.
            input_ids: (B, L), any id where an embedding stands.
            visual: (B, L), true where one stands; as many in each row as the network makes.
            attention_mask: (B, L), 0 behind the end of a talk.
            labels: (B, L), the id where it is learnt, else -100.
            num_items_in_batch: what the sum of the losses is divided by; None: by how many there are.
        """
        tokens = self.network(pixel_values, times)  # (B, Q, C)
        words = self.llm.get_input_embeddings()(input_ids)  # (B, L, C), the true one of BOS among them
        inputs = words.masked_scatter(visual[..., None], tokens.to(words.dtype))
        targets = labels[:, 1:]
        asked = (targets != IGNORED).any(0).nonzero()[:, 0]  # where any row learns: no logits of all the others
        logits = self.llm(
            inputs_embeds=inputs, attention_mask=attention_mask, use_cache=False, logits_to_keep=asked
        ).logits  # (B, K, V)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets[:, asked].flatten(), reduction="sum")
        count = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return {"loss": loss / count}

    def trained(self) -> dict[str, Tensor]:
        """Return what is trained, by name, adapters included."""
        return {name: weight.detach() for name, weight in self.named_parameters() if weight.requires_grad}

    def load_trained(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `trained` returned.

        Raises:
            ValueError: if it is not the same weights.
        """
        mine = self.trained()
        if mine.keys() != state.keys() or any(mine[name].shape != state[name].shape for name in mine):
            raise ValueError("the checkpoint is of another network")
        with torch.no_grad():
            for name, weight in mine.items():
                weight.copy_(state[name])


def _keep_less(learner: Learner) -> None:
    """Have each layer behind which gradients flow compute its activations again.

    Libraries' own switches for this only work in training, and the frozen parts are in evaluation.
    """
    from functools import partial

    from torch.utils.checkpoint import checkpoint
    from transformers.modeling_layers import GradientCheckpointingLayer

    for part in (learner.network.gmhra, learner.network.qformer, learner.llm):
        for module in part.modules():
            if isinstance(module, GMHRA | GradientCheckpointingLayer):
                again = partial(checkpoint, module.forward, use_reentrant=False)
                setattr(module, "forward", again)  # noqa: B010 - mypy knows no assignment to methods


def digest_of(weights: Mapping[str, Tensor], names: Iterable[str] | None = None) -> str:
    """Return the sha256 of weights, their names and kinds of number included."""
    found = hashlib.sha256()
    for name in sorted(weights if names is None else names):
        weight = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        found.update(weight.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
