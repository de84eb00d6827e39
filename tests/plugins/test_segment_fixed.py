"""Segments of equal length."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from media import make
from videochat import Span, Stack, Video
from videochat_plugins.segment.fixed import Fixed


def fixed(duration: float, seconds: float) -> list[Span]:
    segmenter = Fixed(Fixed.Options(seconds=seconds))
    assert segmenter.sampling() is None
    return list(segmenter.segments(Video(Path("film"), duration, 64, 48), ()))


@pytest.mark.parametrize(
    ("duration", "seconds", "spans"),
    [
        (3.0, 1.0, [(0, 1), (1, 2), (2, 3)]),
        (2.5, 1.0, [(0, 1), (1, 2), (2, 2.5)]),
        (0.04, 1.0, [(0, 0.04)]),
        (2.0, 2.0, [(0, 2)]),
    ],
)
def test_the_last_segment_is_what_is_left(duration: float, seconds: float, spans: list[tuple[float, float]]) -> None:
    assert fixed(duration, seconds) == spans


@given(duration=st.floats(0.01, 20_000), seconds=st.floats(0.5, 600))
def test_segments_tile_the_video(duration: float, seconds: float) -> None:
    spans = fixed(duration, seconds)
    assert spans[0].start == 0
    assert spans[-1].end == duration
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert all(0 < span.end - span.start <= seconds * (1 + 1e-9) for span in spans)


@given(count=st.integers(1, 10_000), seconds=st.sampled_from([0.1, 0.2, 0.3, 0.7, 1.1, 1 / 3]))
def test_rounding_makes_no_sliver(count: int, seconds: float) -> None:
    assert len(fixed(count * seconds, seconds)) == count


@pytest.mark.parametrize("seconds", [0, -1, 601, "soon"])
def test_other_lengths_are_refused(seconds: object) -> None:
    with pytest.raises(ValidationError):
        Fixed.Options.model_validate({"seconds": seconds})


def test_a_plan_knows_the_segments(tmp_path: Path) -> None:
    plan = Stack(segment=Fixed(Fixed.Options(seconds=0.8))).plan(make(tmp_path / "clip.mp4").path)
    assert plan.segments == ((0, 0.8), (0.8, 1.6), (1.6, 2))
