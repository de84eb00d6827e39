"""What people see: progress, tables, and text that was perceived or generated, made safe for a terminal."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from videochat.clock import needs_hours, span_stamp
from videochat.hookspecs import Event, hookimpl
from videochat.record import HIDDEN
from videochat.registry import registry

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from videochat.context import Context, Cost

# Escapes could move the cursor, set the window's title or hide text; only the newline and the tab stay.
_CONTROL = re.compile(rf"(?![\n\t])[{HIDDEN}]")


def plain(text: str) -> str:
    """Return a text without the control characters by which it could play with a terminal."""
    return _CONTROL.sub("", text)


def show(text: str = "", end: str = "\n") -> None:
    """Print a result."""
    print(plain(text), end=end, flush=True)


def show_values(values: Any) -> None:
    """Print a result as one line of JSON, with what could play with a terminal as escapes: nothing is lost."""
    text = json.dumps(values, ensure_ascii=False)
    print(_CONTROL.sub(_escaped, text), flush=True)


def _escaped(found: re.Match[str]) -> str:
    return re.sub("....", r"\\u\g<0>", found[0].encode("utf-16-be", "surrogatepass").hex())


def say(text: str) -> None:
    """Print a message about the run."""
    print(plain(text), file=sys.stderr, flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> None:
    """Print a table; cells are taken as they are, never as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numbers = set(right)
    out = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        out.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        out.add_row(*(Text(plain(str(cell))) for cell in row))
    wide = None if sys.stdout.isatty() else 120
    console = Console(width=wide, highlight=False)
    with console.capture() as captured:  # else rich would handle a broken pipe in its own way
        console.print(out)
    print(captured.get(), end="", flush=True)


class _Progress:
    """An observer that draws a bar for each perceiver."""

    def __init__(self, progress: "Progress") -> None:
        self.progress = progress
        self.bars: dict[tuple[str, str], TaskID] = {}

    @hookimpl
    def observe(self, event: Event) -> None:
        key = (event.stage, event.name)
        if key not in self.bars:
            self.bars[key] = self.progress.add_task(plain(f"{event.stage} {event.name}"), total=event.total, words="")
        words = event.detail if isinstance(event.detail, str) else ""
        self.progress.update(self.bars[key], completed=event.done, total=event.total, words=plain(words))


@contextmanager
def progress(quiet: bool) -> Iterator[None]:
    """Show how far a run is, on standard error; nothing if that is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    name, words = (TextColumn(field, markup=False) for field in ("{task.description}", "{task.fields[words]}"))
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), words)
    with Progress(*columns, console=console, transient=True) as bars:
        observer = _Progress(bars)
        registry().manager.register(observer)
        try:
            yield
        finally:
            registry().manager.unregister(observer)


def show_ledger(costs: "Sequence[Cost]") -> None:
    """Print what each part of a run took."""
    rows = [
        (c.name, c.windows, c.cached, c.frames, c.batches, f"{c.bytes / 2**20:.1f}", f"{c.seconds:.2f}") for c in costs
    ]
    columns = ("plugin", "windows", "cached", "frames", "batches", "MB seen", "seconds")
    table(columns, rows, right=columns[1:])
    for cost in costs:
        for note in cost.notes:
            show(f"{cost.name}: {note}")


def say_faults(*contexts: "Context") -> None:
    """Say what went wrong in each watch."""
    for context in contexts:
        _say_if_blind(context)
        for fault in context.faults:
            when = span_stamp(fault.start, fault.end, needs_hours(context.video.duration))
            say(f"warning: {fault.source} at {when}: {fault.reason}")


def finish(*contexts: "Context") -> None:
    """Say what went wrong in each watch and leave with exit code 5 if anything did."""
    say_faults(*contexts)
    if any(context.faults for context in contexts):
        raise typer.Exit(5)


def _say_if_blind(context: "Context") -> None:
    """Say so if the video has nothing that a perceiver takes in: an empty result does not tell why it is empty."""
    video, stack = context.video, context.stack
    wanted = [perceiver.sampling() for perceiver in stack.perceivers.values()]
    if wanted and not any((s.pictures and video.has_pictures) or (s.audio_rate and video.has_audio) for s in wanted):
        lacks = "sound" if video.has_pictures else "pictures"
        say(f"note: {video.path.name} has no {lacks}, and no perceiver of {stack.name} does without")
