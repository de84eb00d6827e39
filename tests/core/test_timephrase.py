import math

import pytest

from videochat.timephrase import read_times
from videochat.words import tokens

INF = math.inf


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("what is shown at 0:05?", (5, 6)),
        ("at 5 s", (5, 6)),
        ("at 5s", (5, 6)),
        ("at 5.5 seconds", (5.5, 5.6)),
        ("at five seconds", (5, 6)),
        ("at second 5", (5, 6)),
        ("at the 5 second mark", (5, 6)),
        ("in the 5th second", (5, 6)),
        ("5 seconds in", (5, 6)),
        ("what happens at 5?", (5, 6)),
        ("at 1:02:03", (3723, 3724)),
        ("at 1h02m03s", (3723, 3724)),
        ("at 1 minute and 5 seconds", (65, 66)),
        ("at minute 2", (120, 180)),
        ("at 500 ms", (0.5, 0.501)),
        ("after 1:02:03", (3723, INF)),
        ("after five seconds", (5, INF)),
        ("from 5 s on", (5, INF)),
        ("since 0:05", (5, INF)),
        ("before 10 seconds", (0, 10)),
        ("until 0:10", (0, 10)),
        ("up to 5 s", (0, 5)),
        ("between 3 and 6 s", (3, 6)),
        ("between 3 and 6", (3, 6)),
        ("between 0:03 and 0:06", (3, 6)),
        ("between 1 and 2 minutes", (60, 120)),
        ("from 3 to 6 seconds", (3, 6)),
        ("0:03-0:06", (3, 6)),
        ("3 to 6 s", (3, 6)),
        ("3–6 s", (3, 6)),
        ("after 3 s and before 6 s", (3, 6)),
        ("around 5 s", (4, 7)),
        ("in the first 3 seconds", (0, 3)),
        ("the first few seconds", (0, 3)),
        ("in the first second", (0, 1)),
        ("at the beginning", (0, 2)),
        ("at the very start of the clip", (0, 2)),
        ("in the last 2 seconds", (10, 12)),
        ("in the final second", (11, 12)),
        ("at the end", (10, 12)),
        ("at the very end", (10, 12)),
        ("in the second half", (6, 12)),
        ("in the first half", (0, 6)),
        ("in the middle", (4, 8)),
        ("at 12 s", (11, 12)),
    ],
)
def test_a_time_is_read_in_a_video_of_12_seconds(text: str, span: tuple[float, float]) -> None:
    (found,) = read_times(tokens(text), 12.0).spans
    assert found == pytest.approx(span)


@pytest.mark.parametrize(
    "text",
    [
        "when is PLATFORM 9 visible",
        "what is the second text",
        "what is the first text",
        "is it visible for 5 seconds",
        "is it longer than 5 seconds",
        "when does the text end",
        "how many seconds",
        "what is the last word",
        "",
    ],
)
def test_what_is_no_time_is_left(text: str) -> None:
    assert read_times(tokens(text), 12.0) == ((), frozenset())


@pytest.mark.parametrize("text", ["in the last 2 seconds", "at the end", "in the second half"])
def test_what_counts_from_the_end_needs_the_duration(text: str) -> None:
    assert not read_times(tokens(text), None).spans


def test_the_end_of_a_long_video_is_a_tenth_of_it() -> None:
    assert read_times(tokens("at the end"), 600.0).spans == ((540.0, 600.0),)


def test_two_times_are_two_spans() -> None:
    assert read_times(tokens("what is at 0:01 and what at 0:07")).spans == ((1, 2), (7, 8))
