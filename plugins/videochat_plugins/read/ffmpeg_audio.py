"""The sound of a file, decoded by the program: plain samples on one pipe, their times from its filter `ashowinfo`."""

import os
import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from videochat import Chunk, Video
from videochat_plugins.read.ffmpeg_file import File
from videochat_plugins.read.ffmpeg_process import Process
from videochat_plugins.read.ffmpeg_program import command, opened, written
from videochat_plugins.read.sound import Decoded, Samples, laid

_RUN_UP = 0.25  # seconds decoded before the start, since codecs lean on what came before
_HELD = 4 << 20  # bytes of sound that wait to be taken
_SHOWN = re.compile(r"n:\s*\d+ pts:\s*(-?\d+|NOPTS) .*nb_samples:\s*(\d+)")


def chunks(file: File, video: Video, rate: int, start: float) -> Iterator[Chunk]:
    """Yield the sound from `start` on in chunks of a second, the last one shorter; nothing if there is none.

    Raises:
        VideoError: if the program crashes, fails or hangs.
    """
    sound = file.header.sound
    if sound is not None and sound.rate:
        yield from laid(lambda begin: _decoded(file, begin), sound.rate, rate, start, video.duration)


class _Bytes:
    """Takes sound from a pipe."""

    def __init__(self) -> None:
        self.held = bytearray()

    @property
    def full(self) -> bool:
        """Whether enough waits to be taken."""
        return len(self.held) > _HELD

    def read(self, pipe: int) -> bool:
        """Read what is there, once; False if the pipe has ended."""
        data = os.read(pipe, 1 << 18)
        self.held += data
        return bool(data)

    def take(self, count: int) -> Samples:
        """Take so many samples out."""
        samples = np.frombuffer(bytes(self.held[: count * 4]), "<f4")
        del self.held[: count * 4]
        return samples.astype(np.float32, copy=False)


def _decoded(file: File, begin: float) -> Decoded:
    """Yield the sound, mono at its own rate, with its media time, from `begin` or somewhat before on."""
    if begin > _RUN_UP and file.header.start is not None:
        parts = _run(file, begin - _RUN_UP)
        first = next(parts, None)
        if first is not None and first[0] is not None and first[0] <= begin:
            yield from chain([first], parts)
            return
        parts.close()
    yield from _run(file, None)  # from the start: nothing to skip, or a seek does not lead there


def _run(file: File, seek_to: float | None) -> Generator[tuple[float | None, Samples]]:
    """Yield what one run of the program gives."""
    sound = file.header.sound
    assert sound is not None
    options: dict[str, Any] = {}
    if seek_to is not None:
        at = float(file.offset) + seek_to
        options = {"ss": f"{at:.6f}", "seek_timestamp": 1, "noaccurate_seek": None}
    heard: deque[tuple[float | None, int]] = deque()
    offset = float(file.offset)

    def hear(line: str) -> None:
        if found := _SHOWN.match(line):
            time = None if found[1] == "NOPTS" else int(found[1]) / sound.rate - offset
            heard.append((time, int(found[2])))

    def build(pipes: Sequence[int]) -> list[str]:
        stream = opened(**options)[str(sound.index)]
        # rematrix_maxval makes one channel the mean of two: their sum, the default for floats, would leave the range.
        stream = stream.filter("aresample", sound.rate, rematrix_maxval=1)
        stream = stream.filter("aformat", sample_fmts="flt", sample_rates=sound.rate, channel_layouts="mono")
        return command(
            file.path, [written(stream.filter("ashowinfo"), f"pipe:{pipes[0]}", f="f32le", acodec="pcm_f32le")]
        )

    samples = _Bytes()
    with Process(file.path, file.timeout, [samples], build, hear) as process:
        while True:
            while heard and len(samples.held) >= heard[0][1] * 4:
                time, count = heard.popleft()
                yield time, samples.take(count)
            if not process.step():
                break
        process.finish()
