import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from videochat import Frame, Sampling, Span, Video, Window
from videochat.plan import scaled
from videochat.window import sample_times, windows_over

SLACK = 1e-6
RATES = st.sampled_from([0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 8.0, 10.0, 23.976, 24.0, 29.97, 30.0])
TIMES = st.integers(0, 100_000).map(lambda k: k / 10)
LENGTHS = st.floats(0.01, 60)
LEADS = st.just(0.0) | st.floats(0, 5)


def span_of(start: float, length: float) -> Span:
    return Span(start, start + length)


@given(TIMES, LENGTHS, st.integers(1, 32), LEADS)
def test_so_many_frames_lie_evenly(start: float, length: float, count: int, lead: float) -> None:
    span = span_of(start, length)
    times = sample_times(span, Sampling(frames=count, lead=lead))
    inside = [time for time in times if time >= span.start]
    assert len(inside) == count
    assert list(times) == sorted(times)
    assert max(0.0, span.start - lead) - SLACK <= times[0]
    assert times[-1] < span.end
    np.testing.assert_allclose(np.diff(times), length / count, rtol=1e-3)
    assert math.isclose(inside[0] - span.start, span.end - inside[-1], rel_tol=1e-3)
    if lead > length / count and span.start > lead:
        assert len(times) > count


@given(TIMES, LENGTHS, RATES, LEADS)
@example(0.3, 0.1, 10.0, 0.0)
@example(0.0, 0.01, 0.1, 0.0)
@example(7.0, 0.5, 0.1, 0.0)
def test_a_rate_gives_grid_times_inside_the_window(start: float, length: float, rate: float, lead: float) -> None:
    span = span_of(start, length)
    times = sample_times(span, Sampling(fps=rate, lead=lead))
    assert times, "every window sees something"
    assert list(times) == sorted(set(times))
    assert max(0.0, span.start - lead) - SLACK <= times[0]
    assert times[-1] <= span.end
    assert times[-1] >= span.start - SLACK, "a lead alone is no view of the window"
    off_grid = [time for time in times if abs(time * rate - round(time * rate)) > SLACK]
    assert off_grid in ([], [(span.start + span.end) / 2])


@given(TIMES, LENGTHS, LENGTHS, RATES)
def test_neighbours_share_one_grid_and_no_frame(start: float, first: float, second: float, rate: float) -> None:
    sampling = Sampling(fps=rate)
    left, right = Span(start, start + first), Span(start + first, start + first + second)
    assume(min(first, second) > 1 / rate)
    whole = sample_times(Span(left.start, right.end), sampling)
    assert [*sample_times(left, sampling), *sample_times(right, sampling)] == whole


@given(TIMES, LENGTHS, RATES, st.integers(1, 40))
def test_a_lead_shows_what_the_windows_before_saw(start: float, length: float, rate: float, steps: int) -> None:
    span, lead = span_of(start, length), steps / rate
    assume(length > 1 / rate)
    led = sample_times(span, Sampling(fps=rate, lead=lead))
    plain = sample_times(span, Sampling(fps=rate))
    assert led[-len(plain) :] == plain
    assert set(led) <= set(sample_times(Span(0.0, span.end), Sampling(fps=rate)))


@pytest.mark.parametrize("sampling", [Sampling(frames=4, lead=9), Sampling(fps=2, lead=9)])
def test_nothing_lies_before_the_video(sampling: Sampling) -> None:
    assert min(sample_times(Span(1.0, 2.0), sampling)) >= 0


def test_no_pictures_no_times() -> None:
    assert list(sample_times(Span(0, 5), Sampling(audio_rate=16_000))) == []
    assert not Sampling(audio_rate=16_000).pictures


@pytest.mark.parametrize(
    ("span", "sampling", "times"),
    [
        (Span(0, 4), Sampling(frames=4), [0.5, 1.5, 2.5, 3.5]),
        (Span(4, 8), Sampling(frames=2, lead=2.5), [3, 5, 7]),
        (Span(0, 2), Sampling(fps=2), [0, 0.5, 1, 1.5]),
        (Span(1, 2), Sampling(fps=2, lead=0.5), [0.5, 1, 1.5]),
        (Span(0.1 + 0.2, 3 * 0.2), Sampling(fps=10), [0.3, 0.4, 0.5]),  # both a little above the grid
        (Span(0.1, 0.3), Sampling(fps=1), [0.2]),
        (Span(1.1, 1.3), Sampling(fps=1, lead=1.5), [0.0, 1.0, 1.2]),
    ],
)
def test_sample_times(span: Span, sampling: Sampling, times: list[float]) -> None:
    assert sample_times(span, sampling) == pytest.approx(times)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"frames": 1, "fps": 1}, "not both"),
        ({"frames": 0}, "frames"),
        ({"fps": -1}, "fps"),
        ({"fps": math.nan}, "fps"),
        ({"fps": math.inf}, "fps"),
        ({"side": 0}, "side"),
        ({"audio_rate": -16_000}, "audio_rate"),
        ({"over": 0}, "over"),
        ({"over": math.inf}, "over"),
        ({"over": math.nan}, "over"),
        ({"over": "scene"}, "over"),
        ({"lead": -1}, "lead"),
        ({"lead": math.nan}, "lead"),
        ({"lead": math.inf}, "lead"),
    ],
)
def test_a_sampling_that_makes_no_sense(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Sampling(**values)


@given(TIMES, LENGTHS, st.sampled_from([0.04, 0.1, 0.3, 1, 1 / 3, 7, 1000]))
@example(0.3, 0.6, 0.1)
def test_a_grid_of_windows_tiles_the_stretch(start: float, length: float, step: float) -> None:
    span = span_of(start, length)
    windows = list(windows_over(step, span, ()))
    assert windows[0].start == pytest.approx(span.start, abs=2 * SLACK)
    assert windows[-1].end == pytest.approx(span.end, abs=2 * SLACK)
    assert all(one.end == two.start for one, two in itertools.pairwise(windows))
    assert all(0 < window.end - window.start <= step + SLACK for window in windows)
    assert all(abs(one.end / step - round(one.end / step)) < SLACK for one in windows[:-1])


@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=20), st.floats(0, 40), st.floats(0.5, 40))
def test_windows_over_segments_tile_the_stretch(lengths: list[float], start: float, length: float) -> None:
    edges = [0.0, *np.cumsum(lengths).tolist()]
    segments = [Span(a, b) for a, b in itertools.pairwise(edges)]
    span = Span(start, min(start + length, edges[-1]))
    assume(span.end - span.start > 1e-3)
    windows = list(windows_over("segment", span, segments))
    assert sum(window.end - window.start for window in windows) == pytest.approx(span.end - span.start, abs=1e-4)
    assert windows == sorted(windows)
    assert all(span.start <= window.start < window.end <= span.end for window in windows)
    assert list(windows_over("video", span, segments)) == [span]


def test_windows_of_a_stretch_are_those_of_the_whole_where_they_lie_inside() -> None:
    whole, part = (list(windows_over(2.0, span, ())) for span in (Span(0, 10), Span(2, 7)))
    assert part == [*whole[1:3], Span(6, 7)]


@pytest.mark.parametrize(
    ("side", "size"), [(None, (1920, 1080)), (224, (398, 224)), (2000, (1920, 1080)), (1, (2, 1)), (1080, (1920, 1080))]
)
def test_scaled(side: int | None, size: tuple[int, int]) -> None:
    assert scaled(Video(Path("v.mp4"), 1, 1920, 1080), side) == size


def test_a_window_tells_its_span_times_and_bytes() -> None:
    frames = tuple(Frame(time, np.zeros((4, 6, 3), np.uint8)) for time in (0.5, 1.5))
    sound = np.zeros(10, np.float32)
    window = Window(1.0, 2.0, Video(Path("v.mp4"), 9, 6, 4), frames, sound, 16_000)
    assert (window.span, window.times, window.nbytes) == ((1.0, 2.0), (0.5, 1.5), 2 * 4 * 6 * 3 + 40)
    assert window.images.shape == (2, 4, 6, 3)
