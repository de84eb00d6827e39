"""`videochat compare`."""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videochat.cli.display import progress, say, show, show_values, table
from videochat.cli.options import Device, Hosts, Json, Media, Model, Quiet, Settings, open_stack
from videochat.cli.questions import check_question, read_questions
from videochat.clock import needs_hours, span_stamp
from videochat.errors import StackError

if TYPE_CHECKING:
    from videochat.compare import Row
    from videochat.stack import Stack
    from videochat.video import Video

_SHOWN = 4  # stretches in a cell of the table; --json and --html have more


def compare(
    video: Media,
    questions: Annotated[list[str] | None, typer.Argument(metavar="QUESTION...", help="Each in quotes.")] = None,
    config: Annotated[
        list[str] | None, typer.Option("--config", "-c", metavar="STACK", help="A stack; give two or more.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--questions", metavar="FILE", help="More questions: one a line, or a .json list of texts."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with pictures of what answers cite.")
    ] = None,
    settings: Settings = None,
    llm: Model = None,
    device: Device = None,
    hosts: Hosts = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Ask several stacks the same questions, side by side.

    With --json, one question gives {"question", "answers": [...]}; several, or a file of them, give {"video",
    "questions": [{"question", "answers": [...]}, ...]}. Answers come in the order of the stacks.
    """
    from videochat.compare import compare
    from videochat.save import check_file

    if not config or len(config) < 2:
        raise typer.BadParameter("give at least two stacks: -c offline -c other.yaml", param_hint="-c")
    asked = [*(questions or ()), *(read_questions(file) if file else ())]
    for question in questions or ():
        check_question(question)
    if not asked:
        raise typer.BadParameter('give a question in quotes, "What moves?", or a file of them: --questions FILE')
    if html is not None:
        check_file(html, [video, *map(Path, config), *([file] if file else ())])
    stacks = [open_stack(name, settings, llm, device, hosts) for name in config]
    _tell_apart(stacks, config)
    about = stacks[0].plan(video).video
    hours = needs_hours(about.duration)
    rows: list[Row] = []
    try:
        with progress(quiet):
            for row in compare(video, asked, stacks):
                rows.append(row)
    finally:  # what was answered is worth seeing, whatever came next
        rows.sort(key=lambda row: row.place)
        if rows and as_json:
            found = [{"question": asked[i], "answers": [row.to_json() for row in group]} for i, group in _groups(rows)]
            one = file is None and len(asked) == 1
            facts = found[0] if one else {"video": about.to_json(), "questions": found}
            show_values(facts)
        elif rows:
            _show(rows, hours)
        if rows and html is not None:
            _write_page(html, about, asked, stacks, rows)
    _finish(rows, hours)


def _tell_apart(stacks: "Sequence[Stack]", given: Sequence[str]) -> None:
    """Call stacks of one name from different files as they were given."""
    paths: dict[str, set[str]] = {}
    for stack, path in zip(stacks, given, strict=True):
        paths.setdefault(stack.name, set()).add(path)
    for stack, path in zip(stacks, given, strict=True):
        if len(paths[stack.name]) > 1:
            stack.name = path


def _groups(rows: "Sequence[Row]") -> "Iterator[tuple[int, Iterator[Row]]]":
    """Yield the number of each question with its rows."""
    return groupby(rows, key=lambda row: row.place[0])


def _show(rows: "Sequence[Row]", hours: bool) -> None:
    """Print a table of answers for each question, then one of what each stack took to watch."""
    columns = ("stack", "answer", "rests on", "first s", "all s", "tokens")
    for _, group in _groups(rows):
        answers = list(group)
        show(answers[0].question)
        table(columns, [_cells(row, hours) for row in answers], right=columns[3:])
        show()
    by_stack: dict[int, list[Row]] = {}
    for row in rows:
        by_stack.setdefault(row.place[1], []).append(row)
    gpu = any(one.gpu is not None for row in rows for one in (row.watched.peak, row.peak))
    sizes = ("watch MB", "answer MB", *(("watch GPU MB", "answer GPU MB") if gpu else ()))
    costs = ("stack", "watch s", *sizes, "visual", "lines", "faults")
    table(costs, [_cost(by_stack[number], gpu) for number in sorted(by_stack)], right=costs[1:])


def _cells(row: "Row", hours: bool) -> list[object]:
    times = list(dict.fromkeys(span_stamp(cited.start, cited.end, hours) for cited in row.citations))
    more = [f"and {len(times) - _SHOWN} more"] if len(times) > _SHOWN else []
    failure = [] if row.error is None else [f"error: {row.error}"]
    said = "\n".join([*([row.answer] if row.answer else []), *failure])
    if row.error is not None:
        return [row.stack, said, "", "", "", ""]
    tokens = f"{'~' if row.usage.estimated else ''}{row.usage.prompt + row.usage.answer}"
    return [row.stack, said, "\n".join(times[:_SHOWN] + more), f"{row.first:.2f}", f"{row.seconds:.2f}", tokens]


def _cost(rows: "Sequence[Row]", gpu: bool) -> list[object]:
    """Return the cells of a stack: with `gpu`, what torch had allocated there stands beside the process's memory."""
    watched = rows[0].watched
    sizes = [_megabytes(watched.peak.process), _megabytes(*(row.peak.process for row in rows))]
    if gpu:
        sizes += [_megabytes(watched.peak.gpu), _megabytes(*(row.peak.gpu for row in rows))]
    visual = max(row.visual for row in rows)
    return [rows[0].stack, f"{watched.seconds:.2f}", *sizes, visual, watched.lines, len(watched.faults)]


def _megabytes(*sizes: int | None) -> str:
    """Return the highest of some sizes in bytes; nothing where none is known."""
    highest = max((size for size in sizes if size is not None), default=None)
    return "" if highest is None else f"{highest / 1e6:.0f}"


def _write_page(
    html: Path, video: "Video", questions: Sequence[str], stacks: "Sequence[Stack]", rows: "Sequence[Row]"
) -> None:
    from videochat.cache import write_whole
    from videochat.compare_page import page

    text = page(video, stacks[0].reader, questions, [stack.name for stack in stacks], rows)
    try:
        write_whole(Path(os.path.realpath(html)), text)  # a link stays
    except OSError as error:
        raise StackError(f"cannot write to {html}: {error.strerror or error}") from None
    say(f"written to {html}")


def _finish(rows: "Sequence[Row]", hours: bool) -> None:
    """Say what went wrong, each thing once, and leave with the code of the worst."""
    faults = [(row.stack, fault) for row in rows for fault in row.watched.faults]
    for stack, fault in dict.fromkeys(faults):
        when = span_stamp(fault.start, fault.end, hours)
        say(f"warning: {stack}: {fault.source} at {when}: {fault.reason}")
    for words in dict.fromkeys(f"error: {row.stack}: {row.error}" for row in rows if row.error):
        say(words)
    if codes := [row.error.exit_code for row in rows if row.error]:
        raise typer.Exit(min(codes))
    if faults:
        raise typer.Exit(5)
