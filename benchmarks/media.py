"""The videos that are measured, made once by the ffmpeg program of imageio-ffmpeg and kept for the next run."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()) / "videochat-benchmarks"


def ffmpeg() -> str:
    """Return the path of the ffmpeg program."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def hd() -> Path:
    """Return 10 minutes of 1280x720 at 25 fps, H.264 with a keyframe every 250 frames."""
    return looped("hd", "1280x720", fps=25, gop=250, minutes=10)


def small(minutes: int) -> Path:
    """Return so many minutes of 192x108 at 5 fps."""
    return looped("small", "192x108", fps=5, gop=50, minutes=minutes)


def looped(name: str, size: str, fps: int, gop: int, minutes: int) -> Path:
    """Return a file of one encoded minute, repeated without encoding again."""
    path = FOLDER / f"{name}-{minutes}.mp4"
    if path.exists():
        return path
    if minutes == 1:
        source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}:duration=60"]
        coding = ["-c:v", "libx264", "-preset", "veryfast", "-g", str(gop), "-sc_threshold", "0", "-pix_fmt", "yuv420p"]
    else:
        source = ["-stream_loop", str(minutes - 1), "-i", str(looped(name, size, fps, gop, minutes=1))]
        coding = ["-c", "copy"]
    write(path, [*source, *coding])
    return path


def sounding(size: str, seconds: int) -> Path:
    """Return so many seconds at 25 fps with a tone, H.264 and AAC."""
    path = FOLDER / f"sounding-{size}-{seconds}.mp4"
    if not path.exists():
        source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", "-f", "lavfi", "-i", "sine=frequency=300"]
        coding = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-t", str(seconds)]
        write(path, [*source, *coding])
    return path


def write(path: Path, arguments: Sequence[str]) -> None:
    """Let the ffmpeg program make a file; there is none, or a whole one."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.mp4")
    subprocess.run([ffmpeg(), "-v", "error", "-y", *arguments, str(part)], check=True, stdin=subprocess.DEVNULL)
    part.replace(path)
