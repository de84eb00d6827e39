"""`videochat plan`."""

from typing import TYPE_CHECKING

from videochat.cli.display import show, show_values, table
from videochat.cli.options import Device, From, Hosts, Json, Media, Model, Settings, StackName, To, open_stack
from videochat.clock import needs_hours, span_stamp

if TYPE_CHECKING:
    from videochat.plan import Plan, Task


def plan(
    video: Media,
    config: StackName = "offline",
    start: From = None,
    end: To = None,
    settings: Settings = None,
    llm: Model = None,
    device: Device = None,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Show what a watch would do: windows, frames, cache hits, downloads. Loads nothing."""
    found = open_stack(config, settings, llm, device, hosts).plan(video, start, end)
    if as_json:
        show_values(found.to_json())
    else:
        _show(found)


def _show(found: "Plan") -> None:
    from videochat.cache import identity

    video, stack = found.video, found.stack
    facts = [f"{video.width}x{video.height}, {video.fps:.3g} fps"] if video.has_pictures else ["no pictures"]
    facts += ["with sound" if video.has_audio else "no sound"]
    show(f"video   {video.path.name}: {video.duration:.2f} s, {', '.join(facts)}")
    show(f"stack   {stack.name}{': ' + stack.about if stack.about else ''}")
    span = span_stamp(*found.span, needs_hours(video.duration))
    known = "known after the first watch" if found.segments is None else f"{len(found.segments)} segments"
    show(f"watch   {span}, {known}, {found.frames} pictures to decode")
    show()
    columns = ("perceive", "plugin", "sees", "windows", "cached", "to do")
    table(columns, [_row(task) for task in found.tasks], right=columns[3:])
    show()
    refiners = ", ".join(f"{name} ({identity(refiner)['use']})" for name, refiner in stack.refiners.items())
    show(f"refine  {refiners or 'nothing'}")
    show(f"format  {identity(stack.formatter)['use']}, prompt {stack.prompt_name}")
    show(f"llm     {identity(stack.llm)['use']}")
    if any(component.weights() for _, component in stack.components()):
        answers = ["llm to answer"] if stack.llm.weights() else []
        show(f"models  {', '.join([*found.loads, *answers]) or 'none to load: all is in the cache'}")
    lacking = found.lacking
    hopeless = {line.partition(": ")[0] for line in lacking}  # that cannot be downloaded either
    absent = [(place, weights) for place, weights in found.weights if not weights.here and place not in hopeless]
    for place, weights in absent:
        size = f"{weights.bytes / 1e6:.0f} MB" if weights.bytes else "size unknown"
        show(f"download {weights.id} for {place}: {size}")
    total = sum({weights.id: weights.bytes for _, weights in absent}.values())
    if not absent:
        show("download nothing")
    elif len(absent) > 1:
        every = all(weights.bytes for _, weights in absent)
        show(f"download {'' if every else 'at least '}{total / 1e6:.0f} MB in all")
    for words in lacking:
        show(f"missing {words}")


def _row(task: "Task") -> list[object]:
    from videochat.cache import identity

    sampling = task.sampling
    sees = []
    if sampling.pictures:
        rate = f"{sampling.frames} frames" if sampling.frames else f"{sampling.fps:g} fps"
        sees.append(f"{rate} at {sampling.side or 'full'} px")
    if sampling.audio_rate:
        sees.append(f"sound at {sampling.audio_rate} Hz")
    if sampling.subtitles:
        sees.append("subtitles")
    over = sampling.over if isinstance(sampling.over, str) else f"{sampling.over:g} s"
    seen = f"{', '.join(sees) or 'nothing'} a {over}"
    return [task.name, identity(task.perceiver)["use"], seen, len(task.spans), task.cached, len(task.missing)]
