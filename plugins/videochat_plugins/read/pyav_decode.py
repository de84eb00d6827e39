"""Decoding the picture stream of a file: straight on, or from the keyframe before a time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from videochat import VideoError
from videochat_plugins.read.pyav_source import Source, frame_rate, open_source
from videochat_plugins.read.refusal import DAMAGED, ONLY_SOUND

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_SEEKS = {"mov", "matroska", "avi", "mpegts", "flv"}  # where packets after a seek are those that streaming gives
_STEPS_BACK = (0, 1, 4, 16)  # seconds: where to seek again when a seek landed too late


class Decoded(NamedTuple):
    """A decoded frame that is not converted yet."""

    time: float  # seconds of media time
    frame: "VideoFrame"


class Decoder:
    """Gives the frames of a file in order of time; a `with` block closes it.

    Frames without a timestamp follow the one before at the stream's average rate. Frames whose time does not rise are
    dropped, and those later than `latest` seconds, whose timestamps must be damaged. Damaged packets are passed over.
    """

    def __init__(self, path: Path, *, keyframes: bool = False, threads: int = 0, latest: float = float("inf")) -> None:
        self.path = path
        self.latest = latest
        self.keyframes = keyframes
        self.threads = threads
        self.read_to = -1.0  # time of the last packet that was read; the decoder lags behind it
        self.shown_until = -1.0  # end of the latest packet that was read
        self.can_seek = True
        self._start()

    def seek(self, time: float) -> Decoded:
        """Go to the last keyframe at or before a time, or to the start if that fails, and return the first frame."""
        import av

        for back in _STEPS_BACK:
            if time < back:
                break
            try:
                self._source.container.seek(self._clock.timestamp(time - back), stream=self._stream)
            except av.error.FFmpegError:
                break
            self._frames = self._decode(after_seek=True)
            found = next(self._frames, None)
            if not self.can_seek:
                break
            if found is not None and found.time <= time:
                if found.time != self._landed or found.frame.is_corrupt:
                    break  # the keyframe was not whole: intra refresh, which never gets quite the same again
                return found
        self.can_seek = False
        self._source.close()
        self._start()
        found = next(self._frames, None)
        if found is None:
            raise VideoError(f"{self.path}: {DAMAGED}")
        return found

    def keyframe_before(self, time: float) -> float | None:
        """Return the time of the last keyframe at or before a time, as the container's index knows it so far."""
        entries = self._stream.index_entries
        at = entries.search_timestamp(self._clock.timestamp(time) - self._lag) if len(entries) else -1
        return None if at < 0 else self._clock.seconds(entries[at].timestamp + self._lag)

    @property
    def knows_all(self) -> bool:
        """Whether the container's index lists every frame."""
        return 0 < self._stream.frames <= len(self._stream.index_entries)

    @property
    def frame_time(self) -> float:
        """How long a frame lasts on average, seconds."""
        return float(self._step)

    def ends(self, duration: float) -> float:
        """Return the end of what the last frame stands for, once all is decoded.

        That is the end of the last packet if the file broke off; else no less than `duration`, since players show the
        last frame for as long as sound goes on.
        """
        declared = self._source.declared_end(self._stream)
        promised = duration if declared is None else declared
        broke_off = self._source.gave_up or self.shown_until < promised - max(0.5, 2 * self.frame_time)
        return self.shown_until if broke_off else max(self.shown_until, duration)

    def __iter__(self) -> Iterator[Decoded]:
        return self

    def __next__(self) -> Decoded:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def _start(self) -> None:
        self._source: Source = open_source(self.path)
        if self._source.pictures is None:
            self._source.close()
            raise VideoError(f"{self.path}: {ONLY_SOUND}")
        self._stream: VideoStream = self._source.pictures
        self._source.only(self._stream)
        self._clock = self._source.clock(self._stream)
        self._step = 1 / (frame_rate(self._stream) or Fraction(25))
        self.read_to = self.shown_until = -1.0
        self._count = 0  # packets read
        self._landed: float | None = None  # time of the keyframe that the last seek led to
        self._lag = 0  # presentation timestamp less index timestamp: some indices count in decoding order
        context = self._stream.codec_context
        context.thread_type = "SLICE" if self.keyframes else "AUTO"
        context.thread_count = self.threads
        if self._source.container.format.name.split(",")[0] not in _SEEKS:
            self.can_seek = False
        self._frames = self._decode(after_seek=False)

    def _decode(self, after_seek: bool) -> Iterator[Decoded]:
        """Yield frames from where the demuxer stands.

        After a seek, those before the first keyframe are left out: they lack what they were predicted from.
        """
        first: float | None = None if after_seek else -float("inf")
        last, anchor, since = -float("inf"), None, 0
        seconds = self._clock.seconds
        for packet in self._packets():
            if packet is not None:
                if not packet.is_keyframe and (self.keyframes or first is None):
                    continue
                if self.keyframes and packet.pts is None:  # its place, since those before it are not decoded
                    packet.pts = self._clock.timestamp(float((self._count - 1) * self._step))
                if first is None:
                    if packet.pts is None:  # without times it cannot be told where a seek landed
                        return
                    first = self._landed = seconds(packet.pts)
            for frame in self._frames_of(packet):
                if frame.pts is not None:
                    time = anchor = seconds(frame.pts)
                    since = 0
                elif anchor is None:
                    time = anchor = 0.0
                else:
                    since += 1
                    time = anchor + float(since * self._step)
                if last < time <= self.latest and first is not None and time >= first:
                    last = time
                    yield Decoded(time, frame)

    def _frames_of(self, packet: "Packet[VideoStream] | None") -> "list[VideoFrame]":
        """Return the frames that a packet, or None for the end, makes the decoder give."""
        import av

        try:
            frames = self._stream.decode(packet)
            if not self.keyframes or packet is None:
                return frames
            # Each alone: with those in between missing, a decoder would take numbers that restart for disorder.
            frames += self._stream.decode(None)
            self._stream.codec_context.flush_buffers()
            return frames
        except av.error.BlockingIOError:  # full of what it could not give after an error
            self._stream.codec_context.flush_buffers()
        except av.error.FFmpegError:
            pass
        return []

    def _packets(self) -> "Iterator[Packet[VideoStream] | None]":
        """Yield the packets from where the demuxer stands, then None."""
        for packet in self._source.packets(self._stream):
            self._note(packet)
            yield packet
        yield None

    def _note(self, packet: "Packet[VideoStream]") -> None:
        """Keep what a packet says about time."""
        self._count += 1
        if packet.pts is None:
            self.can_seek = False
            self.shown_until = max(self.shown_until, float(self._count * self._step))
            return
        if self.read_to < 0 and len(entries := self._stream.index_entries):
            self._lag = packet.pts - entries[0].timestamp
        self.read_to = self._clock.seconds(packet.pts)
        end = self._clock.seconds(packet.pts + packet.duration) if packet.duration else self.read_to + self.frame_time
        if end <= self.latest:
            self.shown_until = max(self.shown_until, end)
