"""The name of the space that a language model's embeddings live in: what makes for it and what reads must agree."""

import re

from videochat.cache import digest, file_hash
from videochat_plugins.models.checkpoint import Checkpoint

# Weight files as transformers names them, the safer form first; what lies beside them, such as variants of another
# precision, is not loaded.
_FORMS = (r"model[\w-]*\.safetensors", r"pytorch_model[\w-]*\.bin")


def space_of(checkpoint: Checkpoint) -> str:
    """Return the id of the space that a model's embeddings live in: the digest of its weight files, and of no others.

    So neither the folder's name, nor its chat template, nor how its makers sample from it are part of it. A model of a
    hub that is not here yet goes by its name, as written.
    """
    folder = checkpoint.path
    files = sorted(file for file in folder.iterdir() if file.is_file()) if folder and folder.is_dir() else []
    for form in _FORMS:
        if weights := [file for file in files if re.fullmatch(form, file.name)]:
            return f"weights@{digest([file_hash(file) for file in weights])[:12]}"
    return checkpoint.name
