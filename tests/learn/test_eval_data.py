"""Which questions a limit takes: many of each category, and none without its twin."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat import StackError
from videochat_plugins.learn.eval_data import Dataset, Example
from videochat_plugins.learn.eval_videos import Videos


def dataset(rows: list[tuple[str, str, bool]]) -> Dataset:
    """Return questions of groups and categories, some of them twins: the same question of the reversed clip."""
    found = Dataset(Videos(Path()))
    for number, (group, category, twin) in enumerate(rows):
        for suffix in ("", "r") if twin else ("",):
            video = Path(f"{group}{suffix}.mp4")
            found.examples.append(Example(f"{number}{suffix}", video, f"Which {number}?", "red", category, group))
    found.examples.sort(key=lambda example: example.video)  # as a file may have them: twins apart
    return found


ROWS = st.lists(st.tuples(st.sampled_from("123"), st.sampled_from("abc"), st.booleans()), min_size=1, max_size=12)


@given(ROWS, st.integers(1, 26))
def test_twins_stay_together_and_the_limit_is_kept(rows: list[tuple[str, str, bool]], limit: int) -> None:
    whole = dataset(rows)
    sizes = Counter(example.question for example in whole.examples)
    if limit < min(sizes.values()):
        with pytest.raises(StackError, match="give 2 or more"):
            whole.chosen((), limit)
        return
    taken = whole.chosen((), limit)
    assert 0 < len(taken) <= limit
    asked = Counter(example.question for example in taken)
    assert all(sizes[question] == count for question, count in asked.items())
    assert taken == [example for example in whole.examples if example in taken]
    if limit < len(whole.examples):  # nothing that is left out would have fitted
        assert all(len(taken) + sizes[question] > limit for question in sizes.keys() - asked.keys())


@given(st.integers(1, 30))
def test_categories_come_in_equal_numbers(limit: int) -> None:
    whole = dataset([(str(i), kind, False) for i in range(10) for kind in "abc"])
    counts = Counter(example.category for example in whole.chosen((), limit))
    assert sum(counts.values()) == limit
    assert max(counts.values()) - min(counts[kind] for kind in "abc") <= 1


@given(st.integers(2, 20))
def test_twins_count_as_two_in_their_category(limit: int) -> None:
    whole = dataset([(str(i), kind, kind == "a") for i in range(10) for kind in "ab"])
    counts = Counter(example.category for example in whole.chosen((), limit))
    assert sum(counts.values()) == limit
    assert abs(counts["a"] - counts["b"]) <= 2


def test_two_questions_of_one_video_are_no_twins() -> None:
    whole = dataset([("1", "a", False), ("1", "a", False), ("2", "a", False)])
    assert [example.id for example in whole.chosen((), 1)] == ["0"]


def test_nor_is_the_same_question_of_two_moments() -> None:
    whole = Dataset(Videos(Path()))
    video = Path("1.mp4")
    whole.examples += [Example(str(at), video, "Who is there?", "Ross", "a", "1", at=float(at)) for at in range(3)]
    assert [example.id for example in whole.chosen((), 2)] == ["0", "1"]
