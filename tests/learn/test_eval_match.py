"""Whether an answer in words, or a letter, says the right thing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat_plugins.learn.eval_choice import chosen, lettered
from videochat_plugins.learn.eval_match import LONGEST, matches, named, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The RED ball.", "red ball"),
        ("Twenty-one dogs and 1,000 cats", "21 dogs and 1000 cats"),
        ("02.50 metres", "2.5 metres"),
        ("It isn’t; I can't; won't", "it is not i can not won not"),
        ("the man's hat", "man hat"),
        ("00:01-00:02 motion: left [1, 2, 30.5, 4]", "motion left"),
        ("from 0:01 to 1:02:03 it waits", "from it waits"),
        ("Ａ　ｗｉｄｅ ｏｎｅ", "wide 1"),
        ("The", "the"),  # an article is all that there is
        (" ... ", ""),
    ],
)
def test_words(text: str, found: str) -> None:
    assert " ".join(words(text)) == found


def test_times_are_words_where_they_are_asked_for() -> None:
    assert words("from 00:01 to 00:12.5", times=True) == ("from", "00:01", "00:12.5")


@given(st.text())
def test_words_are_in_one_form(text: str) -> None:
    found = words(text)
    assert words(" ".join(found)) == found
    assert words(f"  {text}\n") == found


@given(st.text(), st.lists(st.text(), max_size=3))
def test_what_is_accepted_is_right_and_nothing_is_wrong(text: str, others: list[str]) -> None:
    assert matches(text, [text], others) == bool(words(text, times=True))
    assert not matches("", [text], others)
    assert not matches(" \n", [text], others)


@pytest.mark.parametrize(
    ("answer", "accepted", "others"),
    [
        ("It is red.", ["red"], ["blue"]),
        ("No, it is red", ["red"], ["blue"]),
        ("not blue but red", ["red"], ["blue"]),
        ("It is not blue; it is red", ["red"], ["blue"]),
        ("It is (not blue, not green) red", ["red"], ["blue"]),
        ("a thing (red, not blue)", ["red"], ["blue"]),
        ("From the records (no language model): it turns red 00:01-00:02", ["red"], ["blue"]),
        ("a guitar is played", ["piano", "guitar"], []),
        ("Three", ["3"], []),
        ("the red one moves 3 times", ["3"], []),
        ("There is one.", ["1"], ["2"]),
        ("twice", ["2 times", "twice"], []),
        ("Yes, it does", ["yes"], []),
        ("No.", ["no"], ["yes"]),
        ("dark red", ["dark red"], ["red"]),
        ("not moving", ["not moving"], ["moving"]),
        ("nothing", ["nothing"], []),
        ("It starts at 00:12.", ["00:12"], []),
        ("red " + "ball " * LONGEST, ["red"], ["blue"]),
        ("It appears to vanish", ["vanish"], ["appears"]),
        ("It appears to the left", ["appears"], ["vanish"]),
    ],
)
def test_right(answer: str, accepted: list[str], others: list[str]) -> None:
    assert matches(answer, accepted, others)


@pytest.mark.parametrize(
    ("answer", "accepted", "others"),
    [
        ("blue", ["red"], []),
        ("redder, bored", ["red"], []),
        ("not red", ["red"], []),
        ("It isn't red", ["red"], []),
        ("There is nothing red", ["red"], []),
        ("Not told (the records do not name: late, early).", ["early"], ["second half"]),
        ("It is blue, never red", ["red"], ["blue"]),
        ("red or blue", ["red"], ["blue"]),
        ("red, then blue", ["red"], ["blue"]),
        ("dark red", ["red"], ["dark red"]),
        ("moving", ["not moving"], ["moving"]),
        ("3 or 4", ["3"], []),
        ("31", ["3"], []),
        ("yes and no", ["yes"], []),
        ("I would say yes", ["yes"], []),
        ("There is no doubt", ["no"], []),
        ("Nobody knows", ["no"], []),
        ("It starts at 00:13.", ["00:12"], []),
        ("red " + "ball " * LONGEST, ["red"], []),  # a list of everything
        ("...", ["red"], []),
    ],
)
def test_wrong(answer: str, accepted: list[str], others: list[str]) -> None:
    assert not matches(answer, accepted, others)


def test_named() -> None:
    assert named("The blue cube, not the red ball", ["red ball", "blue cube", "cube"]) == [1]


OPTIONS = ["red ball", "blue cube", "a man", "nothing"]


def test_lettered() -> None:
    asked = lettered("What is it?", OPTIONS)
    assert asked.split("\n")[:3] == ["What is it?", "Options:", "(A) red ball"]
    assert asked.split("\n")[5] == "(D) nothing"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        *(("B", "B"), ("b", "B"), ("(B)", "B"), ("(b", "B"), ("B.", "B"), ("B)", "B"), ("**B**", "B"), ("'B'", "B")),
        ("A", "A"),
        ("(B) blue cube", "B"),
        ("B. It is blue.", "B"),
        ("b) is no letter at the head: (C)", "C"),
        ("The answer is B.", "B"),
        ("Answer: B\nIt is blue.", "B"),
        ("B\n\nIt is blue, unlike the red ball.", "B"),
        ("B \r\nIt is a man, or nothing.", "B"),
        ("Best option:(B) blue cube", "B"),
        ("I think it is (b).", "B"),
        ("It is the blue cube, not the red ball", "B"),
        ("Blue cube.", "B"),
        ("It is a man", "C"),
    ],
)
def test_chosen(answer: str, letter: str) -> None:
    number = chosen(answer, OPTIONS)
    assert number is not None
    assert "ABCD"[number] == letter


@pytest.mark.parametrize(
    "answer",
    [
        *("", " ", "(", ")", "()", ".", "(.", "\n("),  # MVBench's own parser finds the first of these right
        *("Because", "a ball", "A ball moves", "I. think", "Bbb", "E", "(E)", "?"),
        *("option a ball", "answer b", "the answer is a ball"),
        *("(A) or (B)", "A. or\nB.", "A\nB", "red ball and blue cube", "not the red ball", "the cube"),
    ],
)
def test_no_choice(answer: str) -> None:
    assert chosen(answer, OPTIONS) is None


@given(st.integers(0, 3), st.sampled_from(["{}", "({})", "{}.", "{})", "({}) {text}", "{}. {text}", "Answer: {}"]))
def test_every_letter_is_read_in_every_form(number: int, form: str) -> None:
    answer = form.format("ABCD"[number], text=OPTIONS[number])
    assert chosen(answer, OPTIONS) == number


def test_many_empty_lines_are_read_at_once() -> None:
    began = time.perf_counter()
    assert chosen("It is" + " \n" * 30_000 + "the blue cube", OPTIONS) == 1
    assert time.perf_counter() - began < 2


@given(st.text(alphabet=" \t\n()[].,:;!?*'\"`-"))
def test_marks_alone_choose_nothing(answer: str) -> None:
    assert chosen(answer, OPTIONS) is None


@given(st.text())
def test_any_answer_can_be_read(answer: str) -> None:
    number = chosen(answer, OPTIONS)
    assert number is None or 0 <= number < 4
    assert isinstance(matches(answer, ["red"], OPTIONS), bool)
