"""Loads the tokenizer of a checkpoint."""

from typing import Any

from videochat import UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """Return the tokenizer of a checkpoint, which is downloaded if it is not here.

    Raises:
        UnavailableError: if a file is missing, damaged or of no tokenizer that transformers knows.
    """
    from transformers import AutoTokenizer

    folder = checkpoint.fetch()
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of json, tokenizers, sentencepiece and the system: they share no base
        raise UnavailableError(f"the tokenizer of {checkpoint.name} cannot be loaded: {error}") from None
