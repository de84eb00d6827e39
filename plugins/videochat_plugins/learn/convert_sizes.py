"""Reads how large a VideoChat-Embed is from the shapes of its weights."""

import json
import re
from collections.abc import Iterable, Mapping
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import StackError, UnavailableError
from videochat.errors import near

if TYPE_CHECKING:
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig

Shapes = Mapping[str, tuple[int, ...]]

# Channels of the released networks, and of an attention head in every released size.
_RELEASED = {"vision_config": (1408, 88), "qformer_config": (768, 64)}
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
# Numbers of layers: the part whose width says whether they are as released, and the weights that tell if not.
_LAYERS = {
    "vision_config.num_hidden_layers": ("vision_config", r"vision_model\.encoder\.layers\.(\d+)\."),
    "qformer_config.num_hidden_layers": ("qformer_config", r"qformer\.encoder\.layer\.(\d+)\."),
    "gmhra_layers": ("vision_config", r"gmhra\.(\d+)\."),
}


def config_of(shapes: Shapes, known: Mapping[str, Any]) -> "VideoChatEmbedConfig":
    """Return the config of the network that weights of these names and shapes belong to.

    What they do not tell, since a weight is missing, is as released; so are the numbers of layers in networks of the
    released width, where a last one that is missing would pass unnoticed, and EVA's ViT has one more than is read.

    Args:
        shapes: of the weights, by our names.
        known: values of config.json that go before what the shapes tell: the numbers of heads cannot be read from them.

    Raises:
        UnavailableError: if no network is of such a size, or its number of heads is not known.
    """
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig

    found = merged(_nested(_sizes(shapes)), known)
    for part, (width, head) in _RELEASED.items():
        sizes = found.setdefault(part, {})
        wide = sizes.get("hidden_size", width)
        if "num_attention_heads" in sizes or not isinstance(wide, int):
            continue  # which the config itself refuses
        heads, over = divmod(wide, head)
        if over or not heads:
            raise UnavailableError(
                f"how many attention heads {part} has cannot be read from weights {wide} wide: say so "
                f'in a JSON file, {{"{part}": {{"num_attention_heads": ...}}}}, given as --config'
            )
        sizes["num_attention_heads"] = heads
    try:
        return VideoChatEmbedConfig(**found)
    except (TypeError, ValueError) as error:
        raise UnavailableError(f"no network has the sizes of these weights: {error}") from None


def read_config(path: Path) -> dict[str, Any]:
    """Return the values of config.json that a user's file gives.

    Raises:
        StackError: if it is no JSON object, or config.json has no such values.
    """
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StackError(f"--config {path} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise StackError(f'--config {path} must be a JSON object, such as {{"gmhra_layers": 8}}')
    _check_like(found, VideoChatEmbedConfig().to_dict(), f"--config {path}: ")
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return values merged key by key; those above win."""
    found = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def _check_like(found: Mapping[str, Any], whole: Mapping[str, Any], where: str) -> None:
    """Make sure that values have the names and the parts of a whole config.

    Raises:
        StackError: naming the first that is not.
    """
    for name, value in found.items():
        if name not in whole:
            raise StackError(f"{where}{name} is nothing that config.json has{near(name, whole)}")
        if not isinstance(whole[name], dict):
            continue
        if not isinstance(value, dict):
            raise StackError(f"{where}{name} is {value!r}, and it must be a JSON object")
        _check_like(value, whole[name], f"{where}{name}.")


def _sizes(shapes: Shapes) -> dict[str, int]:
    found = {place: shapes[name][axis] for place, (name, axis) in _AXES.items() if len(shapes.get(name, ())) > axis}
    other = [part for part, (width, _) in _RELEASED.items() if found.get(f"{part}.hidden_size", width) != width]
    for place, (part, pattern) in _LAYERS.items():
        if part in other and (numbers := _numbers(pattern, shapes)):
            found[place] = max(numbers) + 1
    places = shapes.get("vision_model.embeddings.position_embedding", ())
    if len(places) == 3 and "vision_config.patch_size" in found:  # a square of patches, and the class
        found["vision_config.image_size"] = isqrt(max(places[1] - 1, 0)) * found["vision_config.patch_size"]
    crossing = sorted(_numbers(r"qformer\.encoder\.layer\.(\d+)\.crossattention\.", shapes))
    if crossing and "qformer_config" in other:
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
