import numpy as np

from videochat import Frame, Frames, Generation, Line, Message, Record, Text, Tokens
from videochat.registry import registry
from videochat_plugins.llm.echo import Echo

LINES = (Line("00:00-00:01 text: NIGHT", (Record("text", 0, 1, "NIGHT"),)),)


def echoed(*messages: Message) -> str:
    return "".join(Echo().answer(messages, Generation(max_tokens=1)))


def test_text_comes_back_exactly_with_its_roles() -> None:
    talk = (
        Message(
            "system", (Text("You see:\n"), Text("00:00-00:01 text: NIGHT", "textualizing_videos", LINES), Text("\n"))
        ),
        Message("user", (Text("Question: "), Text("what?  \u202e", "question"))),
        Message("assistant", (Text("a night"),)),
    )
    assert echoed(*talk) == (
        "[system]\nYou see:\n00:00-00:01 text: NIGHT\n\n\n[user]\nQuestion: what?  \u202e\n\n[assistant]\na night"
    )


def test_pixels_and_tokens_are_told_by_shape_and_time() -> None:
    frames = Frames(tuple(Frame(t, np.zeros((4, 6, 3), np.uint8)) for t in (0.0, 1.5)))
    tokens = Tokens(np.zeros((96, 4096), np.float16), "vicuna-7b", (0.5,))
    assert echoed(Message("user", (frames, Text(" and "), tokens))) == (
        "[user]\n<2 frames, 4x6x3, at 0.00, 1.50 s> and <tokens, 96x4096 float16, space vicuna-7b, at 0.50 s>"
    )


def test_parts_without_times_or_frames_are_told_too() -> None:
    parts = (Frames(()), Tokens(np.zeros((2, 8), np.float32), "x"))
    assert echoed(Message("user", parts)) == "[user]\n<0 frames, none><tokens, 2x8 float32, space x>"


def test_it_is_registered_and_takes_every_part() -> None:
    llm = registry().find("llm", "echo").cls()
    assert isinstance(llm, Echo)
    assert set(llm.accepts) == {Text, Frames, Tokens}
    assert llm.count(Text("abcd")) == 2
    assert llm.count(Tokens(np.zeros((96, 8)), "x")) == 96
    assert llm.count(Frames(())) == 0
    assert llm.window == 10**9


def test_no_prompt_gives_nothing() -> None:
    assert echoed() == ""
