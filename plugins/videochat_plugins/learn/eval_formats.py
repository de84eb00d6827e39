"""The formats of datasets that can be asked about, told apart by what their entries hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from videochat import StackError
from videochat_plugins.learn import eval_formats_choice as choice
from videochat_plugins.learn import eval_formats_open as free
from videochat_plugins.learn.eval_data import Dataset
from videochat_plugins.learn.eval_files import FILES, entries, load
from videochat_plugins.learn.eval_videos import Videos


@dataclass(frozen=True, slots=True)
class Format:
    """How the entries of a dataset are written."""

    read: Callable[[Path, Dataset, str | None], None]  # a file or folder, where its questions go, the split
    keys: frozenset[str]  # by which an entry is known
    choice: bool = False  # whether its questions are asked with lettered options, unless said otherwise
    splits: bool = False  # whether it has parts to choose from


FORMATS = {
    "world": Format(free.world, frozenset({"group", "split", "twin"}), splits=True),
    "mvbench": Format(choice.mvbench, frozenset({"video", "candidates", "question"}), choice=True),
    "nextqa": Format(choice.nextqa, frozenset({"video", "a0", "a4", "qid"}), choice=True, splits=True),
    "egoschema": Format(choice.egoschema, frozenset({"q_uid", "option 0"}), choice=True),
    "videomme": Format(choice.videomme, frozenset({"video_id", "duration", "domain"}), choice=True),
    "moviechat": Format(free.moviechat, frozenset({"info", "global"})),
    "videoqa": Format(free.videoqa, frozenset({"question"}), splits=True),  # MSVD-QA, MSRVTT-QA, ActivityNet-QA
}


def read(source: Path, format: str | None = None, videos: Path | None = None, split: str | None = None) -> Dataset:
    """Read a dataset.

    Args:
        source: its folder, or a file.
        format: one of `FORMATS`; default: what its entries look like.
        videos: the folder that the videos are in; default: that of the dataset.
        split: the part to read, where the format has several.

    Raises:
        StackError: if there is no such file, if none looks like a known format, or if one cannot be read as a whole.
    """
    if not source.exists():
        raise StackError(f"no such file or folder: {source}")
    if videos is not None and not videos.is_dir():
        raise StackError(f"no such folder: {videos}")
    known = FORMATS[format or _detect(source)]
    if split is not None and not known.splits:
        raise StackError(f"this format has no splits: leave out --split {split}")
    dataset = Dataset(Videos(videos or (source if source.is_dir() else source.parent)), known.choice)
    known.read(source, dataset, split)
    return dataset


def _detect(source: Path) -> str:
    """Return the first format that an entry of the source looks like.

    Raises:
        StackError: if there is none.
    """
    files = [source] if source.is_file() else sorted(p for f in (source, source / "json") for p in f.glob("*"))
    looks, broken = [], []
    for file in files:
        try:
            looks += [entry.keys() for entry in _first(file)]
        except StackError as error:
            broken.append(error)
    for name, known in FORMATS.items():
        if any(known.keys <= keys for keys in looks):
            return name
    if broken:
        raise broken[0]
    if parquet := [file.name for file in files if file.suffix == ".parquet"]:
        raise StackError(f"{parquet[0]} must be written as JSON lines first; docs/learn_eval.md tells how")
    raise StackError(f"{source} looks like none of {', '.join(FORMATS)}; say which it is: --format")


def _first(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the first entry of a file that has keys: of a list, a line, or all of a mapping."""
    if file.suffix.lower() not in FILES or not file.is_file():
        return
    if file.suffix.lower() == ".json" and isinstance(whole := load(file), dict):
        yield whole
    else:
        yield from islice((entry.value for entry in entries(file) if isinstance(entry.value, dict)), 1)
