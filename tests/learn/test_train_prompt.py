"""What a language model reads in training is what it is asked with, and what it learns are answers."""

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import save_network

import videochat
from local_llm import save as save_llm
from media import make
from tiny_llama import CHAT
from videochat import Message, Pool, Stack, Text, Tokens
from videochat_plugins.learn.train_config import Stage1, Stage2
from videochat_plugins.learn.train_data import Turn
from videochat_plugins.learn.train_prompt import Scribe, Script, instructions, scribe_for

TALK = [Turn("What moves?", "a red ball"), Turn("Where to?", "to the left, past the dog.")]
TIMES = (0.25, 0.75, 1.25, 1.75)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("models") / "llm", chat=False, hidden_size=64)


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("models") / "chatting")


def make_scribe(llm: Path, stage: str = "stage2", **options: Any) -> Scribe:
    cls = Stage1 if stage == "stage1" else Stage2
    config = cls(model="m", llm=str(llm), data=("d.json",), out=Path("out"), **options)
    return scribe_for(config, "stage1" if stage == "stage1" else "stage2")


def text(scribe: Scribe, ids: Sequence[int]) -> str:
    found: str = scribe.writer.tokenizer.decode(ids)
    return found


def learnt(scribe: Scribe, script: Script) -> list[str]:
    """The stretches that are learnt, as text."""
    runs: list[list[int]] = []
    for i, id in enumerate(script.after):
        if script.learnt[i]:
            if not i or not script.learnt[i - 1]:
                runs.append([])
            runs[-1].append(id)
    return [text(scribe, run) for run in runs]


@pytest.mark.parametrize(("medium", "mark"), [("video", "Video"), ("image", "Image")])
def test_stage_1_is_the_papers_form(llm: Path, medium: Any, mark: str) -> None:
    scribe = make_scribe(llm, "stage1")
    asked = instructions(medium)[0]
    script = scribe.write(medium, [Turn(asked, "A dog runs.")], TIMES)
    assert text(scribe, script.before) == f"<s>###Human: <{mark}>"
    assert text(scribe, script.after) == f"</{mark}> {asked}\n###Assistant: A dog runs.###"
    assert learnt(scribe, script) == [" A dog runs.###"]


def test_the_instructions_are_the_papers() -> None:
    assert len(instructions("video")) == len(instructions("image")) == 11
    assert instructions("video")[0] == "Describe the following video concisely."


def test_stage_2_is_the_originals_with_all_turns_and_answers_learnt(llm: Path) -> None:
    scribe = make_scribe(llm)
    script = scribe.write("video", TALK, TIMES)
    assert script.before[0] == scribe.writer.tokenizer.bos_token_id
    assert scribe.writer.tokenizer.bos_token_id not in (*script.before[1:], *script.after)
    assert text(scribe, script.before + script.after) == (
        "<s>###Human: <Video></Video> The video contains 4 frames sampled at 0.2, 0.8, 1.2, 1.8 seconds.\n"
        "###Human: What moves?\n###Assistant: a red ball###Human: Where to?\n"
        "###Assistant: to the left, past the dog.###"
    )
    assert learnt(scribe, script) == [" a red ball###", " to the left, past the dog.###"]


def test_images_are_told_no_times_in_stage_2(llm: Path) -> None:
    scribe = make_scribe(llm)
    script = scribe.write("image", TALK[:1], (0.0,))
    assert text(scribe, script.before + script.after) == (
        "<s>###Human: <Image></Image>\n###Human: What moves?\n###Assistant: a red ball###"
    )


def prompts(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The prompts that the language model writes from now on."""
    found: list[list[Any]] = []
    llm: Any = stack.llm
    assert llm.turn
    write = llm.writer.write
    monkeypatch.setattr(llm.writer, "write", lambda messages: found.append(write(messages)) or found[-1])
    return found


def test_what_is_trained_is_what_the_stack_embed_asks(
    llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = save_network(tmp_path / "network", llm)
    clip = make(tmp_path / "clip.mp4", frames=40, fps=20).path
    settings = [f"perceive.embed.checkpoint={network}", f"llm.model={llm}", "device=cpu", "llm.max_tokens=8"]
    stack = videochat.load("embed", settings)
    chat = stack.chat(stack.watch(clip))
    asked = prompts(stack, monkeypatch)
    first = "".join(chat.ask(TALK[0].question))
    "".join(chat.ask(TALK[1].question))
    (shown,) = (part for part in chat._seen.parts if isinstance(part, Tokens))
    scribe = make_scribe(llm)
    script = scribe.write("video", [TALK[0]._replace(answer=first), TALK[1]], shown.times)
    before, rows, after = asked[0]
    assert before == script.before
    assert after == script.after[: script.learnt.index(True)]
    assert len(rows) == 8
    before, rows, after = asked[-1]  # of the second turn, the first answer in it
    assert before == script.before
    assert after == script.after[: len(after)]
    assert not script.learnt[len(after) - 1]
    assert all(script.learnt[len(after) :])


FORMS = {"": "</s>", "vicuna": "</s>", "videochat": "###", "moss": "<eom>", "stablelm": "<|USER|>"}


@pytest.mark.parametrize(("template", "closes"), FORMS.items())
def test_every_form_shows_turns_as_they_are_asked(chatting: Path, template: str, closes: str) -> None:
    scribe = make_scribe(chatting, template=template)
    script = scribe.write("video", TALK, TIMES)
    # A prompt that ends in a blank, as the model's own here, is not what a later prompt begins with.
    for turns in (1,) if template == "" else (1, 2):
        before, _, after = scribe.writer.write(scribe.messages("video", TALK[:turns], TIMES)[:-1])
        assert [script.before, script.after[: len(after)]] == [before, after]
        assert not script.learnt[len(after) - 1]
        assert script.learnt[len(after)]
    assert [run.strip() for run in learnt(scribe, script)] == [turn.answer + closes for turn in TALK]


@settings(max_examples=60)
@given(talk=st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=3))
def test_whatever_is_said_prompts_are_those_of_asking_and_answers_are_whole(
    llm: Path, talk: list[tuple[str, str]]
) -> None:
    scribe = make_scribe(llm, length=100_000)  # nothing is cut, however long
    turns = [Turn(f"q{question}", f"a{answer}") for question, answer in talk]
    script = scribe.write("video", turns, TIMES)
    prompt = scribe.writer.write(scribe.messages("video", turns[:1], TIMES)[:-1])
    start = script.learnt.index(True)
    assert [script.before, script.after[:start]] == [prompt[0], prompt[-1]]
    runs = learnt(scribe, script)
    assert len(runs) == len(turns)
    tokenizer = scribe.writer.tokenizer
    for run, turn in zip(runs, turns, strict=True):
        plain = tokenizer.decode(tokenizer(turn.answer, add_special_tokens=False)["input_ids"])
        assert run == f" {plain}###"
    assert not {*compress(script.after, script.learnt)} & {tokenizer.bos_token_id}


def test_a_talk_that_is_too_long_is_cut_and_says_so_and_what_is_cut_ends_nowhere(llm: Path) -> None:
    long = Turn("What?", "one two three four five six seven eight nine ten eleven twelve")
    whole = make_scribe(llm, length=512).write("video", [long], TIMES)
    cut = make_scribe(llm, length=8).write("video", [long], TIMES)
    assert (whole.cut, cut.cut) == (False, True)
    assert sum(cut.learnt) == 8
    assert cut.after == whole.after[: len(cut.after)]
    assert "###" not in learnt(make_scribe(llm), cut)[0]
    fits = make_scribe(llm, length=sum(whole.learnt)).write("video", [long], TIMES)
    assert fits == whole
    one_less = make_scribe(llm, length=sum(whole.learnt) - 1).write("video", [long], TIMES)
    assert one_less.cut


def test_a_cut_never_leaves_a_question_without_answer(llm: Path) -> None:
    scribe = make_scribe(llm, length=12)
    script = scribe.write("video", TALK, TIMES)
    assert script.cut
    assert script.learnt[-1]


def test_a_form_that_ends_no_answer_is_refused(llm: Path, tmp_path: Path) -> None:
    form = tmp_path / "endless.jinja"
    form.write_text(CHAT.replace("'</s>'", "' '"))
    with pytest.raises(videochat.LLMError, match="ends none: set `template`"):
        make_scribe(llm, template=str(form)).write("video", TALK, TIMES)


def test_a_form_that_opens_answers_in_two_ways_is_refused(llm: Path, tmp_path: Path) -> None:
    form = tmp_path / "thinking.jinja"
    form.write_text(CHAT.replace("'<s>assistant: '", "'<s>assistant: <think></think>'"))
    with pytest.raises(videochat.LLMError, match=r"opens an answer with .* in a talk"):
        make_scribe(llm, template=str(form)).write("video", TALK, TIMES)


def test_what_ends_an_answer_is_known(llm: Path) -> None:
    scribe = make_scribe(llm)
    assert scribe.stops("it says ### there") == "###"
    assert scribe.stops("it says </s>") == "</s>"
    assert scribe.stops("it says ## there") == ""


def test_words_behind_the_question_are_read_and_not_learnt(llm: Path, tmp_path: Path) -> None:
    prompt = tmp_path / "short.txt"
    prompt.write_text("<Video>{video}</Video>\nQuestion: {question}\nShort answer:")
    scribe = make_scribe(llm, prompt=str(prompt))
    script = scribe.write("video", TALK, TIMES)
    assert "Question: Where to?\nShort answer:\n###Assistant: to the left" in text(scribe, script.after)
    assert learnt(scribe, script) == [" a red ball###", " to the left, past the dog.###"]


def test_an_unknown_form_or_a_prompt_without_one_place_for_the_video_is_refused(llm: Path, tmp_path: Path) -> None:
    with pytest.raises(videochat.StackError, match="template: no chat form 'vicuna2'"):
        make_scribe(llm, template="vicuna2")
    prompt = tmp_path / "blind.txt"
    prompt.write_text("Question: {question}")
    with pytest.raises(videochat.StackError, match=r"has no place for \{video\}"):
        make_scribe(llm, prompt=str(prompt))
    prompt.write_text("{video} and {video}\n{question}")
    with pytest.raises(videochat.StackError, match=r"shows \{video\} more than once"):
        make_scribe(llm, prompt=str(prompt))


def test_the_writer_is_that_of_the_language_model(llm: Path) -> None:
    scribe = make_scribe(llm)
    component: Any = videochat.load("embed", [f"llm.model={llm}"]).llm
    component.load(Pool("cpu"))
    messages = [Message("user", (Text("Hm?", "question"),))]
    assert scribe.writer.write(messages) == component.writer.write(messages)
