"""Reader pyav: the right frame for each want, as it is shown."""

import gc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import media
from videochat import Frame, VideoError, Want
from videochat_plugins.read.pyav import PyAV
from videochat_plugins.read.pyav_picture import deinterlace

VFR = (0.0, 0.05, 0.4, 0.45, 0.5, 1.3, 1.34, 1.38, 2.9, 3.0)


def frames(path: Path, times: list[float], side: int | None = None) -> list[Frame]:
    reader = PyAV()
    return list(reader.frames(reader.probe(path), [Want(time, side) for time in times]))


def indices(path: Path, times: list[float]) -> list[int]:
    return [media.read_index(frame.image) for frame in frames(path, times)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("b.mp4", {"b_frames": 3}),
        ("late.mkv", {"start": 5.0, "b_frames": 2}),
        ("late.ts", {"start": 5.0, "b_frames": 2}),
        ("raw.h264", {"b_frames": 2}),
        ("old.mpg", {"codec": "mpeg2video", "interlaced": True}),
        ("fields.mp4", {"interlaced": True}),
        ("lossless.mkv", {"codec": "ffv1", "size": (161, 121)}),
        ("vp8.webm", {"codec": "libvpx", "options": {"cpu-used": "8", "auto-alt-ref": "1"}}),
        ("turned.mp4", {"rotation": 90}),
    ],
)
def test_each_time_gets_its_frame(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    made = media.make(tmp_path / name, **options)
    found = frames(made.path, list(made.times))
    assert [media.read_index(frame.image) for frame in found] == list(range(50))
    assert [frame.time for frame in found] == pytest.approx(made.times, abs=0.0011)


def test_nearest_frame_of_a_variable_frame_rate(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", times=VFR, b_frames=2)
    times = sorted([*np.random.default_rng(0).uniform(0, 3, 50).tolist(), *VFR])
    expected = [int(np.argmin(np.abs(np.array(VFR) - time))) for time in times]
    assert indices(made.path, times) == expected


def test_of_two_frames_as_near_the_earlier(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", times=[0.0, 0.5, 1.0])
    assert indices(made.path, [0.25, 0.75]) == [0, 1]


def test_agrees_with_the_ffmpeg_program(tmp_path: Path) -> None:
    """The same times and pictures as the program's own, on a turned file with B-frames and a variable frame rate."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    import re
    import subprocess

    made = media.make(tmp_path / "a.mp4", times=VFR, b_frames=2, rotation=90)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(made.path), "-vf", "showinfo", "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], capture_output=True, check=True)
    times = [float(time) for time in re.findall(r"pts_time:([0-9.]+)", done.stderr.decode())]
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, 160, 120, 3).astype(int)
    ours = frames(made.path, times)
    assert [frame.time for frame in ours] == pytest.approx(times, abs=1e-4)
    assert np.abs(np.stack([frame.image for frame in ours]) - pictures).mean() < 2


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("side", [None, 60, 1000])
def test_pictures_are_upright_and_of_the_asked_size(tmp_path: Path, rotation: int, side: int | None) -> None:
    made = media.make(tmp_path / "a.mp4", frames=3, rotation=rotation, sar=Fraction(3, 2), size=(240, 120))
    (frame,) = frames(made.path, [0.04], side)
    width, height = made.size
    scale = 60 / 120 if side == 60 else 1
    assert frame.image.shape == (height * scale, width * scale, 3)
    assert frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    assert media.read_index(frame.image) == 1


def test_colours(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", frames=2)
    for side in (None, 40):
        (frame,) = frames(made.path, [0.0], side)
        height, width = frame.image.shape[:2]
        assert np.abs(frame.image[height * 3 // 4, width // 4] - np.array([220.0, 30, 30])).max() < 12
        assert np.abs(frame.image[height * 3 // 4, width * 3 // 4] - np.array([30.0, 30, 220])).max() < 12


def test_a_frame_is_converted_once_for_each_size(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", frames=3)
    reader = PyAV()
    wants = [Want(0.0, 60), Want(0.0), Want(0.01, 60), Want(0.01, 200), Want(0.04, 60)]
    a, b, c, d, e = reader.frames(reader.probe(made.path), wants)
    assert a is c
    assert b is d  # both as large as the source
    assert a is not b
    assert e is not a


def test_wants_are_taken_one_at_a_time(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4")
    taken: list[float] = []

    def wanted() -> Iterator[Want]:
        for i in range(40):
            taken.append(i / 25)
            yield Want(i / 25)

    reader = PyAV()
    found = reader.frames(reader.probe(made.path), wanted())
    for i in range(3):
        next(found)
        assert len(taken) <= i + 2
    found.close()


def test_no_wants(tmp_path: Path) -> None:
    assert frames(media.make(tmp_path / "a.mp4", frames=3).path, []) == []


def test_size_stays_when_the_source_changes_its_own(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(160, 120), (320, 240)]):
        with av.open(str(media.make(tmp_path / f"{number}.h264", frames=10, size=size).path)) as source:
            parts.append(b"".join(bytes(packet) for packet in source.demux() if packet.size))
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    found = frames(path, [i / 25 for i in range(20)])
    assert {frame.image.shape for frame in found} == {(120, 160, 3)}
    assert [media.read_index(frame.image) for frame in found] == [*range(10), *range(10)]


def test_interlaced_frames_lose_their_comb() -> None:
    fields = np.empty((64, 64, 3), np.uint8)
    fields[0::2], fields[1::2] = 40, 200
    woven = av.VideoFrame.from_ndarray(fields, format="rgb24").reformat(format="yuv420p")
    comb = np.abs(np.diff(deinterlace(woven).to_ndarray(format="gray").astype(int), axis=0)).mean()
    assert comb < 5


def test_keyframes_only(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", frames=100, gop=10, b_frames=2)
    reader = PyAV(PyAV.Options(strategy="keyframes"))
    found = list(reader.frames(reader.probe(made.path), [Want(time) for time in (0.0, 0.19, 0.3, 1.0, 3.9)]))
    assert [media.read_index(frame.image) for frame in found] == [0, 0, 10, 20, 90]
    assert [frame.time for frame in found] == pytest.approx([0, 0, 0.4, 0.8, 3.6])


def test_one_frame(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mkv", frames=1, codec="ffv1")
    for strategy in ("auto", "keyframes"):
        reader = PyAV(PyAV.Options.model_validate({"strategy": strategy}))
        found = list(reader.frames(reader.probe(made.path), [Want(0.0), Want(0.02), Want(0.04)]))
        assert [media.read_index(frame.image) for frame in found] == [0, 0, 0]


def test_sound_alone_has_no_frames(tmp_path: Path) -> None:
    path = media.make(tmp_path / "a.flac", frames=0, tone=440, audio_codec="flac", audio_seconds=1.0).path
    with pytest.raises(VideoError, match="no pictures"):
        frames(path, [0.0])


def test_a_reader_left_early_closes_the_file(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4")
    reader = PyAV()
    found = reader.frames(reader.probe(made.path), [Want(0.0), Want(1.0)])
    next(found)
    found.close()
    gc.collect()
    assert str(made.path) not in {str(link.resolve()) for link in Path("/proc/self/fd").glob("*")}
