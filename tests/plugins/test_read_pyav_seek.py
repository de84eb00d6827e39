"""Reader pyav: a seek gives the very frames that streaming gives."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import media
from videochat import Video, Want
from videochat_plugins.read.pyav import PyAV
from videochat_plugins.read.pyav_decode import Decoder
from videochat_plugins.read.pyav_frames import walk

# Steps of 20 to 300 ms in a fixed disorder: 600 frames over about 90 seconds.
VFR = np.cumsum(np.random.default_rng(1).integers(20, 300, 600) / 1000).round(3).tolist()
KINDS: dict[str, dict[str, Any]] = {
    "b.mp4": {"b_frames": 3, "gop": 24},
    "open.mp4": {"b_frames": 3, "gop": 24, "options": {"x264-params": "open-gop=1:keyint=24:bframes=3"}},
    "b.mkv": {"b_frames": 2, "gop": 30},
    "late.ts": {"b_frames": 2, "gop": 24, "start": 3.0},
    "intra.mp4": {"gop": 1},
    "one.mp4": {"gop": 1000, "b_frames": 2},
    "refresh.mp4": {"gop": 48, "options": {"x264-params": "intra-refresh=1:keyint=48"}},
    "vp8.webm": {
        "codec": "libvpx",
        "gop": 40,
        "options": {"cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "10"},
    },
}


class Library(dict[str, tuple[Video, list[np.ndarray], list[float]]]):
    """Each file with the pictures and times of all of its frames, decoded straight through."""

    def __repr__(self) -> str:
        return "the library"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("seek")
    found = Library()
    for name, options in KINDS.items():
        made = media.make(folder / name, times=VFR, size=(96, 64), **options)
        video = PyAV().probe(made.path)
        all_frames = list(PyAV().frames(video, [Want(time - made.times[0]) for time in made.times]))
        found[name] = video, [frame.image for frame in all_frames], [frame.time for frame in all_frames]
    return found


@pytest.mark.parametrize("name", KINDS)
@given(st.lists(st.floats(0, 88), min_size=1, max_size=5).map(sorted))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sparse_wants_get_what_streaming_gets(library: Library, name: str, times: list[float]) -> None:
    video, pictures, shown = library[name]
    found = list(PyAV().frames(video, [Want(time) for time in times]))
    assert len(found) == len(times)
    for time, frame in zip(times, found, strict=True):
        at = int(np.argmin(np.abs(np.array(shown) - time)))
        assert frame.time == shown[at]
        assert np.array_equal(frame.image, pictures[at])


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv", "late.ts", "intra.mp4"])
def test_sparse_wants_are_reached_by_seeking(library: Library, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    video = library[name][0]
    decoded = 0
    plain = Decoder.__next__

    def counted(self: Decoder) -> Any:
        nonlocal decoded
        decoded += 1
        return plain(self)

    monkeypatch.setattr(Decoder, "__next__", counted)
    assert len(list(PyAV().frames(video, [Want(20.0), Want(50.0), Want(80.0)]))) == 3
    assert decoded < 150  # of 600


def test_a_container_that_cannot_seek_is_streamed(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    video, pictures, shown = library["b.mp4"]
    with Decoder(video.path) as decoder:
        monkeypatch.setattr(type(decoder._clock), "timestamp", lambda *_: 1 << 62)  # every seek lands far too late
        found = list(walk(decoder, video, [Want(10.0), Want(70.0)]))
    for time, frame in zip((10.0, 70.0), found, strict=True):
        at = int(np.argmin(np.abs(np.array(shown) - time)))
        assert np.array_equal(frame.image, pictures[at])


@pytest.mark.parametrize("name", ["b.mp4", "open.mp4", "b.mkv", "late.ts", "vp8.webm"])
def test_keyframes_are_the_frames_that_streaming_gives(library: Library, name: str) -> None:
    """Also where keyframes do not restart the numbering of frames (open GOPs)."""
    video, pictures, shown = library[name]
    reader = PyAV(PyAV.Options(strategy="keyframes"))
    found = {frame.time: frame.image for frame in reader.frames(video, [Want(float(time)) for time in range(89)])}
    assert len(found) > 10
    for time, image in found.items():
        assert np.array_equal(image, pictures[shown.index(time)])


def test_keyframes_by_seeking(library: Library) -> None:
    video, pictures, shown = library["b.mp4"]
    reader = PyAV(PyAV.Options(strategy="keyframes"))
    for time in (0.0, 30.0, 60.0, 88.0):
        (frame,) = reader.frames(video, [Want(time)])
        at = shown.index(frame.time)
        assert at % 24 == 0
        assert abs(frame.time - time) == min(abs(other - time) for other in shown[::24])
        assert np.array_equal(frame.image, pictures[at])


def test_fraction_clock_is_exact(library: Library) -> None:
    video, _, shown = library["b.mp4"]
    assert video.offset == pytest.approx(VFR[0], abs=1e-6)
    exact = [float(Fraction(str(time)) - Fraction(str(VFR[0]))) for time in VFR]
    assert shown == pytest.approx(exact, abs=2e-5)
