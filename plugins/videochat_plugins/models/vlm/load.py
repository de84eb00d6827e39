"""The one loaded model that a stack sees with and answers with."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from videochat import Key, Pool, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.pretrained import load_model
from videochat_plugins.models.quantised import Quantisation, quantised, quieten

DEFAULT = "LanguageBind/Video-LLaVA-7B-hf"
RELEASED: Mapping[str, int] = {  # bytes of the weights; half-precision numbers, where nothing else is said
    DEFAULT: 14_730_000_000,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 8_990_000_000,  # this and the next two: float32
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct": 1_030_000_000,
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": 2_030_000_000,
    "OpenGVLab/InternVL3-1B-hf": 1_880_000_000,
    "OpenGVLab/InternVL3-2B-hf": 4_180_000_000,
    "OpenGVLab/InternVL3-8B-hf": 15_890_000_000,
    "Qwen/Qwen2.5-VL-3B-Instruct": 7_510_000_000,
    "Qwen/Qwen2.5-VL-7B-Instruct": 16_580_000_000,
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": 1_790_000_000,
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": 16_060_000_000,
}
_NEEDS = ("config.json", "tokenizer.json|tokenizer.model|vocab.json")
_CLASS = "AutoModelForImageTextToText"


def files(name: str) -> Checkpoint:
    """Return the files of a video-language model: the same for the side that sees and the side that answers."""
    return Checkpoint(name, RELEASED.get(name, 0), _NEEDS)


def check_quantisation(option: str) -> None:
    """Make sure that what quantises is installed.

    Raises:
        UnavailableError: with the command that gets it.
    """
    if find_spec("bitsandbytes") is None:
        raise UnavailableError(f'{option} needs bitsandbytes: pip install "videochat[quantised]"')


def load_vlm(pool: Pool, checkpoint: Checkpoint, precision: str, device: str, quantisation: Quantisation | None) -> Any:
    """Return the model, loaded once for all who ask for the same.

    Raises:
        UnavailableError: if it cannot be loaded.
    """
    key = Key(_CLASS, checkpoint.weights().id, precision, quantisation or "", device)
    return pool.get(key, lambda: build_vlm(checkpoint, precision, device, quantisation))


def build_vlm(checkpoint: Checkpoint, precision: str, device: str, quantisation: Quantisation | None) -> Any:
    """Return a copy of the model that no one else has, in evaluation mode.

    Raises:
        UnavailableError: if it cannot be loaded.
    """
    import transformers

    how = {"device_map": {"": device}, **quantised(quantisation, precision)}
    model = load_model(getattr(transformers, _CLASS), checkpoint, precision, device, **how)
    quieten(model)
    return model
