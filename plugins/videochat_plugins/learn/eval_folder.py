"""The folder of an evaluation: what was answered, row by row, and what came of it.

STACK-<key>.jsonl          what a stack answered; the key is that of all its settings
STACK-blind-<key>.jsonl    what its language model answered where nothing was perceived
judge-<key>.jsonl          what a judge said
results.jsonl              each question and system with its answer and whether it is right, written at the end
report.json                the tables
"""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from videochat import StackError
from videochat.cache import write_whole
from videochat.save import check_folder
from videochat_plugins.learn.eval_report import FORMAT
from videochat_plugins.learn.eval_rows import Rows

_KEY = 12  # digits of a digest in a file's name


class Folder:
    """Where the rows of an evaluation are; `opened` makes one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, name: str, key: str) -> Rows:
        """Return the rows of what has this name, under exactly these settings."""
        return Rows(self.path / f"{_file_name(name)}-{key[:_KEY]}.jsonl")

    def others(self, name: str, key: str) -> list[Path]:
        """Return the files of the same name that were written under other settings."""
        pattern = re.compile(rf"{re.escape(_file_name(name))}-[0-9a-f]{{{_KEY}}}\.jsonl")
        found = (path for path in self.path.glob("*.jsonl") if pattern.fullmatch(path.name))
        return sorted(path for path in found if path.stem[-_KEY:] != key[:_KEY])

    def finish(self, report: dict[str, Any], results: Iterable[dict[str, Any]]) -> None:
        """Write what came of it."""
        text = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
        # First, as it is by this file that `opened` knows both.
        write_whole(self.path / "report.json", text.encode("utf-8", "surrogatepass"))
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in results)
        write_whole(self.path / "results.jsonl", "".join(lines).encode("utf-8", "surrogatepass"))


@contextmanager
def opened(path: Path | None) -> Iterator[Folder]:
    """Open the folder of an evaluation for one process; without a path it is gone afterwards.

    Raises:
        StackError: if it cannot be written to, holds something else, or is in use.
    """
    if path is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Folder(Path(folder))
        return
    check_folder(path)
    for name in ("report.json", "results.jsonl"):
        if (path / name).exists() and not _is_ours(path / "report.json"):
            raise StackError(f"{path / name} was not written by this command, and would be replaced: choose another -o")
    path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path / ".lock").acquire(timeout=0):
            yield Folder(path)
    except Timeout:
        raise StackError(f"another process evaluates into {path}") from None


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _is_ours(report: Path) -> bool:
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT
