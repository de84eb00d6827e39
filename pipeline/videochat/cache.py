"""What was perceived, on disk: one folder for each video and each way of perceiving it.

    $VIDEOCHAT_CACHE/files/<path digest>.json            a file's hash, remembered by path, size and time of change
    $VIDEOCHAT_CACHE/files/<key>.safetensors             arrays that a plugin needs for every video
    $VIDEOCHAT_CACHE/<video>/<key>/key.json              what the key stands for, for people
    $VIDEOCHAT_CACHE/<video>/<key>/records.jsonl         one line a window, appended as windows finish
    $VIDEOCHAT_CACHE/<video>/<key>/tokens-<n>.safetensors

spool.py reads and writes the records.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt
import platformdirs
from filelock import FileLock, Timeout

from videochat.component import FASTER_ONLY, Component
from videochat.errors import StackError
from videochat.pool import Pool
from videochat.registry import registry
from videochat.secret import public

_DIGEST = re.compile(r"[0-9a-f]{32}")


def root() -> Path:
    """Return the folder of the cache: $VIDEOCHAT_CACHE, or the platform's own place for caches."""
    return Path(os.environ.get("VIDEOCHAT_CACHE") or platformdirs.user_cache_path("videochat"))


def digest(values: Any) -> str:
    """Return 32 hex digits that stand for JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def identity(component: Component, pool: Pool | None = None) -> dict[str, Any]:
    """Return all that decides what a component makes of its input: name, version, filled options, weights.

    With the pool that its models go to, also the precision that they run in.
    """
    cls = type(component)
    precision = "" if pool is None else component.precision(pool)
    space = getattr(component, "space", "")  # of embeddings, whose records name it
    return {
        **({"precision": precision} if precision else {}),
        **({"space": space} if space else {}),
        "use": registry().name_of(cls),
        "version": cls.version,
        "options": {key: value for key, value in public(component.options).items() if key not in _idle(cls)},
        "weights": [weights.id for weights in component.weights()],
    }


def _idle(cls: type[Component]) -> set[str]:
    """Return the options that change how fast a component is, not what it makes."""
    fields = cls.Options.model_fields.items()
    return {name for name, field in fields if field.json_schema_extra == FASTER_ONLY}


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{secrets.token_hex(8)}")  # however long the name is
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes; remembered as long as path, size and time of change stay the same."""
    path = path.resolve()
    stat = path.stat()
    facts = {"path": str(path), "size": stat.st_size, "mtime": stat.st_mtime_ns}
    note = root() / "files" / f"{digest(str(path))}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if facts.items() <= known.items():
            return str(known["hash"])
    except (OSError, ValueError, AttributeError, KeyError):
        pass  # not known yet, or a damaged note
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        write_whole(note, json.dumps({**facts, "hash": found}))
    except OSError as error:
        why = error.strerror or error
        raise StackError(f"the cache folder {root()} cannot be written to ({why}); set VIDEOCHAT_CACHE") from None
    return found


def remembered(key: str, build: Callable[[], dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Return named arrays that do not depend on the video, built once for each key, a digest."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    file = root() / "files" / f"{key}.safetensors"
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError):  # not known yet, or damaged
        built = build()
        write_whole(file, save(built))
        return built


def clear() -> int:
    """Delete the cache, and nothing else that may lie in its folder; return how many bytes were freed.

    What is kept of a video that is being watched stays: the process that watches it relies on that.
    """
    freed = 0
    for folder in _videos():
        if not _in_use(folder):
            freed += _bytes(folder.rglob("*"))
            shutil.rmtree(folder)
    for note in _notes():
        freed += _bytes([note])
        note.unlink(missing_ok=True)
    return freed


def size() -> tuple[int, int]:
    """Return how many videos the cache knows and how many bytes it takes."""
    videos = _videos()
    return len(videos), _bytes(_notes()) + sum(_bytes(folder.rglob("*")) for folder in videos)


def _bytes(paths: Iterable[Path]) -> int:
    """Return how much files take together; another process may delete some of them meanwhile."""
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _in_use(folder: Path) -> bool:
    """Return whether a process is at work on a video."""
    for lock in folder.glob("*/.lock"):
        try:
            with FileLock(lock, timeout=0):
                continue
        except Timeout:
            return True
    return False


def _videos() -> list[Path]:
    """Return the folders of videos: named by a digest, with nothing in them but folders named by digests."""
    return [
        path
        for path in root().glob("*")
        if _is_key(path) and not path.is_symlink() and all(map(_is_key, path.iterdir()))
    ]


def _notes() -> list[Path]:
    """Return what is remembered beside videos: hashes of files, arrays of plugins."""
    kinds = (".json", ".safetensors")
    files = (root() / "files").glob("*")
    return [path for path in files if path.suffix in kinds and _DIGEST.fullmatch(path.stem)]


def _is_key(path: Path) -> bool:
    return _DIGEST.fullmatch(path.name) is not None and path.is_dir()
