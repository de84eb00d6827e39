"""Segments at shot boundaries, found with the detectors of PySceneDetect."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from videochat import Component, Frame, Sampling, Segmenter, Span, Video, hookimpl

if TYPE_CHECKING:
    from scenedetect.detector import SceneDetector

Image = npt.NDArray[np.uint8]

_THRESHOLDS = {"adaptive": 15.0, "content": 27.0}  # PySceneDetect's own
_NEIGHBOURS = 2  # frames on each side that `adaptive` compares a change with
_BLACK = 6  # of 255: a picture darker than that on average is black
_BACK = 1 / 4  # of the change: a picture that differs by less has come back
_FAINT = 24  # of 255: a smaller change comes from a fade, where all pictures are dark and so alike
_STRIDE = 3  # frames: of those before a change, so many lie between two that are kept
_SETTLES = 0.1  # seconds after it came back in which what the flash left dies away


class Shots(Segmenter):
    """Cut the timeline where one shot gives way to the next; cut shots longer than `max` in equal parts.

    A boundary is the source time of the first frame of the new shot; black between two shots belongs to the one before.
    A change that is soon undone (a flash, something passing by) is none.

    What it cannot know: a dissolve or a wipe is no cut to it, nor is a cut between two views that look alike (lower
    `threshold` for those); a jerk of the camera or something that fills the frame at once may count as a cut. A file
    without pictures is one shot.
    """

    class Options(Segmenter.Options):
        """What counts as a shot."""

        detector: Literal["adaptive", "content"] = "adaptive"
        """`adaptive` wants a change that stands out from those around it, so that fast motion is no cut; `content`
        takes every change above the threshold."""
        threshold: float | None = Field(default=None, gt=0, le=255)
        """Least change from one frame to the next: the mean over pixels of the changes of hue (0 to 179), saturation
        and value (0 to 255). Default: 15 for `adaptive`, 27 for `content`. Lower finds more cuts, true and false."""
        ratio: float = Field(default=3.0, ge=1, le=255)
        """How many times the mean of the two changes before and the two after it a cut is. `adaptive` only."""
        flash: float = Field(default=0.5, ge=0, le=1)
        """Seconds within which a change that is undone is no cut; 0: every change counts."""
        min: float = Field(default=0.2, ge=0, le=60)
        """Shortest shot in seconds; a shorter one belongs to the shot before it, or at the start to the one after."""
        max: float = Field(default=60.0, ge=0.1, le=600)
        """Longest segment in seconds; a longer shot is cut in equal parts."""
        fps: float = Field(default=30.0, gt=0, le=120)
        """Frames looked at in a second. At 30, sources of up to 30 frames a second are seen whole; of faster ones some
        frames are left out, and a cut may be given one source frame late. More costs time, and only for those."""
        side: int = Field(default=90, ge=16, le=360)
        """Shorter side of those frames, in pixels."""

        @model_validator(mode="after")
        def _in_order(self) -> Self:
            if self.min > self.max:
                raise ValueError(f"min ({self.min:g} s) must not be above max ({self.max:g} s)")
            return self

    extra = "offline"
    options: Options

    def sampling(self) -> Sampling:
        """Return a steady rate of small frames."""
        return Sampling(fps=self.options.fps, side=self.options.side)

    def segments(self, video: Video, frames: Iterable[Frame]) -> Iterator[Span]:
        """Yield the shots, each as soon as its end is sure; no more than `flash` seconds of frames are held."""
        options = self.options
        start = 0.0
        for cut in self._cuts(frames) if video.has_pictures else ():
            if cut - start >= options.min and 0 < video.duration - cut >= options.min:
                yield from _parts(Span(start, cut), options.max)
                start = cut
        yield from _parts(Span(start, video.duration), options.max)

    def _cuts(self, frames: Iterable[Frame]) -> Iterator[float]:
        """Yield the times of the first frames of new shots, each once the pictures after it have borne it out."""
        flash = self.options.flash
        recent: deque[Frame] = deque()
        doubts: list[_Doubt] = []
        settled = -math.inf  # from when on the pictures are of one shot, as far as is known
        detectors = _Detectors(self.options)
        for frame in _distinct(frames):
            recent.append(frame)
            while len(recent) > _NEIGHBOURS + 2 and recent[0].time < frame.time - flash:
                recent.popleft()
            while doubts and frame.time >= doubts[0].time + flash:
                yield doubts.pop(0).time
            for i, doubt in enumerate(doubts):
                if doubt.undone(frame.image):  # and so were those that came after it
                    del doubts[i:]
                    settled = frame.time + _SETTLES
                    break
            back = detectors.see(frame.image)
            if back is None or recent[-1 - back].time <= settled:
                continue
            shown = list(recent)
            *earlier, before, new = shown[: len(shown) - back]
            if new.image.mean() < _BLACK:  # no shot starts in the dark
                continue
            same = [old for old in earlier if old.time >= max(settled, new.time - flash)]
            doubt = _Doubt([*same[::_STRIDE], before], new)
            since = [later for later in shown[len(shown) - back :] if later.time < new.time + flash]
            if doubt.none or any(doubt.undone(later.image) for later in since):
                settled = frame.time + _SETTLES
            else:
                doubts.append(doubt)
                settled = new.time
        for doubt in doubts:
            yield doubt.time


class _Doubt:
    """A change that may be a cut: from pictures of one shot, the last one at the end, to the first of another."""

    def __init__(self, before: Sequence[Frame], new: Frame) -> None:
        self.time = new.time  # seconds
        self._before = [(old.image, _difference(old.image, new.image)) for old in before]
        # What came just before was the flash, if what came earlier is like the new picture.
        last = self._before[-1][1]
        self.none = last > _FAINT and min(change for _, change in self._before) < last * _BACK

    def undone(self, image: Image) -> bool:
        """Return whether a later picture is again like those before the change."""
        return any(_difference(old, image) < change * _BACK for old, change in self._before)


class _Detectors:
    """PySceneDetect's detectors, one for cuts and one for black; they count frames and know nothing of time."""

    def __init__(self, options: Shots.Options) -> None:
        from scenedetect.detectors import AdaptiveDetector, ContentDetector, ThresholdDetector

        threshold = options.threshold or _THRESHOLDS[options.detector]
        cuts: SceneDetector
        if options.detector == "adaptive":
            cuts = AdaptiveDetector(options.ratio, 0, _NEIGHBOURS, threshold)
        else:
            cuts = ContentDetector(threshold, 0)
        self._all: tuple[SceneDetector, ...] = (cuts, ThresholdDetector(_BLACK, 0, fade_bias=1.0))
        self._number = -1

    def see(self, image: Image) -> int | None:
        """Look at the next picture, and return how many pictures ago a new shot began, if one did: 0 to 2."""
        import cv2
        from scenedetect import FrameTimecode

        self._number += 1
        code = FrameTimecode(self._number, 1.0)  # a count: times are ours, since frames may come at any
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        found = [cut.frame_num for detector in self._all for cut in detector.process_frame(code, bgr)]
        return self._number - max(found) if found else None  # the latest: others are changes to black


def _difference(first: Image, second: Image) -> float:
    """Return the mean difference of two pictures, 0 to 255."""
    import cv2

    return float(cv2.absdiff(first, second).mean())


def _distinct(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Leave out frames that come again, as they do where the source has fewer than were asked for."""
    last = -math.inf
    for frame in frames:
        if frame.time > last:
            last = frame.time
            yield frame


def _parts(span: Span, longest: float) -> Iterator[Span]:
    """Cut a span in the fewest equal parts that are no longer than `longest` seconds; none if it is empty."""
    start, end = span
    count = math.ceil((end - start) / longest - 1e-9)
    for i in range(count):
        stop = end if i + 1 == count else span.start + (end - span.start) * (i + 1) / count
        yield Span(start, stop)
        start = stop


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the segmenter."""
    register("segment", "shots", Shots)
