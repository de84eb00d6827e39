"""The model-less LLM, asked in many wordings about the clip of two shots."""

import pytest
from two_shots import BLUE, GREEN, LOOKS, MOTIONS, NIGHT, PLATFORM, RED_1, RED_2, YELLOW, cited, region, reply

from videochat import Record
from videochat_plugins.llm.extractive import LEAD, NOTHING


@pytest.mark.parametrize(
    "question",
    [
        "What text is shown and when?",
        "what does the text say",
        "what's written",
        "What is written on the screen?",
        "can you tell me what text is shown",
        "which words can be read",
        "Is there any text?",
        "how many texts are shown?",
        "what does it say",
        "What do the signs say?",
        "When is text visible?",
    ],
)
def test_all_text_is_quoted_with_its_times(question: str) -> None:
    answer, found = reply(question)
    assert answer.startswith(LEAD)
    assert "00:00-00:03 text: PLATFORM 9\n00:03-00:06 text: NIGHT" in answer
    assert set(found.records or ()) == {PLATFORM, NIGHT}


@pytest.mark.parametrize(
    ("question", "record"),
    [
        ("When does the word NIGHT appear?", NIGHT),
        ("when does night appear", NIGHT),
        ("when is PLATFORM 9 visible", PLATFORM),
        ('At what time is "platform 9" shown?', PLATFORM),
        ("Is the word NIGHT shown?", NIGHT),
        ("What is the first text?", PLATFORM),
        ("which text comes first?", PLATFORM),
        ("What is the last word on screen?", NIGHT),
        ("what is the second text", NIGHT),
        ("Which comes first, PLATFORM 9 or NIGHT?", PLATFORM),
        ("what text is shown at 0:04", NIGHT),
        ("what text is shown in the first 2 seconds", PLATFORM),
        ("What is written at the end?", NIGHT),
        ("what text is shown before the cut", PLATFORM),
        ("what text comes after PLATFORM 9", NIGHT),
        ("what is written while the green thing moves", NIGHT),
        ("When the blue thing moves, what text is shown?", PLATFORM),
        ("Does PLATFORM 9 come before NIGHT?", PLATFORM),
        ("how long is NIGHT shown?", NIGHT),
        ("where is the text NIGHT", NIGHT),
        ("what text is in the second shot", NIGHT),
        ("what text is shown after the first shot", NIGHT),
        ("What is written in the first scene?", PLATFORM),
        ("which text is shown after the scene changes", NIGHT),
    ],
)
def test_one_text_is_found(question: str, record: Record) -> None:
    assert cited(question) == {record}


@pytest.mark.parametrize(
    "question",
    [
        "How many things move?",
        "how many objects are moving",
        "How many moving things are there",
        "count the moving objects",
    ],
)
def test_things_that_move_are_counted_by_track(question: str) -> None:
    answer, found = reply(question)
    assert "4 things move" in answer
    assert set(found.records or ()) == {RED_1, BLUE, RED_2, GREEN}  # not the one that stands


@pytest.mark.parametrize(
    ("question", "number", "records"),
    [
        ("How many things move left?", "1 thing moves left", {BLUE}),
        ("How many red things are there?", "2 things", {RED_1, RED_2}),
        ("how many things move in the first 2 seconds", "2 things move", {RED_1, BLUE}),
        ("how many objects move after the cut", "2 things move", {RED_2, GREEN}),
        ("how many things move in the second shot", "2 things move", {RED_2, GREEN}),
        ("How many balls move?", "4 things move", {RED_1, BLUE, RED_2, GREEN}),
    ],
)
def test_a_count_keeps_to_what_is_asked(question: str, number: str, records: set[Record]) -> None:
    answer, found = reply(question)
    assert number in answer
    assert set(found.records or ()) == records


def test_what_stands_still_does_not_move() -> None:
    assert "0 things move" in reply("How many things move?", records=[YELLOW])[0]
    assert "no, none moves" in reply("Does anything move?", records=[YELLOW])[0]


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("Which way does the red ball move after the cut?", "red thing moves down (00:03-00:06)"),
        ("After the cut, which way does the red thing move?", "red thing moves down (00:03-00:06)"),
        ("In which direction does the red square go after the scene cut", "red thing moves down (00:03-00:06)"),
        ("Which way does the red thing move before the cut?", "red thing moves right (00:00-00:03)"),
        ("in which direction is the blue square moving", "blue thing moves left (00:00-00:03)"),
        ("what direction is the green one heading", "green thing moves up (00:03-00:06)"),
        ("where does the green thing go", "green thing moves up (00:03-00:06)"),
        ("does the blue ball move left or right", "blue thing moves left (00:00-00:03)"),
        ("which way does the red thing move at 4 s", "red thing moves down (00:04-00:05)"),
    ],
)
def test_the_way_of_one_thing_is_told(question: str, says: str) -> None:
    answer = reply(question)[0]
    assert f"{says}." in answer
    assert answer.count(" moves ") == 1


def test_a_word_that_no_record_has_is_named_not_hidden() -> None:
    assert "(the records do not name: ball)" in reply("Which way does the red ball move?")[0]


def test_the_time_taken_for_the_cut_is_told() -> None:
    assert "the cut is taken to be at 00:03" in reply("Which way does the red ball move after the cut?")[0]


def test_without_a_sign_of_a_cut_the_last_stretch_is_told_as_such() -> None:
    turning = region("red", 1, [(0, 2, "right"), (2, 5, "left")])
    answer = reply("Which way does the red ball move after the cut?", records=[turning])[0]
    assert "red thing moves left (00:02-00:05)" in answer
    assert "no record tells of a cut" in answer


def test_a_path_is_told_in_order() -> None:
    turning = region("red", 1, [(0, 2, "right"), (2, 5, "left")])
    answer = reply("Which way does the red thing move?", records=[turning])[0]
    assert "red thing moves right (00:00-00:02), then left (00:02-00:05)." in answer


@pytest.mark.parametrize(
    ("question", "records"),
    [
        ("What moves first?", {RED_1}),
        ("which thing moves last", {GREEN}),
        ("which object moves left", {BLUE}),
        ("What moves up?", {GREEN}),
        ("Which thing stands still?", {YELLOW}),
        ("is anything standing still", {YELLOW}),
        ("which thing is the fastest", {RED_1}),
        ("what moves slowest?", {GREEN}),
        ("when does the blue thing move", {BLUE}),
        ("Tell me when the green thing appears", {GREEN}),
        ("Is there a red thing?", {RED_1, RED_2}),
        ("Is there a blue ball?", {BLUE}),
        ("what does the red thing do after the cut", {RED_2}),
        ("what objects are there", {RED_1, BLUE, YELLOW, RED_2, GREEN}),
        ("What color is the thing that moves left?", {BLUE}),
    ],
)
def test_things_are_told_apart(question: str, records: set[Record]) -> None:
    assert cited(question) == records


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("Is the red thing moving right?", "yes"),
        ("is the blue thing moving right", "no, none moves right: blue thing moves left"),
        ("Does anything move?", "yes"),
        ("is it dark", "yes, the picture is dark (00:03-00:06)"),
        ("is it dark at 1 s", "no, the picture is bright"),
        ("when is it dark?", "the picture is dark (00:03-00:06)"),
        ("does the camera pan", "yes, the camera: pan left (00:04-00:06)"),
        ("does the camera move?", "yes, the camera: pan left (00:04-00:06)"),
        ("Does the camera zoom?", "no, the camera: still (00:00-00:04), then pan left (00:04-00:06)"),
        ("Does the camera pan right?", "no, the camera"),
        ("is the camera still", "no, the camera"),
        ("is the camera still in the first 3 seconds", "yes, the camera: still (00:00-00:03)"),
        ("What does the camera do?", "the camera: still (00:00-00:04), then pan left (00:04-00:06)"),
        ("what color is the background", "the colours that fill the picture"),
        ("is the background white at 1 s", "yes, the colour that fills most is white"),
        ("Is the background green?", "no, the colour that fills most is white"),
        ("Does NIGHT come before PLATFORM 9?", "no, not before that"),
        ("how long is PLATFORM 9 shown", "2.0 s in all"),
        ("How many cuts are there?", "1 cut, 2 shots, cut at about 00:03"),
        ("how many scenes are there", "1 cut, 2 shots"),
        ("Is there a cut?", "yes, 1 cut"),
        ("when is the cut", "1 cut, 2 shots, cut at about 00:03"),
        ("how many words are on the screen", "3 words"),
        ("How many times does NIGHT appear?", "1 time, counted over text on screen"),
        ("is the word PLATFORM still visible at 5 s", "no, not then"),
        ("does the red thing move right and then left", "no, none moves right or left"),
        ("How fast does the green thing move?", "green thing: 30 pixels/s"),
        ("How long is the video?", "they reach to 6.0 s"),
    ],
)
def test_what_the_records_settle_is_answered(question: str, begins: str) -> None:
    answer, found = reply(question)
    assert answer.startswith(LEAD + begins)
    assert found.records


@pytest.mark.parametrize(
    ("question", "records"),
    [
        ("what happens first", {RED_1}),
        ("What comes after PLATFORM 9?", {RED_2, GREEN, NIGHT}),
        ("What changes after the cut?", {RED_2, GREEN, NIGHT}),
        ("what happens before NIGHT", {RED_1, BLUE, PLATFORM}),
    ],
)
def test_events_are_ordered(question: str, records: set[Record]) -> None:
    assert cited(question) == records


@pytest.mark.parametrize(
    ("question", "some", "none"),
    [
        ("describe the video", {PLATFORM, NIGHT, RED_2, BLUE, LOOKS[5], MOTIONS[5]}, set()),
        ("What is this video about?", {PLATFORM, NIGHT}, set()),
        ("what can you see", {PLATFORM, NIGHT}, set()),
        ("what happens at the end", {NIGHT, RED_2, GREEN, LOOKS[5]}, {PLATFORM, BLUE, LOOKS[0]}),
        ("what happens between 3 and 5 seconds", {NIGHT, RED_2, LOOKS[3]}, {PLATFORM, LOOKS[5]}),
        ("What can be seen at 0:01?", {PLATFORM, RED_1, LOOKS[1]}, {NIGHT, GREEN, LOOKS[2]}),
        ("summarise the first 3 seconds", {PLATFORM, RED_1}, {NIGHT, RED_2}),
    ],
)
def test_an_overview_keeps_to_its_time(question: str, some: set[Record], none: set[Record]) -> None:
    found = cited(question)
    assert found >= some
    assert not found & none


@pytest.mark.parametrize(
    "question",
    [
        "Is there a dog?",
        "IS THERE A DOG",
        "Is there an elephant?",
        "Is there an elephant moving?",
        "Which way does the elephant go?",
        "When does the word ELEPHANT appear?",
        "How many dogs are there?",
        "Is there a purple thing?",
        "What is said?",
        "Who speaks?",
        "who is in the video",
        "why does the red thing move",
        "What is the man doing?",
        "what colour is the text",
        "what is on the left",
        "Is there a ball?",
        "What happens at 50 s?",
        "what comes after the elephant",
        "¿Hay un perro?",
    ],
)
def test_what_is_not_there_gets_the_papers_sentence_exactly(question: str) -> None:
    answer, found = reply(question)
    assert answer == NOTHING == "The provided video does not present such information"
    assert found.records == ()


def test_a_question_that_the_words_only_half_meet_gets_no_yes() -> None:
    answer = reply("Does the red thing explode?")[0]
    assert answer.startswith(f"{LEAD}not told (the records do not name: explode); the closest:\n")


@pytest.mark.parametrize(
    ("questions", "records"),
    [
        (("What is the first text?", "and after that?"), {NIGHT}),
        (("Which way does the red ball move after the cut?", "what about the green one?"), {GREEN}),
        (("Which way does the blue ball move?", "When?"), {BLUE}),
        (("what text is shown in the first 2 seconds", "and at 5 s?"), {NIGHT}),
        (("What is the first text?", "and after that?", "and before that?"), {PLATFORM}),
        (("Which way does the red ball move?", "Is there any text?"), {PLATFORM, NIGHT}),
    ],
)
def test_a_follow_up_is_understood(questions: tuple[str, ...], records: set[Record]) -> None:
    assert cited(*questions) == records


CAPTIONS = [
    Record("caption", 0, 10, "a man and a dog on a couch in a living room"),
    Record("caption", 10, 20, "a man walks out of the door"),
    Record("tag", 0, 10, "lamp"),
    Record("speech", 2, 4, "Does anyone want the rest of this Pop-Tart?"),
]


@pytest.mark.parametrize(
    ("question", "records"),
    [
        ("Is there a dog?", {CAPTIONS[0]}),
        ("is there a lamp in the room", set()),
        ("Do you see a lamp?", {CAPTIONS[2]}),
        ("What happens after the dog is on the couch?", {CAPTIONS[1]}),
        ("who is in the video", set(CAPTIONS[:3])),
        ("what is said", {CAPTIONS[3]}),
        ("Does anyone say Pop-Tart?", {CAPTIONS[3]}),
        ("What does the man walk out of", {CAPTIONS[1]}),
    ],
)
def test_records_of_other_kinds_answer_too(question: str, records: set[Record]) -> None:
    assert cited(question, records=CAPTIONS) == records
