"""The options that commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videochat.clock import parse

if TYPE_CHECKING:
    from videochat.stack import Stack


def _time(text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Media = Annotated[Path, typer.Argument(metavar="VIDEO", help="A video, a sound file or an image.", readable=False)]
StackName = Annotated[
    str, typer.Option("--config", "-c", metavar="STACK", help="A stack: a name in configs/ or a YAML file.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override an option: perceive.text.side=480. May be repeated."),
]
Model = Annotated[
    str | None, typer.Option("--llm", metavar="PROVIDER:MODEL", help="Another language model: openai:gpt-4o-mini.")
]
Device = Annotated[str | None, typer.Option(help="Where models run: auto, cpu, cuda, cuda:1, ...")]
Hosts = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="HOST", help="A host that may be sent the key set for it. May be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
From = Annotated[
    float | None, typer.Option("--from", metavar="TIME", parser=_time, help="Watch from here: 90, 01:30 or 0:01:30.")
]
To = Annotated[float | None, typer.Option("--to", metavar="TIME", parser=_time, help="Watch up to here.")]
At = Annotated[
    float | None, typer.Option("--at", metavar="TIME", parser=_time, help="Answer as of this moment: nothing after it.")
]


def open_stack(
    name: str, settings: list[str] | None, llm: str | None, device: str | None, hosts: list[str] | None = None
) -> "Stack":
    """Load the stack that the options of a command describe."""
    from videochat.stack import load

    chosen = [*(settings or ()), *([f"device={device}"] if device else ())]
    return load(name, chosen, llm, hosts or ())
