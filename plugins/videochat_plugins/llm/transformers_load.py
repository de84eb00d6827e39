"""Loads a causal language model: quantised, if wanted, and with a LoRA adapter."""

import json
import warnings
from importlib.util import find_spec
from typing import Any

from videochat import StackError, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.pretrained import load_model
from videochat_plugins.models.quantised import Quantisation, quantised, quieten
from videochat_plugins.models.tokenizer import load_tokenizer

_WINDOWS = ("max_position_embeddings", "n_positions", "max_sequence_length")  # as the families of models call it

_WIDTHS = ("word_embed_proj_dim", "hidden_size", "n_embd", "d_model")


def adapter_files(name: str) -> Checkpoint:
    """Return the files of an adapter as peft saves it."""
    return Checkpoint(name, needs=("adapter_config.json",), stem="adapter_model")


def check_adapter(adapter: Checkpoint) -> None:
    """Make sure that an adapter is whole and of a kind that can be put into a model, or can be asked for.

    Raises:
        UnavailableError: if it is not.
    """
    need("peft", "lora", "llm.adapter")
    adapter.check()
    if adapter.path is None:
        return
    file = adapter.path / "adapter_config.json"
    try:
        kind = json.loads(file.read_text(encoding="utf-8"))["peft_type"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UnavailableError(f"{file} does not describe an adapter") from None
    if kind != "LORA":
        raise UnavailableError(f"the adapter {adapter.name} is of type {kind}, and this needs LORA")


def need(module: str, extra: str, option: str) -> None:
    """Make sure that the package behind an option is installed.

    Raises:
        UnavailableError: with the command that gets it.
    """
    if find_spec(module) is None:
        raise UnavailableError(f'{option} needs {module}: pip install "videochat[{extra}]"')


def load_causal_lm(
    checkpoint: Checkpoint, precision: str, device: str, quantisation: Quantisation | None, adapter: Checkpoint | None
) -> Any:
    """Return a transformers model that goes on from text, in evaluation mode.

    An adapter's weights are added to the model's; beside quantised weights, quantised here or when they were saved,
    they stay apart, since adding would round them away.

    Raises:
        UnavailableError: if it cannot be loaded, or is of a kind that keeps no keys and values.
    """
    import inspect

    import transformers

    how = {"device_map": {"": device}, **quantised(quantisation, precision)}
    model = load_model(transformers.AutoModelForCausalLM, checkpoint, precision, device, **how)
    if not {"past_key_values", "logits_to_keep"} <= {*inspect.signature(model.forward).parameters}:
        what = f"the checkpoint {checkpoint.name} is a {model.config.model_type} model"
        raise UnavailableError(f"{what}, and this needs a decoder with attention")
    quieten(model)
    return with_adapter(model, adapter, device) if adapter else model


def load_fast_tokenizer(checkpoint: Checkpoint) -> Any:
    """Return the tokenizer of a checkpoint, without its weights.

    Raises:
        UnavailableError: if it cannot be loaded, or is none that tells where in the text its tokens stand.
    """
    found = load_tokenizer(checkpoint)
    if not found.is_fast:
        raise UnavailableError(
            f"the tokenizer of {checkpoint.name} has no fast form, a tokenizer.json, which this needs"
        )
    return found


def window_of(checkpoint: Checkpoint) -> int:
    """Return how many tokens a model was made to read, as its config.json has it.

    Raises:
        StackError: if that does not say.
    """
    config = checkpoint.config()
    config = config.get("text_config") or config
    found = [config[name] for name in _WINDOWS if isinstance(config.get(name), int)]
    if not found:
        raise StackError(f"the checkpoint {checkpoint.name} does not say how much it reads: set llm.window")
    return int(found[0])


def width_of(checkpoint: Checkpoint) -> int:
    """Return how wide a model's embeddings are, as its config.json has it; 0 where that does not say."""
    config = checkpoint.config()
    config = config.get("text_config") or config
    return next((int(config[name]) for name in _WIDTHS if isinstance(config.get(name), int)), 0)


def with_adapter(model: Any, adapter: Checkpoint, device: str) -> Any:
    """Return a model with the weights of a LoRA adapter; it may be the same model, changed.

    Raises:
        UnavailableError: if the adapter does not fit the model.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    folder = str(adapter.fetch())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, folder, torch_device=device)
        given = {name for name in load_peft_weights(folder, device="cpu") if "lora_" in name}
        if strange := sorted(given - {*get_peft_model_state_dict(adapted, save_embedding_layers=False)}):
            more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
            raise ValueError(f"that has no place for {', '.join(strange[:3])}{more}")
    except (OSError, ValueError, KeyError, RuntimeError, UserWarning) as error:
        raise UnavailableError(f"the adapter {adapter.name} does not fit the model: {error}") from None
    quantised = getattr(model, "is_quantized", False)
    whole = adapted.get_base_model() if quantised else adapted.merge_and_unload()
    return whole.eval().requires_grad_(False)
