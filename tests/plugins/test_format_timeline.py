from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from videochat import Box, Record, Span, Video
from videochat_plugins.format.timeline import Timeline

RECORDS = [
    Record("look", 0, 2, "bright, sharp; mostly white"),
    Record("region", 0.5, 2.2, "red thing moving right", box=Box(10.4, 20.5, 99.6, 80), score=0.5),
    Record("text", 1, 2, "SALE 50%", box=Box(0, 0, 5, 5)),
    Record("cut", 2, 2),
]


def lines(records: list[Record], duration: float = 4, **options: Any) -> list[str]:
    formatter = Timeline(Timeline.Options(**options))
    return [line.text for line in formatter.lines(records, Video(Path("clip.mp4"), duration, 640, 480), [])]


def test_every_record_is_a_line_with_its_times_kind_text_and_box() -> None:
    assert lines(RECORDS) == [
        "00:00-00:02 look: bright, sharp; mostly white",
        "00:00-00:03 region: red thing moving right [10, 20, 100, 80]",
        "00:01-00:02 text: SALE 50% [0, 0, 5, 5]",
        "00:02-00:02 cut",
    ]


def test_a_line_names_its_record() -> None:
    made = list(Timeline().lines(RECORDS, Video(Path("clip.mp4"), 4, 640, 480), []))
    assert [line.records for line in made] == [(record,) for record in RECORDS]


def test_boxes_may_be_left_out() -> None:
    assert lines(RECORDS[1:3], boxes=False) == [
        "00:00-00:03 region: red thing moving right",
        "00:01-00:02 text: SALE 50%",
    ]


def test_kinds_may_be_chosen() -> None:
    assert lines(RECORDS, kinds=["cut", "look"]) == ["00:00-00:02 look: bright, sharp; mostly white", "00:02-00:02 cut"]
    assert Timeline().reads is None
    assert Timeline(Timeline.Options(kinds=("cut",))).reads == ("cut",)


def test_tokens_are_left_out() -> None:
    tokens = np.zeros((2, 3), np.float32)
    assert lines([Record("embedding", 0, 4, tokens=tokens, space="llm"), Record("embedding", 0, 4, space="llm")]) == []


def test_hours_appear_when_the_video_needs_them() -> None:
    assert lines([RECORDS[0]], 3600) == ["0:00:00-0:00:02 look: bright, sharp; mostly white"]


def test_segments_may_have_lines_of_their_own() -> None:
    formatter = Timeline(Timeline.Options(segments=True, kinds=("look", "text", "cut")))
    cuts = [Span(0, 1.5), Span(1.5, 2), Span(2, 4)]
    made = list(formatter.lines(RECORDS, Video(Path("clip.mp4"), 4, 640, 480), cuts))
    assert [line.text for line in made] == [
        "00:00-00:02 segment 1",
        "00:00-00:02 look: bright, sharp; mostly white",
        "00:01-00:02 text: SALE 50% [0, 0, 5, 5]",
        "00:02-00:04 segment 3",  # nothing starts in the second
        "00:02-00:02 cut",
    ]
    assert [bool(line.records) for line in made] == [False, True, True, False, True]


def test_records_are_not_held() -> None:
    records = iter(RECORDS)
    next(iter(Timeline().lines(records, Video(Path("clip.mp4"), 4, 640, 480), [])))
    assert list(records) == RECORDS[1:]


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="box"):
        Timeline.Options.model_validate({"box": False})
