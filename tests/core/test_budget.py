import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat.budget import LOW_SCORE, MERGED, NOT_ASKED, TIME_STEP, TOO_LONG, Fit, equal_neighbours, estimate, fit
from videochat.prompt import Line
from videochat.question import Question
from videochat.record import Record


def render(records: Sequence[Record]) -> list[Line]:
    return [Line("a heading"), *(Line(f"{r.start:g}-{r.end:g} {r.kind}: {r.text}", (r,)) for r in records)]


def count(lines: Sequence[Line]) -> int:
    return sum(estimate(line.text + "\n") for line in lines)


def looks(n: int, text: str = "look {}") -> list[Record]:
    return [Record("look", i, i + 1, text.format(i), source="look") for i in range(n)]


def tight(records: Sequence[Record], share: float, question: str = "") -> Fit:
    room = int(count(render(records)) * share)
    return fit(records, render, count, room, Question.parse(question) if question else None)


def reasons(found: Fit) -> dict[tuple[str, str], int]:
    return {(left.kind, left.why): left.number for left in found.left_out}


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("出口", 2), ("\ud800", 1)])
def test_an_estimate_is_a_third_of_the_bytes(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


def test_with_room_for_all_nothing_changes() -> None:
    records = looks(4, "the same")
    found = fit(records, render, count, 10_000)
    assert (found.records, list(found.lines), found.left_out) == (tuple(records), render(records), ())
    assert found.complete
    assert found.report() == ""


def test_equal_neighbours_are_merged_first() -> None:
    records = [*looks(10, "the same"), Record("text", 10, 11, "NIGHT", score=0.1)]
    found = tight(records, 0.5)
    assert [(r.start, r.end, r.text) for r in found.records] == [(0, 10, "the same"), (10, 11, "NIGHT")]
    assert found.records[0].parents == tuple(r.id for r in records[:10])
    assert found.complete
    assert reasons(found) == {("look", MERGED): 9}


@pytest.mark.parametrize(
    "other",
    [
        Record("look", 1, 2, "another", source="a"),
        Record("look", 1, 2, "same", source="b"),
        Record("tag", 1, 2, "same", source="a"),
        Record("look", 1.5, 2, "same", source="a"),
        Record("look", 1, 2, "same", source="a", track=1),
    ],
)
def test_what_differs_is_not_merged(other: Record) -> None:
    first = Record("look", 0, 1, "same", source="a")
    assert equal_neighbours([first, other]) == [[first], [other]]


def test_tokens_are_never_merged() -> None:
    records = [Record("embedding", i, i + 1, tokens=np.zeros((1, 2)), space="x") for i in range(2)]
    assert len(equal_neighbours(records)) == 2


def test_overlapping_runs_of_two_texts_are_merged_each() -> None:
    records = [Record("text", i, i + 1, text) for i in range(3) for text in ("A", "B")]
    assert [[r.text for r in group] for group in equal_neighbours(records)] == [["A"] * 3, ["B"] * 3]


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("what text is shown", lambda r: r.kind == "text"),
        ("what happens between 10 and 20 s", lambda r: 10 <= r.start < 20),
        ("is there a zebra", lambda r: "zebra" in r.text),
        ("what is shown after the zebra", lambda r: "zebra" in r.text),
    ],
)
def test_what_is_asked_for_stays(question: str, kept: Callable[[Record], bool]) -> None:
    records = sorted(
        [
            *looks(40),
            *(Record("text", 4 * i, 4 * i + 1, f"word {i}", score=0.2) for i in range(10)),
            Record("caption", 33, 34, "two zebras", score=0.1),
        ],
        key=lambda r: r.start,
    )
    wanted = [r for r in records if kept(r)]
    found = tight(records, 0.4, question)
    assert set(wanted) <= set(found.records)
    assert len(found.records) < len(records)
    assert any(left.why == NOT_ASKED for left in found.left_out)


def test_low_scores_go_before_the_time_step_widens() -> None:
    records = [Record("tag", i, i + 1, f"tag {i}", score=0.2 if i % 2 else 0.9) for i in range(40)]
    found = tight(records, 0.6)
    assert {r.score for r in found.records} >= {0.9}
    assert sum(r.score == 0.9 for r in found.records) == 20
    assert reasons(found).keys() == {("tag", LOW_SCORE)}


def test_the_lowest_scores_go_first() -> None:
    records = [Record("tag", i, i + 1, f"tag {i}", score=i / 100) for i in range(40)]
    assert [r.start for r in tight(records, 0.5).records] == list(range(40 - len(tight(records, 0.5).records), 40))


def test_the_time_step_widens_evenly() -> None:
    found = tight(looks(64), 0.4)
    starts = [r.start for r in found.records]
    gaps = np.diff([*starts, 64])
    assert starts[0] == 0
    assert gaps.max() <= 4  # of records one second apart, 0.4 of them: steps of 2 and 4 only
    assert reasons(found).keys() == {("look", TIME_STEP)}


def test_every_series_keeps_its_share() -> None:
    records = sorted(
        [*looks(64), *(Record("tag", 8 * i, 8 * i + 1, f"tag {i}") for i in range(8))], key=lambda r: r.start
    )
    found = tight(records, 0.5)
    assert sum(r.kind == "tag" for r in found.records) in (3, 4, 5)


def test_what_never_fits_does_not_shut_out_the_rest() -> None:
    records = [Record("speech", 0, 1, "word " * 1000), *looks(5)]
    found = fit(records, render, count, 60, Question.parse("what is said"))
    assert [r.kind for r in found.records] == ["look"] * 5
    assert reasons(found) == {("speech", TOO_LONG): 1}


def test_it_reports_all_that_is_missing() -> None:
    found = tight(looks(20), 0.5)
    assert len(found.records) + sum(left.number for left in found.left_out) == 20
    assert found.report() == f"{20 - len(found.records)} look (look): {TIME_STEP}"
    assert not found.complete


def test_without_room_for_anything_nothing_is_left() -> None:
    found = fit(looks(3), render, count, 0)
    assert (found.records, found.lines) == ((), (Line("a heading"),))
    assert found.tokens > 0


def test_twenty_thousand_records_take_few_renders() -> None:
    records, calls = looks(20_000, "what is seen in second {}"), []

    def counted(lines: Sequence[Record]) -> list[Line]:
        calls.append(len(lines))
        return render(lines)

    began = time.perf_counter()
    found = fit(records, counted, count, 8000, Question.parse("what is seen in the first 60 seconds"))
    assert time.perf_counter() - began < 20
    assert len(calls) < 24
    assert {r.start for r in found.records} >= set(range(60))


RECORDS = st.lists(
    st.builds(
        lambda kind, start, length, text, score, source: Record(
            kind, start, start + length, text, score, source=source
        ),
        st.sampled_from(["text", "look", "region", "speech"]),
        st.integers(0, 30),
        st.integers(0, 5),
        st.sampled_from(["", "red thing", "NIGHT", "PLATFORM 9", "a long sentence about a dog that nobody reads"]),
        st.none() | st.floats(0, 1),
        st.sampled_from(["", "a", "b"]),
    ),
    max_size=40,
).map(lambda records: sorted(records, key=lambda r: (r.start, r.end)))
QUESTIONS = st.none() | st.sampled_from(
    ["what text is shown", "after 5 s", "is there a dog in the first 10 seconds", "what colour is the red thing"]
).map(Question.parse)


@given(RECORDS, st.integers(0, 600), QUESTIONS)
def test_it_never_takes_more_than_the_room(records: list[Record], room: int, question: Question | None) -> None:
    found = fit(records, render, count, room, question)
    assert found.tokens == count(found.lines)
    assert found.tokens <= max(room, count(render([])))
    assert list(found.lines) == render(found.records)
    assert [r.start for r in found.records] == sorted(r.start for r in found.records)
    assert len(found.records) + sum(left.number for left in found.left_out) == len(records)
    assert found == fit(records, render, count, room, question)


@given(RECORDS, st.integers(0, 600), st.integers(0, 200), QUESTIONS)
def test_more_room_never_gives_less(records: list[Record], room: int, more: int, question: Question | None) -> None:
    small, large = fit(records, render, count, room, question), fit(records, render, count, room + more, question)
    assert small.tokens <= large.tokens
    assert len(small.records) <= len(large.records) or any(left.why == TOO_LONG for left in small.left_out)
