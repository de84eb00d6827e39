"""`videochat ask`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videochat.cli.display import finish, progress, say, say_faults, show, show_values
from videochat.cli.options import At, Device, Hosts, Json, Model, Quiet, Settings, StackName, local, open_stack
from videochat.cli.questions import check_question
from videochat.clock import needs_hours, span_stamp, stamp
from videochat.errors import VideoChatError

if TYPE_CHECKING:
    from videochat.chat import Answer

_SHOWN = 12  # citations printed below an answer; --json has them all


def ask(
    media: Annotated[
        list[str], typer.Argument(metavar="MEDIA... QUESTION", help="Videos or images, then the question in quotes.")
    ],
    config: StackName = "offline",
    at: At = None,
    settings: Settings = None,
    llm: Model = None,
    device: Device = None,
    hosts: Hosts = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Answer one question about videos or images, with the times that the answer rests on."""
    from videochat.extras import prepare

    *given, question = media
    if not given:
        raise typer.BadParameter('give a video and then a question in quotes: videochat ask clip.mp4 "What moves?"')
    check_question(question)
    paths = local([Path(text) for text in given])
    stack = open_stack(config, settings, llm, device, hosts)
    videos = [stack.plan(path).video for path in paths]  # before anything is fetched
    prepare([stack.llm])  # before the work of watching
    with progress(quiet):
        contexts = [stack.watch(path, at=at) for path in paths]
    hours = any(needs_hours(video.duration) for video in videos)
    for video in videos:
        if at is not None and at > video.duration:
            say(f"note: {video.path.name} ends at {stamp(video.duration, hours=hours, up=True)}, before that moment")
    for context in contexts:
        if at is not None and stack.perceivers and not context.records:
            say(f"note: nothing that is perceived in {context.video.path.name} has ended by {stamp(at, hours=hours)}")
    try:
        answer = stack.chat(*contexts).ask(question)
        if as_json:
            show_json(answer, stack.name)
        else:
            show_answer(answer, hours)
    except VideoChatError:  # which what went wrong before may explain
        say_faults(*contexts)
        raise
    finish(*contexts)


def show_json(answer: "Answer", stack: str) -> None:
    """Print an answer, once it is whole, as one line of JSON."""
    for _ in answer:
        pass
    show_values(answer.to_json(stack))


def show_answer(answer: "Answer", hours: bool) -> None:
    """Print an answer as it comes, then what it rests on."""
    for piece in answer:
        show(piece, end="")
    show()
    if answer.left_out:
        say(f"note: the video did not fit the model's window whole: {answer.left_out}")
    if answer.finish == "length":
        say("note: the answer was cut off where it reached llm.max_tokens")
    if answer.citations:
        when = dict.fromkeys(f"{span_stamp(c.start, c.end, hours)} ({c.source})" for c in answer.citations)
        more = f" and {len(when) - _SHOWN} more" if len(when) > _SHOWN else ""
        show(f"rests on {', '.join(list(when)[:_SHOWN])}{more}")
