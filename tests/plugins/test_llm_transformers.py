"""Answers of language models on this machine, beside those of transformers' own `generate`."""

import json
import shutil
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videochat
from local_llm import (
    FAMILIES,
    NO_REUSE,
    WIDTH,
    count_fed,
    decoded,
    generated,
    load,
    perceived,
    plain,
    prompt_ids,
    reference,
    save,
    say,
    talk,
    user,
)
from media import make
from videochat import Generation, LLMError, Message, Record, Span, StackError, Text, Tokens, Usage, Video
from videochat.context import Context
from videochat_plugins.llm.transformers import Transformers

pytest.importorskip("transformers", reason="the extra models is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def llm(folder: Path) -> Transformers:
    return load(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_greedy_answer_is_that_of_generate(tmp_path: Path, family: str) -> None:
    """In a second turn too, whether the first one's keys and values may be used again or not."""
    folder = save(tmp_path / family, family)
    llm = load(folder)
    first = talk()
    answer = say(llm, first)
    assert answer == decoded(folder, reference(folder, first))
    assert len(answer) > 5
    second = [*first, Message("assistant", (Text(answer),)), user("Question: ", Text("And then?", "question"))]
    fed = count_fed(llm)
    reply = llm.answer(second, Generation(max_tokens=24))
    assert "".join(reply) == decoded(folder, reference(folder, second))
    assert (fed() < reply.usage.prompt) == (family not in NO_REUSE)


def test_sampling_follows_the_seed(folder: Path, llm: Transformers) -> None:
    warm = [say(llm, talk(), temperature=1.5, seed=seed) for seed in (1, 2, 1)]
    assert warm[0] == warm[2] != warm[1]
    assert say(load(folder, top_k=1), talk(), temperature=1.5, seed=5) == say(llm, talk())
    assert say(load(folder, top_p=1e-6), talk(), temperature=1.5, seed=5) == say(llm, talk())


def test_sampling_leaves_the_generator_of_others_alone(llm: Transformers) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    say(llm, talk(), temperature=1.0)
    assert torch.rand(1) == expected


def test_what_the_makers_advise_is_taken_unless_told_otherwise(folder: Path, tmp_path: Path) -> None:
    from transformers import GenerationConfig

    copy = tmp_path / "advised"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    GenerationConfig(eos_token_id=[2, 0], repetition_penalty=1.7).save_pretrained(copy)
    advised = reference(folder, talk(), repetition_penalty=1.7)
    assert advised != reference(folder, talk())
    assert say(load(copy), talk()) == decoded(folder, advised)
    assert say(load(copy, repetition_penalty=1.0), talk()) == decoded(folder, reference(folder, talk()))


def test_the_pieces_come_while_it_still_thinks(llm: Transformers) -> None:
    fed = count_fed(llm)
    reply = llm.answer(talk(), Generation(max_tokens=400))
    assert fed() == 0
    pieces = iter(reply)
    assert next(pieces)
    assert fed() < reply.usage.prompt + 10


def test_usage_and_finish(folder: Path, llm: Transformers) -> None:
    reply = llm.answer(talk(), Generation(max_tokens=7))
    assert "".join(reply) == decoded(folder, reference(folder, talk(), 7))
    assert (reply.finish, reply.usage) == ("length", Usage(prompt_ids(folder, talk()).shape[1], 7))


def test_it_ends_where_the_model_ends(folder: Path, llm: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = reference(folder, talk())
    monkeypatch.setattr(llm._decoder.model.generation_config, "eos_token_id", [0, ids[5]])  # type: ignore[union-attr]
    reply = llm.answer(talk(), Generation(max_tokens=24))
    at = ids.index(ids[5])
    assert "".join(reply) == decoded(folder, ids[:at])
    assert (reply.finish, reply.usage.answer) == ("stop", at + 1)


def test_stop_texts_end_it_and_are_not_shown(folder: Path, llm: Transformers) -> None:
    whole = say(llm, talk())
    stop = whole[8:12]  # wherever the borders of the tokens are
    reply = llm.answer(talk(), Generation(max_tokens=24, stop=("no such text", stop)))
    assert "".join(reply) == whole[: whole.index(stop)]
    assert reply.finish == "stop"
    assert reply.usage.answer < 24


def test_stop_texts_in_the_prompt_end_nothing(llm: Transformers) -> None:
    assert say(llm, talk(), stop=("ball",)) == say(llm, talk())


def test_the_stop_text_of_a_form_may_be_a_token(tmp_path: Path) -> None:
    """A special token is never decoded, so it is looked for among the ids."""
    folder = save(tmp_path / "moss", chat=False)
    llm = load(folder, template="moss")
    (prompt,) = llm.writer.write([user("Who?")])
    model, tokenizer = plain(folder)
    ids = generated(model, {"input_ids": torch_ids(prompt)}, len(prompt))
    end = next(id for id in ids[3:] if id not in ids[:3])
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    letters = tokenizer.convert_ids_to_tokens(end)  # they get another name, and become a special token
    data["model"]["vocab"]["<eom>"] = data["model"]["vocab"].pop(letters)
    data["model"]["merges"] = [pair for pair in data["model"]["merges"] if letters not in ("".join(pair), *pair)]
    data["added_tokens"].append({**data["added_tokens"][0], "id": end, "content": "<eom>"})
    file.write_text(json.dumps(data))
    reply = load(folder, template="moss").answer([user("Who?")], Generation(max_tokens=24))
    assert "<eom>" not in "".join(reply)
    assert reply.finish == "stop"


def torch_ids(ids: list[int]) -> Any:
    import torch

    return torch.tensor([ids])


def test_leaving_early_stops_the_work(folder: Path) -> None:
    llm = load(folder)
    fed = count_fed(llm)
    reply = llm.answer(talk(), Generation(max_tokens=400))
    list(islice(iter(reply), 3))
    reply.pieces.close()  # type: ignore[attr-defined]
    left = fed()
    assert left < reply.usage.prompt + 40
    assert say(llm, talk()) == decoded(folder, reference(folder, talk()))  # what it kept is still right
    assert fed() == left + 24


# The cache of keys and values.


def test_a_second_turn_feeds_only_what_is_new(folder: Path) -> None:
    llm = load(folder)
    fed, known = count_fed(llm), []
    messages = talk("a red ball rolls from left to right, then a dog jumps out")
    sizes = []
    for question in ("Why?", "And then?", "What else is there?"):
        reply = llm.answer(messages, Generation(max_tokens=8))
        before, given = fed(), "".join(reply)
        assert given == say(load(folder), messages, max_tokens=8)
        known.append(reply.usage.prompt + reply.usage.answer - 1 - (fed() - before))
        sizes.append(reply.usage.prompt)
        messages = [*messages, Message("assistant", (Text(given),)), user("Question: ", Text(question, "question"))]
    assert known[0] == 0
    assert known[1] >= sizes[0] - 1  # all of the prompt before; its last blank may join the answer's first letters
    assert known[2] >= sizes[1] - 1


def test_the_count_of_tokens_fed_is_that_of_what_differs(folder: Path) -> None:
    llm = load(folder)
    fed = count_fed(llm)
    say(llm, talk(), max_tokens=1)
    whole = fed()
    say(llm, talk(), max_tokens=1)
    assert fed() == whole + 1  # at least the last is needed for what follows it
    say(llm, talk("another caption that shares only the beginning"), max_tokens=1)
    _, tokenizer = plain(folder)
    shared = len(tokenizer.encode("<s>system: You see a video:\na", add_special_tokens=False))
    other = llm.answer(talk("another caption that shares only the beginning"), Generation(max_tokens=1))
    list(other)
    assert abs(fed() - (whole + 1 + other.usage.prompt - shared + 1)) <= 2  # letters that merge with the next


def test_two_answers_at_once_do_not_meet(llm: Transformers) -> None:
    one, two = talk("a red ball"), talk("a red dog that runs")
    alone = [say(llm, one), say(llm, two)]
    replies = [iter(llm.answer(messages, Generation(max_tokens=24))) for messages in (one, two)]
    pairs = list(zip_longest(*replies, fillvalue=""))  # a piece of the one, a piece of the other
    assert ["".join(pieces) for pieces in zip(*pairs, strict=True)] == alone
    assert [say(llm, one), say(llm, two)] == alone


def test_a_forward_that_breaks_off_leaves_no_half_cache(folder: Path) -> None:
    llm = load(folder)
    whole = say(llm, talk())
    second = llm._decoder.model.model.layers[1]  # type: ignore[union-attr]

    def fail(*given: Any) -> None:
        raise RuntimeError("a cable fell out")

    hook = second.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="cable"):
        say(llm, talk("something else"))
    hook.remove()
    assert say(llm, talk()) == whole


# Embeddings.


def embeddings(llm: Transformers, rows: int = 5, seed: int = 0, width: int = WIDTH, space: str = "") -> Tokens:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return Tokens(values, space or llm.space)


def with_video(tokens: Tokens, question: str = "What moves?") -> list[Message]:
    system = Message("system", (Text("<Video>"), tokens, Text("</Video>\n"), perceived("a red ball")))
    return [system, user("Question: ", Text(question, "question"))]


def test_embeddings_are_spliced_in_at_their_place(folder: Path, llm: Transformers) -> None:
    import torch

    tokens = embeddings(llm)
    model, tokenizer = plain(folder)
    texts = ("<s>system: <Video>", "</Video>\na red ball</s><s>user: Question: What moves?</s><s>assistant: ")
    before, after = (tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"] for text in texts)
    embed = model.get_input_embeddings()
    rows = torch.cat([embed(before), torch.tensor(tokens.tokens)[None], embed(after)], 1)
    reply = llm.answer(with_video(tokens), Generation(max_tokens=24))
    assert "".join(reply) == decoded(folder, generated(model, {"inputs_embeds": rows}, 0))
    assert reply.usage.prompt == rows.shape[1]
    assert llm.count(tokens) == 5


def test_embeddings_decide_the_answer_and_what_is_kept(folder: Path) -> None:
    llm = load(folder)
    fed = count_fed(llm)
    one, two = embeddings(llm), embeddings(llm, seed=1)
    first = say(llm, with_video(one), max_tokens=8)
    start = fed()
    assert say(llm, with_video(two), max_tokens=8) != first
    assert fed() - start > start - 20  # only what stands before the video is kept
    start = fed()
    assert say(llm, with_video(two, "Why?"), max_tokens=8) == say(load(folder), with_video(two, "Why?"), max_tokens=8)
    assert fed() - start < 40  # the video is not fed again


def test_embeddings_that_do_not_fit(folder: Path, llm: Transformers) -> None:
    fed = count_fed(llm)
    with pytest.raises(LLMError, match=r"takes embeddings 32 wide, and these are 5x48"):
        say(llm, with_video(embeddings(llm, width=48)))
    with pytest.raises(LLMError, match=r"made for 'weights@[0-9a-f]{12}', and these are for 'vicuna@0'"):
        say(llm, with_video(embeddings(llm, space="vicuna@0")))
    half = np.ones((2, WIDTH), np.float32)
    half[1, 3] = np.nan
    with pytest.raises(LLMError, match="embeddings that are no numbers: make them in precision float32"):
        say(llm, with_video(Tokens(half, llm.space)))
    assert fed() == 0


def test_the_space_is_known_without_loading(folder: Path) -> None:
    llm = Transformers(Transformers.Options(model=str(folder)))
    assert llm.space.startswith("weights@")
    assert llm.accepts == {Text, Tokens}
    assert llm._decoder is None
    away = Transformers(Transformers.Options())
    assert away.space == "Qwen/Qwen3-1.7B"
    assert not away.weights()[0].here


def test_the_space_is_that_of_the_weights_alone(folder: Path, tmp_path: Path) -> None:
    """It stays what it is in another folder, with another chat template and other advice on sampling."""
    space = Transformers(Transformers.Options(model=str(folder))).space
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "generation_config.json").write_text('{"top_p": 0.9}')
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    (copy / "LICENSE.txt").write_text("free")
    assert Transformers(Transformers.Options(model=str(copy))).space == space
    assert Transformers(Transformers.Options(model=str(copy))).weights()[0].id != f"copy@{space[-12:]}"
    other = save(tmp_path / "other", seed=1)
    assert Transformers(Transformers.Options(model=str(other))).space != space


# In a stack.


def test_a_real_clip_and_another_model_perceives_nothing_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make(tmp_path / "clip.mp4", frames=50, size=(64, 48)).path
    other = save(tmp_path / "qwen", "Qwen3")
    settings = ["llm.max_tokens=8", "device=cpu", "perceive.speech=null", "perceive.text=null"]
    answers = []
    for model in (folder, other):
        stack = videochat.load("offline", settings, llm=f"transformers:{model}")
        context = stack.watch(clip)
        chat = stack.chat(context)
        for question in ("What is red?", "And what is blue?"):
            answer = chat.ask(question)
            assert "".join(answer) == answer.text
            assert 100 < answer.usage.prompt < 2048
            assert answer.usage.answer <= 8
            assert not answer.usage.estimated
        answers.append([text for _, text in chat.history])
        if model == other:
            assert [cost.name for cost in context.ledger if cost.windows] == []
            assert all(cost.cached for cost in context.ledger if cost.name in ("look", "motion"))
        stack.close()
        assert len(stack.pool) == 0
    assert answers[0] != answers[1]


@pytest.mark.parametrize(("family", "template"), [("Llama", ""), ("Qwen3", "videochat"), ("Llama", "long")])
def test_a_long_talk_in_a_small_window_goes_on(tmp_path: Path, family: str, template: str) -> None:
    """What a template writes around each message is counted: the oldest questions go, and every answer is whole."""
    folder = save(tmp_path / "model", family, chat=template != "videochat")
    if template == "long":
        opening = "{{ '<s>' + 'Knowledge cutoff: December 2023. ' * 2 }}"
        (folder / "chat_template.jinja").write_text(opening + (folder / "chat_template.jinja").read_text())
        template = ""
    (tmp_path / "bare.txt").write_text("You watch a video:\n{textualizing_videos}\nQuestion: {question}")
    llm = Transformers(Transformers.Options(model=str(folder), template=template, max_tokens=16, window=700))
    stack = videochat.Stack(llm=llm, prompt=str(tmp_path / "bare.txt"), device="cpu")
    video = Video(Path("clip.mp4"), 4.0, 64, 48)
    records = [Record("caption", i, i + 1, f"thing number {i}", source="eyes", times=(i + 0.5,)) for i in range(4)]
    chat = stack.chat(Context(stack, video, Span(0, 4), (Span(0, 4),), records))
    used = []
    for i in range(25):
        answer = chat.ask(f"What is thing {i}?")
        assert "".join(answer)
        assert (answer.left_out, answer.usage.answer) == ("", 16)
        used.append(answer.usage.prompt)
    assert used[0] < min(used[5:]) <= max(used) <= 700 - 16  # some of the talk is there


def test_a_stack_whose_embeddings_are_for_another_model_is_refused(folder: Path) -> None:
    from components import Embedding

    with pytest.raises(StackError, match=r"makes embeddings for 'tiny', but the llm's space is 'weights@"):
        videochat.Stack(
            perceive={"video": Embedding(frames=1)},
            prompt=str(prompt_file(folder)),
            llm={"use": "transformers", "model": str(folder)},
        )


def test_embeddings_reach_the_model_through_a_stack(folder: Path, tmp_path: Path) -> None:
    from components import Seeing
    from videochat import Window

    llm = Transformers(Transformers.Options(model=str(folder), device="cpu", max_tokens=4))
    rows = np.full((3, WIDTH), 0.1, np.float32)

    def see(window: Window) -> list[Record]:
        return [Record("embedding", window.start, window.end, tokens=rows, space=llm.space, times=(window.start,))]

    seeing = Seeing(see, emits=("embedding",), frames=1, over="video")
    seeing.space = llm.space
    stack = videochat.Stack(perceive={"video": seeing}, prompt=str(prompt_file(tmp_path)), llm=llm, device="cpu")
    answer = stack.chat(stack.watch(make(tmp_path / "clip.mp4", frames=25, size=(64, 48)).path)).ask("What is it?")
    assert "".join(answer)
    texts = ("<s>system: <Video>", "</Video> seen at 0.0 s.</s><s>user: What is it?</s><s>assistant: ")
    tokenizer = plain(folder)[1]
    assert answer.usage.prompt == 3 + sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)


def prompt_file(folder: Path) -> Path:
    path = folder / "video.txt"
    path.write_text("<Video>{video}</Video> seen at {times} s.\n{question}\n")
    return path
