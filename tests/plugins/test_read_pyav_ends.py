"""Reader pyav: where files end, break off or are damaged."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import media
from videochat import Frame, VideoError, Want
from videochat_plugins.read.pyav import PyAV

FASTSTART = {"movflags": "faststart"}


def frames(path: Path, times: list[float], strategy: str = "auto") -> list[Frame]:
    reader = PyAV(PyAV.Options.model_validate({"strategy": strategy}))
    return list(reader.frames(reader.probe(path), [Want(time) for time in times]))


@pytest.mark.parametrize("strategy", ["auto", "keyframes"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.h264"])
def test_the_last_frame_lasts_to_its_end(tmp_path: Path, name: str, strategy: str) -> None:
    made = media.make(tmp_path / name, frames=25, gop=5)
    found = frames(made.path, [0.96, 0.999, 1.0, 1.05, 3.0, 4.0], strategy)
    last = 24 if strategy == "auto" else 20
    assert [media.read_index(frame.image) for frame in found] == [last] * 4  # nothing at 3 and 4 seconds


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_last_frame_stays_while_sound_goes_on(tmp_path: Path, name: str) -> None:
    made = media.make(tmp_path / name, frames=25, tone=440, audio_seconds=6.0)
    found = frames(made.path, [0.5, 3.0, 5.5])
    assert [media.read_index(frame.image) for frame in found] == [12, 24, 24]


@pytest.mark.parametrize("strategy", ["auto", "keyframes"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_cut_off(tmp_path: Path, name: str, strategy: str, capfd: pytest.CaptureFixture[str]) -> None:
    made = media.make(
        tmp_path / name, frames=250, gop=25, tone=440, container_options=FASTSTART if name == "a.mp4" else None
    )
    path = media.cut(made.path, tmp_path / f"cut-{name}", 0.5)
    times = [i / 5 for i in range(49)]
    found = frames(path, times, strategy)
    assert 10 < len(found) < 40
    for time, frame in zip(times, found, strict=False):
        assert abs(frame.time - time) < (0.1 if strategy == "auto" else 1.05)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_damage_in_the_middle_is_passed_over(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    options = {"container_options": FASTSTART} if name == "a.mp4" else {}
    made = media.make(tmp_path / name, frames=250, gop=25, codec="mpeg4" if name == "a.avi" else "libx264", **options)
    path = media.blot(made.path, tmp_path / f"blot-{name}", 0.4, 0.5)
    found = frames(path, [i / 5 for i in range(49)])
    assert len(found) == 49 or name == "a.avi"  # which counts its frames: lost ones shorten it
    right = 0
    for i, frame in enumerate(found):
        try:
            right += media.read_index(frame.image) in (i * 5, i * 5 + 1)
        except ValueError:
            continue
    assert right >= (15 if name == "a.avi" else 35)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.h264"])
def test_noise_anywhere_gives_frames_or_one_clear_error(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    codec = "mpeg4" if name == "a.avi" else "libx264"
    made = media.make(tmp_path / name, frames=40, codec=codec, tone=None if name == "a.h264" else 440)
    whole = made.path.read_bytes()
    rng = np.random.default_rng(len(name))
    refusals: list[str] = []
    for _ in range(10):
        data = bytearray(whole)
        for at in rng.integers(0, len(data) - 8, 8):
            data[at : at + 4] = rng.bytes(4)
        path = tmp_path / f"noise-{name}"
        path.write_bytes(bytes(data))
        reader = PyAV()
        try:
            video = reader.probe(path)
            list(reader.frames(video, [Want(time / 10, 60) for time in range(16)]))
            assert all(np.abs(chunk.samples).max() <= 1 for chunk in reader.audio(video, 16_000))
        except VideoError as error:
            refusals.append(str(error))
    assert not any("\n" in refusal for refusal in refusals)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_nothing_to_decode(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    made = media.make(tmp_path / name, container_options=FASTSTART if name == "a.mp4" else None)
    data = made.path.read_bytes()
    start = (
        data.find(b"mdat") + 8 if name == "a.mp4" else data.find(bytes.fromhex("1f43b675")) + 16
    )  # the first cluster
    path = media.blot(made.path, tmp_path / f"blot-{name}", start / len(data), 1.0)
    reader = PyAV()

    def read() -> None:
        assert not list(reader.frames(reader.probe(path), [Want(0.0)]))

    with pytest.raises(VideoError):
        read()
    assert capfd.readouterr() == ("", "")


def test_a_picture_too_large_to_hold(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    side = 9000  # 10 kB of file, and a quarter of a gigabyte when decoded
    rows = zlib.compress(bytes(1 + -(-side // 8)) * side)
    header = chunk(b"IHDR", struct.pack(">II5B", side, side, 1, 0, 0, 0, 0))
    whole = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(whole)
    with pytest.raises(VideoError, match="over 67,108,864 pixels"):
        PyAV().probe(tmp_path / "huge.png")
