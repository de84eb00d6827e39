"""Reads how large a VideoChat-Embed is from the shapes of its weights."""

import json
import re
from collections.abc import Iterable, Mapping
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import StackError, UnavailableError

if TYPE_CHECKING:
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig

Shapes = Mapping[str, tuple[int, ...]]

_DEPTH = 39  # blocks of the ViT: EVA's has one more, which nothing reads
_VIT_HEAD, _QFORMER_HEAD = 88, 64  # channels of an attention head in every released size
# Sizes, by their place in config.json: the weight that tells, and which of its axes.
_AXES = {
    "vision_config.hidden_size": ("vision_model.embeddings.class_embedding", 2),
    "vision_config.patch_size": ("vision_model.embeddings.patch_embedding.weight", 3),
    "vision_config.intermediate_size": ("vision_model.encoder.layers.0.mlp.fc1.weight", 0),
    "qformer_config.hidden_size": ("qformer.layernorm.weight", 0),
    "qformer_config.intermediate_size": ("qformer.encoder.layer.0.intermediate_query.dense.weight", 0),
    "num_queries": ("query_tokens", 1),
    "num_extra_queries": ("extra_query_tokens", 1),
    "llm_width": ("llama_proj.weight", 0),
}
_LAYERS = {
    "vision_config.num_hidden_layers": r"vision_model\.encoder\.layers\.(\d+)\.",
    "qformer_config.num_hidden_layers": r"qformer\.encoder\.layer\.(\d+)\.",
    "gmhra_layers": r"gmhra\.(\d+)\.",
}


def config_of(shapes: Shapes, known: Mapping[str, Any]) -> "VideoChatEmbedConfig":
    """Return the config of the network that weights of these names and shapes belong to.

    What they do not tell, since a weight is missing, is as released.

    Args:
        shapes: of the weights, by our names.
        known: values of config.json that go before what the shapes tell: the numbers of heads cannot be read from them.

    Raises:
        UnavailableError: if no network is of such a size, or its number of heads is not known.
    """
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig

    found = merged(_nested(_sizes(shapes)), known)
    for part, width, head in (("vision_config", 1408, _VIT_HEAD), ("qformer_config", 768, _QFORMER_HEAD)):
        sizes = found.setdefault(part, {})
        heads, over = divmod(sizes.get("hidden_size", width), head)
        if "num_attention_heads" not in sizes and (over or not heads):
            raise UnavailableError(
                f"how many attention heads {part} has cannot be read from weights {sizes['hidden_size']} wide: say so "
                f'in a JSON file, {{"{part}": {{"num_attention_heads": ...}}}}, given as --config'
            )
        sizes.setdefault("num_attention_heads", heads)
    try:
        return VideoChatEmbedConfig(**found)
    except (TypeError, ValueError) as error:
        raise UnavailableError(f"no network has the sizes of these weights: {error}") from None


def read_config(path: Path) -> dict[str, Any]:
    """Return the values of config.json that a user's file gives.

    Raises:
        StackError: if it is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StackError(f"--config {path} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise StackError(f'--config {path} must be a JSON object, such as {{"gmhra_layers": 8}}')
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return values merged key by key; those above win."""
    found = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def _sizes(shapes: Shapes) -> dict[str, int]:
    found = {place: shapes[name][axis] for place, (name, axis) in _AXES.items() if len(shapes.get(name, ())) > axis}
    for place, pattern in _LAYERS.items():
        if numbers := _numbers(pattern, shapes):
            found[place] = max(numbers) + 1
    if "vision_config.num_hidden_layers" in found:
        found["vision_config.num_hidden_layers"] = min(found["vision_config.num_hidden_layers"], _DEPTH)
    places = shapes.get("vision_model.embeddings.position_embedding", ())
    if len(places) == 3 and "vision_config.patch_size" in found:  # a square of patches, and the class
        found["vision_config.image_size"] = isqrt(max(places[1] - 1, 0)) * found["vision_config.patch_size"]
    if crossing := sorted(_numbers(r"qformer\.encoder\.layer\.(\d+)\.crossattention\.", shapes)):
        every = crossing[1] - crossing[0] if len(crossing) > 1 else found["qformer_config.num_hidden_layers"]
        found["qformer_config.cross_attention_frequency"] = every
    return found


def _numbers(pattern: str, names: Iterable[str]) -> set[int]:
    return {int(found[1]) for name in names if (found := re.match(pattern, name))}


def _nested(flat: Mapping[str, int]) -> dict[str, Any]:
    """Return values by their places, `part.name`, as mappings in a mapping."""
    found: dict[str, Any] = {}
    for place, value in flat.items():
        part, _, name = place.rpartition(".")
        (found.setdefault(part, {}) if part else found)[name] = value
    return found
