"""The readers `pyav` and `ffmpeg` give the same: each checks the other."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import media
from videochat import Frame, Video, VideoError, Want
from videochat_plugins.read.ffmpeg import FFmpeg
from videochat_plugins.read.pyav import PyAV

VFR = [0.0, 0.05, 0.4, 0.45, 0.5, 1.3, 1.34, 1.38, 1.9, 2.0]
MADE: dict[str, dict[str, Any]] = {
    "h264.mp4": {"b_frames": 3, "tone": 440},
    "late.mkv": {"b_frames": 2, "start": 5.0, "tone": 440, "audio_codec": "flac", "audio_rate": 48_000},
    "late.ts": {"b_frames": 2, "start": 5.0, "tone": 440},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}, "audio_codec": "libopus", "audio_rate": 48_000},
    "vp8.webm": {"codec": "libvpx", "options": {"cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "10"}},
    "mpeg4.avi": {"codec": "mpeg4", "tone": 440, "audio_codec": "mp3"},
    "timeless.avi": {"codec": "mpeg4", "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "vfr.mkv": {"times": VFR},
    "vfr.mp4": {"times": VFR, "b_frames": 2, "codec": "libx264"},
    "turned.mp4": {"rotation": 90, "sar": Fraction(3, 2)},
    "upside.mp4": {"rotation": 180},
    "odd.mkv": {"codec": "ffv1", "size": (97, 61)},
    "fields.mp4": {"interlaced": True},
    "bare.h264": {"b_frames": 2},
    "seek.mp4": {"frames": 400, "gop": 10, "b_frames": 2},
}
WILD = {  # a packet of pictures or of sound claims to come hours later
    "wild.ts": 0xE0,  # which stream
    "wild-b.ts": 0xE0,
    "wild-sound.ts": 0xC0,
}
MADE |= {name: {"frames": 100, "tone": 440, "b_frames": 2 * (name == "wild-b.ts")} for name in WILD}
FRACTION = Fraction(24_000, 1001)
PATTERNS = {  # written by the program: every kind of pixel, and a rate that is no whole number
    "deep.mkv": ["-c:v", "libx264", "-pix_fmt", "yuv420p10le"],
    "colour.mp4": ["-c:v", "libx264", "-pix_fmt", "yuv444p", "-colorspace", "bt709", "-color_range", "pc"],
    "broadcast.mp4": ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-colorspace", "bt709"],
    "rgb.mkv": ["-c:v", "ffv1", "-pix_fmt", "bgr0"],
    "palette.gif": [],
}


@pytest.fixture(scope="module", autouse=True)
def _program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Leave imageio-ffmpeg's program as the only one, whatever is on PATH."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
        yield imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="module")
def library(_program: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Video, Video, FFmpeg]]:
    """Every file as each reader sees it."""
    folder = tmp_path_factory.mktemp("library")
    for name, options in MADE.items():
        media.make(folder / name, **{"size": (96, 64), "frames": 40, **options})
    for name, stream in WILD.items():
        make_wild(folder / name, stream)
    for name, options in PATTERNS.items():
        source = ["-f", "lavfi", "-i", f"testsrc2=size=122x90:rate={FRACTION}", "-t", "0.6"]
        subprocess.run([_program, "-v", "error", *source, *options, str(folder / name)], check=True)
    found = {}
    for name in (*MADE, *PATTERNS):
        reader = FFmpeg()
        found[name] = PyAV().probe(folder / name), reader.probe(folder / name), reader
    return found


def make_wild(path: Path, stream: int, flips: bytes = b"\x04") -> None:
    """Flip bits in the time of a packet in the middle of a stream of an MPEG-TS file; the highest are 0x0E and 0xFF."""
    data = bytearray(path.read_bytes())
    heads = [at.start() for at in re.finditer(rb"\x00\x00\x01%c...[\x80-\xff]" % stream, data, re.DOTALL)]
    for at, flip in enumerate(flips, heads[len(heads) // 2] + 9):
        data[at] ^= flip
    path.write_bytes(data)


def difference(ours: list[Frame], theirs: list[Frame]) -> float:
    """Return the largest mean difference of two frames, once their number, times and sizes were seen to be the same."""
    assert [frame.time for frame in ours] == pytest.approx([frame.time for frame in theirs], abs=1e-6)
    assert [frame.image.shape for frame in ours] == [frame.image.shape for frame in theirs]
    pairs = zip(ours, theirs, strict=True)
    return max((float(np.abs(a.image.astype(int) - b.image).mean()) for a, b in pairs), default=0.0)


@pytest.mark.parametrize("name", [*MADE, *PATTERNS])
def test_same_facts(library: Any, name: str) -> None:
    expected, found, _ = library[name]
    # In vfr.mp4 the muxer states another end than the last frame has; the program does not tell what it states.
    assert found.duration == pytest.approx(expected.duration, abs=0.1 if name == "vfr.mp4" else 1e-6)
    assert found.offset == pytest.approx(expected.offset, abs=1e-6)
    assert found.fps == pytest.approx(expected.fps, abs=0.0051 if name.startswith("vfr") else 1e-9)
    assert replace(found, duration=0, offset=0, fps=0) == replace(expected, duration=0, offset=0, fps=0)


@pytest.mark.parametrize("name", WILD)
def test_a_wild_time_is_not_believed(library: Any, name: str) -> None:
    video, _, reader = library[name]
    assert video.duration == pytest.approx(4.0, abs=0.15)
    assert len(list(reader.frames(video, [Want(time / 25, 16) for time in range(98)]))) == 98


def test_a_jump_that_the_program_takes_for_the_turn_of_the_clock_is_refused(tmp_path: Path) -> None:
    """It would put all that follows a day later."""
    path = media.make(tmp_path / "turn.ts", tone=440).path
    make_wild(path, 0xC0, b"\x0e\xff")
    assert PyAV().probe(path).duration == pytest.approx(2.0, abs=0.15)
    with pytest.raises(VideoError, match="use the reader pyav"):
        FFmpeg().probe(path)


@pytest.mark.parametrize("name", [*MADE, *PATTERNS])
def test_same_frames(library: Any, name: str) -> None:
    video, _, reader = library[name]
    times = np.arange(-0.02, min(video.duration, 2) + 0.3, 0.03).tolist()
    for sides in ([None], [40], [None, 30, 50]):
        wants = [Want(time, sides[at % len(sides)]) for at, time in enumerate(times)]
        # Fine patterns made small differ by where the program takes the colours of neighbours to lie.
        limit = 4.0 if name in PATTERNS else 1.0
        assert difference(list(reader.frames(video, wants)), list(PyAV().frames(video, wants))) < limit


@pytest.mark.parametrize("name", ["h264.mp4", "late.mkv", "vp9.webm", "mpeg4.avi", "vfr.mkv", "turned.mp4", "seek.mp4"])
def test_same_keyframes(library: Any, name: str) -> None:
    video = library[name][0]
    wants = [Want(time, 40) for time in np.arange(0, video.duration, 0.1).tolist()]
    ours = FFmpeg(FFmpeg.Options(strategy="keyframes"))
    theirs = PyAV(PyAV.Options(strategy="keyframes"))
    assert difference(list(ours.frames(video, wants)), list(theirs.frames(video, wants))) < 0.5


@pytest.mark.parametrize("name", ["seek.mp4", "late.ts", "vfr.mp4", "timeless.avi"])
@given(wants=st.lists(st.tuples(st.floats(0, 17), st.sampled_from([None, 30, 50])), max_size=6))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_wants(
    library: Any, name: str, wants: list[tuple[float, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videochat_plugins.read.ffmpeg_frames._START", 1e5)  # a run starts at once: seek often
    video, _, reader = library[name]
    share = (video.duration + 0.5) / 17
    ordered = [Want(time * share, side) for time, side in sorted(wants, key=lambda want: want[0])]
    assert difference(list(reader.frames(video, ordered)), list(PyAV().frames(video, ordered))) < 1.0


@pytest.mark.parametrize("name", ["h264.mp4", "late.mkv", "late.ts", "vp9.webm", "mpeg4.avi", "wild-sound.ts"])
@pytest.mark.parametrize("start", [0.0, 0.7003])
def test_same_sound(library: Any, name: str, start: float) -> None:
    video, _, reader = library[name]
    for rate in (16_000, 48_000):
        ours, theirs = (list(each.audio(video, rate, start)) for each in (reader, PyAV()))
        if name == "vp9.webm":
            assert ours == theirs == []
            continue
        assert ours[0].time == theirs[0].time
        a, b = (np.concatenate([chunk.samples for chunk in chunks]) for chunks in (ours, theirs))
        # Releases of FFmpeg differ in how much of the last packet they take for padding.
        assert len(a) / rate == pytest.approx(len(b) / rate, abs=1024 / 44_100)
        assert loudest(a, b, rate) < 0.005


def loudest(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], rate: int) -> float:
    """Return the largest difference of two sounds, but for the last hundredth of a second."""
    length = min(len(a), len(b)) - rate // 100
    return float(np.abs(a[:length] - b[:length]).max())


def test_same_sound_around_gaps(tmp_path: Path) -> None:
    import av

    path = tmp_path / "gaps.mkv"
    noise = np.random.default_rng(0).integers(-9_000, 9_000, 8_000, dtype=np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for time in (0.25, 0.75, 2.0, 2.4):  # late, in time, after a gap, too early
            frame = av.AudioFrame.from_ndarray(noise[None], format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), round(time * 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = PyAV().probe(path)
    for rate in (16_000, 8_000, 44_100):
        for start in (0.0, 1.1, 1.9):
            ours, theirs = (list(each.audio(video, rate, start)) for each in (FFmpeg(), PyAV()))
            assert [(chunk.time, len(chunk.samples)) for chunk in ours] == [
                (chunk.time, len(chunk.samples)) for chunk in theirs
            ]
            for a, b in zip(ours, theirs, strict=True):
                assert np.abs(a.samples - b.samples).max() < 0.001
