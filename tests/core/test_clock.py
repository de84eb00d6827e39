import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat.clock import needs_hours, parse, span_stamp, srt_stamp, stamp, vtt_stamp

SECONDS = st.floats(0, 400_000)


@pytest.mark.parametrize(
    ("seconds", "down", "up"),
    [
        (0, "00:00", "00:00"),
        (0.2, "00:00", "00:01"),
        (59.999, "00:59", "01:00"),
        (61, "01:01", "01:01"),
        (3.0000000001, "00:03", "00:03"),
        (2.9999999999, "00:03", "00:03"),
        (3.00001, "00:03", "00:04"),
        (4503, "75:03", "75:03"),
        (-0.5, "00:00", "00:00"),
    ],
)
def test_a_stamp_floors_or_ceils_to_the_second(seconds: float, down: str, up: str) -> None:
    assert stamp(seconds) == down
    assert stamp(seconds, up=True) == up


def test_hours_appear_for_a_whole_video_or_not_at_all() -> None:
    assert [needs_hours(duration) for duration in (0, 3599.9, 3600, 9000)] == [False, False, True, True]
    assert stamp(65, hours=True) == "0:01:05"
    assert span_stamp(3599.5, 3661, hours=True) == "0:59:59-1:01:01"
    assert span_stamp(0, 10.4) == "00:00-00:11"


@given(SECONDS, st.booleans())
def test_a_stamp_reads_back_as_its_whole_second(seconds: float, hours: bool) -> None:
    assert parse(stamp(seconds, hours)) == math.floor(seconds + 1e-6)


@given(SECONDS, st.floats(0, 5000), st.booleans())
def test_the_stamps_of_a_span_hold_it(start: float, length: float, hours: bool) -> None:
    end = start + length
    first, last = map(parse, span_stamp(start, end, hours).split("-"))
    assert first - 1e-5 <= start
    assert end <= last + 1e-5
    assert first <= last
    assert start - first < 1
    assert last - end < 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90.5", 90.5),
        ("01:30", 90),
        ("1:30.25", 90.25),
        ("75:03", 4503),
        ("1:02:03", 3723),
        ("01:02:03.5", 3723.5),
        (" 7 ", 7),
    ],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5",
        "1e3",
        "nan",
        "inf",
        "1:60",
        "1:5",
        "1:99:00",
        "1:2:03",
        "1:02:03:04",
        ":30",
        "30:",
        "5s",
        "9" * 400,
        "٣",
    ],
)
def test_what_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("MM:SS (01:30)")):
        parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00.000"),
        (1.0625, "00:00:01.062"),
        (59.9996, "00:01:00.000"),
        (360_000, "100:00:00.000"),
        (-1, "00:00:00.000"),
    ],
)
def test_subtitle_stamps_have_milliseconds(seconds: float, text: str) -> None:
    assert vtt_stamp(seconds) == text
    assert srt_stamp(seconds) == text.replace(".", ",")


@given(SECONDS)
def test_subtitle_stamps_are_exact_to_half_a_millisecond(seconds: float) -> None:
    assert parse(vtt_stamp(seconds)) == pytest.approx(seconds, rel=0, abs=0.000501)
