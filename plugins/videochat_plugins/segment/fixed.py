"""Segments of equal length: the paper's steps in time."""

import math
from collections.abc import Callable, Iterable, Iterator

from pydantic import Field

from videochat import Component, Frame, Segmenter, Span, Video, hookimpl


class Fixed(Segmenter):
    """Cut the timeline every so many seconds; the last segment is what is left."""

    class Options(Segmenter.Options):
        """How long a segment is."""

        seconds: float = Field(default=1.0, gt=0, le=600)
        """Length of a segment in seconds."""

    options: Options

    def segments(self, video: Video, frames: Iterable[Frame]) -> Iterator[Span]:
        """Yield ceil(duration / seconds) spans."""
        step = self.options.seconds
        for i in range(math.ceil(video.duration / step - 1e-9)):
            yield Span(i * step, min((i + 1) * step, video.duration))


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the segmenter."""
    register("segment", "fixed", Fixed)
