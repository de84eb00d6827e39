"""Giving each wanted time its frame: streaming on or seeking, whichever decodes less."""

from collections.abc import Iterable, Iterator

from videochat import Frame, Video, VideoError, Want
from videochat_plugins.read.pyav_decode import Decoded, Decoder
from videochat_plugins.read.pyav_picture import Painter, scaled_size
from videochat_plugins.read.refusal import DAMAGED

_WORTH = 16  # frames that a seek must save: it throws away what the decoder's threads are at
_WORTH_KEYFRAMES = 250  # the same where frames between keyframes are read but not decoded
_BLIND = 8.0  # seconds ahead from which a seek is tried where the index lists only some frames
_SLACK = 0.1  # seconds after the end that still belong to it, since declared durations are rounded


def walk(decoder: Decoder, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
    """Yield the frame nearest to each want (of two as near, the earlier); fewer if the file ends early.

    Takes one want at a time, and converts each frame once for each size.

    Raises:
        VideoError: if nothing can be decoded.
    """
    painter = Painter()
    reach = _Reach(decoder)
    painted: dict[tuple[int, int], Frame] = {}
    chosen: Decoded | None = None
    for want in wanted:
        nearest = reach.nearest(want.time)
        if reach.ended and want.time > nearest.time and want.time > decoder.ends(video.duration) + _SLACK:
            return
        if nearest is not chosen:
            chosen = nearest
            painted.clear()
        size = scaled_size(video.width, video.height, want.side)
        frame = painted.get(size)
        if frame is None:
            frame = painted[size] = Frame(nearest.time, painter.paint(nearest.frame, *size))
        yield frame


class _Reach:
    """The two frames around the time last asked for, and the choice of how to get to the next."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._before: Decoded | None = None
        self._after: Decoded | None = None
        self._blind = _BLIND
        self.ended = False  # whether the time last asked for lies after the last frame

    def nearest(self, time: float) -> Decoded:
        """Return the frame nearest to a time no earlier than the last one."""
        if self._after is None:
            self._after = next(self._decoder, None)
            if self._after is None:
                raise VideoError(f"{self._decoder.path}: {DAMAGED}")
        if self._after.time < time and not self.ended and self._worth_a_seek(time):
            self._before, self._after = None, self._seek(time)
        while self._after.time < time and not self.ended:
            found = next(self._decoder, None)
            if found is None:
                self.ended = True
            else:
                self._before, self._after = self._after, found
        if self._before is not None and time - self._before.time <= self._after.time - time:
            return self._before
        return self._after

    def _worth_a_seek(self, time: float) -> bool:
        decoder = self._decoder
        least = (_WORTH_KEYFRAMES if decoder.keyframes else _WORTH) * decoder.frame_time
        ahead = decoder.read_to
        if not decoder.can_seek or time - ahead <= least:
            return False
        key = decoder.keyframe_before(time)
        if key is not None and key - ahead > least:
            return True
        return not decoder.knows_all and time - ahead > self._blind

    def _seek(self, time: float) -> Decoded:
        ahead = self._decoder.read_to
        found = self._decoder.seek(time)
        if found.time <= ahead:  # keyframes are farther apart than that: it went back instead of on
            self._blind = max(self._blind, 2 * (time - found.time))
        return found
