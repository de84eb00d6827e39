"""The sound of a file, decoded by FFmpeg's libraries: mono, with the media time of each piece."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from videochat import Chunk, Video
from videochat_plugins.read.pyav_source import Source, open_source
from videochat_plugins.read.sound import Samples, converted, laid, mono

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

_RUN_UP = 0.25  # seconds decoded before the start, since codecs lean on what came before


def chunks(video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
    """Yield the sound from `start` on at `rate` Hz in chunks of a second; nothing if there is none."""
    with open_source(video.path) as source:
        native = source.sound.codec_context.sample_rate if source.sound is not None else 0
    if native > 0:
        yield from laid(lambda begin: _decoded(video, native, begin), native, rate, start, video.duration)


def _decoded(video: Video, native: int, begin: float) -> Iterator[tuple[float | None, Samples]]:
    """Yield decoded sound, mono at `native` Hz, with its media time, from `begin` or somewhat before on."""
    if begin > _RUN_UP:
        with open_source(video.path) as source:
            frames = _frames(source, begin - _RUN_UP)
            first = next(frames, None)
            if first is not None and first[0] is not None and first[0] <= begin:
                yield from _mixed(first, frames, native)
                return
    with open_source(video.path) as source:  # from the start: nothing to skip, or the container cannot seek to there
        frames = _frames(source, None)
        first = next(frames, None)
        if first is not None:
            yield from _mixed(first, frames, native)


def _mixed(
    first: "tuple[float | None, AudioFrame]", others: "Iterator[tuple[float | None, AudioFrame]]", native: int
) -> Iterator[tuple[float | None, Samples]]:
    """Bring frames to one channel and one rate; a stream may change its form on the way."""
    import av

    resampler, form = mono(native), _form(first[1])
    for time, frame in itertools.chain([first], others):
        if _form(frame) != form:
            resampler, form = mono(native), _form(frame)
        try:
            parts = converted(resampler, frame)
        except av.error.FFmpegError:  # damage has given the frame a form that no sound has
            resampler = mono(native)
            continue
        for samples in parts:
            yield time, samples
            time = None


def _frames(source: Source, seek_to: float | None) -> "Iterator[tuple[float | None, AudioFrame]]":
    """Yield decoded frames with their media times; damaged packets are passed over."""
    import av

    stream = source.sound
    if stream is None:
        return
    source.only(stream)
    clock = source.clock(stream)
    if seek_to is not None:
        try:
            source.container.seek(clock.timestamp(seek_to), stream=stream)
        except av.error.FFmpegError:
            return
    for packet in itertools.chain(source.packets(stream), [None]):
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            continue
        for frame in frames:
            yield (None if frame.pts is None else clock.seconds(frame.pts)), frame


def _form(frame: "AudioFrame") -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
