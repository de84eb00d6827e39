"""Reader pyav: sound at its exact place."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

import media
from videochat import Chunk
from videochat_plugins.read.pyav import PyAV

Samples = npt.NDArray[np.float32]


def heard(path: Path, rate: int, start: float = 0.0) -> list[Chunk]:
    reader = PyAV()
    return list(reader.audio(reader.probe(path), rate, start))


def joined(found: list[Chunk], rate: int) -> Samples:
    """Return all samples, once the chunks were seen to follow each other without gap or overlap."""
    due = round(found[0].time * rate)
    for chunk in found:
        assert chunk.time == due / rate
        assert chunk.samples.dtype == np.float32
        assert 0 < len(chunk.samples) <= rate
        due += len(chunk.samples)
    return np.concatenate([chunk.samples for chunk in found])


def clicks(path: Path, places: list[tuple[float, float]], rate: int, codec: str = "pcm_s16le") -> Path:
    """Write stretches of sound with a click in the middle; a place is (time stated, seconds of sound)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        for time, seconds in places:
            samples = np.zeros((1, round(seconds * rate)), np.int16)
            samples[0, samples.shape[1] // 2] = 30_000
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(time * rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def peaks(samples: Samples, rate: int) -> list[float]:
    """Return the times of the clicks."""
    loud = np.flatnonzero(np.abs(samples) > 0.25 * np.abs(samples).max())
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > rate * 0.02) + 1)
    return [float(group[np.argmax(np.abs(samples[group]))]) / rate for group in groups]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("native", [16_000, 44_100])
def test_a_tone_keeps_its_phase(tmp_path: Path, native: int, rate: int) -> None:
    options = {"audio_codec": "flac", "audio_rate": native, "audio_seconds": 3.3}
    path = media.make(tmp_path / "a.flac", frames=0, tone=440, **options).path
    samples = joined(heard(path, rate), rate)
    assert len(samples) == pytest.approx(3.3 * rate, abs=2)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / rate)
    inner = slice(rate // 10, -rate // 10)
    assert np.abs(samples - expected)[inner].max() < 0.01


def test_chunks_of_a_second(tmp_path: Path) -> None:
    path = media.make(tmp_path / "a.flac", frames=0, tone=440, audio_codec="flac", audio_seconds=3.3).path
    assert [len(chunk.samples) for chunk in heard(path, 16_000)][:3] == [16_000] * 3


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.flac", "flac"), ("a.mkv", "flac"), ("a.mp4", "aac"), ("a.wav", "pcm_s16le"), ("a.ts", "aac")],
)
@pytest.mark.parametrize("start", [0.1, 5.0, 7.7701])
def test_a_start_gives_the_same_samples(tmp_path: Path, name: str, codec: str, start: float) -> None:
    native = 48_000
    options = {"tone": 440, "audio_codec": codec, "audio_rate": native, "audio_seconds": 10.0}
    path = media.make(tmp_path / name, frames=0, **options).path
    whole = joined(heard(path, 16_000), 16_000)
    found = heard(path, 16_000, start)
    part = joined(found, 16_000)
    assert 0 <= found[0].time - start < 1 / 16_000
    assert np.abs(whole[round(found[0].time * 16_000) :] - part).max() < 0.01


def test_a_start_in_a_container_of_milliseconds(tmp_path: Path) -> None:
    """Opus starts half a millisecond off Matroska's clock: so much it may move, and hardly more."""
    rate = 48_000
    path = clicks(tmp_path / "a.mkv", [(float(i), 1.0) for i in range(8)], rate, "libopus")
    assert peaks(joined(heard(path, rate), rate), rate) == pytest.approx([i + 0.5 for i in range(8)], abs=0.002)
    assert peaks(joined(heard(path, rate, 4.0), rate), rate) == pytest.approx([i + 0.5 for i in range(4)], abs=0.002)


def test_gaps_become_silence_and_overlaps_are_cut(tmp_path: Path) -> None:
    rate = 16_000
    path = clicks(tmp_path / "a.mkv", [(0.0, 1.0), (1.0, 1.0), (5.0, 1.0), (5.9, 1.0)], rate)
    for out in (rate, 8_000):
        samples = joined(heard(path, out), out)
        assert peaks(samples, out) == pytest.approx([0.5, 1.5, 5.5, 6.4], abs=0.003)
        assert len(samples) / out == pytest.approx(6.9, abs=0.003)
    (first, *_) = heard(path, rate, 3.0)
    assert first.time == 3.0
    assert peaks(joined(heard(path, rate, 3.0), rate), rate) == pytest.approx([2.5, 3.4], abs=0.003)


def test_sound_that_starts_late_counts_from_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(media.draw(i, 64, 48), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray(np.full((1, 8_000), 9_000, np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.time_base, sound.pts = 16_000, Fraction(1, 16_000), 20_000
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    (chunk,) = heard(path, 16_000)
    assert (chunk.time, len(chunk.samples)) == (1.25, 8_000)


def test_no_sound(tmp_path: Path) -> None:
    assert heard(media.make(tmp_path / "a.mp4", frames=3).path, 16_000) == []


def test_a_start_after_the_end(tmp_path: Path) -> None:
    path = media.make(tmp_path / "a.flac", frames=0, tone=440, audio_codec="flac", audio_seconds=2.0).path
    assert heard(path, 16_000, 5.0) == []


def test_damaged_packets_are_passed_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = media.make(tmp_path / "a.ts", frames=0, tone=440, audio_seconds=10.0)
    path = media.blot(made.path, tmp_path / "b.ts", 0.4, 0.5)
    samples = joined(heard(path, 16_000), 16_000)
    assert len(samples) / 16_000 == pytest.approx(10.0, abs=0.2)
    tail = samples[-32_000:-1_600]
    assert np.abs(tail).max() == pytest.approx(0.5, abs=0.1)
    assert capfd.readouterr() == ("", "")


def test_samples_stay_in_range(tmp_path: Path) -> None:
    path = clicks(tmp_path / "a.mkv", [(0.0, 1.0)], 16_000)
    assert np.abs(joined(heard(path, 44_100), 44_100)).max() <= 1
