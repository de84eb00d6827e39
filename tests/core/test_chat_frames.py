"""Frames for language models that see: which, once, and none from the future."""

from pathlib import Path

import pytest

from components import Counting, Film, FilmReader
from media import make, read_index
from speakers import Talker
from videochat import Frames, Reader, Sampling, Span, Stack, StackError, Text
from videochat.prompt import Part
from videochat.window import sample_times


class Seer(Talker):
    """Takes frames."""

    accepts = (Text, Frames)
    space = ""

    def sampling(self) -> Sampling | None:
        return Sampling(frames=5, side=48, over="video")

    def count(self, part: Part) -> int:
        return len(part.frames) if isinstance(part, Frames) else super().count(part)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=100, size=(160, 96)).path  # 25 a second


def stack(llm: Talker, reader: Reader | None = None) -> Stack:
    return Stack(read=reader or Counting(), llm=llm, prompt="frames")


def seen(llm: Seer, turn: int = -1) -> tuple[Frames, ...]:
    return tuple(part for message in llm.heard[turn] for part in message.parts if isinstance(part, Frames))


def test_the_model_sees_frames_of_the_video_with_their_times(clip: Path) -> None:
    llm = Seer()
    made = stack(llm)
    assert "".join(made.chat(made.watch(clip)).ask("What is it?")) == "It is red."
    (frames,) = seen(llm)
    wanted = sample_times(Span(0.0, 4.0), Sampling(frames=5, over="video"))
    assert frames.times == pytest.approx(wanted, abs=0.021)
    assert [read_index(frame.image) for frame in frames.frames] == [round(time * 25) for time in frames.times]
    assert {min(frame.image.shape[:2]) for frame in frames.frames} == {48}
    system, user = llm.heard[0]
    assert "0.4, 1.2, 2.0, 2.8, 3.6 seconds" in system.text
    assert [type(part) for part in user.parts] == [Frames, Text, Text]  # pictures belong into the user's turn


def test_frames_are_decoded_once_for_the_whole_talk_and_shown_once_a_prompt(clip: Path) -> None:
    llm, reader = Seer(), Counting()
    made = stack(llm, reader)
    chat = made.chat(made.watch(clip))
    for question in ("What?", "Where?", "When?"):
        "".join(chat.ask(question))
    assert reader.passes == 1
    assert [len(seen(llm, turn)) for turn in range(3)] == [1, 1, 1]


def test_with_a_moment_no_frame_is_from_after_it(clip: Path) -> None:
    llm = Seer()
    made = stack(llm)
    "".join(made.chat(made.watch(clip, at=1.31)).ask("What?"))
    (frames,) = seen(llm)
    assert 4 <= len(frames.frames) <= 5
    assert max(frames.times) <= 1.31


def test_at_the_first_moment_the_first_frame_is_shown(clip: Path) -> None:
    llm = Seer()
    made = stack(llm)
    "".join(made.chat(made.watch(clip, at=0.0)).ask("What?"))
    (frames,) = seen(llm)
    assert [read_index(frame.image) for frame in frames.frames] == [0], "once, though five were asked for"


@pytest.mark.parametrize(("first", "at", "shown"), [(0.05, 0.0, [0.05]), (0.05, 0.3, [0.05]), (0.5, 0.0, None)])
def test_the_first_frame_may_come_a_little_after_the_sound(first: float, at: float, shown: list[float] | None) -> None:
    llm = Seer()
    made = stack(llm, FilmReader(Film([first, 1.0, 2.0], 3.0, [(0.0, 3.0)])))
    context = made.watch(Path(__file__), at=at)
    if shown is None:
        with pytest.raises(StackError, match="nothing to show"):
            made.chat(context)
        return
    "".join(made.chat(context).ask("What?"))
    assert [list(frames.times) for frames in seen(llm)] == [shown]


def test_each_prompt_begins_as_the_one_before(clip: Path) -> None:
    """A server keeps what it made of the frames: they stay in the first question that is sent."""
    llm = Seer()
    made = stack(llm)
    chat = made.chat(made.watch(clip))
    for question in ("What?", "Where?", "When?"):
        "".join(chat.ask(question))
    one, two, three = llm.heard
    assert (two[: len(one)], three[: len(two)]) == (one, two)
    assert [type(part) for part in three[1].parts] == [Frames, Text, Text]


def test_a_model_that_is_shown_none_is_refused_the_prompt(clip: Path) -> None:
    made = stack(Talker())  # it could take embeddings, of which there are none
    with pytest.raises(StackError, match="the prompt frames shows the model the video itself, and there is nothing"):
        made.chat(made.watch(clip))
