"""The videos that a command was given, each once, with the names that training data knows them by."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from videochat import Stack, StackError, VideoChatError, VideoError
from videochat.cache import digest, file_hash

SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A video."""

    path: Path
    name: str  # its path, relative to where all lie, with slashes
    hash: str = ""  # of its bytes, and of its subtitles' where the stack reads them
    duration: float = 0.0  # seconds


@dataclass(frozen=True, slots=True)
class Sources:
    """The videos of a run."""

    root: Path  # the folder that names are relative to
    found: tuple[Source, ...]
    twins: tuple[tuple[Source, Source], ...] = ()  # files whose bytes are another's, with the first of them
    broken: tuple[tuple[Source, VideoChatError], ...] = ()  # those that cannot be watched


def find(stack: Stack, given: Sequence[Path], out: Path) -> Sources:
    """Return the videos among files and in folders; nothing of them is decoded.

    Names are relative to `out` if all lie in it, else to the nearest folder that holds all that was given.

    Raises:
        VideoError: if something does not exist, or there is no video.
    """
    paths = list(dict.fromkeys(Path(os.path.abspath(path)) for one in given for path in _files(one)))
    if not paths:
        raise VideoError(f"no video in {', '.join(map(str, given))}: files end in {', '.join(SUFFIXES)}")
    root = Path(os.path.abspath(out))
    if not all(path.is_relative_to(root) for path in paths):
        folders = [os.path.abspath(one if one.is_dir() else one.parent) for one in given]
        try:
            root = Path(os.path.commonpath(folders))
        except ValueError:  # on several drives
            raise StackError("names are relative to one folder: give videos of one drive at a time") from None
    subtitles = any(perceiver.sampling().subtitles for perceiver in stack.perceivers.values())
    found: dict[str, Source] = {}
    twins, broken = [], list[tuple[Source, VideoChatError]]()
    for path in paths:
        name = path.relative_to(root).as_posix().encode("utf-8", "replace").decode()
        try:
            video = stack.plan(path).video
            if name != path.relative_to(root).as_posix():
                raise VideoError(f"{path}: its name is not UTF-8: give it another")
        except (VideoError, StackError) as error:
            broken.append((Source(path, name), error))
            continue
        told = subtitles and video.subtitles
        source = Source(path, name, digest([video.hash, file_hash(told)]) if told else video.hash, video.duration)
        if (first := found.setdefault(source.hash, source)) is not source:
            twins.append((source, first))
    return Sources(root, tuple(found.values()), tuple(twins), tuple(broken))


def _files(given: Path) -> Iterable[Path]:
    if given.is_dir():
        return sorted(path for path in given.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if given.is_file():
        return [given]
    raise VideoError(f"no such file or folder: {given}")
