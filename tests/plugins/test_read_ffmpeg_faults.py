"""Reader ffmpeg: a program that dies, hangs or talks too much harms nothing but the one read."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import media
from videochat import UnavailableError, VideoError, Want
from videochat_plugins.read.ffmpeg import FFmpeg

WANTS = [Want(i / 25) for i in range(50)]
FRAME = 160 * 120 * 3
# A program that is the real one, but for the runs that send pictures: there it gives some of the real output, and then
# does something else.
STAND_IN = """#!{python}
import os, re, signal, subprocess, sys, time
real, arguments = {real!r}, sys.argv[1:]
if "rawvideo" not in arguments:
    os.execv(real, [real, *arguments])
at = next(i for i, argument in enumerate(arguments) if re.fullmatch(r"pipe:\\d+", argument))
pipe, arguments[at] = int(arguments[at][5:]), "pipe:1"
done = subprocess.run([real, *arguments], capture_output=True)
name = next(argument for argument in arguments if argument.startswith("file:"))
with open({log!r}, "a") as log:
    print(os.getpid(), file=log)
sys.stderr.buffer.write(done.stderr)
sys.stderr.flush()
with os.fdopen(pipe, "wb", closefd=False) as out:
    out.write(done.stdout[:{frames} * {size}])
{then}
"""
Install = Callable[..., Path]


@pytest.fixture
def video_file(tmp_path: Path) -> Path:
    return media.make(tmp_path / "a.mp4", gop=50).path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a stand-in on PATH; returns the file that it writes its process ids to."""
    real = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()

    def put(then: str, frames: int = 50) -> Path:
        folder, log = tmp_path / "bin", tmp_path / "log"
        folder.mkdir()
        words = {"python": sys.executable, "real": real, "log": str(log), "size": FRAME}
        (folder / "ffmpeg").write_text(STAND_IN.format(then=then, frames=frames, **words))
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return log

    return put


def read(path: Path, timeout: float = 60.0) -> tuple[int, str]:
    """Read all frames; return how many came, and how it ended."""
    reader, count = FFmpeg(FFmpeg.Options(timeout=timeout)), 0
    video = reader.probe(path)
    try:
        for _ in reader.frames(video, WANTS):
            count += 1
    except VideoError as error:
        return count, str(error)
    return count, ""


def gone(log: Path) -> bool:
    """Return whether the processes have ended, and are waited for."""
    return not any(Path(f"/proc/{pid}").exists() for pid in log.read_text().split())


def eventually(true: Callable[[], bool]) -> bool:
    """Return whether something becomes true within seconds."""
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def pipes() -> int:
    return sum("pipe:" in os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


def test_a_program_that_does_its_work(video_file: Path, install: Install) -> None:
    log = install("")
    before = pipes()
    assert read(video_file) == (50, "")
    assert gone(log)
    assert pipes() == before


def test_a_crash(video_file: Path, install: Install) -> None:
    log = install("os.kill(os.getpid(), signal.SIGSEGV)", frames=7)
    before = pipes()
    count, words = read(video_file)
    assert count == 7
    assert "crashed" in words
    assert "SIGSEGV" in words
    assert gone(log)
    assert pipes() == before


def test_a_failure_is_told_in_the_programs_words(video_file: Path, install: Install) -> None:
    say = "print('[h264 @ 0x55] [error] no \\x1b[31m luck with', name, file=sys.stderr); sys.exit(3)"
    _, words = read(video_file, 60)
    assert not words
    install(say, frames=3)
    count, words = read(video_file)
    assert count == 3
    assert words == f"{video_file}: the program ffmpeg failed on it (exit code 3): no [31m luck with a.mp4"


def test_silence(video_file: Path, install: Install) -> None:
    log = install("time.sleep(600)", frames=7)
    before, start = pipes(), time.monotonic()
    count, words = read(video_file, timeout=1.5)
    assert count == 7
    assert "1.5 seconds" in words
    assert time.monotonic() - start < 20
    assert gone(log)
    assert pipes() == before


def test_pipes_closed_but_still_there(video_file: Path, install: Install) -> None:
    log = install("os.close(pipe); os.close(2); time.sleep(600)", frames=7)
    count, words = read(video_file, timeout=1.5)
    assert count == 7
    assert words
    assert gone(log)


def test_what_it_started_ends_with_it(video_file: Path, install: Install) -> None:
    log = install(f"open({str(video_file) + '.pid'!r}, 'w').write(str(subprocess.Popen(['/bin/sleep', '600']).pid))", 7)
    count, words = read(video_file, timeout=1.5)
    assert count == 7
    assert words
    assert gone(log)
    child = Path(f"/proc/{Path(str(video_file) + '.pid').read_text()}/stat")
    assert eventually(lambda: not child.exists() or child.read_text().split()[2] == "Z")  # its parent waits, not we


def test_talk_without_end_blocks_nothing(video_file: Path, install: Install) -> None:
    install("[print('[warning] ' + 'x' * 1000, file=sys.stderr) for _ in range(5000)]; print('y' * 5_000_000)")
    assert read(video_file) == (50, "")


def test_stopping_early_ends_the_program_at_once(video_file: Path, install: Install) -> None:
    log = install("time.sleep(600)")
    before = pipes()
    reader = FFmpeg()
    frames = reader.frames(reader.probe(video_file), WANTS)
    next(frames)
    assert not gone(log)
    frames.close()
    assert gone(log)
    assert pipes() == before


def test_a_hang_while_probing(video_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VideoError, match="gave nothing"):
        FFmpeg(FFmpeg.Options(timeout=0.5)).probe(video_file)


def test_no_program(video_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    for call in (FFmpeg().check, lambda: FFmpeg().probe(video_file)):
        with pytest.raises(UnavailableError, match=r"needs the program ffmpeg .* install it"):
            call()


def test_a_program_that_does_not_start(video_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_text("#!/no/such/interpreter\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    before = pipes()
    with pytest.raises(UnavailableError, match="cannot start"):
        FFmpeg().probe(video_file)
    assert pipes() == before


def test_a_program_that_is_too_old(video_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\necho \"Unrecognized option 'fps_mode'.\" >&2\nexit 1\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"too old: 5\.1"):
        FFmpeg().probe(video_file)
