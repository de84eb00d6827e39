import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat.question import Question


def read(text: str) -> Question:
    return Question.parse(text, 12.0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("What text is shown and when?", {"topics": {"text"}, "form": "when"}),
        ("what does the text say", {"topics": {"text"}, "form": ""}),
        ("what's written", {"topics": {"text"}, "words": ()}),
        ("What words are on the sign?", {"topics": {"text"}}),
        ("When does the word NIGHT appear?", {"topics": {"text"}, "form": "when", "words": ("night",)}),
        ("when is PLATFORM 9 visible", {"form": "when", "words": ("platform", "9"), "spans": ()}),
        ("Tell me when NIGHT is shown", {"form": "when", "words": ("night",), "side": ""}),
        ("how many objects are moving", {"topics": {"movement", "thing"}, "form": "count", "words": ()}),
        ("count the red objects", {"topics": {"thing"}, "form": "count", "colours": ("red",)}),
        ("which object moves left", {"topics": {"movement", "thing"}, "directions": ("left",)}),
        ("in which direction is the blue one moving", {"topics": {"movement", "direction"}, "colours": ("blue",)}),
        ("Which way does it go?", {"topics": {"movement", "direction"}}),
        ("does it move left or right", {"topics": {"movement", "direction"}, "directions": (), "form": ""}),
        ("is anything standing still", {"topics": {"movement"}, "directions": ("still",), "form": "yes-no"}),
        ("is the text still visible", {"topics": {"text"}, "directions": ()}),
        ("what color is the background", {"topics": {"colour"}, "words": ()}),
        ("is it dark", {"topics": {"light"}, "form": "yes-no"}),
        ("does the camera pan", {"topics": {"camera"}, "words": ("pan",), "form": "yes-no"}),
        ("Does the camera move?", {"topics": {"camera"}, "words": ()}),
        ("What is said?", {"topics": {"speech"}}),
        ("who says goodbye", {"topics": {"speech"}, "words": ("goodby",)}),
        ("What does it say?", {"topics": {"saying"}}),
        ("what does the sign say?", {"topics": {"text"}}),
        ("Is there a dog?", {"topics": set(), "words": ("dog",), "form": "yes-no"}),
        ("Do you see a dog?", {"words": ("dog",), "form": "yes-no"}),
        ("can you tell me what text is shown", {"topics": {"text"}, "form": ""}),
        ("Could you describe the video?", {"form": "describe", "words": ()}),
        ("what is going on", {"form": "describe", "topics": set()}),
        ("what happens between 3 and 5 seconds", {"form": "describe", "spans": ((3, 5),)}),
        ("What happens first?", {"form": "describe", "order": "first"}),
        ("What is the first text?", {"topics": {"text"}, "order": "first", "nth": 1}),
        ("What is the second text?", {"topics": {"text"}, "order": "first", "nth": 2}),
        ("What is the last word on screen?", {"topics": {"text"}, "order": "last"}),
        ("which thing is the fastest", {"topics": {"thing", "speed"}, "order": "fastest"}),
        ("how long is the text shown", {"topics": {"text"}, "form": "duration"}),
        ("why does it move", {"form": "why"}),
        ("what is on the left", {"directions": ()}),
        ("", {"form": "describe", "topics": set(), "words": ()}),
    ],
)  # fmt: skip
def test_a_question_is_read(text: str, wanted: dict[str, Any]) -> None:
    found = read(text)
    assert {name: getattr(found, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("Does the red thing not move?", True),
        ("Doesn't the red thing move?", True),
        ("What doesn’t move?", True),
        ("What never moves?", True),
        ("Is there no text?", True),
        ("Isn't it dark", True),
        ("Does it move or not?", False),
        ("No, what is shown next?", False),
        ('When is "do not enter" shown?', False),
        ("When is NOT shown?", False),
        ("Does it move?", False),
    ],
)
def test_a_negation_is_seen(text: str, negated: bool) -> None:
    assert read(text).negated is negated


def test_a_negation_stays_with_its_clause_and_its_follow_up() -> None:
    found = read("What is shown while the ball is not moving?")
    assert found.anchor is not None
    assert (found.negated, found.anchor.negated) == (False, True)
    assert read("and the blue one?").following(read("Which red things do not move?")).negated


@pytest.mark.parametrize(
    ("text", "placed", "directions"),
    [
        ("Is the red ball to the left of the blue square?", True, ()),
        ("What is in the top left corner?", True, ()),
        ("What is in the right half?", True, ()),
        ("what is on the left", True, ()),
        ("Is the left ball red?", True, ()),
        ("Does it move to the left of the square?", True, ()),
        ("Does it move to the left of the screen?", False, ("left",)),
        ("Does it move to the left?", False, ("left",)),
        ("What moves left?", False, ("left",)),
    ],
)
def test_a_place_is_told_from_a_way(text: str, placed: bool, directions: tuple[str, ...]) -> None:
    found = read(text)
    assert (found.placed, found.directions) == (placed, directions)


@pytest.mark.parametrize("length", ["in one sentence", "in two short sentences", "in a few words", "in 20 words"])
def test_how_long_an_answer_is_to_be_is_no_topic(length: str) -> None:
    found = read(f"Summarise the video {length}.")
    assert (found.form, found.topics, found.words) == ("describe", frozenset(), ())


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("what is written on screen", {"text"}),
        ("what do they say", {"speech"} | {"text"}),
        ("what did he say", {"speech"}),
        ("do you hear a voice", {"speech"}),
        ("which way does it move", {"region", "motion"}),
        ("does the camera zoom", {"motion"}),
        ("is it bright", {"look"}),
        ("what colour is it", {"look", "region"}),
        ("describe it", set()),
    ],
)
def test_it_asks_for_kinds_of_evidence(text: str, kinds: set[str]) -> None:
    assert read(text).kinds == kinds


@pytest.mark.parametrize(
    ("text", "side", "words", "colours"),
    [
        ("Which way does the red ball move after the cut?", "after", ("cut",), ()),
        ("After the cut, which way does the red ball move?", "after", ("cut",), ()),
        ("After the cut which way does the red ball move?", "after", ("cut",), ()),
        ("What comes after PLATFORM 9?", "after", ("platform", "9"), ()),
        ("what is shown before NIGHT", "before", ("night",), ()),
        ("what text is shown while the red ball moves", "during", ("ball",), ("red",)),
        ("When the red ball moves, what is written?", "during", ("ball",), ("red",)),
    ],
)
def test_an_event_bounds_it(text: str, side: str, words: tuple[str, ...], colours: tuple[str, ...]) -> None:
    found = read(text)
    assert found.anchor is not None
    assert (found.side, found.anchor.words, found.anchor.colours) == (side, words, colours)
    assert not set(words) & set(found.words)


def test_capitals_and_quotes_make_names() -> None:
    assert read("When does the word NEXT appear?").words == ("next",)
    assert read('When is "what is up" shown?').words == ("what", "is", "up")
    assert read("IS THERE A DOG").words == ("dog",)


@pytest.mark.parametrize("text", ["and after that?", "What happens next?", "and then?", "what comes afterwards"])
def test_some_refer_to_the_answer_before(text: str) -> None:
    found = read(text)
    assert (found.side, found.refers, found.anchor) == ("after", True, None)


def test_a_following_question_takes_what_it_leaves_unsaid() -> None:
    first = read("Which way does the red ball move after the cut?")
    whole = read("and the blue one?").following(first)
    assert (whole.colours, whole.words, whole.topics, whole.anchor) == (("blue",), (), first.topics, first.anchor)
    when = read("When?").following(first)
    assert (when.form, when.colours, when.topics) == ("when", ("red",), first.topics)
    assert read("and after that?").following(read("What is the first text?")).topics == {"text"}


def test_a_whole_question_takes_nothing() -> None:
    whole = read("Is it dark?")
    assert whole.following(read("Which way does the red ball move?")) is whole


@pytest.mark.parametrize(
    ("start", "end", "met"), [(0, 3, False), (2, 3.5, True), (3, 4, True), (6, 7, False), (3, 3, True), (5, 9, True)]
)
def test_covers_is_half_open(start: float, end: float, met: bool) -> None:
    assert read("between 3 and 6 s").covers(start, end) is met


def test_without_times_all_is_covered() -> None:
    assert read("what text").covers(100, 200)


@given(st.text(), st.none() | st.floats(0, 1e6))
def test_any_text_can_be_read(text: str, duration: float | None) -> None:
    Question.parse(text, duration)


WORDS = str.split(
    "at after before between the first last second 5 0:05 1:2:3 seconds s when while what which says still left or red "
    'how many long text and to - , ? " next then half end middle very it of is'
)


@given(st.lists(st.sampled_from(WORDS), max_size=30), st.none() | st.floats(0, 1e6))
def test_any_order_of_its_own_words_can_be_read(words: list[str], duration: float | None) -> None:
    found = Question.parse(" ".join(words), duration)
    assert all(0 <= span.start <= span.end for span in found.spans)
    found.following(Question.parse("which text is red after 5 s?", duration))


@pytest.mark.parametrize(
    "piece", ["the ", "after ", "when ", "and when ", "5 ", "second ", "5 s and ", '"', "is ", "after the ", "a", "1:"]
)
def test_reading_takes_linear_time(piece: str) -> None:
    began = time.perf_counter()
    Question.parse(piece * 10_000, 12.0)
    assert time.perf_counter() - began < 5
