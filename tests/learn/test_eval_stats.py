"""Intervals: what they must not depend on, and that they hold what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videochat_plugins.learn import eval_stats
from videochat_plugins.learn.eval_stats import estimate

ROWS = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from("abcdef")), min_size=1, max_size=40)


@given(ROWS)
@settings(max_examples=40)
def test_an_interval_lies_where_values_lie(rows: list[tuple[float, str]]) -> None:
    values, groups = [value for value, _ in rows], [group for _, group in rows]
    found = estimate(values, groups)
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert (found.low is None) == (len(set(groups)) == 1)
    if found.low is not None and found.high is not None:
        assert min(values) <= found.low <= found.high <= max(values)


@given(ROWS, st.randoms(use_true_random=False), st.integers(2, 4))
@settings(max_examples=40)
def test_neither_order_nor_repetition_within_groups_matters(
    rows: list[tuple[float, str]], random: object, times: int
) -> None:
    """Asking each video the same questions again tells nothing new of videos: it must not narrow the interval."""
    first = estimate(*map(list, zip(*rows, strict=True)))
    mixed = rows * times
    random.shuffle(mixed)  # type: ignore[attr-defined]
    again = estimate(*map(list, zip(*mixed, strict=True)))
    assert (again.low, again.high) == (pytest.approx(first.low), pytest.approx(first.high))
    assert again.mean == pytest.approx(first.mean)


def test_the_seed_decides() -> None:
    values, groups = [i**0.5 for i in range(25)], [str(i) for i in range(25)]
    assert estimate(values, groups, 1) == estimate(values, groups, 1)
    ends = {estimate(values, groups, seed).low for seed in range(6)}
    assert len(ends) > 1


def test_many_groups_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values, groups = [float(i % 3 == 0) for i in range(300)], [str(i) for i in range(300)]
    whole = estimate(values, groups)
    monkeypatch.setattr(eval_stats, "_CELLS", 300 * 7)
    parts = estimate(values, groups)
    assert parts.low == pytest.approx(whole.low, abs=0.01)
    assert parts.high == pytest.approx(whole.high, abs=0.01)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="nothing"):
        estimate([], [])


def test_intervals_hold_the_truth_where_questions_of_a_video_stand_or_fall_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eval_stats, "DRAWS", 600)
    rng = np.random.default_rng(0)
    groups = [str(i) for i in range(60) for _ in range(5)]
    clustered = alone = 0
    for _ in range(150):
        values = np.repeat(rng.random(60) < 0.5, 5).astype(float).tolist()
        found, naive = estimate(values, groups), estimate(values, [str(i) for i in range(300)])
        clustered += (found.low or 0) <= 0.5 <= (found.high or 0)
        alone += (naive.low or 0) <= 0.5 <= (naive.high or 0)
    assert clustered / 150 > 0.9
    assert alone / 150 < 0.75  # what taking them for 300 videos would claim
