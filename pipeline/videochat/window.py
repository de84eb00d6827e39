"""Time, and what of it a perceiver gets to see: spans, sampling, frames, audio chunks and windows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from videochat.video import Video

Over = Literal["segment", "video"] | float


class Span(NamedTuple):
    """A stretch of media time, [start, end) in seconds."""

    start: float
    end: float


class Want(NamedTuple):
    """A frame that somebody wants: the one nearest to a time."""

    time: float  # seconds of media time
    side: int | None = None  # pixels that its shorter side is scaled down to, where it has more; None: as it is


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture with its source time."""

    time: float  # seconds of media time, from the source's PTS
    image: npt.NDArray[np.uint8]  # RGB (H, W, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A piece of sound."""

    time: float  # of its first sample, seconds of media time
    samples: npt.NDArray[np.float32]  # mono (n,), -1 to 1


class Cue(NamedTuple):
    """One subtitle."""

    start: float  # seconds of media time
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a perceiver asks to see of the video.

    Give `frames` (so many, evenly spaced, at the middles of equal parts of the window), or `fps` (at k / fps seconds of
    media time, the same grid for every window), or neither (no pictures).

    Raises:
        ValueError: if the values contradict each other.
    """

    frames: int | None = None
    fps: float | None = None
    side: int | None = None  # shorter side in pixels, at least, where the source has as many
    audio_rate: int | None = None  # Hz; None: no sound
    over: Over = "segment"  # one window for each segment, one for the whole video, or one for every so many seconds
    lead: float = 0.0  # seconds before the window's start that its frames and sound reach back
    subtitles: bool = False  # whether it reads the video's subtitles

    def __post_init__(self) -> None:
        if self.frames is not None and self.fps is not None:
            raise ValueError("a sampling takes frames or fps, not both")
        if isinstance(self.over, str) and self.over not in ("segment", "video"):
            raise ValueError(f"a sampling's over must be segment, video or seconds, got {self.over!r}")
        for name in ("frames", "fps", "side", "audio_rate", "over"):
            value = getattr(self, name)
            if not (value is None or isinstance(value, str) or 0 < value < math.inf):
                raise ValueError(f"a sampling's {name} must be finite and above 0, got {value}")
        if not 0 <= self.lead < math.inf:
            raise ValueError(f"a sampling's lead must be finite and not below 0, got {self.lead}")

    @property
    def pictures(self) -> bool:
        """Whether frames are asked for."""
        return self.frames is not None or self.fps is not None


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What one perceiver sees at once."""

    start: float  # seconds of media time
    end: float
    video: Video
    frames: tuple[Frame, ...] = ()  # in time order; with a `lead`, those before `start` come first
    audio: npt.NDArray[np.float32] | None = None  # mono; its first sample is at start - lead (or at 0)
    rate: int = 0  # Hz
    cues: tuple[Cue, ...] = ()  # the subtitles that start in the window, in order

    @property
    def span(self) -> Span:
        """The stretch of time that the window is about, without its lead."""
        return Span(self.start, self.end)

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """The frames as one array (T, H, W, 3)."""
        return np.stack([frame.image for frame in self.frames])

    @property
    def times(self) -> tuple[float, ...]:
        """The frames' source times, seconds."""
        return tuple(frame.time for frame in self.frames)

    @property
    def nbytes(self) -> int:
        """Bytes that the pictures and the sound take."""
        return sum(frame.image.nbytes for frame in self.frames) + (0 if self.audio is None else self.audio.nbytes)


def sample_times(span: Span, sampling: Sampling) -> Sequence[float]:
    """Return the times in seconds that a window over `span` asks frames of, in order, its lead included."""
    first = max(0.0, span.start - sampling.lead)
    if sampling.frames is not None:
        step = (span.end - span.start) / sampling.frames
        back = int((span.start + step / 2 - first) / step) if step > 0 else 0
        return [span.start + (i + 0.5) * step for i in range(-back, sampling.frames)]
    if sampling.fps is None:
        return []
    # Grid points k / fps with first <= k / fps < end; the small slack keeps 0.3 * 10 on the grid.
    low = int(np.ceil(first * sampling.fps - 1e-6))
    high = int(np.ceil(span.end * sampling.fps - 1e-6))
    times = [k / sampling.fps for k in range(low, high)]
    if not times or times[-1] < span.start - 1e-9:
        times.append((span.start + span.end) / 2)
    return times


def windows_over(over: Over, span: Span, segments: Sequence[Span]) -> Iterator[Span]:
    """Yield the windows of a stretch: the video's, each segment's, or those of a grid from 0; edges clipped.

    A stretch of no length is a moment, and one window: what is on the screen then.
    """
    if over == "video" or span.end - span.start <= 1e-6:
        yield span
        return
    if isinstance(over, str):
        cells: Iterator[Span] = iter(segments)
    else:
        step = float(over)
        grid = range(math.floor(span.start / step), math.ceil(span.end / step))
        cells = (Span(i * step, (i + 1) * step) for i in grid)
    for cell in cells:
        clipped = Span(max(cell.start, span.start), min(cell.end, span.end))
        if clipped.end - clipped.start > 1e-6:
            yield clipped
