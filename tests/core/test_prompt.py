import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat.prompt import Line, Template, Text
from videochat.record import Record

VIDEO = Text(
    "00:01-00:02 a dog", "textualizing_videos", (Line("00:01-00:02 a dog", (Record("caption", 1, 2, "a dog"),)),)
)
QUESTION = Text("What is it?", "question")
VALUES = {"textualizing_videos": VIDEO, "question": QUESTION}


def test_notes_at_the_head_are_dropped_and_only_those() -> None:
    assert Template.parse("# one\n#two\n\nWords.\n# three\n").text == "Words.\n# three"
    assert Template.parse("Words.").text == "Words."
    assert Template.parse("\n###Human: {question}").text == "###Human: {question}"
    assert Template.parse("").text == ""


def test_windows_line_ends_make_no_difference() -> None:
    assert Template.parse("# note\r\nOne\r\nTwo\r\n") == Template.parse("# note\nOne\nTwo\n")


def test_only_known_placeholders_count() -> None:
    text = "{video} {times} {question} {textualizing_videos} {origin_caption} {} { video }"
    assert Template(text).placeholders == {"video", "times", "question", "textualizing_videos"}
    assert Template("{origin_caption}").fill({})[0].text == "{origin_caption}"


def test_the_line_of_the_question_and_all_after_it_are_the_users() -> None:
    system, user = Template("Be brief.\nContext: {textualizing_videos}\n\nQuestion: {question}\nAnswer:").fill(VALUES)
    assert (system.role, system.parts) == ("system", (Text("Be brief.\nContext: "), VIDEO))
    assert (user.role, user.parts) == ("user", (Text("Question: "), QUESTION, Text("\nAnswer:")))
    assert user.text == "Question: What is it?\nAnswer:"


def test_a_prompt_may_be_all_users_or_all_systems() -> None:
    assert [message.role for message in Template("{textualizing_videos} {question}").fill(VALUES)] == ["user"]
    (only,) = Template("See: {textualizing_videos}.").fill(VALUES)
    assert (only.role, only.text) == ("system", "See: 00:01-00:02 a dog.")


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="times"):
        Template("At {times}\n{question}").fill(VALUES)


@given(st.text() | st.sampled_from(["{question}", "{video} {textualizing_videos}", "{0} {}", "%s \\1 \n{question}"]))
def test_values_are_never_scanned_again(said: str) -> None:
    values = {"textualizing_videos": Text(said, "textualizing_videos"), "question": Text(said, "question")}
    system, user = Template("A {textualizing_videos} B\nQ: {question}").fill(values)
    assert system.text == f"A {said} B"
    assert user.text == f"Q: {said}"
