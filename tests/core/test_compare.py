"""The same question to several stacks."""

from pathlib import Path

import pytest

from media import make
from speakers import Failing, Talker, Told
from videochat import LLMError, Stack, VideoError
from videochat.compare import compare


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make(tmp_path / "clip.mp4", frames=20, fps=10, size=(64, 48)).path


class Closing(Talker):
    """Notes when it was let go."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_one_row_for_each_stack(clip: Path) -> None:
    one = Stack(perceive={"told": Told()}, llm=Talker(says=("00:01-00:02",)))
    two = Stack(perceive={"told": Told()}, llm="extractive")
    rows = list(compare(clip, "What is there?", [one, two]))
    assert len(rows) == 2
    assert rows[0]["answer"] == "00:01-00:02"
    assert [(cited["start"], cited["end"], cited["source"]) for cited in rows[0]["citations"]] == [(1.0, 2.0, "told")]
    assert rows[0]["tokens"] == {"prompt": 7, "answer": 1}
    assert rows[0]["lines"] == 2
    assert rows[1]["answer"]
    for row in rows:
        assert {"stack", "answer", "citations", "seconds", "watch_seconds", "tokens", "estimated", "lines"} <= set(row)
        assert row["faults"] == []
        assert row["seconds"] >= 0
        assert row["watch_seconds"] > 0


def test_a_row_comes_before_the_next_stack_starts(clip: Path) -> None:
    second = Talker()
    first = Closing()
    rows = compare(clip, "What?", [Stack(llm=first), Stack(llm=second)])
    next(rows)
    assert second.heard == []
    next(rows)
    assert first.closed  # so that two large models need not fit together
    assert len(second.heard) == 1


def test_faults_are_counted(clip: Path) -> None:
    stack = Stack(perceive={"bad": Failing(), "good": Told()}, llm=Talker())
    (row,) = compare(clip, "What?", [stack])
    assert (len(row["faults"]), row["lines"]) == (2, 2)


def test_what_cannot_be_watched_or_answered(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        list(compare(tmp_path / "none.mp4", "What?", [Stack(llm=Talker())]))
    with pytest.raises(LLMError, match="out of words"):
        list(compare(clip, "What?", [Stack(llm=Talker(breaks="out of words"))]))


def test_a_model_that_cannot_be_had_is_told_before_anything_is_watched(tmp_path: Path) -> None:
    from components import Counting, Echo
    from media import make
    from videochat import UnavailableError

    class Lost(Echo):
        def check(self) -> None:
            raise UnavailableError("the model cannot be had")

    reader, clip = Counting(), make(tmp_path / "clip.mp4", frames=25, size=(64, 48)).path
    stacks = [Stack(read=reader, perceive={"it": part}) for part in (Echo(fps=1), Lost(fps=1))]
    with pytest.raises(UnavailableError, match="cannot be had"):
        list(compare(clip, "What?", stacks))
    assert reader.passes == 0
