import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from videochat import Box, Record, Span, Video
from videochat_plugins.format.table1 import Table1

FIXTURES = Path(os.environ.get("VIDEOCHAT_FIXTURES") or Path(__file__).parents[1] / "fixtures")


def video(duration: float) -> Video:
    return Video(Path("clip.mp4"), duration, 854, 480)


def text(records: list[Record], seconds: float = 4, step: float = 2) -> list[str]:
    segments = [Span(i * step, (i + 1) * step) for i in range(int(seconds / step))]
    return [line.text for line in Table1().lines(records, video(seconds), segments)]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("table1*.json")), ids=lambda path: path.stem)
def test_the_papers_example_byte_for_byte(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    records = [Record.from_json(values) for values in case["records"]]
    segments = [Span(*span) for span in case["segments"]]
    lines = list(Table1().lines(iter(records), video(segments[-1].end), segments))
    assert ("\n".join(line.text for line in lines) + "\n").encode() == path.with_suffix(".txt").read_bytes()
    printed = [record for line in lines for record in line.records]
    assert all(printed.count(record) == records.count(record) for record in printed)


def test_there_is_an_example() -> None:
    assert list(FIXTURES.glob("table1*.json"))


def test_ranges_come_in_order_and_empty_ones_not_at_all() -> None:
    records = [
        Record("caption", 0, 2, "a dog"),
        Record("tag", 0, 1, "dog"),
        Record("tag", 1, 2, "grass"),
        Record("tag", 1, 2, "dog"),
        Record("region", 1, 9, "brown dog", box=Box(1.4, 2.6, 30, 40)),
        Record("region", 1, 9, "somewhere"),
        Record("speech", 1.5, 4.2, "Sit!"),
        Record("caption", 4, 6, "a cat"),
    ]
    assert text(records, 6) == [
        "00:00-00:02 a dog",
        "dog, grass",
        "brown dog: [1, 3, 30, 40]; somewhere;",
        "00:01-00:05: Sit!",
        "00:04-00:06 a cat",
    ]


def test_each_line_names_the_records_it_came_from() -> None:
    records = [Record("tag", 0, 1, "dog"), Record("tag", 1, 2, "dog"), Record("speech", 1, 2, "Sit!")]
    lines = list(Table1().lines(records, video(2), [Span(0, 2)]))
    assert [line.text for line in lines] == ["00:00-00:02", "dog", "00:01-00:02: Sit!"]
    assert [line.records for line in lines] == [(), (records[0], records[1]), (records[2],)]


def test_a_record_stands_in_the_range_of_its_start_with_its_own_times() -> None:
    records = [
        Record("caption", 0, 4, "over both"),
        Record("caption", 1, 2, "short"),
        Record("caption", 1.9999999999, 4, "on the cut"),
        Record("tag", 2, 4, "cut"),
    ]
    assert text(records) == ["00:00-00:04 over both", "00:01-00:02 short", "00:02-00:04 on the cut", "cut"]


def test_tags_are_never_taken_for_those_of_another_range() -> None:
    records = [Record("caption", 0, 4, "a dog"), Record("tag", 0, 2, "dog"), Record("tag", 2, 4, "cat")]
    assert text(records) == ["00:00-00:04 a dog", "00:00-00:02", "dog", "00:02-00:04", "cat"]


def test_speech_needs_no_range_above_it() -> None:
    assert text([Record("speech", 2.5, 3, "Hello")]) == ["00:02-00:03: Hello"]


@pytest.mark.parametrize(
    ("kinds", "header"),
    [(["action"], "action"), (["summary"], "summary"), (["summary", "action"], "action, summary"), ([], None)],
)
def test_the_header_is_what_there_is(kinds: list[str], header: str | None) -> None:
    records = [*(Record(kind, 0, 4, kind) for kind in kinds), Record("caption", 0, 2, "a dog")]
    assert text(records) == [*([header] if header else []), "00:00-00:02 a dog"]


def test_the_header_takes_the_likeliest_and_of_equals_the_first() -> None:
    actions = [Record("action", 0, 4, name, score=score) for name, score in [("a", 0.2), ("b", 0.7), ("c", 0.7)]]
    assert text(actions) == ["b"]
    assert text([Record("summary", 0, 4, "one"), Record("summary", 0, 4, "two")]) == ["one"]


def test_what_covers_a_part_is_not_in_the_header() -> None:
    records = [Record("action", 0, 2, "running"), Record("summary", 0, 2, "it runs"), Record("action", 2, 4, "resting")]
    assert text(records) == ["00:00-00:02 it runs"]
    assert text([Record("action", 0.04, 3.9, "running")]) == ["running"]  # a few frames short


def test_a_part_of_a_video_has_a_header_too() -> None:
    lines = Table1().lines([Record("action", 60, 64, "running")], video(600), [Span(60, 62), Span(62, 64)])
    assert [line.text for line in lines] == ["running"]


def test_hours_appear_when_the_video_needs_them() -> None:
    records = [Record("caption", 0, 2, "a dog"), Record("speech", 3600.5, 3602, "Sit!")]
    assert text(records, 3604) == ["0:00:00-0:00:02 a dog", "1:00:00-1:00:02: Sit!"]
    assert text(records[:1], 3598) == ["00:00-00:02 a dog"]


def test_other_kinds_and_records_without_text_are_not_printed() -> None:
    records = [
        Record("motion", 0, 2, "still"),
        Record("text", 0, 2, "SALE"),
        Record("tag", 0, 2),
        Record("embedding", 0, 2),
    ]
    assert text(records) == []


def test_without_segments_the_video_is_one_range() -> None:
    lines = Table1().lines([Record("tag", 1, 2, "dog")], video(4), [])
    assert [line.text for line in lines] == ["00:00-00:04", "dog"]


def test_no_more_than_one_range_is_held() -> None:
    taken = 0

    def counted() -> Iterator[Record]:
        nonlocal taken
        for taken in range(1000):
            yield Record("caption", taken, taken + 1, "a dog")

    segments = [Span(i, i + 1) for i in range(1000)]
    lines = iter(Table1().lines(counted(), video(1000), segments))
    for i in range(500):
        assert next(lines).records[0].start == i
        assert taken <= i + 1
