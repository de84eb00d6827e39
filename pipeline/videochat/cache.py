"""What was perceived, on disk: one folder for each video and each way of perceiving it.

    $VIDEOCHAT_CACHE/files/<path digest>.json            a file's hash, remembered by path, size and time of change
    $VIDEOCHAT_CACHE/<video>/<key>/key.json              what the key stands for, for people
    $VIDEOCHAT_CACHE/<video>/<key>/records.jsonl         one line a window, appended as windows finish
    $VIDEOCHAT_CACHE/<video>/<key>/tokens-<n>.safetensors

spool.py reads and writes the records.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import platformdirs

from videochat.component import Component
from videochat.registry import registry
from videochat.secret import public


def root() -> Path:
    """Return the folder of the cache: $VIDEOCHAT_CACHE, or the platform's own place for caches."""
    return Path(os.environ.get("VIDEOCHAT_CACHE") or platformdirs.user_cache_path("videochat"))


def digest(values: Any) -> str:
    """Return 32 hex digits that stand for JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def identity(component: Component) -> dict[str, Any]:
    """Return all that decides what a component makes of its input: name, version, filled options, weights."""
    cls = type(component)
    return {
        "use": registry().name_of(cls),
        "version": cls.version,
        "options": public(component.options),
        "weights": [weights.id for weights in component.weights()],
    }


def write_whole(path: Path, text: str) -> None:
    """Write a file so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


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
    write_whole(note, json.dumps({**facts, "hash": found}))
    return found


def clear() -> int:
    """Delete the cache, and nothing else that may lie in its folder; return how many bytes were freed."""
    freed = 0
    for folder in _folders():
        freed += _size(folder)
        shutil.rmtree(folder)
    return freed


def size() -> tuple[int, int]:
    """Return how many videos the cache knows and how many bytes it takes."""
    folders = _folders()
    return sum(folder.name != "files" for folder in folders), sum(map(_size, folders))


def _folders() -> list[Path]:
    ours = re.compile(r"files|[0-9a-f]{32}")
    return [path for path in root().glob("*") if path.is_dir() and ours.fullmatch(path.name)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
