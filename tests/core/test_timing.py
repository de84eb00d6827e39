"""What a prompt is told of how often the video was looked at."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from components import Echo
from videochat import Span, Stack
from videochat.prompt import Template, Text
from videochat.timing import in_words, step

PROMPTS = Path(__file__).parents[2] / "prompts"


def saying(kind: str, **values: Any) -> Echo:
    perceiver = Echo(**values)
    perceiver.emits = (kind,)
    return perceiver


def cuts(*edges: float) -> list[Span]:
    return [Span(*pair) for pair in pairwise(edges)]


@pytest.mark.parametrize(
    ("sampling", "segments", "seconds"),
    [
        ({"frames": 1}, cuts(0, 1, 2, 3), 1),
        ({"frames": 4, "over": 2.0}, cuts(0, 1, 2, 3), 0.5),
        ({"fps": 2}, cuts(0, 7, 9, 10), 0.5),
        ({"frames": 1, "over": 5.0}, cuts(0, 10), 5),
        ({"frames": 16, "over": "video"}, cuts(0, 4, 8), 0.5),
        ({"frames": 1}, cuts(0, 1, 4, 9), 3),  # of shots that differ, the middle one
        ({"audio_rate": 8000, "over": 30.0}, cuts(0, 60), 30),
    ],
)
def test_the_step_of_one_perceiver(sampling: dict[str, Any], segments: list[Span], seconds: float) -> None:
    stack = Stack(perceive={"it": saying("caption", **sampling), "other": saying("tag", fps=25)})
    assert step(stack, ("caption",), segments) == pytest.approx(seconds)


def test_the_most_frequent_counts_and_a_segment_where_there_is_none() -> None:
    stack = Stack(perceive={"slow": saying("region", over=10.0, frames=1), "fast": saying("region", fps=1)})
    assert step(stack, ("region",), cuts(0, 20)) == 1
    assert step(stack, ("caption",), cuts(0, 2, 4)) == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1.0, "second"), (0.5, "0.5 seconds"), (5, "5 seconds"), (0.04, "0.04 seconds"), (12.3, "12 seconds")],
)
def test_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_timed_table_2_is_table_2_but_for_its_numbers() -> None:
    timed, plain = (Template.parse((PROMPTS / f"{name}.txt").read_text()).text for name in ("table2_timed", "table2"))
    papers = {"{caption_step}": "1/FPS second", "{dense_step}": "five seconds"}
    for name, words in papers.items():
        timed = timed.replace(name, words)
    assert timed == plain


def test_a_talk_fills_in_the_numbers_of_its_stack(tmp_path: Path) -> None:
    template = Template.parse((PROMPTS / "table2_timed.txt").read_text())
    assert template.placeholders == {"textualizing_videos", "question", "caption_step", "dense_step"}
    filled = template.fill({name: Text(f"<{name}>") for name in template.placeholders})
    assert "a description every <caption_step>, so that" in filled[0].text
    assert "content every <dense_step>, you" in filled[0].text
