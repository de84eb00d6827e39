"""Subtitles as records, and speech recognisers that leave their work to them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import perceiver

from media import make
from videochat import Cue, Record, Stack, Video, Window
from videochat.plan import make_plan

VIDEO = Video(Path("clip.mkv"), 10.0, 0, 0)


def said(*cues: Cue, start: float = 0.0, end: float = 10.0) -> list[Record]:
    (records,) = perceiver("subtitles").perceive([Window(start, end, VIDEO, cues=cues)])
    return list(records)


def test_each_subtitle_is_a_record() -> None:
    first, second = said(Cue(1.0, 2.5, "Mind the gap."), Cue(2.0, 4.0, "[train leaves]"))
    assert (first.kind, first.start, first.end, first.text) == ("speech", 1.0, 2.5, "Mind the gap.")
    assert (second.start, second.end, second.text) == (2.0, 4.0, "[train leaves]")
    assert first.meta == {"from": "subtitles"}
    assert first.score is None


def test_what_is_shown_beyond_the_window_ends_with_it() -> None:
    (record,) = said(Cue(9.5, 12.0, "To be continued"))
    assert (record.start, record.end) == (9.5, 10.0)


def test_no_subtitles_no_records() -> None:
    assert said() == []
    assert list(perceiver("subtitles").perceive([])) == []


@given(st.lists(st.tuples(st.floats(3, 7), st.floats(-1e6, 1e6), st.text()), max_size=8))
def test_odd_cues_are_records_inside_the_window(cues: list[tuple[float, float, str]]) -> None:
    records = said(*(Cue(*cue) for cue in cues), start=3.0, end=7.0)
    assert len(records) == len(cues)
    assert all(3 <= record.start <= record.end <= 7 for record in records)


SRT = """1
00:00:00,200 --> 00:00:01,000
First <i>words</i>

2
00:00:01,100 --> 00:00:01,900
[music]
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make(tmp_path / "clip.mp4", frames=50, size=(64, 48), tone=300.0, audio_rate=16_000).path


def test_a_file_beside_the_video_is_watched(clip: Path) -> None:
    clip.with_suffix(".srt").write_text(SRT)
    records = Stack(perceive={"words": {"use": "subtitles"}}).watch(clip).records
    assert [(record.start, record.end, record.text) for record in records] == [
        (0.2, 1.0, "First words"),
        (1.1, 1.9, "[music]"),
    ]
    assert {record.source for record in records} == {"words"}


def test_a_part_of_the_video_has_the_subtitles_that_start_in_it(clip: Path) -> None:
    clip.with_suffix(".srt").write_text(SRT)
    stack = Stack(perceive={"words": {"use": "subtitles"}})
    assert [record.text for record in stack.watch(clip, start=0.5).records] == ["[music]"]
    (record,) = stack.watch(clip, end=0.5).records
    assert (record.start, record.end) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("subtitled", "reads", "beside", "listens"),
    [
        (True, True, False, False),
        (True, True, True, True),
        (True, False, False, True),
        (False, True, False, True),
    ],
    ids=["leaves it to them", "told to listen", "nobody reads them", "there are none"],
)
def test_a_recogniser_leaves_its_work_to_subtitles(
    clip: Path, subtitled: bool, reads: bool, beside: bool, listens: bool
) -> None:
    pytest.importorskip("pocketsphinx")
    if subtitled:
        clip.with_suffix(".srt").write_text(SRT)
    perceive: dict[str, dict[str, object]] = {"heard": {"use": "asr.pocketsphinx", "beside_subtitles": beside}}
    if reads:
        perceive["words"] = {"use": "subtitles"}
    tasks = {task.name: task for task in make_plan(Stack(perceive=perceive), clip).tasks}
    assert bool(tasks["heard"].spans) == listens
