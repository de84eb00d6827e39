"""What a stack would do to a video: windows, frames, cache hits, downloads. Nothing is loaded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat.cache import digest, file_hash, identity, root
from videochat.check import AUDIO_LIMIT
from videochat.component import Component, Perceiver, Weights, checkpoints
from videochat.errors import Problem, StackError, UnavailableError, VideoError
from videochat.extras import missing, require
from videochat.residency import Free, fit
from videochat.segments import known_segments
from videochat.sidecar import subtitle_file
from videochat.spool import Windows
from videochat.video import Video
from videochat.window import Sampling, Span, sample_times, windows_over

if TYPE_CHECKING:
    from videochat.stack import Stack

PICTURE_LIMIT = 256 * 2**20  # bytes of frames that one window may hold


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One perceiver's part of a watch."""

    name: str
    perceiver: Perceiver
    sampling: Sampling
    spans: tuple[Span, ...]  # of its windows, in order
    store: Windows
    unknown: bool = False  # whether its windows are the segments, and those are not known yet

    @property
    def missing(self) -> list[Span]:
        """The windows that the cache does not hold."""
        return [span for span in self.spans if span not in self.store]

    @property
    def cached(self) -> int:
        """How many windows the cache holds."""
        return len(self.spans) - len(self.missing)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a watch would do."""

    stack: "Stack"
    video: Video
    span: Span  # the part of the video that is asked for
    segments: tuple[Span, ...] | None  # None: known after the first watch, since the segmenter must see the video
    tasks: tuple[Task, ...]
    at: float | None = None  # seconds: nothing that ends later is to be known

    @property
    def frames(self) -> int:
        """How many pictures the missing windows ask for, each counted once."""
        times = {
            (time, task.sampling.side)
            for task in self.tasks
            for span in task.missing
            for time in sample_times(span, task.sampling)
        }
        return len(times)

    @property
    def weights(self) -> list[tuple[str, Weights]]:
        """The model files that are needed, with the place in the stack that needs them."""
        return [(place, weights) for place, component in self.stack.components() for weights in component.weights()]

    @property
    def folder(self) -> Path:
        """Where what is known of the video is cached."""
        return root() / self.video.hash[:32]

    @property
    def perceived(self) -> str:
        """The key of all that the perceivers find, and of what they have not found yet."""
        parts = [(task.name, task.store.folder.name, task.spans, task.missing) for task in self.tasks]
        return digest({"parts": parts, "at": self.at})

    def refined(self, before: str, name: str) -> str:
        """Return the key of the records of some key once a refiner of the stack has worked on them."""
        return digest([before, name, identity(self.stack.refiners[name], self.stack.pool)])

    @property
    def loads(self) -> list[str]:
        """The places in the stack whose models a watch would load: those whose work the cache does not hold."""
        work: dict[str, Component] = {f"perceive.{t.name}": t.perceiver for t in self.tasks if t.missing or t.unknown}
        fresh, key = bool(work), self.perceived
        for name, refiner in self.stack.refiners.items():
            key = self.refined(key, name)
            if fresh or not (self.folder / key / "records.jsonl").exists():
                work[f"refine.{name}"] = refiner
        return [place for place, component in work.items() if component.weights()]

    @property
    def lacking(self) -> list[str]:
        """What keeps the stack from running here: extras to install, keys to set, checkpoints that are damaged."""
        found: dict[str, None] = {}  # in order, each once
        for place, component in self.stack.components():
            if words := missing(type(component)):
                found[words] = None
            else:  # what is to be downloaded is no fault
                try:
                    component.check()
                except UnavailableError as error:
                    found[f"{place}: {error}"] = None
        return list(found)

    def groups(self, free: Free) -> list[list[Task]]:
        """Return the tasks with missing windows in groups whose models are loaded together, one decode each.

        The stack's `residency` says which: all in one, each alone, or as many as fit together in what is free.
        """
        groups: list[list[Task]] = []
        for task in (task for task in self.tasks if task.missing):
            others = [other.perceiver for other in groups[-1]] if groups else []
            adds = checkpoints([task.perceiver]) - checkpoints(others)
            if groups and (not adds or fit(self.stack, [*others, task.perceiver], free)):
                groups[-1].append(task)
            else:
                groups.append([task])
        return groups

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        tasks = [
            {
                "name": task.name,
                "use": identity(task.perceiver)["use"],
                "windows": len(task.spans),
                "cached": task.cached,
                "sampling": asdict(task.sampling),
            }
            for task in self.tasks
        ]
        return {
            "stack": self.stack.name,
            "video": self.video.to_json(),
            "span": list(self.span),
            "segments": None if self.segments is None else len(self.segments),
            "perceive": tasks,
            "frames": self.frames,
            "weights": [{"for": place, **asdict(weights)} for place, weights in self.weights],
            "loads": self.loads,
            "lacking": self.lacking,
        }


def make_plan(
    stack: "Stack", path: Path, start: float | None = None, end: float | None = None, at: float | None = None
) -> Plan:
    """Probe a video and lay out the work.

    Args:
        stack: what to do.
        path: the video.
        start: seconds of media time from which to watch; default 0.
        end: seconds up to which to watch; default the video's end.
        at: the moment that is asked about, seconds. Embeddings cannot be cut afterwards, so the windows of what makes
            them end there (where the watch begins: the one picture on the screen then); those of other perceivers stay
            as they are, and records that end later are left out.

    Raises:
        VideoError: if the video cannot be read.
        StackError: if the stretch is empty, or a perceiver asks for more than a window may hold.
    """
    require([stack.reader])
    video = stack.reader.probe(path)
    if video.duration <= 0:
        raise VideoError(f"{path} holds nothing: no picture and no sound")
    video = replace(video, hash=file_hash(path), subtitles=subtitle_file(video))
    span = Span(max(0.0, start or 0.0), min(video.duration, video.duration if end is None else end))
    if span.start >= span.end:
        raise StackError(f"nothing lies from {span.start:g} to {span.end:g} s: the video is {video.duration:g} s long")
    segments = known_segments(stack, video)
    seen = span if at is None else Span(span.start, min(span.end, at))
    tasks = [
        _task(stack, video, seen if "embedding" in perceiver.emits else span, segments, name, perceiver)
        for name, perceiver in stack.perceivers.items()
    ]
    _check_size(stack, video, tasks)
    return Plan(stack, video, span, segments, tuple(tasks), at)


def scaled(video: Video, side: int | None) -> tuple[int, int]:
    """Return the width and height of a frame whose shorter side was asked to be `side`."""
    factor = 1.0 if side is None else min(1.0, side / max(1, min(video.width, video.height)))
    return max(1, round(video.width * factor)), max(1, round(video.height * factor))


def _task(
    stack: "Stack", video: Video, span: Span, segments: Sequence[Span] | None, name: str, perceiver: Perceiver
) -> Task:
    sampling = perceiver.sampling()
    about: dict[str, Any] = {
        "read": identity(stack.reader),
        "perceive": identity(perceiver, stack.pool),
        "sampling": {key: value for key, value in asdict(sampling).items() if key != "over"},
    }
    if sampling.subtitles and video.subtitles is not None:
        about["subtitles"] = file_hash(video.subtitles)
    store = Windows(root() / video.hash[:32] / digest(about), about)
    needed = _is_needed(stack, video, perceiver, span)
    spans = tuple(windows_over(sampling.over, span, segments or ())) if needed else ()
    unknown = needed and segments is None and sampling.over == "segment"
    return Task(name, perceiver, sampling, spans, store, unknown)


def _is_needed(stack: "Stack", video: Video, perceiver: Perceiver, span: Span) -> bool:
    """Return whether the video holds what a perceiver asks for there, and no subtitles do its work already."""
    sampling = perceiver.sampling()
    subtitled = video.subtitles is not None
    if perceiver.yields and subtitled and any(other.sampling().subtitles for other in stack.perceivers.values()):
        return False
    seen = sampling.pictures and video.has_pictures
    heard = sampling.audio_rate is not None and video.has_audio
    if span.start >= span.end:  # a moment has a picture and no sound; before the watch begins there is nothing
        return seen and span.start == span.end
    return seen or heard or (sampling.subtitles and subtitled)


def _check_size(stack: "Stack", video: Video, tasks: Sequence[Task]) -> None:
    problems = []

    def add(name: str, message: str) -> None:
        path = ("perceive", name)
        problems.append(Problem(stack.spec.at(path), ".".join(path), message))

    for task in tasks:
        if not task.spans:
            continue
        # With `frames` and a lead, the shortest window reaches back in the shortest steps and takes the most pictures.
        by_length = sorted(task.spans, key=lambda span: span.end - span.start)
        shortest, longest = by_length[0], by_length[-1]
        seconds = longest.end - longest.start + task.sampling.lead
        width, height = scaled(video, task.sampling.side)
        size = max(len(sample_times(span, task.sampling)) for span in (shortest, longest)) * width * height * 3
        if task.sampling.pictures and size > PICTURE_LIMIT:
            limit, got = PICTURE_LIMIT / 2**20, size / 2**20
            add(task.name, f"a window of {seconds:g} s takes {got:.0f} MB of frames, at most {limit:.0f}: "
                "lower its frames, fps, side, lead or over")  # fmt: skip
        if task.sampling.audio_rate and seconds > AUDIO_LIMIT:
            add(
                task.name, f"a window of {seconds:g} s of sound, at most {AUDIO_LIMIT:g}: set `over` to so many seconds"
            )
    if problems:
        raise StackError(problems)
