"""`videochat compare`."""

import json
from typing import Annotated, Any

import typer

from videochat.cli.display import progress, say, show, table
from videochat.cli.options import Device, Hosts, Json, Media, Model, Quiet, Settings, open_stack
from videochat.clock import HOUR, span_stamp


def compare(
    video: Media,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.")],
    config: Annotated[
        list[str] | None, typer.Option("--config", "-c", metavar="STACK", help="A stack; give two or more.")
    ] = None,
    settings: Settings = None,
    llm: Model = None,
    device: Device = None,
    hosts: Hosts = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Ask several stacks the same question, side by side."""
    from videochat.compare import compare

    if not config or len(config) < 2:
        raise typer.BadParameter("give at least two stacks: -c offline -c other.yaml", param_hint="-c")
    stacks = [open_stack(name, settings, llm, device, hosts) for name in config]
    rows: list[dict[str, Any]] = []
    try:
        with progress(quiet):
            for row in compare(video, question, stacks):
                rows.append(row)
    finally:  # what the first stacks answered is worth seeing, whatever the next one ran into
        if rows:
            _show(question, rows, as_json)
    for row in rows:
        for fault in row["faults"]:
            when = span_stamp(fault["start"], fault["end"], hours=fault["end"] >= HOUR)
            say(f"warning: {row['stack']}: {fault['source']} at {when}: {fault['reason']}")
    if any(row["faults"] for row in rows):
        raise typer.Exit(5)


def _show(question: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show(json.dumps({"question": question, "answers": rows}, ensure_ascii=False))
    else:
        columns = ("stack", "answer", "rests on", "watch s", "answer s", "tokens", "lines", "faults")
        table(columns, [_cells(row) for row in rows], right=columns[3:])


def _cells(row: dict[str, Any]) -> list[object]:
    hours = any(one["end"] >= HOUR for one in row["citations"])
    times = ", ".join(dict.fromkeys(span_stamp(one["start"], one["end"], hours) for one in row["citations"]))
    tokens = row["tokens"]
    about = "~" if row["estimated"] else ""
    seconds = [f"{row[key]:.2f}" for key in ("watch_seconds", "seconds")]
    return [
        row["stack"],
        row["answer"],
        times,
        *seconds,
        f"{about}{sum(tokens.values())}",
        row["lines"],
        len(row["faults"]),
    ]
