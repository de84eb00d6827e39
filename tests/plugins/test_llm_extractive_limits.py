"""What the model-less LLM must not claim: over pieces of tracks, negations, places, shapes and short stretches."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from two_shots import CLIP, GREEN, LOOKS, MOTIONS, NIGHT, RED_1, YELLOW, region, reply

from videochat import Box, Record
from videochat_plugins.llm.evidence import cuts, stretches_of
from videochat_plugins.llm.extractive import LEAD, NOTHING
from videochat_plugins.refine.join import Join
from videochat_plugins.refine.tracks import Region


def lead(*questions: str, records: Sequence[Record] = CLIP) -> str:
    return reply(*questions, records=records)[0].partition("\n")[0].removeprefix(LEAD)


def boxed(record: Record, *box: float) -> Record:
    return replace(record, box=Box(*box))


def cut(time: float) -> Record:
    return Record("motion", time, time, "cut to another shot", meta={"cut": time})


@pytest.mark.parametrize("time", [0.05, 0.25, 3.0])
def test_a_known_cut_counts_however_early(time: float) -> None:
    assert cuts([cut(time)]) == [time]
    assert lead("How many shots are there?", records=[*MOTIONS, cut(time)]).startswith("1 cut, 2 shots")


def test_a_cut_at_the_very_start_is_none() -> None:
    assert cuts([cut(0.0)]) == []


PERSON = boxed(region("grey", 1, [(2, 8, "left")]), 200, 100, 300, 300)
ARM = boxed(region("brown", 2, [(3, 4, "up")]), 290, 120, 330, 160)
LEG = boxed(region("black", 3, [(8.2, 9, "down")]), 310, 250, 330, 290)
AWAY = boxed(region("black", 4, [(5, 6, "down")]), 600, 250, 640, 290)
LATER = boxed(region("grey", 5, [(9, 12, "right")]), 210, 100, 310, 300)


@pytest.mark.parametrize(
    ("records", "begins"),
    [
        ([PERSON, ARM, LEG], "at most 1 thing moves at once; 1 track, one thing may count several times: grey thing"),
        ([PERSON, ARM, AWAY], "at most 2 things move at once; 2 tracks, one thing may count several times: grey thing"),
        ([PERSON, LATER], "2 things move: grey thing moves left"),
        ([PERSON], "1 thing moves: grey thing"),
        ([AWAY], "1 thing moves: black thing"),
        ([PERSON, LEG, cut(8.1)], "at most 1 thing moves at once; 2 tracks"),
    ],
)
def test_pieces_of_a_thing_are_not_counted_as_things(records: list[Record], begins: str) -> None:
    assert lead("How many things move?", records=sorted(records, key=lambda r: r.start)).startswith(begins)


def test_a_piece_is_told_of_when_it_is_asked_for() -> None:
    assert lead("Does the brown thing move?", records=[PERSON, ARM]).startswith("yes, brown thing moves up")


def test_things_of_two_shots_are_counted_with_how_many_at_once() -> None:
    told = lead("How many things move?")
    assert told.startswith("4 things move: ")
    assert "(at most 2 at once; one that was lost and seen again counts again)" in told


Path = list[tuple[float, float, str]]


@pytest.mark.parametrize(
    ("path", "way", "ways"),
    [
        ([(0, 4, "right"), (4, 5, "up"), (5, 9, "left")], "right", ["right", "left"]),
        ([(2, 4, "still"), (4, 5, "right"), (6, 7, "still"), (7, 8, "up-left"), (9, 10, "right")], "still", []),
        ([(0, 1, "left"), (1, 2, "down"), (2, 5, "still"), (5, 6, "right"), (6, 7, "down")], "down", ["down", "down"]),
        ([(0, 5, "left")], "left", ["left"]),
    ],
)
def test_an_answer_has_the_stretches_that_the_text_has(path: Path, way: str, ways: list[str]) -> None:
    typical = Record("region", path[0][0], path[0][1], f"grey thing moving {way}", meta={"colour": "grey"})
    track = Region.begin(typical, 1, Join.Options())
    track.path = path
    text = track.text()
    record = replace(
        typical, end=path[-1][1], text=text, meta={"direction": way, "path": [list(part) for part in path]}
    )
    found = stretches_of(record)
    assert [part.direction for part in found] == (ways or ["in its place"])
    assert all(part.direction in text for part in found)


def test_what_stirs_in_its_place_moves() -> None:
    stirring = replace(region("grey", 1, [(2, 8, "still")]), text="grey thing moving in its place")
    assert (
        lead("How many things move?", records=[stirring])
        == "1 thing moves: grey thing moves in its place (00:02-00:08)."
    )
    assert lead("Is the grey thing standing still?", records=[stirring]).startswith("no, none stays still")


@pytest.mark.parametrize(
    "question",
    [
        "Does the red thing not move?",
        "Doesn't the red thing move?",
        "Does the red thing never move?",
        "Which things do not move left?",
        "Which things don’t move left?",
        "How many things are not red?",
        "Is there no text?",
        "Is nothing moving?",
        "What is written when the red thing does not move?",
    ],
)
def test_a_negation_is_not_passed_over(question: str) -> None:
    assert reply(question)[0] == NOTHING


@pytest.mark.parametrize("question", ["What is not moving?", "Which things do not move?", "which things aren't moving"])
def test_what_does_not_move_stands_still(question: str) -> None:
    answer, found = reply(question)
    assert answer.startswith(f"{LEAD}yellow thing stays still")
    assert found.records == (YELLOW,)
    assert reply(question, records=[RED_1, GREEN])[0] == NOTHING


def test_a_not_that_negates_nothing_is_passed_over() -> None:
    assert lead("Is it dark or not?").startswith("yes, the picture is dark")


@pytest.mark.parametrize(
    "question",
    [
        "Is the red ball to the left of the blue square?",
        "Does the red thing move to the left of the blue one?",
        "What is in the top left corner?",
        "What moves in the bottom right corner?",
        "Is the red thing on the right side?",
        "Is there a red thing at the top of the screen?",
        "Which thing is in the left half?",
        "Is the left thing red?",
    ],
)
def test_a_place_is_not_a_direction(question: str) -> None:
    assert reply(question)[0] == NOTHING


@pytest.mark.parametrize("question", ["Does the blue thing move to the left?", "Does the blue thing move left?"])
def test_a_way_stays_a_direction(question: str) -> None:
    assert lead(question).startswith("yes, blue thing moves left")


@pytest.mark.parametrize(
    ("question", "unnamed"),
    [("Is there a red square?", "square"), ("Is the ball green?", "ball"), ("Are there blue balls?", "balls")],
)
def test_an_unknown_shape_gets_no_yes(question: str, unnamed: str) -> None:
    assert lead(question) == f"not told (the records do not name: {unnamed}); the closest:"


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("Summarise the video in one sentence.", "an overview:"),
        ("Describe the video in a few words", "an overview:"),
        ("Which moves slower, green or red?", "slowest first: green thing: 30 pixels/s; red thing: 80"),
        ("Which moves faster, green or red?", "fastest first: red thing: 120 pixels/s"),
        ("What colour is the first thing?", "the first: yellow (00:00-00:03)."),
        ("What colour is the last thing?", "the last: green (00:03-00:06)."),
        ("What colour is the fastest thing?", "the fastest: red thing: 120 pixels/s."),
        ("Is it dark or bright at the end?", "the picture is dark (00:04-00:06)."),
        ("Is it bright or dark at 1 s?", "the picture is bright (00:01-00:02)."),
        ("Which came last, the text or the cut?", 'the last is "NIGHT" (00:03-00:06), and not the cut at about 00:03.'),
        ("Which comes first, the cut or NIGHT?", "the first is the cut at about 00:03, and not"),
        ("What came last?", "the last is "),
    ],
)
def test_what_is_asked_is_what_is_told(question: str, begins: str) -> None:
    told = lead(question)
    assert told.startswith(begins)
    assert "do not name" not in told


def test_a_cut_and_a_text_that_come_together() -> None:
    at_cut = replace(NIGHT, start=3.0)
    told = lead("Which comes first, the text or the cut?", records=[*LOOKS, at_cut, cut(3.0)])
    assert told.startswith("together: the cut at about 00:03 and")
