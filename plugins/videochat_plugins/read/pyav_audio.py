"""The sound of a file as mono float32, each sample at its exact place in media time."""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from videochat import Chunk, Video
from videochat_plugins.read.pyav_source import Source, open_source

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

Samples = npt.NDArray[np.float32]

_JITTER = 0.02  # seconds that timestamps may stray (containers round them) before silence is put in or sound cut off
_RUN_UP = 0.25  # seconds decoded before the start, since codecs lean on what came before
_TAPS = 64  # samples of the slower rate that the resampling filter sees, with room to spare


class Piece(NamedTuple):
    """Sound whose first sample is number `at` of media time, at one rate."""

    at: int
    samples: Samples


def chunks(video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
    """Yield the sound from `start` on in chunks of a second, the last one shorter; nothing if there is none.

    Sample k of media time lies at k / rate seconds, wherever `start` is: sound is laid on the grid of its own rate,
    gaps filled with silence and overlaps cut, and resampled from a place where the two grids meet.
    """
    first = max(0, math.ceil(start * rate - 1e-6))
    held: list[Samples] = []
    at, count = first, 0
    for piece in _resampled(video, rate, first):
        if not count:
            at = max(at, piece.at)
        samples = piece.samples[max(0, at + count - piece.at) :]
        held.append(samples)
        count += len(samples)
        while count >= rate:
            joined = np.concatenate(held)
            yield Chunk(at / rate, _sane(joined[:rate]))
            held, at, count = [joined[rate:]], at + rate, count - rate
    if count:
        yield Chunk(at / rate, _sane(np.concatenate(held)))


def _sane(samples: Samples) -> Samples:
    """Return samples within -1 and 1; damaged packets may decode to what is no number."""
    return np.clip(np.nan_to_num(samples), -1, 1)


def _resampled(video: Video, rate: int, first: int) -> Iterator[Piece]:
    """Yield the sound at `rate`, without gaps, from sample number `first` or a little before."""
    with open_source(video.path) as source:
        native = source.sound.codec_context.sample_rate if source.sound is not None else 0
    if native <= 0:
        return
    meet = native // math.gcd(native, rate)  # every so many samples the two grids share a place
    lead = _TAPS * max(1, -(-native // rate))
    begin = (first * native // rate - lead) // meet * meet
    pieces = _on_grid(video, native, begin)
    if native == rate:
        yield from pieces
        return
    resampler = _mono(rate)
    at, quiet = 0, 0
    for number, piece in enumerate(_gathered(pieces, native)):
        samples = piece.samples
        if number == 0:  # sound that starts late: begin at the meeting place before it, and drop that much
            begin = piece.at // meet * meet
            samples = np.concatenate([np.zeros(piece.at - begin, np.float32), samples])
            at, quiet = begin * rate // native, -(-piece.at * rate // native)
        for out in _converted(resampler, _frame(samples, native)):
            yield Piece(max(at, quiet), out[max(0, quiet - at) :])
            at += len(out)
    for out in _converted(resampler, None):
        yield Piece(max(at, quiet), out[max(0, quiet - at) :])
        at += len(out)


def _gathered(pieces: Iterator[Piece], least: int) -> Iterator[Piece]:
    """Join pieces until they hold `least` samples: one call of the resampler costs as much for few as for many."""
    held: list[Samples] = []
    at, count = 0, 0
    for piece in pieces:
        at = piece.at if not held else at
        held.append(piece.samples)
        count += len(piece.samples)
        if count >= least:
            yield Piece(at, np.concatenate(held))
            held, count = [], 0
    if held:
        yield Piece(at, np.concatenate(held))


def _on_grid(video: Video, native: int, begin: int) -> Iterator[Piece]:
    """Yield the sound at its own rate, without gaps, from sample number `begin` on or from where it starts."""
    jitter = round(_JITTER * native)
    latest = (video.duration + 1) * native  # later timestamps are not believed
    due: int | None = None
    for time, samples in _decoded(video, native, begin / native):
        place = (due or 0) if time is None else round(time * native)
        if due is None:
            due = place
        stray = place - due
        if stray > jitter and place <= latest:
            due = max(due, begin)
            while due < place:
                silence = np.zeros(min(native, place - due), np.float32)
                yield Piece(due, silence)
                due += len(silence)
        elif stray < -jitter:
            samples = samples[-stray:]
        if len(samples) and due + len(samples) > begin:
            yield Piece(max(due, begin), samples[max(0, begin - due) :])
        due += len(samples)


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

    resampler, form = _mono(native), _form(first[1])
    for time, frame in itertools.chain([first], others):
        if _form(frame) != form:
            resampler, form = _mono(native), _form(frame)
        try:
            parts = _converted(resampler, frame)
        except av.error.FFmpegError:  # damage has given the frame a form that no sound has
            resampler = _mono(native)
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


def _mono(rate: int) -> "AudioResampler":
    from av.audio.resampler import AudioResampler

    # rematrix_maxval makes one channel the mean of two: their sum, the default for floats, would leave the range.
    return AudioResampler(format="flt", layout="mono", rate=rate, options={"rematrix_maxval": "1"})


def _frame(samples: Samples, rate: int) -> "AudioFrame":
    from av.audio.frame import AudioFrame

    frame = AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = rate
    return frame


def _converted(resampler: "AudioResampler", frame: "AudioFrame | None") -> list[Samples]:
    """Return what a resampler gives for a frame, or at the end for None."""
    if frame is not None:
        frame.pts = None  # or the resampler would follow timestamps that have been seen to already
    return [cast("Samples", out.to_ndarray()).reshape(-1) for out in resampler.resample(frame)]
