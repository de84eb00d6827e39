"""`videochat chat`."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from videochat.cli.ask import show_answer, show_json
from videochat.cli.display import finish, progress, say, say_faults, show
from videochat.cli.options import Device, Hosts, Json, Model, Quiet, Settings, StackName, local, open_stack
from videochat.clock import needs_hours
from videochat.errors import LLMError, StackError


def chat(
    media: Annotated[
        list[Path], typer.Argument(metavar="MEDIA...", help="Videos or images.", readable=False, callback=local)
    ],
    config: StackName = "offline",
    settings: Settings = None,
    llm: Model = None,
    device: Device = None,
    hosts: Hosts = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Talk about videos or images; an empty line or Ctrl-D ends the talk. With --json each answer is a line."""
    from videochat.extras import prepare

    stack = open_stack(config, settings, llm, device, hosts)
    for path in media:
        stack.plan(path)  # whose faults come before anything is fetched
    prepare([stack.llm])  # before the work of watching
    with progress(quiet):
        contexts = [stack.watch(path) for path in media]
    talk = stack.chat(*contexts)
    hours = any(needs_hours(context.video.duration) for context in contexts)
    while question := _read_question():
        try:
            answer = talk.ask(question)
            if as_json:
                show_json(answer, stack.name)
            else:
                show_answer(answer, hours)
        except (LLMError, StackError) as error:  # the next question may fare better
            if not sys.stdin.isatty():
                say_faults(*contexts)
                raise
            say(f"error: {error}")
    finish(*contexts)


def _read_question() -> str:
    typed = sys.stdin.isatty()
    if typed:
        with suppress(ImportError):  # not on Windows
            import readline  # noqa: F401 - gives `input` arrow keys and the questions before
    try:
        return input("> " if typed else "").strip()
    except EOFError:
        if typed:
            show()  # the shell's prompt gets a line of its own
        return ""
