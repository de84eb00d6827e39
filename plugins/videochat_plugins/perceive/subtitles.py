"""What a video's own subtitles say."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from videochat import Component, Perceiver, Record, Sampling, Window, hookimpl


class Subtitles(Perceiver):
    """Give the text subtitles of the video, or of the file beside it, as speech: one record for each subtitle.

    Speech recognisers leave their work to it where a video has subtitles. A subtitle belongs to the window in which it
    starts. meta["from"] is "subtitles".

    What it cannot know: whether the subtitles are true to what is said, or a translation; who speaks, unless they say.
    Sounds that they tell of, such as "[door slams]", stand as they are.
    """

    class Options(Perceiver.Options):
        """What one window covers."""

        over: Literal["segment", "video"] | Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = "video"
        """What one window covers: a segment, the whole video, or so many seconds."""

    options: Options

    @property
    def emits(self) -> Collection[str]:
        """Speech records."""
        return {"speech"}

    def sampling(self) -> Sampling:
        """Return the subtitles: no pictures and no sound."""
        return Sampling(subtitles=True, over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return one record for each subtitle of each window."""
        return [
            [
                Record("speech", cue.start, max(cue.start, min(cue.end, window.end)), cue.text, meta=_META)
                for cue in window.cues
            ]
            for window in windows
        ]


_META = {"from": "subtitles"}


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "subtitles", Subtitles)
