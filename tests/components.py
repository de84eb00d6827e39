"""Tiny components for tests of the running part: a reader without files, perceivers, refiners and a segmenter.

`child` watches a video in a process of its own, for tests that kill it or run several.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveFloat

from media import make
from videochat import (
    Box,
    Chunk,
    Frame,
    Perceiver,
    Pool,
    Reader,
    Record,
    Refiner,
    Sampling,
    Segmenter,
    Span,
    Stack,
    Stream,
    UnavailableError,
    Video,
    Want,
    Weights,
    Window,
)
from videochat.plan import Task, make_plan
from videochat.spool import Windows
from videochat_plugins.read.pyav import PyAV

LOG = "VIDEOCHAT_TEST_LOG"  # names the file that Logged appends to


@dataclass
class Film:
    """A video that lies in no file: pictures at given times, and a ramp as its sound (sample k is worth k + 1)."""

    times: Sequence[float] = ()
    duration: float = 10.0
    sound: Sequence[tuple[float, float]] = ()  # stretches of sound, seconds, in order
    chunk: float = 1.0  # seconds of sound in a chunk
    ahead: int = 1  # wants that the reader pulls before it gives the first frame
    breaks: float = float("inf")  # second after which nothing can be decoded
    video: Video = field(init=False)

    def __post_init__(self) -> None:
        kinds = ["video"] * bool(self.times) + ["audio"] * bool(self.sound)
        size = (64, 48) if self.times else (0, 0)
        streams = tuple(Stream(kind, "none") for kind in kinds)
        self.video = Video(Path("film"), self.duration, *size, streams=streams, hash="0" * 64)


class FilmReader(Reader):
    """Reads a `Film`, and keeps what it was asked for and what it gave."""

    def __init__(self, film: Film) -> None:
        super().__init__()
        self.film = film
        self.wants: list[Want] = []
        self.given: list[Frame] = []

    def probe(self, path: Path) -> Video:
        return self.film.video

    def frames(self, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
        pulled: list[Want] = []
        for want in wanted:
            self.wants.append(want)
            pulled.append(want)
            if len(pulled) == self.film.ahead:
                if pulled[0].time > self.film.breaks:
                    return
                yield self._frame(pulled.pop(0))
        for want in pulled:
            if want.time > self.film.breaks:
                return
            yield self._frame(want)

    def nearest(self, time: float) -> float:
        times = self.film.times
        at = bisect_left(times, time)
        near = times[max(0, at - 1) : at + 1]
        return min(near, key=lambda found: (abs(found - time), found))

    def _frame(self, want: Want) -> Frame:
        side = want.side or 48
        self.given.append(Frame(self.nearest(want.time), np.zeros((side, side * 4 // 3, 3), np.uint8)))
        return self.given[-1]

    def audio(self, video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
        for begin, end in self.film.sound:
            low, high = max(round(begin * rate), round(start * rate)), round(min(end, self.film.breaks) * rate)
            step = max(1, round(self.film.chunk * rate))
            for at in range(low, high, step):
                yield Chunk(at / rate, np.arange(at + 1, min(at + step, high) + 1, dtype=np.float32))


class Counting(PyAV):
    """The real reader, which counts what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.frames_given = 0
        self.chunks_given = 0
        self.passes = 0

    def frames(self, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
        self.passes += 1
        for frame in super().frames(video, wanted):
            self.frames_given += 1
            yield frame

    def audio(self, video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
        for chunk in super().audio(video, rate, start):
            self.chunks_given += 1
            yield chunk


class Echo(Perceiver):
    """Says all that it saw and heard, so that equal records mean equal windows; keeps which windows it was given."""

    class Options(Perceiver.Options):
        over: Literal["segment", "video"] | PositiveFloat = "segment"
        frames: int | None = None
        fps: float | None = None
        side: int | None = None
        audio_rate: int | None = None
        lead: float = 0.0
        word: str = "saw"

    options: Options
    emits: Collection[str] = ("look",)

    def __init__(self, options: Options | None = None, *, batch: int = 1, **values: Any) -> None:
        super().__init__(options or self.Options(**values))
        self.batch = batch
        self.spans: list[Span] = []
        self.batches: list[int] = []
        self.loads = self.closes = 0

    def load(self, pool: Pool) -> None:
        self.loads += 1

    def close(self) -> None:
        self.closes += 1

    def sampling(self) -> Sampling:
        o = self.options
        return Sampling(o.frames, o.fps, o.side, o.audio_rate, o.over, o.lead)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        self.batches.append(len(windows))
        for window in windows:
            self.spans.append(window.span)
            yield self.see(window)

    def see(self, window: Window) -> Sequence[Record]:
        seen = hashlib.sha256()
        for frame in window.frames:
            seen.update(frame.image.tobytes())
        if window.audio is not None:
            seen.update(window.audio.tobytes())
        sound = 0 if window.audio is None else window.audio.size
        text = f"{self.options.word} {len(window.frames)} frames, {sound} samples: {seen.hexdigest()[:12]}"
        return [Record("look", window.start, window.end, text)]


class Seeing(Echo):
    """Gives what a function makes of each window."""

    def __init__(self, see: Callable[[Window], Any], *, emits: Collection[str] = ("look",), **values: Any) -> None:
        super().__init__(**values)
        self._see = see
        self.emits = emits

    def see(self, window: Window) -> Sequence[Record]:
        found: Sequence[Record] = self._see(window)
        return found


class Failing(Echo):
    """Raises for the windows that start at or after `after` seconds, as often as they are tried."""

    def __init__(self, error: BaseException, after: float = 0.0, **values: Any) -> None:
        super().__init__(**values)
        self.error, self.after = error, after

    def see(self, window: Window) -> Sequence[Record]:
        if window.start >= self.after:
            raise self.error
        return super().see(window)


class Slow(Echo):
    """Takes its time."""

    def __init__(self, seconds: float = 0.02, **values: Any) -> None:
        super().__init__(**values)
        self.seconds = seconds

    def see(self, window: Window) -> Sequence[Record]:
        time.sleep(self.seconds)
        return super().see(window)


class Logged(Slow):
    """Appends one line to a file for each window that it has perceived; processes may share the file."""

    def see(self, window: Window) -> Sequence[Record]:
        found = super().see(window)
        line = json.dumps([self.options.word, *window.span]) + "\n"
        log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, line.encode())
        os.close(log)
        return found


class Embedding(Echo):
    """Gives embeddings: the window's start in each of `rows` rows."""

    rows = 3
    space = "tiny"  # that of speakers.Talker
    emits: Collection[str] = ("embedding",)

    def see(self, window: Window) -> Sequence[Record]:
        tokens = np.full((self.rows, 4), window.start, np.float32)
        return [Record("embedding", window.start, window.end, tokens=tokens, space=self.space)]


class Weighty(Echo):
    """Needs a model file of so many bytes."""

    def __init__(self, size: int, **values: Any) -> None:
        super().__init__(**values)
        self.size = size

    def weights(self) -> Sequence[Weights]:
        return [Weights(f"model-{self.options.word}", self.size)]


class Unavailable(Echo):
    """Has no model."""

    def load(self, pool: Pool) -> None:
        raise UnavailableError("the model cannot be had")


class Passing(Refiner):
    """Passes all on, through a function of the whole stream where one is given; counts its calls."""

    reads: Collection[str] = ("look",)
    emits: Collection[str] = ("look",)

    class Options(Refiner.Options):
        word: str = "passed"

    options: Options

    def __init__(
        self, change: Callable[[Iterator[Record]], Iterator[Record]] | None = None, options: Options | None = None
    ) -> None:
        super().__init__(options)
        self.change = change
        self.calls = 0

    def refine(self, records: Iterator[Record]) -> Iterator[Record]:
        self.calls += 1
        yield from self.change(records) if self.change else records


class Looking(Segmenter):
    """A segmenter that must see the video: cuts where it is told, after looking at every frame that it asked for."""

    class Options(Segmenter.Options):
        cuts: tuple[float, ...] = ()

    options: Options

    def __init__(self, *cuts: float) -> None:
        super().__init__(self.Options(cuts=cuts))
        self.seen = 0
        self.calls = 0

    def sampling(self) -> Sampling:
        return Sampling(fps=4, side=16)

    def segments(self, video: Video, frames: Iterable[Frame]) -> Iterator[Span]:
        self.calls += 1
        self.seen = sum(1 for _ in frames)
        edges = [0.0, *self.options.cuts, video.duration]
        return (Span(*pair) for pair in pairwise(edges))


def task(perceiver: Perceiver, spans: Iterable[Span], folder: Path, name: str = "it") -> Task:
    """Return a task whose windows are not in any cache."""
    return Task(name, perceiver, perceiver.sampling(), tuple(spans), Windows(folder / name, {}))


def corner(window: Window) -> Sequence[Record]:
    """See where the picture turns from red to blue, in the pixels of the frame: a box around the red part."""
    image = window.frames[-1].image.astype(int)
    red = (image[..., 0] > image[..., 2] + 80) & (image[..., 0] > image[..., 1] + 80)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    box = Box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return [Record("look", window.start, window.end, "red", box=box)]


def logged_stack() -> Stack:
    """Return a stack whose perceivers write down each window: twelve in three seconds, and three of sound."""
    pictures = Logged(0.02, fps=8, side=32, word="pictures")
    sound = Logged(0.005, audio_rate=8000, over=1.0, word="sound")
    return Stack(
        segment={"use": "fixed", "seconds": 0.25},
        perceive={"pictures": pictures, "sound": sound},
        refine={"pass": Passing()},
        device="cpu",
    )


def run() -> None:
    """Watch the video named in the arguments and print the records: what `child` runs."""
    for found in logged_stack().watch(sys.argv[1]).records:
        print(json.dumps(found.to_json(), sort_keys=True))


def child(clip: Path, **values: Any) -> "subprocess.Popen[bytes]":
    """Start a process that watches a video with `logged_stack`."""
    command = [sys.executable, "-c", "import components; components.run()", str(clip)]
    return subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, **values)


def log_lines() -> list[str]:
    """Return the lines that every `Logged` has written."""
    log = Path(os.environ[LOG])
    return log.read_text().splitlines() if log.exists() else []


def cached_lines(clip: Path) -> set[str]:
    """Return the windows of `logged_stack` that the cache holds, written as in the log."""
    tasks = make_plan(logged_stack(), clip).tasks
    held = [(task.perceiver, span) for task in tasks for span in task.spans if span in task.store]
    return {json.dumps([perceiver.options.model_dump()["word"], *span]) for perceiver, span in held}


def make_logged_clip(folder: Path) -> Path:
    """Make a video of three seconds, with sound that is the same to the bit wherever its reading starts."""
    return make(folder / "clip.mp4", frames=75, size=(64, 48), tone=300.0, audio_codec="flac", audio_rate=8000).path
