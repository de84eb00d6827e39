import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat.words import stem, terms, tokens


@pytest.mark.parametrize(
    "forms",
    [
        ("move", "moves", "moved", "moving"),
        ("write", "writes", "written", "writing", "wrote"),
        ("pan", "pans", "panned", "panning"),
        ("box", "boxes"),
        ("colour", "color", "colours", "Colors", "colored"),
        ("grey", "gray", "GREY"),
        ("person", "people"),
        ("roll", "rolls", "rolling"),
    ],
)
def test_forms_of_one_word_share_a_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize(
    "pair", [("thing", "the"), ("red", "read"), ("bus", "bu"), ("text", "test"), ("speed", "speak")]
)
def test_other_words_do_not(pair: tuple[str, str]) -> None:
    assert stem(pair[0]) != stem(pair[1])


def test_tokens_have_their_kinds() -> None:
    found = [(token.lower, token.kind) for token in tokens("What's at 1:02:03, 5.5s?")]
    assert [kind for _, kind in found] == ["word", "word", "clock", "mark", "number", "word", "mark"]
    assert [word for word, _ in found] == ["what", "at", "1:02:03", ",", "5.5", "s", "?"]


def test_signs_without_spaces_are_words_of_their_own() -> None:
    assert terms("出口EXIT") == ["出", "口", "exit"]


@given(st.text())
def test_any_text_can_be_cut(text: str) -> None:
    assert "".join(token.text for token in tokens(text)) == "".join(text.split())


@pytest.mark.parametrize("piece", ["a", "1", "1:", "'", "a'", "ab ", "12:34", "1.", "\u0301", "::"])
def test_cutting_takes_linear_time(piece: str) -> None:
    began = time.perf_counter()
    tokens(piece * 100_000)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(("one", "other"), [("came", "come"), ("came", "comes"), ("coming", "came")])
def test_forms_of_come_are_one(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("word", "negates"),
    [("not", True), ("Isn't", True), ("don’t", True), ("NEVER", True), ("it's", False), ("ant", False)],
)
def test_a_negating_word_is_known(word: str, negates: bool) -> None:
    assert tokens(word)[0].negates is negates
