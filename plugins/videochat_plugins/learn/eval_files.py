"""Reads the entries of a file with the line that each begins on: a list in JSON, JSON lines, or CSV with a header."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from videochat import StackError
from videochat.errors import Problem

FILES = (".json", ".jsonl", ".csv")


class Entry(NamedTuple):
    """One entry of a file; `fault` says why it could not be read."""

    line: int  # 0 where it is not known
    value: Any
    fault: str = ""

    def field(self, key: str) -> Any:
        """Return the value of a key; None where there is none."""
        return self.value.get(key) if isinstance(self.value, dict) else None


def entries(file: Path) -> Iterator[Entry]:
    """Yield the entries of a file.

    A line of JSON lines that is no JSON is an entry with a fault; a broken .json file has no entries at all.

    Raises:
        StackError: naming file and line, if the file as a whole cannot be read.
    """
    text = read(file)
    match file.suffix.lower():
        case ".jsonl":
            yield from _json_lines(text)
        case ".csv":
            yield from _csv_rows(file, text)
        case _:
            yield from _json_items(file, text)


def one_of(source: Path, pattern: str, split: str | None) -> Path:
    """Return a source that is a file, or the one file of a folder that fits a pattern and has the split in its name.

    Raises:
        StackError: if none fits, or several do.
    """
    if source.is_file():
        return source
    found = sorted(source.glob(pattern))
    if split is not None:
        found = [file for file in found if split in re.split(r"[_.-]", file.stem)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise StackError(f"{source} holds no {pattern}{f' of the split {split}' if split else ''}")
    raise StackError(f"{source} holds {', '.join(file.name for file in found)}: name the file, or --split")


def all_of(source: Path, suffix: str) -> list[Path]:
    """Return a source that is a file, or all files of a folder with a suffix, of its folder `json` if it has one."""
    if source.is_file():
        return [source]
    return sorted((source / "json" if (source / "json").is_dir() else source).glob(f"*{suffix}"))


def read(file: Path) -> str:
    """Return the text of a file.

    Raises:
        StackError: if it cannot be read, or is no text.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _problem(file, 0, f"cannot be read: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _problem(file, data.count(b"\n", 0, error.start) + 1, "is not text in UTF-8") from None


def load(file: Path) -> Any:
    """Return the whole of a JSON file.

    Raises:
        StackError: naming file and line, if it is not JSON.
    """
    return _loads(file, read(file))


def _loads(file: Path, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise _problem(file, error.lineno, f"not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise _problem(file, 1, _why(error)) from None


def _json_items(file: Path, text: str) -> Iterator[Entry]:
    values = _loads(file, text)
    if not isinstance(values, list):
        raise _problem(file, 1, "must be a list of entries")
    at, line, decoder = text.index("[") + 1, 1, json.JSONDecoder()
    counted = 0
    for value in values:
        while re.match(r"[\s,]", text[at]):
            at += 1
        line += text.count("\n", counted, at)
        counted = at
        yield Entry(line, value)
        _, at = decoder.raw_decode(text, at)


def _json_lines(text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield Entry(number, json.loads(line, parse_constant=_refuse))
            except (ValueError, RecursionError) as error:
                yield Entry(number, None, _why(error))


def _csv_rows(file: Path, text: str) -> Iterator[Entry]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    head: list[str] | None = None
    line = 1
    try:
        for row in rows:
            if head is None:
                head = [name.strip() for name in row]
            elif row:
                fault = "" if len(row) == len(head) else f"has {len(row)} values, and the head names {len(head)}"
                yield Entry(line, None if fault else dict(zip(head, row, strict=True)), fault)
            line = rows.line_num + 1
    except csv.Error as error:
        raise _problem(file, line, f"not CSV: {error}") from None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _problem(file: Path, line: int, message: str) -> StackError:
    return StackError([Problem(f"{file}:{line}" if line else str(file), "", message)])
