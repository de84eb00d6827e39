"""Loads what a training starts from: the language model, and the network of BLIP-2, a conversion or a stage before."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import UnavailableError
from videochat_plugins.learn.convert_read import read_folder
from videochat_plugins.learn.train_config import Config, LoRA, Stage
from videochat_plugins.learn.train_prompt import language_model
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.pretrained import load_model

if TYPE_CHECKING:
    from torch import Tensor

    from videochat_plugins.learn.train_model import Learner
    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

FACTS = "trained.json"  # what a training says of the folder that it wrote
_CONVERTED = "converted.json"
_KINDS = ("videochat_embed", "blip-2")
_BICUBIC = 3
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's


@dataclass(frozen=True, slots=True)
class Start:
    """What a training starts from, before anything heavy is loaded."""

    model: Checkpoint
    llm: Checkpoint
    kind: str  # of the model: "videochat_embed" or "blip-2"
    fresh: bool  # whether what is trained is drawn anew
    width: int  # of the language model's embeddings
    space: str


def look(config: Config, stage: Stage) -> Start:
    """Return what a training starts from, after checking that it can.

    Raises:
        UnavailableError: if a folder is missing or not whole, if it is not what the stage starts from, or if network
            and language model do not belong together.
    """
    model = Checkpoint(config.model, needs=("config.json", "preprocessor_config.json|processor_config.json"))
    llm = language_model(config)
    model.fetch()
    kind = model.config().get("model_type", "none")
    if kind not in _KINDS:
        raise UnavailableError(f"model: {model.name} is a {kind} model, and training starts from a VideoChat-Embed")
    fresh = bool(getattr(config, "fresh", False)) or kind == "blip-2"
    start = Start(model, llm.checkpoint, kind, fresh, llm.width, llm.space)
    if stage == "stage2":
        _check_aligned(model, kind)
    if not start.fresh:
        _check_fit(start)
    return start


def load_network(start: Start, precision: str) -> "VideoChatEmbed":
    """Return the network, on the CPU.

    Raises:
        UnavailableError: if its weights are missing or others, or not those that its stage 1 wrote.
    """
    import torch

    from videochat_plugins.learn.train_model import TRAINED, digest_of
    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

    if start.fresh:
        network = _fresh(start)
    else:
        network = load_model(VideoChatEmbed, start.model, "float32", "cpu")
        facts = _facts(start.model, FACTS)
        trained = [name for name in network.state_dict() if TRAINED.fullmatch(name)]
        if facts and facts.get("trained") != digest_of(network.state_dict(), trained):
            raise UnavailableError(f"{start.model.name}: its weights are not those that {FACTS} tells of: train again")
    network.config.llm, network.config.space = start.llm.name, start.space
    for name, weight in network.named_parameters():
        if not TRAINED.fullmatch(name):
            weight.data = weight.data.to(getattr(torch, precision))
    return network


def load_llm(start: Start, precision: str, lora: LoRA | None) -> Any:
    """Return the language model, on the CPU, with fresh adapters if wanted.

    Raises:
        UnavailableError: if it cannot be loaded, or has no such layers.
    """
    import transformers

    model = load_model(transformers.AutoModelForCausalLM, start.llm, precision, "cpu")
    if lora is None:
        return model
    import peft

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    sizes: dict[str, Any] = {
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": targets,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            adapted: Any = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **sizes))
    except ValueError as error:
        raise UnavailableError(f"lora.targets: {error}") from None
    adapted.peft_config["default"].base_model_name_or_path = start.llm.name
    return adapted


def preprocessing(start: Start) -> tuple[Preprocess, dict[str, bytes]]:
    """Return how frames are made ready, and the files that say so.

    From BLIP-2 on it is as the original's demo does, which squashes no video, with CLIP's mean and deviation; the
    original's training took ImageNet's.

    Raises:
        UnavailableError: if a processor makes pictures of another size than the network takes.
    """
    folder = start.model.fetch()
    side = start.model.config().get("vision_config", {}).get("image_size", 224)
    if start.kind == "blip-2":
        pixels = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, "resample": _BICUBIC}
        colours = {"image_mean": _MEAN, "image_std": _STD}
        found = {"image_processor_type": "CLIPImageProcessor", **colours, **pixels}
        prepare = Preprocess(side, {"shortest_edge": side}, "bicubic", (side, side), 1 / 255, _MEAN, _STD)
        return prepare, {"preprocessor_config.json": (json.dumps(found, indent=2) + "\n").encode()}
    prepare = Preprocess.read(folder)
    if prepare.crop != (side, side):
        raise UnavailableError(f"{start.model.name} sees pictures of {side}x{side}, and its processor makes others")
    names = ("preprocessor_config.json", "processor_config.json")
    return prepare, {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def save_network(learner: "Learner", start: Start, folder: Path) -> None:
    """Write the network as `embed.videochat` loads it: what was trained, and all else bit for bit as it was read."""
    from transformers.utils import logging

    from videochat_plugins.learn.train_model import TRAINED

    network = learner.network
    wanted = network.state_dict()
    state = {name: w for name, w in _frozen(start).items() if name in wanted}
    trained = {name: w.detach().cpu() for name, w in wanted.items() if TRAINED.fullmatch(name)}
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        network.save_pretrained(folder, state_dict=state | trained, max_shard_size="2GB")
    finally:
        if bars:
            logging.enable_progress_bar()


def _fresh(start: Start) -> "VideoChatEmbed":
    """Return a network whose frozen parts and ln_vision are the model's, all else drawn for the language model."""
    from videochat_plugins.learn.train_model import TRAINED
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

    told = start.model.config()
    if start.kind == "blip-2":
        blocks = told.get("vision_config", {}).get("num_hidden_layers", 39)
        counts = {"num_queries": told.get("num_query_tokens", 32), "gmhra_layers": min(8, blocks)}
        told = {name: told[name] for name in ("vision_config", "qformer_config") if name in told} | counts
    try:
        network = VideoChatEmbed(VideoChatEmbedConfig(**told | {"llm_width": start.width}))
    except (TypeError, ValueError) as error:
        raise UnavailableError(f"model: {start.model.name} has sizes that no network has: {error}") from None
    kept = {
        name: weight
        for name, weight in _frozen(start).items()
        if not TRAINED.fullmatch(name) or name.startswith("vision_model.post_layernorm.")
    }
    wanted = network.state_dict()
    kept = {name: weight.float() for name, weight in kept.items() if name in wanted}
    lacking = [name for name in wanted if name not in kept and not TRAINED.fullmatch(name)]
    wrong = [name for name, weight in kept.items() if weight.shape != wanted[name].shape]
    for fault, names in (("lacks", lacking), ("has wrong shapes for", wrong)):
        if names:
            raise UnavailableError(f"the checkpoint {start.model.name} {fault} {', '.join(names[:5])}")
    network.load_state_dict(kept, strict=False)
    return network


def _frozen(start: Start) -> "Mapping[str, Tensor]":
    """Return the weights in the model's files."""
    return {name: weight for state in read_folder(start.model.fetch()).values() for name, weight in state.items()}


def _check_aligned(model: Checkpoint, kind: str) -> None:
    """Make sure that a folder holds what stage 1 leaves: the original's stage 2 starts without it, and says nothing."""
    converted = _facts(model, _CONVERTED).get("sources", [])
    released = any(source.get("option") in ("--stage1", "--videochat") for source in converted)
    if kind != "videochat_embed" or not (released or _facts(model, FACTS)):
        raise UnavailableError(
            f"model: {model.name} is not what stage 1 leaves: it holds neither {FACTS}, as `videochat train stage1` "
            f"writes it, nor a {_CONVERTED} of released weights; train stage 1 first, and name its `out`"
        )


def _check_fit(start: Start) -> None:
    """Make sure that the network was made for the language model."""
    told, mend = start.model.config(), "name that, or train stage 1 with `fresh: true`"
    if told.get("llm_width") != start.width:
        raise UnavailableError(
            f"{start.model.name} makes embeddings {told.get('llm_width')} wide, and {start.llm.name} takes them "
            f"{start.width} wide: it was made for {told.get('llm') or 'another language model'}; {mend}"
        )
    if told.get("space") and told["space"] != start.space:
        raise UnavailableError(
            f"{start.model.name} makes embeddings for {told['space']}, {told.get('llm') or 'another language model'}, "
            f"and {start.llm.name} is {start.space}; {mend}"
        )


def _facts(model: Checkpoint, name: str) -> dict[str, Any]:
    """Return what a file in a model's folder tells of it."""
    return read_object(model.path / name) if model.path else {}


def read_object(file: Path) -> dict[str, Any]:
    """Return what a JSON file holds; empty if there is no object in it, or no such file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
