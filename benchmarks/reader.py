"""Reading: our reader against the ffmpeg program, and keyframes against a full decode."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks import media
from benchmarks.figure import Figure, seconds
from videochat import Reader, Want
from videochat.registry import registry


def figures() -> Iterator[Figure]:
    """Read 10 minutes of 720p at 1 fps, as RGB."""
    path = media.hd()
    stream, keyframes = reader(), reader(strategy="keyframes")
    runs = [
        (
            seconds(lambda: read(stream, path)),
            seconds(lambda: read_with_ffmpeg(path)),
            seconds(lambda: read(keyframes, path)),
        )
        for _ in range(5)
    ]
    full, program, sparse = zip(*runs, strict=True)
    yield Figure.of("read", "reader pyav, 1 fps", "ffmpeg program, 1 fps", [*zip(full, program, strict=True)], 1.05)
    yield Figure.of("keyframes", "reader pyav, keyframes", "full decode", [*zip(sparse, full, strict=True)], 0.10)


def reader(**options: str) -> Reader:
    """Return the reader `pyav`."""
    cls = registry().find("read", "pyav").cls
    assert issubclass(cls, Reader)
    return cls(cls.Options(**options))


def read(reader: Reader, path: Path, side: int | None = None, first: float = 0.0) -> None:
    """Go through one frame for every second."""
    video = reader.probe(path)
    count = sum(1 for _ in reader.frames(video, (Want(first + t, side) for t in range(int(video.duration)))))
    assert count == int(video.duration)


def read_with_ffmpeg(path: Path) -> None:
    """Decode the same with the ffmpeg program, which writes the pixels to nowhere."""
    pixels = ["-vf", "fps=1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-y", os.devnull]
    command = [media.ffmpeg(), "-v", "error", "-i", str(path), "-an", *pixels]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
