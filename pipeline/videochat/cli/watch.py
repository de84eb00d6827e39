"""`videochat watch`."""

from pathlib import Path
from typing import Annotated

import typer

from videochat.cli.display import finish, progress, say, show, show_ledger, show_values
from videochat.cli.options import Device, From, Hosts, Json, Media, Model, Quiet, Settings, StackName, To, open_stack


def watch(
    video: Media,
    config: StackName = "offline",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", file_okay=False, help="Write all results to a folder.")
    ] = None,
    start: From = None,
    end: To = None,
    settings: Settings = None,
    llm: Model = None,
    device: Device = None,
    hosts: Hosts = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Perceive a video and print it as text."""
    from videochat.save import check_folder, save

    stack = open_stack(config, settings, llm, device, hosts)
    if out is not None:
        check_folder(out)
    with progress(quiet):
        context = stack.watch(video, start, end)
    if out is not None:
        save(context, out)
        say(f"written to {out}")
    if as_json:
        show_values(context.to_json())
    else:
        for line in context.lines():
            show(line.text)
        show()
        show_ledger(context.ledger)
    finish(context)
