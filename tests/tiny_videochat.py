"""VideoChat-Embed of a few narrow layers with random weights: a folder, and the files that its makers would release."""

import re
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

VISION = {
    "hidden_size": 32,
    "intermediate_size": 139,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
QFORMER = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
SIZES = {"num_queries": 3, "num_extra_queries": 2, "gmhra_layers": 2}

_NAMES = (
    (r"vision_model\.embeddings\.class_embedding", "visual_encoder.cls_token"),
    (r"vision_model\.embeddings\.position_embedding", "visual_encoder.pos_embed"),
    (r"vision_model\.embeddings\.patch_embedding", "visual_encoder.patch_embed.proj"),
    (r"vision_model\.encoder\.layers", "visual_encoder.blocks"),
    (r"vision_model\.post_layernorm", "ln_vision"),
    (r"\.layer_norm", ".norm"),
    (r"\.self_attn\.projection", ".attn.proj"),
    (r"\.self_attn", ".attn"),
    (r"^gmhra", "visual_encoder.gmhra"),
    (r"^qformer\.layernorm", "Qformer.bert.embeddings.LayerNorm"),
    (r"^qformer", "Qformer.bert"),
    (r"attention\.attention\.(query|key|value)", r"attention.self.\1"),
)


def tiny_network(llm_width: int = 32, seed: int = 0, **config: Any) -> "VideoChatEmbed":
    """Return a network all of whose weights matter, in evaluation mode; `config`: changes to its tiny config."""
    import torch

    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

    parts = {"vision_config": VISION | config.pop("vision_config", {})}
    parts["qformer_config"] = QFORMER | config.pop("qformer_config", {})
    network = VideoChatEmbed(VideoChatEmbedConfig(llm_width=llm_width, **parts, **SIZES | config)).eval()
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            gain = name.endswith("weight") and weight.ndim == 1
            weight.normal_(1.0 if gain else 0.0, 1 / sqrt(weight.shape[-1]), generator=chance)
            if name.endswith("qkv.bias"):
                weight.chunk(3)[1].zero_()  # EVA's keys have none
    return network


def tiny_embed(folder: Path, llm_width: int = 32, seed: int = 0, **config: Any) -> Path:
    """Save a network with its image processor; return the folder."""
    from transformers import CLIPImageProcessorPil

    network = tiny_network(llm_width, seed, **config)
    network.save_pretrained(folder)
    side = network.config.vision_config.image_size
    size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    CLIPImageProcessorPil(**size).save_pretrained(folder)
    return folder


def tiny_released(network: "VideoChatEmbed") -> dict[str, dict[str, "Tensor"]]:
    """Return the weights of a network by released names, in the files that they come in.

    "vit" is EVA's, without prefix and with the last block that is not used; "qformer" is BLIP-2's; "videochat" is what
    was trained, with the buffers that the released one has.
    """
    import torch

    files: dict[str, dict[str, Tensor]] = {"vit": {}, "qformer": {}, "videochat": {}}
    for name, weight in released(network).items():
        if name.startswith(("visual_encoder.gmhra", "ln_vision", "extra_query", "llama_proj")):
            files["videochat"][name] = weight
        elif name.startswith("visual_encoder"):
            files["vit"][name.removeprefix("visual_encoder.")] = weight
        else:
            files["qformer"][name] = weight
    depth = network.config.vision_config.num_hidden_layers
    first = {name: weight for name, weight in files["vit"].items() if name.startswith("blocks.0.")}
    files["vit"] |= {name.replace("blocks.0", f"blocks.{depth}"): weight.clone() for name, weight in first.items()}
    files["qformer"] |= {name: torch.ones_like(weight) for name, weight in _ln_vision(files["videochat"]).items()}
    files["videochat"] |= {
        "Qformer.bert.embeddings.position_ids": torch.arange(512)[None],
        "llama_model.model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
    }
    return files


def released(network: "VideoChatEmbed") -> dict[str, "Tensor"]:
    """Return the weights of a network by the names that the original gives them."""
    found = {}
    for ours, weight in network.state_dict().items():
        name = ours
        for pattern, theirs in _NAMES:
            name = re.sub(pattern, theirs, name)
        if name.endswith("attn.qkv.bias"):
            query, _, value = weight.chunk(3)
            stem = name.removesuffix("qkv.bias")
            found |= {f"{stem}q_bias": query.clone(), f"{stem}v_bias": value.clone()}
        else:
            found[name] = weight.clone()
    return found


def _ln_vision(state: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    return {name: weight for name, weight in state.items() if name.startswith("ln_vision")}
