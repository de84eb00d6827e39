"""Rows of JSON on disk, one a line, appended as they come: a run that was stopped goes on from there."""

import json
from pathlib import Path
from threading import Lock
from typing import Any


class Rows:
    """Rows by their keys; of two with one key the later counts.

    A line that was torn by a kill has no newline at its end: it is not read, and dropped by the next row.

    Args:
        file: where they are; made with the first row.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._adding = Lock()
        self._found: dict[str, dict[str, Any]] = {}
        data = file.read_bytes() if file.exists() else b""
        self._whole = data.rfind(b"\n") + 1
        for line in data[: self._whole].splitlines():
            try:
                row = json.loads(line)
                self._found[row["key"]] = row
            except (ValueError, TypeError, KeyError):
                continue  # a damaged line: its row is made again

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the row of a key, if it is there."""
        return self._found.get(key)

    def append(self, key: str, row: dict[str, Any]) -> None:
        """Add a row; it is on its way to the disk when this returns. Any thread may."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        row = {"key": key, **row}
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        with self._adding:
            with self.file.open("ab") as out:
                out.truncate(self._whole)
                out.write(line)
            self._whole += len(line)
            self._found[key] = row
