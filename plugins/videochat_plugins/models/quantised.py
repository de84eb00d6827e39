"""Weights stored in 8 or 4 bits, by bitsandbytes."""

import logging
from typing import Any, Literal

Quantisation = Literal["8bit", "4bit"]


def quantised(quantisation: Quantisation | None, precision: str) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that store a model's weights so; none where they stay as they are.

    Args:
        quantisation: LLM.int8() (arXiv 2208.07339), or NF4 with double quantisation (arXiv 2305.14314).
        precision: that 4-bit weights are computed in.
    """
    if not quantisation:
        return {}
    import torch
    import transformers

    if quantisation == "8bit":
        return {"quantization_config": transformers.BitsAndBytesConfig(load_in_8bit=True)}
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, precision),
    )
    return {"quantization_config": config}


def quieten(model: Any) -> None:
    """Keep bitsandbytes from telling of each layer and token of a model, where it would."""
    if getattr(model, "is_loaded_in_8bit", False):
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
