"""Records on disk: appended as windows finish, read back lazily.

A line that was torn by a kill has no newline at its end: it is not read, and the next writer drops it. Writers hold a
lock; readers need none, since whole lines never change.
"""

import json
import os
import secrets
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from videochat.cache import write_whole
from videochat.errors import StackError
from videochat.record import Array, Record
from videochat.window import Span


@dataclass(frozen=True, slots=True, eq=False)
class StoredTokens:
    """Embeddings that stay on disk until they are asked for."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: Any

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        from safetensors import safe_open

        with safe_open(self.file, framework="numpy") as file:
            return np.asarray(file.get_tensor(self.name), dtype=dtype)


def pack(records: Sequence[Record], folder: Path) -> list[dict[str, Any]]:
    """Return records as JSON values; new tokens are written to one safetensors file in the folder."""
    rows = [record.to_json() for record in records]
    new: dict[str, npt.NDArray[Any]] = {}
    file = f"tokens-{secrets.token_hex(8)}.safetensors"
    for i, (record, row) in enumerate(zip(records, rows, strict=True)):
        tokens = record.tokens
        if isinstance(tokens, StoredTokens):
            row["tokens"] = {"file": os.path.relpath(tokens.file, folder), "name": tokens.name}
        elif tokens is not None:
            new[str(i)] = np.ascontiguousarray(tokens)  # safetensors writes memory as it lies
            row["tokens"] = {"file": file, "name": str(i)}
        if tokens is not None:
            row["tokens"] |= {"shape": list(tokens.shape), "dtype": str(tokens.dtype)}
    if new:
        from safetensors.numpy import save_file

        save_file(new, folder / f".{file}")
        (folder / f".{file}").replace(folder / file)
    return rows


def unpack(row: Mapping[str, Any], folder: Path, source: str = "") -> Record:
    """Return the record of a row that `pack` made; its tokens stay on disk until asked for."""
    values = dict(row)
    tokens: Array | None = None
    if at := values.pop("tokens", None):
        tokens = StoredTokens(folder / at["file"], at["name"], tuple(at["shape"]), np.dtype(at["dtype"]))
    if source:
        values["source"] = source
    return Record.from_json(values, tokens)


class Windows:
    """The records of one perceiver for one video, by window.

    Args:
        folder: where they are; made at the first `append`.
        about: what the key stands for.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = about
        self._file = folder / "records.jsonl"
        self._offsets: dict[Span, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read again which windows are there; another process may have added some."""
        self._offsets.clear()
        self._mended = False  # whether a torn last line, if any, is gone
        for offset, line in _whole_lines(self._file):
            try:
                self._offsets[Span(*json.loads(line)["span"])] = offset
            except (ValueError, TypeError, KeyError):
                continue  # a damaged line: its window is perceived again

    def __contains__(self, span: Span) -> bool:
        return span in self._offsets

    def append(self, done: Sequence[tuple[Span, Sequence[Record]]]) -> None:
        """Add finished windows; the caller holds the key's lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "key.json").exists():
            write_whole(self.folder / "key.json", json.dumps(self.about, indent=1))
        rows = iter(pack([record for _, records in done for record in records], self.folder))
        with self._file.open("ab") as file:
            if not self._mended:
                file.truncate(_whole_size(self._file))
                self._mended = True
            for span, records in done:
                offset = file.seek(0, os.SEEK_END)
                line = {"span": list(span), "records": [next(rows) for _ in records]}
                file.write(json.dumps(line).encode() + b"\n")
                self._offsets[span] = offset

    def read(self, spans: Iterable[Span], source: str) -> Iterator[Record]:
        """Yield the records of those of the windows that are there, in the order of the spans.

        Raises:
            StackError: if they are no longer as they were when they were found.
        """
        if not self._offsets:
            return
        with self._file.open("rb") as file:
            for span in spans:
                if (offset := self._offsets.get(span)) is not None:
                    file.seek(offset)
                    yield from (unpack(row, self.folder, source) for row in self._rows(span, file.readline()))

    def _rows(self, span: Span, line: bytes) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a window's line."""
        try:
            found = json.loads(line)
            if found["span"] == list(span):
                return list(found["records"])
        except (ValueError, TypeError, KeyError):
            pass
        raise StackError(f"{self._file} was changed by something else meanwhile; run it again")


class RecordFile(Sequence[Record]):
    """Records in time order, on disk: as many as there may be, they take no memory."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._offsets = array("q", (offset for offset, _ in _whole_lines(file)))

    @classmethod
    def write(cls, file: Path, records: Iterable[Record]) -> "RecordFile":
        """Write records, which may come in any order, sorted by their start; whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        unique = secrets.token_hex(8)
        loose, part = file.with_name(f".loose-{unique}"), file.with_name(f".part-{unique}")
        starts, offsets = array("d"), array("q")
        made: list[Path] = []  # files of tokens
        try:
            with loose.open("wb+") as unsorted, part.open("wb") as out:
                for record in records:
                    starts.append(record.start)
                    offsets.append(unsorted.tell())
                    (row,) = pack([record], file.parent)
                    unsorted.write(json.dumps(row).encode() + b"\n")
                    if "tokens" in row and not isinstance(record.tokens, StoredTokens):
                        made.append(file.parent / row["tokens"]["file"])
                for i in np.argsort(np.asarray(starts), kind="stable"):
                    unsorted.seek(offsets[i])
                    out.write(unsorted.readline())
            part.replace(file)
        except BaseException:
            for tokens in made:
                tokens.unlink()
            raise
        finally:
            loose.unlink(missing_ok=True)
            part.unlink(missing_ok=True)
        return cls(file)

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Record]:
        with self.file.open("rb") as file:
            for line in file:
                yield unpack(json.loads(line), self.file.parent)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        offsets = self._offsets[index]
        with self.file.open("rb") as file:
            lines = []
            for offset in [offsets] if isinstance(offsets, int) else offsets:
                file.seek(offset)
                lines.append(unpack(json.loads(file.readline()), self.file.parent))
        return lines[0] if isinstance(offsets, int) else lines


def _whole_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and bytes of each line that has its newline."""
    if not file.exists():
        return
    offset = 0
    with file.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield offset, line
            offset += len(line)


def _whole_size(file: Path) -> int:
    """Return the size of a file up to its last newline."""
    size = file.stat().st_size
    with file.open("rb") as data:
        while size > 0:
            step = min(size, 1 << 16)
            data.seek(size - step)
            cut = data.read(step).rfind(b"\n")
            if cut >= 0:
                return size - step + cut + 1
            size -= step
    return 0
