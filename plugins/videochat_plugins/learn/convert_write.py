"""Writes a network as a folder that transformers reads: whole, or not at all."""

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import StackError, UnavailableError
from videochat.save import check_folder
from videochat_plugins.learn.convert_embed import Network, tell
from videochat_plugins.learn.convert_names import folded

if TYPE_CHECKING:
    from torch import Tensor

_FACTS = "converted.json"
# What a folder may hold that --force replaces.
_OURS = re.compile(r"(config|preprocessor_config|converted)\.json|model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
# As the original's demo makes frames ready; training normalised by ImageNet's colours.
_CLIP = {
    "image_processor_type": "CLIPImageProcessor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_BICUBIC = 3
_SHARD = "2GB"  # the largest file of weights


def check_target(out: Path, force: bool) -> None:
    """Make sure that a folder can be written, and that nothing of the user's is lost by it.

    Raises:
        StackError: if it cannot, or if it holds something.
    """
    check_folder(out.parent)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise StackError(f"{out} is not a folder: name one that is not there yet")
    if Path.cwd() == out.resolve():  # which would be gone from under its user's feet
        raise StackError(f"{out} is the folder that you are in: name one that is not there yet")
    if not out.exists() or not any(out.iterdir()):
        return
    strange = sorted(path.name for path in out.iterdir() if not _OURS.fullmatch(path.name))
    if strange or not (out / _FACTS).is_file():
        some = f" holds {strange[0]}, which" if strange else " is not empty, and"
        raise StackError(f"{out}{some} this command did not write: name another folder")
    if not force:
        raise StackError(f"{out} is not empty: name another folder, or replace it with --force")


def write(network: Network, out: Path, precision: str) -> None:
    """Write config.json, weights, preprocessor_config.json and converted.json.

    Args:
        network: what to write.
        out: the folder, which `check_target` has checked.
        precision: of the weights, "float32", "bfloat16" or "float16", or "released": each as its file has it.

    Raises:
        UnavailableError: if a weight is too large a number for it.
    """
    config = network.config
    side = config.vision_config.image_size
    config.architectures = ["VideoChatEmbed"]
    config.dtype = "float32" if precision == "released" else precision
    pixels = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, "resample": _BICUBIC}
    facts = {"videochat": version("videochat"), "precision": precision, "sources": [*network.sources]}
    with _appearing(out) as folder:
        config.save_pretrained(folder)
        _write_json(folder / "preprocessor_config.json", _CLIP | pixels)
        _save_weights(network.weights, folder, precision)
        _write_json(folder / _FACTS, facts)


def _save_weights(weights: Mapping[str, "Tensor"], folder: Path, precision: str) -> None:
    """Write safetensors, in shards where they are large; no more than one of them is held in memory."""
    import torch
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors.torch import save_file

    dtypes = {name: w.dtype if precision == "released" else getattr(torch, precision) for name, w in weights.items()}
    sized = {name: torch.empty(w.shape, dtype=dtypes[name], device="meta") for name, w in weights.items()}
    split = split_torch_state_dict_into_shards(
        sized, filename_pattern="model{suffix}.safetensors", max_shard_size=_SHARD
    )
    for done, (name, keys) in enumerate(split.filename_to_tensors.items()):
        tell("write", done, len(split.filename_to_tensors), name)
        # Copies, since a file's weights may be views of one storage.
        shard = {key: weights[key].to(dtypes[key], copy=True, memory_format=torch.contiguous_format) for key in keys}
        if large := [key for key, weight in shard.items() if not weight.isfinite().all()]:
            raise UnavailableError(f"--precision {precision} cannot hold the numbers of {', '.join(folded(large)[:5])}")
        save_file(shard, folder / name, metadata={"format": "pt"})
        shutil.copymode(folder / "config.json", folder / name)  # else it is its owner's alone
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        _write_json(folder / "model.safetensors.index.json", index)


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` that takes its place at the end; after a failure there is none, and `out` stays."""
    out = out.resolve()
    part = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    old = part.with_name(f"{part.name}.old")
    out.parent.mkdir(parents=True, exist_ok=True)
    part.mkdir()
    try:
        yield part
        if out.exists():
            out.rename(old)
        part.rename(out)
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        for rest in (part, old):
            shutil.rmtree(rest, ignore_errors=True)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
