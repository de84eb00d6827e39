"""The vision network of VideoChat-Embed against what the original computed: one file of inputs, weights and outputs."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
from videochat_plugins.models.videochat_embed.network import VideoChatEmbed
from videochat_plugins.models.videochat_embed.released import rename

TOLERANCE = 1e-9


def check(file: Path) -> None:
    """Compare every output and every tap in the file.

    Raises:
        AssertionError: naming what differs, or what the file holds that is not known here.
    """
    with safe_open(file, "pt") as opened:
        sizes = json.loads(opened.metadata()["config"])
        names: list[str] = opened.keys()
        held = {name: opened.get_tensor(name) for name in names}
    video = held.pop("video")
    assert video.shape[:2] == (sizes["batch"], sizes["frames"])
    weights = {name.removeprefix("weights/"): held.pop(name) for name in list(held) if name.startswith("weights/")}
    network = load(sizes, weights)
    found: dict[str, Tensor] = {}
    for i, block in enumerate(network.vision_model.encoder.layers):
        record(block, f"taps/block{i}", found)
    for i, block in enumerate(network.gmhra):
        record(block, f"taps/gmhra{i}", found)
    with torch.inference_mode():
        stages = network.stages(video)
    found |= {f"expected/{name}": value for name, value in stages._asdict().items()}
    assert {name for name in held if name.startswith("expected/")}, f"{file} expects nothing"
    assert held.keys() <= found.keys(), f"{file}: unknown {sorted(held.keys() - found.keys())}"
    for name, wanted in held.items():
        got = found[name][None] if name.startswith("taps/gmhra") else found[name]  # theirs: (1, B, C)
        torch.testing.assert_close(got, wanted, rtol=0, atol=TOLERANCE, msg=lambda told, name=name: f"{name}: {told}")


def load(sizes: dict[str, int], weights: dict[str, Tensor]) -> VideoChatEmbed:
    """Return the network of released weights, in float64."""
    width = sizes["width"]
    vision = {"hidden_size": width, "intermediate_size": int(width * 4.3637), "num_hidden_layers": sizes["depth"]}
    vision |= {"num_attention_heads": sizes["heads"], "image_size": sizes["img"], "patch_size": sizes["patch"]}
    qformer = {"hidden_size": sizes["q_hidden"], "num_hidden_layers": sizes["q_layers"]}
    qformer |= {"num_attention_heads": sizes["q_heads"], "intermediate_size": sizes["q_inter"]}
    config = VideoChatEmbedConfig(
        vision_config=vision,
        qformer_config=qformer,
        num_queries=sizes["queries"],
        num_extra_queries=sizes["extra"],
        gmhra_layers=sizes["gmhra"],
        llm_width=sizes["llm_hidden"],
    )
    network = VideoChatEmbed(config).double().eval()
    renamed, unknown = rename(weights)
    assert unknown == []
    network.load_state_dict(renamed, strict=True)
    return network


def record(module: nn.Module, name: str, found: dict[str, Tensor]) -> None:
    """Keep what a module gives."""
    module.register_forward_hook(lambda _module, _inputs, out: found.update({name: out}))
