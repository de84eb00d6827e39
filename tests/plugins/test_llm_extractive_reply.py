"""How the model-less LLM replies: which records it reads, what it cites, where it stops, and that nothing upsets it."""

import time

from hypothesis import given
from hypothesis import strategies as st
from two_shots import CLIP, NIGHT, PLATFORM, cited, prompt, reply

from videochat import Generation, Line, Message, Record, Text, Usage
from videochat.registry import registry
from videochat_plugins.llm.extractive import LEAD, NOTHING, Extractive


def test_each_video_of_a_talk_answers_for_itself() -> None:
    lines = [Line("Video 1, a.mp4:"), Line("x", (PLATFORM,)), Line("x", (NIGHT,)), Line("Video 2, b.mp4:")]
    other = Record("text", 1, 2, "EXIT")
    talk = prompt([*lines, Line("x", (other,))], "What is the first text?")
    answer = "".join(Extractive().answer(talk, Generation()))
    assert answer == (
        f'{LEAD}Video 1, a.mp4: the first is "PLATFORM 9" (00:00-00:03).\n00:00-00:03 text: PLATFORM 9\n'
        'Video 2, b.mp4: the first is "EXIT" (00:01-00:02).\n00:01-00:02 text: EXIT'
    )
    only = "".join(Extractive().answer(prompt([*lines, Line("x", (other,))], "When is EXIT shown?"), Generation()))
    assert "a.mp4" not in only


def test_the_records_are_read_and_never_the_prose() -> None:
    lines = [Line("00:00-00:09 text: FORGED", (PLATFORM,)), Line("text: FORGED too")]
    answer = "".join(Extractive().answer(prompt(lines, "What text is shown?"), Generation()))
    assert "FORGED" not in answer
    assert "PLATFORM 9" in answer


def test_where_asks_for_boxes() -> None:
    assert "text: NIGHT [10, 20, 60, 40]" in reply("where is the text NIGHT")[0]
    assert "[" not in reply("when is the text NIGHT shown")[0]


def test_hours_appear_when_the_video_needs_them() -> None:
    late = Record("text", 3723, 3730, "LATE")
    assert (
        "0:00:00-0:00:03 text: PLATFORM 9\n1:02:03-1:02:10 text: LATE"
        in reply("what text", records=[PLATFORM, late])[0]
    )


def test_it_quotes_no_more_lines_than_its_option() -> None:
    many = [Record("text", i, i + 1, f"word {i}") for i in range(30)]
    llm = Extractive(Extractive.Options(quotes=3))
    found = llm.answer(prompt([Line("x", (r,)) for r in many], "what text is shown?"), llm.generation)
    assert "".join(found).splitlines()[1:] == [
        *(f"00:0{i}-00:0{i + 1} text: word {i}" for i in range(3)),
        "... and 27 more",
    ]
    assert found.records == tuple(many[:3])


def test_an_answer_ends_where_it_is_told_to() -> None:
    whole, _ = reply("What text is shown?")
    short, found = reply("What text is shown?", max_tokens=45)
    assert whole.startswith(short)
    assert (found.finish, found.records) == ("length", (PLATFORM,))
    stopped, found = reply("What text is shown?", stop=("\n00:03",))
    assert whole.startswith(stopped + "\n00:03")
    assert (found.finish, found.records) == ("stop", (PLATFORM,))


def test_it_streams_line_by_line_and_spends_no_tokens() -> None:
    pieces = list(Extractive().answer(prompt([Line("x", (r,)) for r in CLIP], "What text is shown?"), Generation()))
    assert len(pieces) == 3
    assert reply("What text is shown?")[1].usage == Usage(0, 0, False)


def test_it_is_registered_and_takes_text_only() -> None:
    llm = registry().find("llm", "extractive").cls()
    assert isinstance(llm, Extractive)
    assert set(llm.accepts) == {Text}
    assert (llm.count(Text("abcd")), llm.window) == (2, 10**9)


def test_without_records_or_a_question_it_says_so() -> None:
    assert reply("What text is shown?", records=[])[0] == NOTHING
    assert "".join(Extractive().answer([Message("user", (Text("hello"),))], Generation())) == NOTHING


def test_many_records_are_searched_quickly() -> None:
    many = [Record("caption", i, i + 1, f"a scene with {i} people in a street") for i in range(20_000)]
    began = time.perf_counter()
    assert cited("When are there 777 people?", records=many) == {many[777]}
    assert time.perf_counter() - began < 20


ODD = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
)
ODD_RECORDS = st.lists(
    st.builds(
        lambda kind, start, text, track, meta: Record(kind, start, start + 1, text, track=track, meta=meta),
        st.sampled_from(["text", "region", "look", "motion", "speech", "cut", "other"]),
        st.floats(0, 100),
        st.text(max_size=20) | st.just("red thing moving left"),
        st.none() | st.integers(0, 3),
        st.dictionaries(
            st.sampled_from(["colour", "direction", "speed", "path", "camera", "colours", "brightness"]), ODD
        ),
    ),
    max_size=6,
)
ASKED = st.sampled_from(
    [
        "what is this",
        "how many things move",
        "which way after the cut",
        "what is the fastest",
        "is it dark",
        "when",
        "does the camera pan left",
        "what colour is the background",
        "is the background red",
        "how many cuts",
        "and then?",
    ]
)


@given(ODD_RECORDS, ASKED | st.text(), ASKED)
def test_no_record_and_no_question_makes_it_fail(records: list[Record], first: str, second: str) -> None:
    answer, found = reply(first, second, records=records)
    assert answer == NOTHING or answer.startswith(LEAD)
    assert set(found.records or ()) <= set(records)
    assert answer == reply(first, second, records=records)[0]
