"""The name of the space that a language model's embeddings live in: what makes for it and what reads must agree."""

from videochat.cache import digest, file_hash
from videochat_plugins.models.checkpoint import Checkpoint


def space_of(checkpoint: Checkpoint) -> str:
    """Return the id of the space that a model's embeddings live in: the digest of its weight files, and of no others.

    So neither the folder's name, nor its chat template, nor how its makers sample from it are part of it. A model of a
    hub that is not here yet goes by its name, as written.
    """
    folder = checkpoint.path
    weights = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin")) if folder else ()
    return f"weights@{digest([file_hash(file) for file in weights])[:12]}" if weights else checkpoint.name
