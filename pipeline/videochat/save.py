"""Writes a watch to a folder, and explains a line of it.

prompt.txt       the textualised video, as the formatter gives it
lines.jsonl      for each line of prompt.txt the ids of the records that it came from
records.jsonl    every record, those of the context and those that a refiner made them from
run.json         versions, options, weights, seeds and hashes
subtitles.srt, subtitles.vtt    speech and on-screen text
"""

import json
import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from videochat.cache import identity, write_whole
from videochat.context import Context, record_json
from videochat.errors import StackError
from videochat.record import Record
from videochat.registry import registry
from videochat.subtitles import write_srt, write_vtt

SUBTITLES = ("speech", "text")


def check_folder(folder: Path) -> None:
    """Make sure, before the work of watching, that results can be written to a folder that may not be there yet.

    Raises:
        StackError: if they cannot.
    """
    try:
        places = (folder.absolute(), *folder.absolute().parents)
        there = next(path for path in places if path.exists() or path.is_symlink())  # a link may lead nowhere
        if not there.is_dir():
            raise StackError(f"cannot write to {folder}: {there} is not a folder")
        TemporaryFile(dir=there).close()  # what permissions say is not all: the disk may be read-only
    except OSError as error:
        raise _unwritable(folder, error) from None


def check_file(file: Path, kept: Iterable[Path] = ()) -> None:
    """Make sure, before the work, that a result can be written to a file in a folder that is there.

    Args:
        file: what is to be written.
        kept: files that must not be overwritten, since they are read.

    Raises:
        StackError: if it cannot.
    """
    try:
        parent = Path(os.path.realpath(file)).parent  # of what a link leads to, for that is written
        if not parent.is_dir():
            raise StackError(f"cannot write to {file}: there is no folder {parent}")
        if file.exists() and not file.is_file():
            raise StackError(f"cannot write to {file}: it is {'a folder' if file.is_dir() else 'no plain file'}")
        if file.exists() and any(os.path.exists(path) and file.samefile(path) for path in kept):
            raise StackError(f"cannot write to {file}: it is read, and would be lost")
        TemporaryFile(dir=parent).close()
    except OSError as error:
        raise _unwritable(file, error) from None


def save(context: Context, folder: Path) -> None:
    """Write the files; each appears whole or not at all.

    Raises:
        StackError: if the folder cannot be written to.
    """
    lines = list(context.lines())
    rows = (
        {"line": i, "text": line.text, "records": [record.id for record in line.records]}
        for i, line in enumerate(lines, start=1)
    )
    cues = [record for record in context.records if record.kind in SUBTITLES]
    try:
        write_whole(folder / "prompt.txt", "".join(f"{line.text}\n" for line in lines))
        write_whole(folder / "lines.jsonl", _jsonl(rows))
        write_whole(folder / "records.jsonl", _jsonl(_all_records(context)))
        write_whole(folder / "subtitles.srt", "".join(write_srt(cues)))
        write_whole(folder / "subtitles.vtt", "".join(write_vtt(cues)))
        write_whole(folder / "run.json", json.dumps(run_facts(context), indent=1) + "\n")
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(path: Path, error: OSError) -> StackError:
    return StackError(f"cannot write to {path}: {error.strerror or error}")


def run_facts(context: Context) -> dict[str, Any]:
    """Return all that decided the result: versions, filled options, weights, the video's hash, faults."""
    stack, facts = context.stack, context.to_json()
    parts = {place: identity(component, stack.pool) for place, component in stack.components()}
    packages = {registry().package_of(type(component)) for _, component in stack.components()}
    return {
        "videochat": version("videochat"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in sorted(packages) if name},  # "": registered from Python
        "stack": {"name": stack.name, **stack.filled()},
        "components": parts,
        "prompt": {"name": stack.prompt_name, "text": stack.template.text},
        "video": facts["video"],
        "span": list(context.span),
        "segments": [list(span) for span in context.segments],
        "faults": facts["faults"],
        "ledger": facts["ledger"],
    }


def explain(folder: Path, line: int) -> dict[str, Any]:
    """Return where a line of prompt.txt came from: its records, down to what the perceivers saw, and their plugins.

    Raises:
        StackError: if the folder holds no saved watch, or the line does not exist.
    """
    try:
        lines = [(row["text"], row["records"]) for row in _rows(folder / "lines.jsonl")]
        records = {row["id"]: row for row in _rows(folder / "records.jsonl")}
        plugins = dict(json.loads((folder / "run.json").read_text(encoding="utf-8"))["components"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StackError(f"{folder} holds no saved watch; make one: videochat watch VIDEO -o {folder}") from None
    if not lines:
        raise StackError(f"{folder / 'prompt.txt'} is empty: there is no line to explain")
    if not 1 <= line <= len(lines):
        raise StackError(f"{folder / 'prompt.txt'} has lines 1 to {len(lines)}, not {line}")

    def branch(key: str) -> dict[str, Any]:
        row = records.get(key, {"id": key})
        place = f"refine.{row['made_by']}" if "made_by" in row else f"perceive.{row.get('source', '')}"
        plugin: dict[str, Any] = plugins.get(place, {})
        above = [branch(parent) for parent in row.get("parents", ())]
        return {**row, "plugin": plugin, "parents": above}

    text, keys = lines[line - 1]
    return {"line": line, "text": text, "records": [branch(key) for key in keys]}


def _all_records(context: Context) -> Iterator[dict[str, Any]]:
    """Yield every record of the context, then those that they were made from, with the refiner that made each."""
    makers: dict[str, str] = {}
    for before, after in pairwise(context.stages):
        old = {record.id for record in before.records if record.parents}
        made = (record.id for record in after.records if record.parents)
        makers.update({key: after.name for key in made if key not in old})

    def row(record: Record, in_context: bool) -> dict[str, Any]:
        made = {"made_by": makers[record.id]} if record.id in makers else {}
        return {**record_json(record), **made, "in_context": in_context}

    parents: set[str] = set()
    for record in context.records:
        parents.update(record.parents)
        yield row(record, in_context=True)
    for stage in reversed(context.stages[:-1]):
        for record in stage.records:
            if record.id in parents:
                parents.remove(record.id)
                parents.update(record.parents)
                yield row(record, in_context=False)


def _jsonl(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _rows(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
