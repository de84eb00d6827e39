"""Which frames and which sound go to which window: one pass over the pictures, one over each rate of sound.

Every perceiver's times are merged into one sorted list of wants; the reader walks it once, and each frame goes to all
who asked for it. A window leaves as soon as it is complete, so only open windows hold pictures and sound.
"""

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from videochat.component import Reader
from videochat.plan import Task
from videochat.video import Video
from videochat.window import Chunk, Cue, Frame, Span, Want, Window, sample_times

Samples = npt.NDArray[np.float32]

_PADDING = 0.1  # seconds of silence that fill an encoder's last packet: a file's duration counts them, none decodes


class Place(NamedTuple):
    """A window of a task, by the task's index."""

    task: int
    span: Span


class Step(NamedTuple):
    """Something that arrived for windows, at a media time."""

    time: float
    places: tuple[Place, ...]
    found: Frame | Samples


@dataclass(slots=True)
class _Open:
    """A window that still waits for something."""

    lead: int = 0  # how many of its frames come before its start
    wanted: int = 0  # frames
    frames: list[Frame] = field(default_factory=list)
    audio: Samples | None = None


Waiting = dict[Place, _Open | None]  # None: nothing has come for it, nor been asked for


def windows(reader: Reader, video: Video, tasks: Sequence[Task]) -> Iterator[tuple[Task, Span, Window | None]]:
    """Yield each missing window of each task once it is complete; None for those that the file has nothing for.

    A window that the end of a damaged file cuts short comes with what there is of it.
    """
    # Looked up once: the store gains windows while this generator runs. Few of them are open at any time.
    waiting: Waiting = {Place(i, span): None for i, task in enumerate(tasks) for span in task.missing}
    cues: list[Cue] = []
    if video.subtitles is not None and any(task.sampling.subtitles for task in tasks):
        cues = list(reader.subtitles(video.subtitles))
    for step in heapq.merge(*_lanes(reader, video, tasks, waiting), key=itemgetter(0)):
        for place in step.places:
            window, task = _opened(waiting, place), tasks[place.task]
            if isinstance(step.found, Frame):
                window.frames.append(step.found)
            else:
                window.audio = step.found
            heard = window.audio is not None or not (task.sampling.audio_rate and video.has_audio)
            seen = len(window.frames) == window.wanted or not (task.sampling.pictures and video.has_pictures)
            if heard and seen:
                del waiting[place]
                yield task, place.span, _close(task, place.span, video, window, cues)
    for place, left in waiting.items():
        task = tasks[place.task]
        yield task, place.span, _close(task, place.span, video, left or _Open(), cues)


def _opened(waiting: Waiting, place: Place) -> _Open:
    if (window := waiting[place]) is None:
        waiting[place] = window = _Open()
    return window


def _lanes(reader: Reader, video: Video, tasks: Sequence[Task], waiting: Waiting) -> Iterator[Iterator[Step]]:
    if video.has_pictures and any(task.sampling.pictures for task in tasks):
        yield _pictures(reader, video, tasks, waiting)
    if video.has_audio:
        for rate in sorted({task.sampling.audio_rate for task in tasks if task.sampling.audio_rate}):
            lead = {i: task.sampling.lead for i, task in enumerate(tasks) if task.sampling.audio_rate == rate}
            if places := [place for place in waiting if place.task in lead]:
                yield _sound(reader, video, rate, places, lead)


def _pictures(reader: Reader, video: Video, tasks: Sequence[Task], waiting: Waiting) -> Iterator[Step]:
    # The reader pulls wants ahead of the frames that it gives back; who asked waits here in the same order.
    asked: deque[tuple[Want, tuple[Place, ...]]] = deque()

    def wanted() -> Iterator[Want]:
        spans = {i: [place.span for place in waiting if place.task == i] for i in range(len(tasks))}
        lists = (_times(i, task, spans[i], waiting) for i, task in enumerate(tasks))
        merged = heapq.merge(*lists, key=itemgetter(0))
        for want, who in groupby(merged, key=itemgetter(0)):
            asked.append((Want(want[0], want[1] or None), tuple(place for _, place in who)))
            yield asked[-1][0]

    for frame in reader.frames(video, wanted()):
        want, places = asked.popleft()
        yield Step(want.time, places, frame)


def _times(
    index: int, task: Task, spans: Sequence[Span], waiting: Waiting
) -> Iterator[tuple[tuple[float, int], Place]]:
    """Yield (time, side) of each frame that a task wants, in order, though leads make its windows overlap."""
    ahead: list[tuple[tuple[float, int], Place]] = []
    for span in spans:
        times = sample_times(span, task.sampling)
        place = Place(index, span)
        window = _opened(waiting, place)
        window.wanted = len(times)
        window.lead = sum(time < span.start - 1e-9 for time in times)
        # No later window reaches back further than this one, though its first time may come before this one's.
        while ahead and ahead[0][0][0] < max(0.0, span.start - task.sampling.lead):
            yield heapq.heappop(ahead)
        for time in times:
            heapq.heappush(ahead, ((time, task.sampling.side or 0), place))
    while ahead:
        yield heapq.heappop(ahead)


def _sound(reader: Reader, video: Video, rate: int, places: Sequence[Place], lead: dict[int, float]) -> Iterator[Step]:
    """Yield the samples of each place as soon as they have been decoded."""
    due = sorted(places, key=lambda place: place.span.end)
    first = [max(0.0, place.span.start - lead[place.task]) for place in due]
    # The earliest sample that any place still to come needs: all before it can go.
    needed = list(accumulate(reversed(first), min))[::-1]
    held: list[Chunk] = []
    turn = 0
    for chunk in reader.audio(video, rate, needed[0]):
        held.append(chunk)
        reached = chunk.time + len(chunk.samples) / rate
        while turn < len(due) and due[turn].span.end <= reached:
            yield Step(due[turn].span.end, (due[turn],), _cut(held, first[turn], due[turn].span.end, rate))
            turn += 1
        if turn == len(due):
            return
        ends = [piece.time + len(piece.samples) / rate for piece in held]
        del held[: bisect_left(ends, needed[turn])]
    for place, start in zip(due[turn:], first[turn:], strict=True):
        yield Step(place.span.end, (place,), _cut(held, start, place.span.end, rate))


def _cut(chunks: Sequence[Chunk], start: float, end: float, rate: int) -> Samples:
    """Return the samples of [start, end): zeros before the first chunk, and no more than there are at the end."""
    low, high = round(start * rate), round(end * rate)
    last = max((round(chunk.time * rate) + len(chunk.samples) for chunk in chunks), default=low)
    out = np.zeros(max(0, min(high, last) - low), np.float32)
    for chunk in chunks:
        at = round(chunk.time * rate) - low
        piece = chunk.samples[max(0, -at) : max(0, len(out) - at)]
        out[max(0, at) : max(0, at) + len(piece)] = piece
    return out


def _close(task: Task, span: Span, video: Video, window: _Open, cues: Sequence[Cue]) -> Window | None:
    """Return the window, or None if nothing came for it.

    Sound may end without damage before the pictures do, or before an encoder's padding does: a window that sees no
    pictures then comes without samples.
    """
    padding = 0 < video.duration - _PADDING <= span.start
    ended = not task.sampling.pictures and (video.has_pictures or padding)
    heard = window.audio is not None and (window.audio.size > 0 or ended)
    read = task.sampling.subtitles and video.subtitles is not None
    if not heard and not read and len(window.frames) <= window.lead:
        return None
    rate = task.sampling.audio_rate or 0
    said = tuple(cue for cue in cues if span.start <= cue.start < span.end) if read else ()
    return Window(span.start, span.end, video, tuple(window.frames), window.audio, rate, said)
