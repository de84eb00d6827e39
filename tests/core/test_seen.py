"""The videos themselves in a prompt: what stands as one, what is told of it, how much room it takes."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import Echo, Embedding
from media import make
from speakers import Talker
from videochat import Frames, Record, Span, Stack, StackError, Text, Tokens, Video, Window
from videochat.chat import Answer, Chat
from videochat.context import Context
from videochat.seen import Seen, see


def embedding(start: float, end: float, rows: int = 2, source: str = "", **meta: Any) -> Record:
    tokens = np.full((rows, 4), start, np.float32)
    middle = ((start + end) / 2,)
    return Record("embedding", start, end, tokens=tokens, space="tiny", times=middle, source=source, meta=meta)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=100, size=(64, 48)).path  # 4 s


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("prompts") / "told.txt"
    file.write_text("{video} has {frame_count} frames at {times} s of {spans}.\nQuestion: {question}")
    return str(file)


def context_of(stack: Stack, records: Sequence[Record], name: str = "clip.mp4") -> Context:
    return Context(stack, Video(Path(name), 6.0, 64, 48), Span(0, 6), (Span(0, 6),), records)


def read(chat: Chat, question: str) -> Answer:
    answer = chat.ask(question)
    assert "".join(answer) == answer.text
    return answer


def shown(records: Sequence[Record]) -> list[Tokens]:
    return list(Tokens.join(records))


layouts = st.sampled_from([{}, {"layout": {"grid": [1, 2]}}, {"layout": {"grid": [2, 1]}}])


@given(st.lists(st.tuples(layouts, st.integers(1, 3), st.sampled_from([2, 4])), max_size=8))
def test_neighbours_of_one_layout_stand_as_one_and_no_row_is_lost(given: list[tuple[dict[str, Any], int, int]]) -> None:
    records = [embedding(i, i + 1, rows * slots, slots=slots, **meta) for i, (meta, slots, rows) in enumerate(given)]
    parts = shown(records)
    assert [r for part in parts for r in part.records] == records
    starts = [
        record.start for record, (_, slots, rows) in zip(records, given, strict=True) for _ in range(slots * rows)
    ]
    assert [row[0] for part in parts for row in np.asarray(part.tokens).tolist()] == starts
    assert sum(part.slots for part in parts) == sum(slots for _, slots, _ in given)
    kinds = [(part.layout, part.tokens.shape[0] // part.slots) for part in parts]
    assert all(one != two for one, two in pairwise(kinds))


def test_what_the_prompt_is_told_of_the_embeddings(prompt: str) -> None:
    llm = Talker()
    stack = Stack(llm=llm, prompt=prompt)
    answer = read(stack.chat(context_of(stack, [embedding(0, 4), embedding(4, 6)])), "What?")
    assert llm.heard[0][0].text == " has 2 frames at 2.0, 5.0 s of 00:00-00:04, 00:04-00:06."
    assert answer.visual == 4


def test_several_videos_are_told_apart_by_name(prompt: str) -> None:
    llm = Talker()
    stack = Stack(llm=llm, prompt=prompt)
    contexts = [context_of(stack, [embedding(0, 6)], name) for name in ("a.mp4", "b\n.jpg")]
    read(stack.chat(*contexts), "What?")
    system = llm.heard[0][0]
    words = "Video 1, a.mp4: \nVideo 2, b .jpg:  has 1; 1 frames at 3.0; 3.0 s of 00:00-00:06; 00:00-00:06."
    assert system.text == words
    assert [type(part) for part in system.parts[:4]] == [Text, Tokens, Text, Tokens]
    assert all(part.name for part in system.parts[:4:2] if isinstance(part, Text)), "names of files are data"


def test_a_video_of_which_there_is_nothing_to_show_keeps_its_number(tmp_path: Path) -> None:
    (tmp_path / "hybrid.txt").write_text("{textualizing_videos}\n{video} at {times} s.\nQuestion: {question}")
    llm = Talker()
    stack = Stack(llm=llm, prompt=str(tmp_path / "hybrid.txt"))
    heard = context_of(stack, [Record("speech", 0, 1, "hello")], "a.ogg")
    read(stack.chat(heard, context_of(stack, [embedding(0, 6)], "b.mp4")), "What is in video 2?")
    text = llm.heard[0][0].text
    assert "Video 1, a.ogg:\n00:00-00:01 speech: hello\nVideo 2, b.mp4:\n" in text
    assert text.endswith("\nVideo 2, b.mp4:  at 3.0 s.")


def test_perceivers_come_one_after_the_other_in_the_order_of_the_stack() -> None:
    stack = Stack(perceive={"late": Echo(fps=1), "early": Echo(fps=1)})
    records = [embedding(i, i + 1, source=name) for i in range(2) for name in ("early", "late")]
    (part,) = see(stack, [context_of(stack, records)]).parts
    assert isinstance(part, Tokens)
    assert [record.source for record in part.records] == ["late", "late", "early", "early"]


def test_an_answer_may_rest_on_embeddings(prompt: str) -> None:
    llm = Talker(says=("It is ", "at 00:04-00:06."))
    stack = Stack(llm=llm, prompt=prompt)
    answer = read(stack.chat(context_of(stack, [embedding(0, 4), embedding(4, 6, source="eye")])), "When?")
    assert [(cited.start, cited.end, cited.source) for cited in answer.citations] == [(4.0, 6.0, "eye")]


def test_a_video_too_large_for_the_model_is_named_as_what_is_too_large(prompt: str) -> None:
    llm = Talker(window=300)
    stack = Stack(llm=llm, prompt=prompt)
    chat = stack.chat(context_of(stack, [embedding(0, 6, rows=299)]))
    with pytest.raises(StackError, match=r"the video itself takes 299 of the 300 tokens .*moviechat.*`long`"):
        chat.ask("What?")


def test_so_is_a_video_of_many_stretches(prompt: str) -> None:
    stack = Stack(llm=Talker(window=100), prompt=prompt)
    chat = stack.chat(context_of(stack, [embedding(i, i + 1, rows=1) for i in range(40)]))
    with pytest.raises(StackError, match=r"the video itself takes 40 of the 100 tokens .*, its times 81: show fewer"):
        chat.ask("What?")


def test_why_there_is_nothing_to_see(clip: Path) -> None:
    class Broken(Embedding):
        def see(self, window: Window) -> Sequence[Record]:
            raise RuntimeError("the lens is dirty")

    stack = Stack(perceive={"eye": Broken(fps=2)}, prompt="embed", llm=Talker())
    with pytest.raises(StackError, match=r"there is nothing to show: .*; eye: RuntimeError: the lens is dirty"):
        stack.chat(stack.watch(clip))


def test_nothing_to_see_is_told_as_nothing() -> None:
    assert [part.text for part in Seen().words.values() if isinstance(part, Text)] == ["", "", ""]
    assert Seen.of([]).parts == ()
    assert {"frame_count", "times", "spans"} == {*Seen.of([]).words}
    assert not any(isinstance(part, Frames) for part in Seen().parts)


@pytest.mark.parametrize(("at", "windows"), [(None, 2), (99.0, 2), (2.5, 2), (2.0, 1), (0.5, 1), (0.0, 1)])
def test_windows_of_embeddings_end_at_the_moment_that_is_asked_about(
    clip: Path, at: float | None, windows: int
) -> None:
    eye, ear = Embedding(fps=2, over=2.0), Echo(fps=2, over=2.0)
    context = Stack(perceive={"eye": eye, "ear": ear}, prompt="embed", llm=Talker()).watch(clip, at=at)
    end = min(context.video.duration, context.video.duration if at is None else at)
    spans = [(record.start, record.end) for record in context.records if record.tokens is not None]
    assert len(spans) == windows
    assert spans[-1][1] == pytest.approx(end)
    assert all(time <= end + 0.021 for record in context.records for time in record.times)
    whole = [(span.start, span.end) for span in ear.spans]
    assert whole[-1][1] == pytest.approx(context.video.duration), "text can be left out, so its windows stay"


@pytest.mark.parametrize("over", ["video", "segment", 2.0])
def test_at_the_first_moment_the_first_picture_is_seen(clip: Path, over: Any) -> None:
    class Keeping(Embedding):
        def see(self, window: Window) -> Sequence[Record]:
            heard.append(window)
            return super().see(window)

    heard: list[Window] = []
    parts = {"eye": Keeping(frames=2, over=over), "ear": Keeping(audio_rate=8000, over=over), "text": Echo(fps=2)}
    stack = Stack(perceive=parts, prompt="embed", llm=Talker())
    context = stack.watch(clip, at=0.0)
    assert context.faults == ()
    assert [(r.start, r.end, r.source, r.times) for r in context.records] == [(0.0, 0.0, "eye", (0.0, 0.0))]
    assert [window.span for window in heard] == [(0, 0)]
    assert see(stack, [context]).parts


@pytest.mark.parametrize("over", ["video", "segment", 2.0])
def test_before_the_watch_begins_there_is_nothing_to_see(clip: Path, over: Any) -> None:
    eye = Embedding(frames=2, over=over)
    context = Stack(perceive={"eye": eye}, prompt="embed", llm=Talker()).watch(clip, start=2.0, at=1.0)
    assert list(context.records) == eye.spans == []
