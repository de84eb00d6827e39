"""The options that commands share."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from videochat.clock import parse
from videochat.errors import VideoError

if TYPE_CHECKING:
    from videochat.stack import Stack

Given = TypeVar("Given", Path, list[Path])


def _time(text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def local(media: Given) -> Given:
    """Return the path, or the paths, that an argument gives, which must be on this machine: none an address.

    Raises:
        VideoError: if one is an address.
    """
    for path in media if isinstance(media, list) else [media]:
        if re.match("(?i)[a-z][a-z0-9+.-]+:/", str(path)) and not path.exists():
            address = str(path).replace(":/", "://", 1)  # a path has each slash once
            raise VideoError(f"{address}: is an address, and only files on this machine are read: download it first")
    return media


Media = Annotated[
    Path,
    typer.Argument(metavar="VIDEO", help="A video, a sound file or an image.", readable=False, callback=local),
]
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

    return load(name, settings or (), llm, hosts or (), device)
