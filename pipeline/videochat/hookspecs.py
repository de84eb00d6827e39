"""The door for plugins: what they may implement, all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from videochat.window import Span

if TYPE_CHECKING:
    import typer

    from videochat.component import Component

hookspec = pluggy.HookspecMarker("videochat")
hookimpl = pluggy.HookimplMarker("videochat")


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a run, for progress bars, logs and metrics."""

    stage: str  # "read" "segment" "perceive" "refine" "format" "llm"
    name: str  # the plugin's name in the stack
    done: int = 0  # windows, records or tokens finished
    total: int | None = None  # of how many, where known
    span: Span | None = None  # what was just finished
    detail: Any = None  # a Fault, or words


@hookspec
def register_components(register: "Callable[[str, str, type[Component]], None]") -> None:
    """Call `register(stage, name, cls)` for each component: `register("perceive", "caption.blip", BlipCaptioner)`."""


@hookspec
def register_commands(cli: "typer.Typer") -> None:
    """Add commands to the command line, e.g. with `@cli.command()`."""


@hookspec
def observe(event: Event) -> None:
    """Hear of each step of a run; always called from one thread."""
