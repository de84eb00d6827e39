"""Test videos made on the spot: every frame carries its number in its pixels.

`make` writes a file with PyAV; `read_index` tells which frame a picture is, whatever size it was scaled to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

BITS = 12  # numbers up to 4095
_CELLS = BITS + 3  # a white and a black cell in front, a parity cell behind
_TICKS = 90_000  # a second, in units of the time base


@dataclass(frozen=True)
class Made:
    """What was written."""

    path: Path
    times: tuple[float, ...]  # of the frames, seconds of media time
    size: tuple[int, int]  # width and height as shown


def draw(index: int, width: int, height: int) -> Picture:
    """Draw frame number `index`: a bar code above, red at the bottom left and blue at the bottom right."""
    bits = [index >> (BITS - 1 - i) & 1 for i in range(BITS)]
    cells = np.array([1, 0, *bits, sum(bits) % 2], np.uint8)
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2] = np.where(cells[np.arange(width) * _CELLS // width], 220, 30)[None, :, None]
    image[height // 2 :, : width // 2] = (220, 30, 30)
    image[height // 2 :, width // 2 :] = (30, 30, 220)
    return image


def read_index(image: Picture) -> int:
    """Read the number of a frame that `draw` drew.

    Raises:
        ValueError: if the picture is not upright or its bar code is damaged.
    """
    height, width = image.shape[:2]
    middle = ((np.arange(_CELLS) + 0.5) * width / _CELLS).astype(int)
    cells = (image[height // 4, middle].mean(axis=-1) > 125).astype(int)
    left, right = (image[height * 3 // 4, width * part // 4].astype(int) for part in (1, 3))
    if left[0] < left[2] + 80 or right[2] < right[0] + 80:
        raise ValueError(f"not upright: {left} at the bottom left, {right} at the bottom right")
    bits = cells[2:-1]
    if cells[0] != 1 or cells[1] != 0 or bits.sum() % 2 != cells[-1]:
        raise ValueError(f"a damaged bar code: {cells}")
    return int("".join(map(str, bits)), 2)


def make(
    path: Path,
    *,
    frames: int = 50,
    fps: float = 25.0,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    gop: int = 12,
    b_frames: int = 0,
    start: float = 0.0,
    rotation: int = 0,
    sar: Fraction = Fraction(1),
    interlaced: bool = False,
    tone: float | None = None,
    audio_codec: str = "aac",
    audio_rate: int = 44_100,
    audio_seconds: float | None = None,
    container_options: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Made:
    """Write a video file; the container follows from the path's suffix.

    Args:
        path: where to.
        frames: how many, where `times` is not given; 0 for sound alone.
        fps: frames a second, where `times` is not given.
        times: of each frame, seconds, increasing (variable frame rate).
        size: width and height of the coded picture.
        codec: FFmpeg's name of the encoder.
        gop: frames from one keyframe to the next.
        b_frames: frames in a row that are coded from both sides.
        start: seconds that the file's own clock shows at media time 0.
        rotation: degrees clockwise that a player must turn the coded picture by: 0, 90, 180 or 270.
        sar: the shape of a coded pixel, width to height.
        interlaced: code the picture as two fields.
        tone: Hz of a sine in two channels, of an amplitude of 0.5; None: no sound.
        audio_codec: FFmpeg's name of the encoder.
        audio_rate: Hz.
        audio_seconds: how long the sound is; default: as long as the pictures.
        container_options: for the muxer.
        options: for the video encoder, beside those that make it quick.
    """
    shown = list(times) if times is not None else [i / fps for i in range(frames)]
    end = (shown[-1] + (shown[-1] - shown[-2] if len(shown) > 1 else 1 / fps)) if shown else 0.0
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        video = _video_stream(container, codec, fps, size, gop, b_frames, sar, interlaced, options) if shown else None
        if video is not None and rotation:
            video.set_display_rotation(-rotation)
        audio: Any = container.add_stream(audio_codec, rate=audio_rate, layout="stereo") if tone else None
        if video is not None:
            for index, time in enumerate(shown):
                frame = av.VideoFrame.from_ndarray(_coded(index, size, rotation), format="rgb24")
                frame = frame.reformat(format=video.pix_fmt)
                frame.pts, frame.time_base = round((time + start) * _TICKS), Fraction(1, _TICKS)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None and tone is not None:
            for sound in _sine(tone, audio_rate, audio_seconds or end, start):
                container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
    height, width = _coded(0, size, rotation).shape[:2]
    upright = (round(width * sar), height)
    return Made(path, tuple(shown), upright[::-1] if rotation in (90, 270) else upright)


def cut(source: Path, target: Path, share: float) -> Path:
    """Write the first part of a file's bytes, as a download that broke off leaves it."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def blot(source: Path, target: Path, start: float, stop: float, seed: int = 0) -> Path:
    """Write a file with the bytes of one stretch (shares of its length) replaced by noise."""
    data = bytearray(source.read_bytes())
    low, high = int(len(data) * start), int(len(data) * stop)
    data[low:high] = np.random.default_rng(seed).bytes(high - low)
    target.write_bytes(bytes(data))
    return target


def _video_stream(
    container: Any,
    codec: str,
    fps: float,
    size: tuple[int, int],
    gop: int,
    b_frames: int,
    sar: Fraction,
    interlaced: bool,
    options: dict[str, str] | None,
) -> Any:
    chosen = dict(options or {})
    if codec == "libx264":
        chosen = {"preset": "ultrafast", "sc_threshold": "0", "crf": "18", "bf": str(b_frames), **chosen}
        if interlaced:
            chosen["x264-params"] = "tff=1"
    elif interlaced:
        chosen["flags"] = "+ildct+ilme"
    stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=chosen)
    stream.width, stream.height = size
    if stream.pix_fmt is None:
        stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.gop_size, context.max_b_frames, context.thread_count = gop, b_frames, 1
    if codec not in ("mpeg2video", "mpeg4"):  # those only know the frame rate's own clock
        context.time_base = Fraction(1, _TICKS)
    if sar != 1:
        context.sample_aspect_ratio = sar
    return stream


def _coded(index: int, size: tuple[int, int], rotation: int) -> Picture:
    """Return the picture as it is stored, turned against the way that a player will turn it."""
    width, height = size if rotation in (0, 180) else size[::-1]
    return np.ascontiguousarray(np.rot90(draw(index, width, height), rotation // 90))


def _sine(tone: float, rate: int, seconds: float, start: float) -> list[av.AudioFrame]:
    count, step = round(seconds * rate), 1024
    wave = (0.5 * np.sin(2 * np.pi * tone * np.arange(count) / rate)).astype(np.float32)
    sounds = []
    for at in range(0, count, step):
        part = wave[at : at + step]
        sound = av.AudioFrame.from_ndarray(np.stack([part, part]), format="fltp", layout="stereo")
        sound.sample_rate, sound.time_base = rate, Fraction(1, rate)
        sound.pts = at + round(start * rate)
        sounds.append(sound)
    return sounds
