"""Laying decoded sound at its exact place in media time and bringing it to the asked rate, whoever decoded it."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from videochat import Chunk
from videochat_plugins.read.timestamps import latest

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

Samples = npt.NDArray[np.float32]
Decoded = Iterator[tuple[float | None, Samples]]  # mono sound with its media time, None: where that before it ends

_JITTER = 0.02  # seconds that timestamps may stray (containers round them) before silence is put in or sound cut off
_TAPS = 64  # samples of the slower rate that the resampling filter sees, with room to spare


class Piece(NamedTuple):
    """Sound whose first sample is number `at` of media time, at one rate."""

    at: int
    samples: Samples


def laid(decode: Callable[[float], Decoded], native: int, rate: int, start: float, duration: float) -> Iterator[Chunk]:
    """Yield sound from `start` on in chunks of a second, the last one shorter; nothing if there is none.

    Sample k of media time lies at k / rate seconds, wherever `start` is: sound is laid on the grid of its own rate,
    gaps filled with silence and overlaps cut, and resampled from a place where the two grids meet.

    Args:
        decode: gives the sound at the rate `native` from about a media time on.
        native: Hz.
        rate: Hz.
        start: seconds.
        duration: of the file, seconds; timestamps far behind it are not believed.
    """
    first = max(0, math.ceil(start * rate - 1e-6))
    held: list[Samples] = []
    at, count = first, 0
    for piece in _resampled(decode, native, rate, first, duration):
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


def _resampled(
    decode: Callable[[float], Decoded], native: int, rate: int, first: int, duration: float
) -> Iterator[Piece]:
    """Yield the sound at `rate`, without gaps, from sample number `first` or a little before."""
    meet = native // math.gcd(native, rate)  # every so many samples the two grids share a place
    lead = _TAPS * max(1, -(-native // rate))
    begin = (first * native // rate - lead) // meet * meet
    pieces = _on_grid(decode(begin / native), native, begin, duration)
    if native == rate:
        yield from pieces
        return
    resampler = mono(rate)
    at, quiet = 0, 0
    for number, piece in enumerate(_gathered(pieces, native)):
        samples = piece.samples
        if number == 0:  # sound that starts late: begin at the meeting place before it, and drop that much
            begin = piece.at // meet * meet
            samples = np.concatenate([np.zeros(piece.at - begin, np.float32), samples])
            at, quiet = begin * rate // native, -(-piece.at * rate // native)
        for out in converted(resampler, _frame(samples, native)):
            yield Piece(max(at, quiet), out[max(0, quiet - at) :])
            at += len(out)
    for out in converted(resampler, None):
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


def _on_grid(decoded: Decoded, native: int, begin: int, duration: float) -> Iterator[Piece]:
    """Yield the sound at its own rate, without gaps, from sample number `begin` on or from where it starts."""
    jitter = round(_JITTER * native)
    last = latest(duration) * native
    due: int | None = None
    for time, samples in decoded:
        place = (due or 0) if time is None else round(time * native)
        if due is None:
            due = place
        stray = place - due
        if stray > jitter and place <= last:
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


def mono(rate: int) -> "AudioResampler":
    """Return what brings sound to one channel of floats at `rate` Hz."""
    from av.audio.resampler import AudioResampler

    # rematrix_maxval makes one channel the mean of two: their sum, the default for floats, would leave the range.
    return AudioResampler(format="flt", layout="mono", rate=rate, options={"rematrix_maxval": "1"})


def _frame(samples: Samples, rate: int) -> "AudioFrame":
    from av.audio.frame import AudioFrame

    frame = AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = rate
    return frame


def converted(resampler: "AudioResampler", frame: "AudioFrame | None") -> list[Samples]:
    """Return what a resampler gives for a frame, or at the end for None."""
    if frame is not None:
        frame.pts = None  # or the resampler would follow timestamps that have been seen to already
    return [cast("Samples", out.to_ndarray()).reshape(-1) for out in resampler.resample(frame)]
