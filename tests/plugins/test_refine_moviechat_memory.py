"""MovieChat's memory on arrays: held against the plain loop in exact fractions, and what holds whatever comes in."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reference_memory import Plain, remember
from reference_memory import consolidate as plainly
from videochat_plugins.refine.memory import Memory, Slot, consolidate
from videochat_plugins.refine.moviechat import MovieChat
from videochat_plugins.refine.positions import hierarchical

Frames = npt.NDArray[np.float32]
FRAMES = st.integers(0, 40).flatmap(
    lambda n: arrays(np.float32, (n, 2, 3), elements=st.integers(-2, 2).map(float), fill=st.nothing())
)


@st.composite
def options(draw: st.DrawFn, **fixed: Any) -> MovieChat.Options:
    window = draw(st.integers(1, 6))
    merge_to = draw(st.integers(1, window))
    short = draw(st.integers(window + merge_to, window + merge_to + 5))
    chosen = {
        "long": draw(st.integers(2, short + 8)),
        "similarity": draw(st.sampled_from(["cosine", "dot"])),
        "merge": draw(st.sampled_from(["weighted", "plain"])),
        "carry": draw(st.sampled_from(["clear", "seed"])),
        "overflow": draw(st.sampled_from(["merge_again", "drop_oldest"])),
        "recent": draw(st.sampled_from(["unmerged", "repeated"])),
    }
    return MovieChat.Options(window=window, merge_to=merge_to, short=short, **{**chosen, **fixed})


def memory_of(frames: Frames, o: MovieChat.Options) -> Memory:
    memory = Memory(o)
    for i, frame in enumerate(frames):
        memory.add(Slot(frame, i, i + 1, (i + 0.5,), (f"f{i}",)))
    return memory


def slots_of(frames: Frames, o: MovieChat.Options, moment: bool = False) -> list[Slot]:
    memory = memory_of(frames, o)
    return memory.moment() if moment else memory.whole()


def exact(frame: Frames) -> Any:
    return np.array([[Fraction(int(value)) for value in row] for row in frame], dtype=object)


@settings(max_examples=150, deadline=None)
@given(FRAMES, options(), st.booleans())
def test_it_remembers_what_the_plain_loop_does(frames: Frames, o: MovieChat.Options, moment: bool) -> None:
    wanted = remember([exact(frame) for frame in frames], o, moment)
    found = slots_of(frames, o, moment)
    assert [(s.start, s.end, s.weight) for s in found] == [(p.first, p.last + 1, p.weight) for p in wanted]
    for slot, plain in zip(found, wanted, strict=True):
        assert slot.tokens.dtype == np.float32
        np.testing.assert_allclose(slot.tokens, plain.tokens.astype(float), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(FRAMES, options(carry="clear", overflow="merge_again", recent="unmerged"), st.booleans())
def test_every_frame_is_in_one_slot(frames: Frames, o: MovieChat.Options, moment: bool) -> None:
    found = slots_of(frames, o, moment)
    assert sum(slot.weight for slot in found) == len(frames)
    assert len(found) <= o.long
    if found:
        assert (found[0].start, found[-1].end) == (0, len(frames))
    assert all(a.end == b.start for a, b in pairwise(found))
    for slot in found:
        last = slot.start + slot.weight
        assert slot.end == last
        assert slot.times == tuple(dict.fromkeys((slot.start + 0.5, last - 0.5)))
        assert slot.parents == tuple(dict.fromkeys((f"f{slot.start:.0f}", f"f{last - 1:.0f}")))


@settings(max_examples=60, deadline=None)
@given(FRAMES, options(carry="clear", overflow="merge_again", merge="weighted"))
def test_weighted_slots_keep_the_mean_of_all(frames: Frames, o: MovieChat.Options) -> None:
    found = slots_of(frames, o)
    if found:
        weights = [slot.weight for slot in found]
        mean = np.average([slot.tokens for slot in found], axis=0, weights=weights)
        np.testing.assert_allclose(mean, frames.mean(0), atol=1e-5)
        np.testing.assert_allclose([s.mean for s in found], [s.tokens.mean(0) for s in found], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(FRAMES, options(), st.booleans())
def test_it_never_holds_more_than_it_may(frames: Frames, o: MovieChat.Options, moment: bool) -> None:
    memory = Memory(o)
    for i, frame in enumerate(frames):
        memory.add(Slot(frame, i, i + 1))
        assert len(memory._long) <= o.long
        assert len(memory._short) <= o.short
    assert len(memory.moment() if moment else memory.whole()) <= o.long


@given(arrays(np.float32, (9, 2, 3), elements=st.integers(-2, 2).map(float)), st.integers(1, 9))
@example(np.zeros((9, 2, 3), np.float32), 2)
def test_a_window_alone(frames: Frames, to: int) -> None:
    wanted = plainly([Plain(exact(frame), i, i) for i, frame in enumerate(frames)], to, "cosine", "weighted")
    np.testing.assert_allclose(consolidate(frames, to), [p.tokens.astype(float) for p in wanted], atol=1e-5)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        # Frames that point the same way, the last one bright: the dot product lets it swallow its neighbour.
        ({"similarity": "dot", "merge": "plain"}, [1, 2]),
        ({"similarity": "dot", "merge": "weighted"}, [1, 7 / 3]),
        ({"similarity": "cosine", "merge": "weighted"}, [1, 5]),  # and so the left-most of equals
    ],
)
def test_the_outlier(how: Any, wanted: list[float]) -> None:
    frames = np.array([1, 1, 1, 5], np.float32).reshape(4, 1, 1)
    assert [slot.item() for slot in consolidate(frames, 2, **how)] == pytest.approx(wanted)


def test_weighted_merging_counts_every_frame_alike() -> None:
    frames = np.array([1, 2, 3, 4], np.float32).reshape(4, 1, 1)  # all of one direction: merged from the left
    assert consolidate(frames, 1, "cosine", "weighted")[0].item() == 2.5
    assert consolidate(frames, 1, "cosine", "plain")[0].item() == 1 / 8 + 2 / 8 + 3 / 4 + 4 / 2


def test_a_still_film_is_the_same_picture_throughout() -> None:
    frame = np.random.default_rng(1).standard_normal((1, 5, 7)).astype(np.float32)
    for how in ({}, {"merge": "plain"}, {"similarity": "dot"}, {"carry": "seed"}):
        found = slots_of(np.repeat(frame, 100, axis=0), MovieChat.Options(long=20, **how))
        np.testing.assert_allclose([slot.tokens for slot in found], np.repeat(frame, 20, axis=0), rtol=1e-5)


def test_half_precision_is_summed_in_single() -> None:
    frames = np.full((2048, 1, 2), 0.1, np.float16)
    (slot, *_) = slots_of(frames, MovieChat.Options(window=64, merge_to=1, short=64, long=65))
    assert slot.tokens.dtype == np.float32
    np.testing.assert_allclose(slot.tokens, float(np.float16(0.1)), rtol=1e-6)
    (slot,) = slots_of(frames[:1].astype(np.float64), MovieChat.Options())
    assert slot.tokens.dtype == np.float64


def test_merged_slots_have_tokens_of_their_own() -> None:
    frames = np.random.default_rng(2).standard_normal((40, 2, 3)).astype(np.float32)
    found = slots_of(frames, MovieChat.Options(), moment=True)
    long = [slot for slot in found if slot.weight > 1]
    assert long
    assert not any(np.shares_memory(a.tokens, b.tokens) for a, b in pairwise(found))


def test_a_number_that_is_none_is_refused_with_its_time() -> None:
    memory = memory_of(np.ones((3, 2, 3), np.float32), MovieChat.Options())
    for bad in (np.nan, np.inf, -np.inf):
        frame = np.ones((2, 3), np.float32)
        frame[1, 2] = bad
        with pytest.raises(ValueError, match=r"the embedding at 7\.5 s holds numbers that are not finite"):
            memory.add(Slot(frame, 7.5, 8))
    assert sum(slot.weight for slot in memory.whole()) == 3


@given(arrays(np.float64, (6, 3), elements=st.floats(-3, 3)), st.integers(1, 6), st.floats(0.01, 0.9))
def test_positions_begin_with_the_table(table: npt.NDArray[np.float64], n: int, alpha: float) -> None:
    found = hierarchical(table, n, alpha)
    assert found.shape == (n * n, 3)
    np.testing.assert_allclose(found[:n], table[:n], atol=1e-9)
    for i in range(n):  # the last of each step is as far from the first as the table's own
        np.testing.assert_allclose(found[i * n + n - 1] - found[i * n], table[n - 1] - table[0], atol=1e-9)
