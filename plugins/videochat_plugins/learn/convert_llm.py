"""Ties a projection to the language model that it was trained for."""

from typing import TYPE_CHECKING

from videochat import UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint, unavailable
from videochat_plugins.models.space import space_of

if TYPE_CHECKING:
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig


def tie(config: "VideoChatEmbedConfig", name: str) -> list[str]:
    """Put a language model and the space of its embeddings into the config; return warnings about it.

    Args:
        config: of the network that makes the embeddings.
        name: a folder, or a hub's `org/name` that is in the local cache; empty: it stays open.

    Raises:
        UnavailableError: if the language model is not here, or its embeddings have another width than the projection.
    """
    if not name:
        return ["no --llm was given: `embed.videochat` will need its option `llm`"]
    checkpoint = Checkpoint(name)
    checkpoint.check()
    if checkpoint.path is None:  # its space is told by its weights
        raise unavailable(
            f"language model {name}", 0, "convert downloads none", f"hf download {name}", "name a folder that holds it"
        )
    found = checkpoint.config()
    width = (found.get("text_config") or found).get("hidden_size")
    if width != config.llm_width:
        raise UnavailableError(
            f"--llm: {name} takes embeddings {width} wide, and the projection makes {config.llm_width} "
            "(4096: a 7B model; 5120: a 13B model): one of them is another size's"
        )
    config.llm, config.space = name, space_of(checkpoint)
    if "delta" in name.lower():
        return [f"--llm: {name} is named as a delta: what it was made for is the sum of that and LLaMA's own weights"]
    return []
