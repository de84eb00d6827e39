"""What may become training data, and what is wrong with what may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruct_script import conversation, description

from videochat_plugins.learn.instruct_check import (
    LEAST,
    MOST,
    UNKNOWN,
    Malformed,
    read_caption,
    read_conversation,
    read_description,
)

GOOD = description("a dog")
# Table 5 of the paper (arXiv 2305.06355).
PAPER = (
    "First, we see a young woman with long brown hair wearing a backpack standing on the edge of a cliff, looking at "
    "the beautiful mountain scenery. She is in awe and stands there for a few seconds. Next, we see her turning "
    "around slowly, with her arms open wide. Then, we see her taking a few steps back, still facing the canyon, with "
    "her arms still open wide. She seems to be soaking in the grandeur of the view. Finally, she stands confidently "
    "at the edge of the cliff, her backpack still on her back, as if she has conquered the mountain. Throughout the "
    "video, we see the vast expanse of the canyon with the mountains in the background. The sky is overcast in some "
    "parts and clear blue in others, creating a beautiful contrast. Overall, the young woman seems to be thrilled "
    "with the view and enjoys every bit of it with open arms."
)


def faults(text: str) -> str:
    with pytest.raises(Malformed) as caught:
        read_description(text)
    return "; ".join(caught.value.faults)


def words(count: int) -> str:
    return " ".join(f"word{i}" for i in range(count))


@pytest.mark.parametrize("text", [GOOD, PAPER])
def test_good_descriptions(text: str) -> None:
    assert read_description(text) == text


def test_a_description_is_one_paragraph_without_hidden_characters() -> None:
    spread = GOOD.replace("Next, ", "Next,\n\n", 1)
    assert read_description(f"\n{spread}\u200b\n ") == GOOD


@pytest.mark.parametrize("count", [0, 1, LEAST - 1, MOST + 1, 1000])
def test_too_few_or_too_many_words(count: int) -> None:
    assert f"it has {count} words: write more than 150 and less than 200" in faults(words(count))


@pytest.mark.parametrize("count", [LEAST, 150, 200, MOST])
def test_enough_words(count: int) -> None:
    assert read_description(words(count))


@pytest.mark.parametrize(
    "time",
    [
        *("00:12", "at 1:02:03", "at 3 seconds", "after 3s", "at 2.5 s", "a 10-second clip", "for ten seconds"),
        *("at second 4", "two minutes later", "in minute 3", "the timestamp", "12 secs"),
    ],
)
def test_times_in_a_description(time: str) -> None:
    assert "it names a time" in faults(f"{GOOD} It ends {time}.")


@pytest.mark.parametrize(
    "harmless",
    [
        "a few seconds",
        "a second dog",
        "the 1980s",
        "the second one of 3 dogs",
        "a minute detail",
        "in 4 steps",
        "a 5 : 4",
    ],
)
def test_what_is_no_time(harmless: str) -> None:
    assert read_description(f"{GOOD} It is {harmless}.")


@pytest.mark.parametrize(
    ("phrase", "why"),
    [
        ("as the text description says", "speaks of the text"),
        ("As seen in the textual descriptions", "speaks of the text"),
        ("according to the tags", "speaks of the text"),
        ("The caption says so", "speaks of the text"),
        ("from the video contexts", "speaks of the text"),
        ("As an AI, I see it", "speaks of its task"),
        ("I am a language model", "speaks of its task"),
        ("###Human: hello", "mark of a turn"),
        ("<|im_end|>", "mark of a turn"),
        ("</s>", "mark of a turn"),
        ("<Video>", "mark of a turn"),
        ("[end of video data 0123456789abcdef]", "mark of a turn or of the fence"),
    ],
)
def test_forbidden_in_descriptions_and_conversations(phrase: str, why: str) -> None:
    assert why in faults(f"{GOOD} {phrase}.")
    with pytest.raises(Malformed, match=f"question 2: it .*{why}"):
        read_conversation(conversation("a dog").replace("There are two.", f"There are two. {phrase}."), 2)


@pytest.mark.parametrize(
    "talk",
    [
        *("Sure! ", "Here is the text: ", "Here’s the text: ", "Certainly, ", "I'm sorry, but ", "I’m sorry, but "),
        *("**Sure!** ", "Corrected paragraph: ", '"The revised text: '),
    ],
)
def test_talk_about_the_task_at_the_beginning(talk: str) -> None:
    assert "it speaks of its task" in faults(talk + GOOD)


@pytest.mark.parametrize("talk", ["Let me know if you want more.", "I hope this helps!"])
def test_talk_about_the_task_at_the_end(talk: str) -> None:
    assert "it speaks of its task" in faults(f"{GOOD} {talk}")
    assert "it speaks of its task" in refuse(f"{conversation('a dog')}\n\n{talk}")


def test_dots_are_no_sentences() -> None:
    assert read_description(f"{GOOD} It waits . . . and waits.")


def test_sentences_that_repeat() -> None:
    assert 'it says "the dog runs" 2 times' in faults(f"{GOOD} The dog runs. The dog runs!")


def test_all_faults_are_told() -> None:
    found = faults("The caption ends at 00:12. The caption ends at 00:12.")
    for words_ in ("10 words", "the text", "00:12", "2 times"):
        assert words_ in found


@pytest.mark.timeout(10)
@pytest.mark.parametrize("noise", ["-", " ", "\n", "answer ", "answer:", "### ", "1", "00:", "a.", "<|", "*_", "one "])
def test_long_noise_is_read_quickly(noise: str) -> None:
    for text in (noise * 50_000, f"Answer{noise * 50_000}x", f"{noise * 50_000}question"):
        for read in (read_description, lambda said: read_conversation(said, 5)):
            with pytest.raises(Malformed):
                read(text)


def test_captions() -> None:
    assert read_caption("a dog runs") == "a dog runs"
    with pytest.raises(Malformed, match="no caption or summary of the whole video"):
        read_caption("")
    with pytest.raises(Malformed, match="mark of a turn"):
        read_caption("a dog ### runs")


def refuse(text: str, duration: float = 2.0) -> str:
    with pytest.raises(Malformed) as caught:
        read_conversation(text, duration)
    return "; ".join(caught.value.faults)


def test_a_good_conversation() -> None:
    rounds = read_conversation(conversation("a dog"), 2)
    assert [one.kind for one in rounds] == ["descriptive"] * 2 + ["temporal"] * 2 + ["causal"] * 2
    assert rounds[0].question == "What is a dog?"
    assert rounds[4].answer == "They count the frames.\n\nEach frame has a number of its own."
    assert rounds[5].answer == UNKNOWN


@pytest.mark.parametrize(
    ("ask", "reply"),
    [
        ("**{kind} question:** ", "**Answer:** "),
        ("**{kind} question**: ", "**Answer** : "),
        ("- {kind} question 1: ", "- Answer 1: "),
        ("1. {kind} Question: ", "   answer: "),
        ("Question ({kind}): ", "Answer: "),
        ("Q 3 ({kind}): ", "A: "),
        ("{kind} user: ", "Assistant: "),
    ],
)
def test_forms_of_turns(ask: str, reply: str) -> None:
    text = "Sure, here it is!\n\n" + "".join(
        f"{ask.format(kind=kind)}What of {kind}?\n{reply}It is so: yes.\n\n"
        for kind in ("Descriptive", "Temporal", "Causal")
    )
    rounds = read_conversation(text, 2)
    assert rounds[1] == ("temporal", "What of Temporal?", "It is so: yes.")


def test_bold_turns_lose_their_marks_and_bold_words_keep_them() -> None:
    text = "".join(
        f"**{kind} question: What of {kind}?**\n**Answer: It is so.**\n"
        for kind in ("Descriptive", "Temporal", "Causal")
    )
    assert read_conversation(text, 2)[0] == ("descriptive", "What of Descriptive?", "It is so.")
    for said in ("**Two** are there", "There are **two**", "**Two** are **there**"):
        assert read_conversation(conversation("a dog").replace("There are two.", said), 2)[1].answer == said


def test_headings_between_turns_are_no_part_of_them() -> None:
    text = conversation("a dog")
    for kind in ("Descriptive", "Temporal", "Causal"):
        text = text.replace(
            f"{kind} question", f"\n---\n### {kind} questions:\n\n**{kind.lower()}**\n{kind} question", 1
        )
    assert read_conversation(text, 2) == read_conversation(conversation("a dog"), 2)


def test_a_question_may_stand_below_its_head() -> None:
    text = conversation("a dog").replace("question: ", "question:\n")
    assert read_conversation(text, 2) == read_conversation(conversation("a dog"), 2)


def test_no_dialogue() -> None:
    assert "it is no dialogue" in refuse("There is a dog. It runs.")
    assert "it is no dialogue" in refuse("")
    assert "it is no dialogue" in refuse('[{"q": "What?", "a": "A dog."}]')


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Answer: There are two.\n", "", 'the question "How many fields are there?" has no answer'),
        ("Descriptive question: How many fields are there?\n", "", 'the answer "There are two." follows no question'),
        ("Answer: There", "Reply: There", '"How many fields are there? Reply: There are two." has no answer'),
        ("There are two.", "", "question 2: the answer is empty"),
        ("How many fields are there?", "?!", "question 2: the question is empty"),
        ("How many fields are there?", "what IS a dog", "question 2: it was asked before"),
        ("Descriptive question: How", "Question: How", "question 2: say before it which kind it is of"),
        ("00:01", "00:04", "question 3: it names 00:04, and the video ends at 00:02"),
        ("There are two.", UNKNOWN + ".", "several questions are about what the video does not show"),
        ("There are two.", "It is not mentioned.", "question 2: the video does not tell: ask something else"),
        ("There are two.", "That cannot be determined.", "question 2: the video does not tell"),
        ("There are two.", "The video doesn’t state it.", "question 2: the video does not tell"),
    ],
)
def test_what_is_wrong_with_a_conversation(old: str, new: str, why: str) -> None:
    good = conversation("a dog")
    assert old in good
    assert why in refuse(good.replace(old, new))


@pytest.mark.parametrize("kind", ["Descriptive", "Temporal", "Causal"])
def test_a_kind_that_is_missing(kind: str) -> None:
    other = "Temporal" if kind == "Causal" else "Causal"
    text = conversation("a dog").replace(f"{kind} question", f"{other} question")
    assert refuse(text) == f"there is no {kind.lower()} question"


@pytest.mark.parametrize("time", ["00:02 (2 seconds)", "２:30", "٢:30"])  # digits of other scripts are no stamp
def test_times_are_welcome_in_conversations(time: str) -> None:
    assert read_conversation(conversation("a dog").replace("00:01", time), 1.5)


@given(st.text(), st.sampled_from(["", conversation("a dog"), "Causal question: ", "Answer:"]))
def test_any_text_is_read_or_refused(text: str, before: str) -> None:
    for read in (read_description, lambda said: read_conversation(said, 5)):
        try:
            assert read(before + text)
        except Malformed as error:
            found = error.faults
        else:
            found = ["none"]
        assert found
        assert all(isinstance(fault, str) and fault for fault in found)
