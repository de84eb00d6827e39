"""Where the files of a model are: a folder or file of the user's own, or a hub's repository in the local cache."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videochat import UnavailableError, Weights
from videochat.cache import digest, file_hash

_NAME = r"\w(?:(?!--|\.\.)[\w.-])*(?<![.-])"  # as the hub allows
HUB_NAME = re.compile(rf"{_NAME}/{_NAME}(@[\w./-]+)?")
# What a model is loaded from; a repository may also hold the same weights for other libraries.
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's files.

    Args:
        name: a folder, a file, or a hub's `org/name` or `org/name@revision`.
        size: bytes that a download takes, where known.
        needs: files that it cannot do without, besides its weights; `a|b`: either.
        file: the one file of the repository that counts; empty: it is laid out as transformers does.
        stem: how the names of its weight files begin; those of peft begin with "adapter_model".
    """

    name: str
    size: int = 0
    needs: tuple[str, ...] = ("config.json",)
    file: str = ""
    stem: str = "model"

    @property
    def is_local(self) -> bool:
        """Whether it is the user's own folder or file, rather than a hub's."""
        return Path(self.name).expanduser().exists() or not HUB_NAME.fullmatch(self.name)

    @property
    def path(self) -> Path | None:
        """The folder, or the one file, if it is here."""
        if self.is_local:
            found = Path(self.name).expanduser()
            return found if found.exists() else None
        return self._cached()

    def weights(self) -> Weights:
        """Return its id, size and whether it is here; without network, and without reading more than to hash it."""
        path = self.path
        if path is None:
            return Weights(self.name, self.size, here=False)
        files = [path] if path.is_file() else sorted({*self._model_files(path)})
        size = sum(file.stat().st_size for file in files)
        if not self.is_local:
            commit = path.parent.name if path.is_file() else path.name
            return Weights(f"{self.name.partition('@')[0]}@{commit[:12]}", size, here=True)
        told = digest([[file.name, file_hash(file)] for file in files])
        return Weights(f"{path.resolve().name}@{told[:12]}", size, here=True)

    def check(self) -> None:
        """Make sure that it is here and whole, or that a hub may have it.

        Raises:
            UnavailableError: naming the file that is missing or broken.
        """
        path = self.path
        if path is None:
            if self.is_local:
                raise UnavailableError(f"there is no checkpoint {self.name}: it must be a folder, or a hub's org/name")
            return
        if self.file:
            if path.is_dir():
                raise UnavailableError(f"the checkpoint {path} must be the file {self.file} itself, not a folder")
            return
        if not path.is_dir():
            raise UnavailableError(f"the checkpoint {path} must be a folder as transformers saves it, not a file")
        for need in self._lacking(path):
            raise UnavailableError(f"the checkpoint {path} has no {need.replace('|', ' or ')}")
        for file in self._weight_files(path):
            if not file.is_file():
                raise UnavailableError(f"the checkpoint {path} has no {file.name}")
            if file.suffix == ".safetensors":
                _check_whole(file)

    def fetch(self) -> Path:
        """Return the folder, or the one file, after downloading it if it is not here.

        Raises:
            UnavailableError: if it cannot be had, or is not whole.
        """
        self.check()
        if path := self.path:
            return path
        if why := offline():
            raise self._unavailable(why)
        import huggingface_hub as hub

        repository, _, revision = self.name.partition("@")
        try:
            if self.file:
                return Path(hub.hf_hub_download(repository, self.file, revision=revision or None))
            facts = hub.model_info(repository, revision=revision or None, timeout=20)
            listed = [file.rfilename for file in facts.siblings or ()]
            best, other = self._whole
            weights = "*.safetensors" if best in listed or _index(best) in listed else f"{other.partition('.')[0]}*"
            hub.snapshot_download(repository, revision=revision or None, allow_patterns=[*_TEXTS, weights])
        except Exception as error:  # the hub's, the HTTP library's and the system's are of a dozen kinds
            raise self._unavailable(f"{type(error).__name__}") from None
        self.check()
        found = self.path
        if found is None:
            raise self._unavailable("the download is not whole")
        return found

    def config(self) -> dict[str, Any]:
        """Return its config.json.

        Raises:
            UnavailableError: if that is missing or no JSON.
        """
        path = self.path
        file = path / "config.json" if path else None
        try:
            found = json.loads(file.read_text(encoding="utf-8")) if file else None
        except (OSError, ValueError) as error:
            raise UnavailableError(f"{file} cannot be read: {error}") from None
        if not isinstance(found, dict):
            raise UnavailableError(f"the checkpoint {self.name} has no config.json that describes a model")
        return found

    def _cached(self) -> Path | None:
        try:
            from huggingface_hub import try_to_load_from_cache
        except ModuleNotFoundError:
            return None
        repository, _, revision = self.name.partition("@")
        name = self.file or self.needs[0].partition("|")[0]
        found = try_to_load_from_cache(repository, name, revision=revision or None)
        if not isinstance(found, str):
            return None
        if self.file:
            return Path(found)
        folder = Path(found).parent
        whole = all(file.exists() for file in self._weight_files(folder)) and not self._lacking(folder)
        return folder if whole else None  # what other programs left out is downloaded

    def _lacking(self, folder: Path) -> list[str]:
        """Return what it needs, besides its weights, and the folder does not hold."""
        return [need for need in self.needs if not any((folder / name).is_file() for name in need.split("|"))]

    def _model_files(self, folder: Path) -> Iterator[Path]:
        """Yield all files that decide what the model makes."""
        for pattern in _TEXTS:
            yield from folder.glob(pattern)
        yield from (file for file in self._weight_files(folder) if file.is_file())

    def _weight_files(self, folder: Path) -> list[Path]:
        """Return the files that hold the weights, whether they are there or not."""
        for name in self._whole:
            if (index := folder / _index(name)).is_file():
                return [index, *(folder / shard for shard in _shards(index))]
            if (folder / name).is_file():
                return [folder / name]
        return [folder / self._whole[0]]

    @property
    def _whole(self) -> tuple[str, str]:
        """The names of its weight file where it is one, the safer form first."""
        return f"{self.stem}.safetensors", f"pytorch_{self.stem}.bin"

    def _unavailable(self, why: str) -> UnavailableError:
        command = f"hf download {self.name.replace('@', ' --revision ')}{f' {self.file}' if self.file else ''}"
        holder = "the file itself" if self.file else "a folder that holds it"
        return unavailable(f"checkpoint {self.name}", self.size, why, command, f"name {holder}")


def offline() -> str:
    """Return why nothing may be downloaded, or nothing if it may."""
    return "" if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("0", "", "false") else "HF_HUB_OFFLINE is set"


def unavailable(what: str, size: int, why: str, command: str, instead: str) -> UnavailableError:
    """Return the error that tells of a model that cannot be had: which, why, and how to get it.

    Args:
        what: the model, as in "checkpoint org/name".
        size: bytes of the download; 0 where unknown.
        why: it could not be downloaded.
        command: that downloads it.
        instead: what else can be done, as in "name a folder that holds it".
    """
    told = f" ({size / 1e6:.0f} MB)" if size else ""
    return UnavailableError(
        f"the {what}{told} is not here and could not be downloaded ({why}): run `{command}` where there is a network, "
        f"or {instead}; the stack `offline` needs none"
    )


def _index(name: str) -> str:
    """Return the name of the file that lists the shards of a weight file."""
    return f"{name}.index.json"


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise UnavailableError(f"{index} is no list of weight files") from None


def _check_whole(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            pass
    except (SafetensorError, OSError) as error:
        raise UnavailableError(f"{file} is damaged or cut short ({error}): download it again") from None
