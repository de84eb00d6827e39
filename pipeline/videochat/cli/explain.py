"""`videochat explain`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from videochat.cli.display import show, show_values
from videochat.cli.options import Json


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by `videochat watch -o`.")],
    line: Annotated[int, typer.Argument(metavar="LINE", help="A line of its prompt.txt, from 1.")],
    as_json: Json = False,
) -> None:
    """Say which record, plugin, frame and time a line of the prompt came from."""
    from videochat.save import explain

    found = explain(folder, line)
    if as_json:
        show_values(found)
        return
    show(f"line {line}: {found['text']}")
    for record in found["records"]:
        _show(record, "  ")


def _show(record: dict[str, Any], indent: str) -> None:
    if "kind" not in record:
        show(f"{indent}record {record['id']} (not saved)")
        return
    plugin = record["plugin"]
    maker = record.get("made_by") or record.get("source", "")
    span = f"{record['start']:.3f}-{record['end']:.3f} s"
    show(f"{indent}record {record['id']}: {record['kind']} {span}: {record.get('text', '')}")
    show(f"{indent}  by {maker} ({plugin.get('use', '?')} version {plugin.get('version', '?')})")
    if times := record.get("times"):
        show(f"{indent}  from frames at {', '.join(f'{time:.3f}' for time in times)} s")
    for parent in record["parents"]:
        _show(parent, indent + "    ")
