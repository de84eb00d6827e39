"""Shots of real files through the real reader, in a watch: cuts, cache, windows over segments."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import videochat
from components import Counting, Echo
from media import cut, make
from videochat import Stack
from videochat_plugins.segment.shots import Shots

EXAMPLE = Path(__file__).parents[2] / "examples" / "example.mp4"
TICKS = 90_000


def film(
    path: Path, times: Sequence[float], cuts: Sequence[float], codec: str = "libx264", offset: float = 0.0
) -> Path:
    """Write a file whose picture changes at each cut, with frames at the given times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        for time in times:
            shot = sum(time >= cut - 1e-6 for cut in cuts)
            coarse = np.random.default_rng(shot).integers(30, 230, (4, 5, 3), dtype=np.uint8)
            picture = coarse.repeat(30, axis=0).repeat(32, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round((time + offset) * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def boundaries(path: Path, **options: object) -> list[float]:
    segments = Stack(segment={"use": "shots", **options}).watch(path).segments
    assert segments[0].start == 0
    return [span.start for span in segments[1:]]


def test_the_example_has_two_shots() -> None:
    assert boundaries(EXAMPLE) == [pytest.approx(6.0, abs=1e-3)]
    assert boundaries(EXAMPLE, detector="content") == [pytest.approx(6.0, abs=1e-3)]


@pytest.mark.parametrize(("fps", "late"), [(12.0, 0.0), (24000 / 1001, 0.0), (30.0, 0.0), (50.0, 0.02), (60.0, 1 / 60)])
def test_cuts_lie_within_a_frame_at_any_rate(tmp_path: Path, fps: float, late: float) -> None:
    truth = [round(1.3 * fps) / fps, round(2.9 * fps) / fps]
    path = film(tmp_path / "clip.mkv", [i / fps for i in range(round(4 * fps))], truth)
    for found, true in zip(boundaries(path), truth, strict=True):
        assert true - 2e-3 <= found <= true + late + 2e-3  # Matroska counts milliseconds


def test_a_start_offset_and_an_uneven_rate_leave_cuts_in_media_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(1 / 30, 1 / 8, 60))])
    truth = [float(times[20]), float(times[41])]
    path = film(tmp_path / "clip.mp4", times.tolist(), truth, offset=7.0)
    assert boundaries(path) == pytest.approx(truth, abs=1e-3)


def test_a_plan_knows_the_segments_after_the_first_watch() -> None:
    reader = Counting()
    stack = Stack(read=reader, segment={"use": "shots", "max": 5})
    assert stack.plan(EXAMPLE).segments is None
    segments = stack.watch(EXAMPLE).segments
    assert len(segments) == 4
    assert reader.passes == 1
    assert stack.plan(EXAMPLE).segments == segments == stack.watch(EXAMPLE).segments
    assert reader.passes == 1  # it was not looked at again
    other = Stack(read=reader, segment={"use": "shots", "max": 4})
    assert other.plan(EXAMPLE).segments is None


def test_a_stack_with_shots_perceives_each(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text(
        "segment: {use: shots, max: 10}\nperceive:\n  look: {use: look}\n  whole: {use: look, over: video}\n"
    )
    stack = videochat.load(str(path))
    assert isinstance(stack.segmenter, Shots)
    context = stack.watch(EXAMPLE)
    end = context.video.duration
    assert [(r.start, r.end) for r in context.records if r.source == "look"] == [(0, 6), (6, end)]
    assert [(r.start, r.end) for r in context.records if r.source == "whole"] == [(0, end)]
    assert context.faults == ()


def test_a_stretch_begins_and_ends_within_shots() -> None:
    eye = Echo(frames=1)
    Stack(segment="shots", perceive={"eye": eye}).watch(EXAMPLE, start=5.0, end=7.0)
    assert eye.spans == [(5, 6), (6, 7)]


def test_one_frame_and_sound_alone_are_one_segment(tmp_path: Path) -> None:
    assert boundaries(make(tmp_path / "one.mp4", frames=1).path) == []
    assert boundaries(make(tmp_path / "tone.m4a", frames=0, tone=300.0, audio_seconds=3.0).path) == []
    assert boundaries(tmp_path / "tone.m4a", max=1) == [1.0, 2.0]


def test_pictures_that_end_early_leave_the_rest_to_the_last_shot(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mkv", [i / 25 for i in range(100)], [1.0, 3.0])
    broken = cut(whole, tmp_path / "broken.mkv", 0.6)
    context = Stack(segment="shots").watch(broken)
    assert [span.start for span in context.segments][:2] == [0, pytest.approx(1.0, abs=1e-3)]
    assert context.segments[-1].end == context.video.duration
