"""Reads weights out of files that others released: tensors only, never code; a wrong file is named for what it is."""

import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

_AGAIN = "download it again"
# What a download leaves behind instead of weights, by how it begins.
_NO_WEIGHTS = (
    (rb"\s*<(!doctype|html|head|\?xml)", "is a web page, not weights: download the file itself, past the page"),
    (rb"version https://git-lfs", "is a pointer of Git LFS, not the file: fetch that with `git lfs pull`"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "is an archive: unpack it, and give the file in it"),
    (rb".{8}\{\"", "is a safetensors file, and the released ones are of torch.save"),
    (rb"[\t\n\r -~]+\Z", "is text, not weights"),
)
_ZIP = b"PK\x03\x04"
# Checkpoints of the original also hold its settings. A mapping that does nothing stands in for their class.
_MAPPINGS = ("easydict.EasyDict", "utils.easydict.EasyDict")
_WRAPPERS = ("model", "module", "state_dict")


@dataclass(frozen=True, slots=True)
class Look:
    """What a file of weights is, told by the names in it."""

    what: str
    names: re.Pattern[str]
    mend: str  # where it belongs


# The first that fits: a file of VideoChat also holds traces of the others.
_LOOKS = tuple(
    Look(what, re.compile(names), mend)
    for what, names, mend in (
        ("what VideoChat trained", r"visual_encoder\.gmhra\.", "give it as --videochat or --stage1"),
        ("VideoChat2, another network", r"vision_encoder\.|mistral_proj\.", "there is no place for it here"),
        ("a Q-Former as LAVIS has it", r"Qformer\.bert\.encoder\.", "give it as --qformer"),
        ("a BLIP-2 of transformers", r"qformer\.encoder\.", "give its folder as --blip2"),
        ("EVA's ViT", r"(visual_encoder\.)?blocks\.\d+\.attn\.", "give it as --vit"),
        ("an adapter", r".*\.lora_[AB]\.", "put it into its model first"),
        (
            "a language model",
            r"(model\.)?(layers\.\d+\.self_attn|embed_tokens)\.|lm_head\.",
            "give its folder as --llm",
        ),
        ("a CLIP", r"(visual\.)?transformer\.resblocks\.|(text|vision)_model\.", "there is no place for it here"),
        ("a T5", r"(shared|(en|de)coder\.block\.\d+)\.", "there is no place for it here"),
        ("a projection without GMHRA, as of MiniGPT-4", r"llama_proj\.", "take VideoChat's own file"),
    )
)
VIDEOCHAT, QFORMER, BLIP2, VIT = (_LOOKS[index] for index in (0, 2, 3, 4))


def look(names: Iterable[str]) -> Look | None:
    """Return what weights of these names are; None if that is not known."""
    names = list(names)
    return next((one for one in _LOOKS if any(map(one.names.match, names))), None)


def read_weights(path: Path) -> dict[str, "Tensor"]:
    """Return the weights in a file of `torch.save`, by the names in it, alone or under "model".

    They stay on the disk until they are used, where the form of the file allows it.

    Raises:
        UnavailableError: if it is no such file, is not whole, holds something that is no plain data, or no weights.
    """
    import torch

    zipped = _check_form(path)
    try:
        with torch.serialization.safe_globals([(OrderedDict, name) for name in _MAPPINGS]):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # of the system, of zip, of pickle and of torch
        raise UnavailableError(f"{path} {_why(path, error, zipped)}") from None
    return _weights(path, found)


def read_folder(folder: Path) -> dict[Path, dict[str, "Tensor"]]:
    """Return the weights in each file of a folder as transformers saves it, by the names in them.

    They stay on the disk until they are used.

    Raises:
        UnavailableError: as `read_weights`.
    """
    if not (files := sorted(folder.glob("model*.safetensors"))):
        return {file: read_weights(file) for file in sorted(folder.glob("pytorch_model*.bin"))}
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = {}
    for file in files:
        try:
            found[file] = load_file(file)
        except SafetensorError as error:
            raise UnavailableError(f"{file} {_why(file, error, zipped=False)}") from None
    return found


def _check_form(path: Path) -> bool:
    """Return whether a file is of the newer form, a zip archive, after refusing what can be told from outside.

    Raises:
        UnavailableError: saying what it is.
    """
    if path.is_dir():
        raise UnavailableError(f"{path} is a folder, and this must be a file")
    if not path.is_file():
        raise UnavailableError(f"there is no file {path}")
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise UnavailableError(f"{path} is empty: {_AGAIN}")
    if start.startswith(_ZIP):
        if not zipfile.is_zipfile(path):
            size = path.stat().st_size
            raise UnavailableError(f"{path} is cut short after {size / 1e6:.1f} MB ({size} bytes): {_AGAIN}")
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("/data.pkl") for name in archive.namelist()):
                raise UnavailableError(f"{path} is an archive: unpack it, and give the file in it")
        return True
    for begins, what in _NO_WEIGHTS:
        if re.match(begins, start, re.IGNORECASE | re.DOTALL):
            raise UnavailableError(f"{path} {what}")
    return False


def _why(path: Path, error: Exception, zipped: bool) -> str:
    """Return why a file could not be loaded."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    named = re.findall(r"GLOBAL ([\w.]+)", str(error))
    if named and zipped:
        named = sorted(set(get_unsafe_globals_in_checkpoint(path)) - set(_MAPPINGS))
    if named:
        return f"holds {', '.join(named)}, which is no plain data and might run code: it was not loaded"
    return f"is damaged or cut short ({type(error).__name__}): {_AGAIN}"


def _weights(path: Path, found: Any) -> dict[str, "Tensor"]:
    from torch import Tensor

    for name in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    if not isinstance(found, Mapping) or not found:
        raise UnavailableError(f"{path} holds no weights but {_kind(found)}")
    if strange := [str(name) for name, value in found.items() if not isinstance(value, Tensor)]:
        more = " ..." if len(strange) > 5 else ""
        raise UnavailableError(f"{path} holds no weights of a network: {', '.join(strange[:5])}{more} are no tensors")
    return {str(name).removeprefix("module."): value for name, value in found.items()}


def _kind(found: Any) -> str:
    return "an empty table" if isinstance(found, Mapping) else f"a {type(found).__name__}"
