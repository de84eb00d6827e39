"""Talks: what the model is sent in each turn, what is kept, and what an answer is said to rest on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speakers import Talker
from videochat import LLMError, Message, Record, Reply, Span, Stack, StackError, Text, Tokens, UnavailableError, Video
from videochat.chat import Chat
from videochat.context import Context
from videochat.fence import fence
from videochat.prompt import Generation

BARE = "Video: {textualizing_videos}\nQuestion: {question}"
RECORDS = [Record("caption", i, i + 1, f"thing number {i}", source="eyes", times=(i + 0.5,)) for i in range(6)]
LINES = [f"00:0{i}-00:0{i + 1} caption: thing number {i}" for i in range(6)]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "bare.txt").write_text(BARE)
    (folder / "embed.txt").write_text("Watch {video} at {times} s.\nQuestion: {question}")
    (folder / "inline.txt").write_text("In {textualizing_videos} see {question}")
    (folder / "hybrid.txt").write_text("{textualizing_videos}\nWatch {video} and say: {question}")
    return folder


def stack_of(prompts: Path, llm: Any, prompt: str = "bare", **more: Any) -> Stack:
    return Stack(llm=llm, prompt=str(prompts / f"{prompt}.txt"), **more)


def context_of(stack: Stack, records: Sequence[Record] = RECORDS, name: str = "clip.mp4") -> Context:
    video = Video(Path("somewhere") / name, 6.0, 64, 48)
    return Context(stack, video, Span(0, 6), (Span(0, 6),), records)


def chat_of(prompts: Path, llm: Any, prompt: str = "bare", **more: Any) -> Chat:
    stack = stack_of(prompts, llm, prompt, **more)
    return stack.chat(context_of(stack))


def read(chat: Chat, question: str) -> Any:
    answer = chat.ask(question)
    assert "".join(answer) == answer.text
    return answer


def size(llm: Talker, messages: Sequence[Message]) -> int:
    return sum(llm.count(part) for message in messages for part in message.parts)


def test_first_turn(prompts: Path) -> None:
    llm = Talker()
    answer = read(chat_of(prompts, llm), "What is {video}?")
    (system, user) = llm.heard[0]
    assert (system.role, user.role) == ("system", "user")
    assert system.text == "Video: \n" + fence("\n".join(LINES))
    assert user.text == "Question: What is {video}?"  # values are never scanned again
    assert user.parts[-1] == Text("What is {video}?", "question")
    assert [line.records for part in system.parts for line in part.lines] == [(record,) for record in RECORDS]
    assert answer.text == "It is red."
    assert (answer.usage.prompt, answer.usage.answer, answer.finish) == (7, 2, "stop")
    assert answer.seconds >= answer.first > 0
    assert answer.left_out == ""


def test_fence_false_gives_the_bare_form(prompts: Path) -> None:
    llm = Talker()
    read(chat_of(prompts, llm, fence=False), "What?")
    assert llm.heard[0][0].text == "Video: " + "\n".join(LINES)


def test_history_and_the_same_system_message_in_every_turn(prompts: Path) -> None:
    llm = Talker()
    chat = chat_of(prompts, llm)
    for i in range(5):
        read(chat, f"Question {i}?")
    assert len({messages[0].text for messages in llm.heard}) == 1
    roles = [message.role for message in llm.heard[2]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    said = [message.text for message in llm.heard[2][1:]]
    assert said == [
        "Question: Question 0?",
        "It is red.",
        "Question: Question 1?",
        "It is red.",
        "Question: Question 2?",
    ]
    assert chat.history == [(f"Question {i}?", "It is red.") for i in range(5)]


@given(
    window=st.integers(60, 400),
    turns=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    records=st.integers(0, 6),
)
def test_history_gives_way_oldest_first_and_the_video_never(
    prompts: Path, window: int, turns: list[int], records: int
) -> None:
    llm = Talker(window=window)
    stack = stack_of(prompts, llm)
    chat = stack.chat(context_of(stack, RECORDS[:records]))
    whole = "Video: \n" + fence("\n".join(LINES[:records]))
    for i, words in enumerate(turns):
        question = " ".join([f"q{i}", *["word"] * (words - 1)])
        try:
            answer = read(chat, question)
        except StackError:  # no room even for the question
            assert window - 10 <= len(f"Video: {fence('')} Question: {question}".split())
            continue
        system, *talk, last = llm.heard[-1]
        assert last.text == f"Question: {question}"
        past = [(f"Question: {asked}", said) for asked, said in chat.history[:-1]]
        kept = list(zip((m.text for m in talk[::2]), (m.text for m in talk[1::2]), strict=True))
        assert kept == past[len(past) - len(kept) :]
        if len(whole.split()) + len(fence("").split()) + len(last.text.split()) + 10 <= window:
            assert system.text == whole
            assert answer.left_out == ""
        if system.text == whole or "thing" in system.text:
            assert size(llm, llm.heard[-1]) <= window - 10
        if system.text != whole:
            assert answer.left_out


class Marked(Talker):
    """Puts three tokens around each message."""

    @property
    def turn(self) -> int:
        return 3


@pytest.mark.parametrize("window", range(30, 130, 7))
def test_the_markers_around_each_message_take_room_too(prompts: Path, window: int) -> None:
    llm = Marked(window=window)
    chat = chat_of(prompts, llm, fence=False)
    for i in range(20):
        read(chat, f"Question {i}?")
        assert size(llm, llm.heard[-1]) + 3 * (len(llm.heard[-1]) + 1) <= window - 10
    assert (len(llm.heard[-1]) > 3) == (window >= 65)  # some of the talk is there


def test_small_window_keeps_what_is_asked_for_and_says_what_is_missing(prompts: Path) -> None:
    llm = Talker(window=80)
    answer = read(chat_of(prompts, llm), "What is thing number 4?")
    text = llm.heard[0][0].text
    assert LINES[4] in text
    assert LINES[3] not in text
    assert "caption (eyes)" in answer.left_out
    assert size(llm, llm.heard[0]) <= 80 - 10
    assert answer.to_json("s")["left_out"] == answer.left_out


def test_no_room_at_all(prompts: Path) -> None:
    chat = chat_of(prompts, Talker(window=12))
    with pytest.raises(StackError, match="no room for the video in a window of 12 tokens"):
        chat.ask("What is it?")
    assert chat.history == []


def test_several_videos_get_titles(prompts: Path) -> None:
    llm = Talker()
    stack = stack_of(prompts, llm)
    one, two = context_of(stack, RECORDS[:1], "a\n\x1b[31mb.mp4"), context_of(stack, RECORDS[1:2], "c.mp4")
    read(stack.chat(one, two), "What?")
    inside = ["Video 1, a [31mb.mp4:", LINES[0], "Video 2, c.mp4:", LINES[1]]
    assert llm.heard[0][0].text == "Video: \n" + fence("\n".join(inside))


def test_several_videos_share_a_small_window(prompts: Path) -> None:
    llm = Talker(window=112)
    stack = stack_of(prompts, llm)
    answer = read(stack.chat(context_of(stack), context_of(stack, name="two.mp4")), "What is number 3?")
    text = llm.heard[0][0].text
    assert text.count(LINES[3]) == 2
    assert answer.left_out.count("caption (eyes)") == 2
    assert size(llm, llm.heard[0]) <= 102


def test_no_video_is_no_chat(prompts: Path) -> None:
    with pytest.raises(StackError, match="at least one"):
        stack_of(prompts, Talker()).chat()


class Resting(Talker):
    """Says what it rests on."""

    rests: tuple[Record, ...] = ()

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        reply = super().answer(messages, generation)
        reply.records = self.rests
        return reply


def test_citations_are_those_of_the_backend(prompts: Path) -> None:
    llm = Resting(says=("At 00:00-00:01.",))
    llm.rests = (RECORDS[2], RECORDS[2], RECORDS[1])
    answer = read(chat_of(prompts, llm), "When?")
    assert [(c.record, c.start, c.end, c.source, c.text) for c in answer.citations] == [
        (RECORDS[2].id, 2, 3, "eyes", "thing number 2"),
        (RECORDS[1].id, 1, 2, "eyes", "thing number 1"),
    ]


def test_a_backend_that_rests_on_nothing_is_believed(prompts: Path) -> None:
    assert read(chat_of(prompts, Resting(says=("At 00:00-00:01.",))), "When?").citations == ()


@pytest.mark.parametrize(
    ("said", "starts"),
    [
        ("It is at 00:02-00:03.", [2]),
        ("From 00:02 to 00:03, and [0:00:04 – 0:00:05].", [2, 4]),
        ("00:04-00:05, then 00:02 - 00:03", [2, 4]),  # in the order of the records
        ("It is at 00:02.", []),
        ("It is at 00:02-00:04.", []),  # no record has that span
        ("00:75-00:80, 99:99-99:99 and ٠٠:٠٢-٠٠:٠٣", []),  # look like times and are none
        ("00:99-00:03 and 00:02-00:03", [2]),
        ("It never happens.", []),
    ],
)
def test_citations_are_times_that_the_answer_names(prompts: Path, said: str, starts: list[float]) -> None:
    answer = read(chat_of(prompts, Talker(says=tuple(said))), "When?")
    assert [citation.start for citation in answer.citations] == starts


def test_only_what_the_model_was_sent_is_cited(prompts: Path) -> None:
    llm = Talker(window=80, says=("00:03-00:04 and 00:04-00:05",))
    answer = read(chat_of(prompts, llm), "What is thing number 4?")
    assert [citation.start for citation in answer.citations] == [4]


def test_a_model_that_raises_leaves_the_history_as_it_was(prompts: Path) -> None:
    llm = Talker()
    chat = chat_of(prompts, llm)
    read(chat, "One?")
    llm.options = Talker.Options(breaks="no more memory")
    answer = chat.ask("Two?")
    with pytest.raises(LLMError, match="RuntimeError: no more memory"):
        list(answer)
    assert answer.text == "It is red."  # what came before is there
    assert chat.history == [("One?", "It is red.")]
    llm.options = Talker.Options()
    read(chat, "Three?")
    assert [question for question, _ in chat.history] == ["One?", "Three?"]
    assert "Two?" not in "".join(message.text for message in llm.heard[-1])


def test_a_model_that_raises_at_once(prompts: Path) -> None:
    class Mute(Talker):
        def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
            raise OSError("gone")

    chat = chat_of(prompts, Mute())
    with pytest.raises(LLMError, match="OSError: gone"):
        list(chat.ask("One?"))
    assert chat.history == []


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(ValueError("bad file"), LLMError), (UnavailableError("no key"), UnavailableError)],
)
def test_a_model_that_cannot_be_loaded(prompts: Path, raised: Exception, expected: type[Exception]) -> None:
    class Absent(Talker):
        def load(self, pool: Any) -> None:
            raise raised

    with pytest.raises(expected, match=str(raised)):
        chat_of(prompts, Absent())


def test_an_answer_that_is_not_read_to_its_end_is_no_history(prompts: Path) -> None:
    chat = chat_of(prompts, Talker())
    pieces = iter(chat.ask("One?"))
    assert next(pieces) == "It is "
    pieces.close()
    assert chat.history == []
    chat.ask("Two?")  # not read at all
    assert chat.history == []


def test_two_chats_do_not_see_each_other(prompts: Path) -> None:
    llm = Talker()
    stack = stack_of(prompts, llm)
    context = context_of(stack)
    first, second = stack.chat(context), stack.chat(context)
    read(first, "One?")
    read(second, "Two?")
    assert "One?" not in "".join(message.text for message in llm.heard[1])
    assert (len(first.history), len(second.history)) == (1, 1)


def embeddings() -> list[Record]:
    return [
        Record("embedding", i, i + 1, tokens=np.full((2, 4), i, np.float32), space="tiny", times=(i + 0.5,))
        for i in range(3)
    ]


def test_embeddings_reach_the_model_as_tokens(prompts: Path) -> None:
    llm = Talker()
    stack = stack_of(prompts, llm, "embed")
    chat = stack.chat(context_of(stack, embeddings()))
    read(chat, "What?")
    read(chat, "And now?")
    for messages in llm.heard:
        tokens = [part for part in messages[0].parts if isinstance(part, Tokens)]
        assert len(tokens) == 1
        assert np.asarray(tokens[0].tokens).tolist() == [[i] * 4 for i in (0, 0, 1, 1, 2, 2)]
        assert (tokens[0].space, tokens[0].times) == ("tiny", (0.5, 1.5, 2.5))
        assert messages[0].text == "Watch  at 0.5, 1.5, 2.5 s."


def test_text_and_embeddings_together(prompts: Path) -> None:
    llm = Talker()
    stack = stack_of(prompts, llm, "hybrid")
    chat = stack.chat(context_of(stack, [*embeddings(), *RECORDS[3:]]))
    read(chat, "What?")
    read(chat, "And now?")
    system, first, *later = llm.heard[1]
    assert system.text == "\n" + fence("\n".join(LINES[3:]))
    assert [type(part) for part in first.parts] == [Text, Tokens, Text, Text]
    assert not any(isinstance(part, Tokens) for message in later for part in message.parts)  # the video is shown once
    assert llm.heard[1][: len(llm.heard[0])] == llm.heard[0]


@pytest.mark.parametrize("fenced", [True, False])
def test_a_prompt_with_its_video_in_the_questions_line_shows_it_once(prompts: Path, fenced: bool) -> None:
    llm = Talker()
    chat = chat_of(prompts, llm, "inline", fence=fenced)
    for question in ("One?", "Two?", "Three?"):
        read(chat, question)
    one, two, three = llm.heard
    assert (two[: len(one)], three[: len(two)]) == (one, two)
    assert LINES[5] in one[0].text
    assert [message.text for message in three[1:]] == ["It is red.", "In  see Two?", "It is red.", "In  see Three?"]


def test_text_that_the_prompt_does_not_place_takes_no_room(prompts: Path) -> None:
    llm = Talker(window=45, says=("00:02-00:03",))
    stack = stack_of(prompts, llm, "embed")
    answer = read(stack.chat(context_of(stack, [*embeddings(), *RECORDS])), "What?")
    assert answer.left_out == ""
    assert [(cited.start, cited.record) for cited in answer.citations] == [(2.0, embeddings()[2].id)]  # what was shown
