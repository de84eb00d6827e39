"""The side of a video-language model that answers: what the plain model says to the same pixels, token for token."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from local_llm import count_fed, generated, perceived, user
from local_vlm import POOL, about, answerer, ask, film, ids_of, plain, plain_ids, see
from tiny_vlms import SAVED, WIDTH
from videochat import Generation, LLMError, Message, Pool, Record, Text, Tokens
from videochat_plugins.llm.vlm import VideoLanguageModel
from videochat_plugins.models.vlm.family import Vision
from videochat_plugins.models.vlm.video_llava import VideoLlava

VIDEO = film(8)
OTHER = film(5, first=100)  # an odd number
IMAGE = film(1, first=300)
# A talk of one turn as the family writes it, and a video and an image in it.
WORDS = {
    "video_llava": ("<s>USER: {} ASSISTANT:", "<video>\n", "<image>\n"),
    "qwen2_5_vl": (
        "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
        "<|vision_start|><|video_pad|><|vision_end|>",
        "<|vision_start|><|image_pad|><|vision_end|>",
    ),
    "internvl": ("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "<video>\n", "<IMG_CONTEXT>\n"),
    "llava_onevision": ("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "<video>\n", "<image>\n"),
    "smolvlm": ("<|im_start|>User: {}<end_of_utterance>\nAssistant:", "<image>", "<image>"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save(tmp_path_factory.mktemp("models") / kind) for kind, save in SAVED.items()}


@pytest.fixture(params=[*SAVED])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(folders: dict[str, Path], kind: str) -> Path:
    return folders[kind]


# What it answers.


def test_a_video_is_seen_as_the_plain_model_sees_it(folder: Path, kind: str) -> None:
    talk, video, _ = WORDS[kind]
    expected = plain_ids(folder, talk.format(f"{video}What moves?"), VIDEO)
    assert len(set(expected)) > 4
    assert ids_of(answerer(folder), about(see(folder, VIDEO))) == expected
    assert ids_of(answerer(folder), about(see(folder, film(8, first=7)))) != expected


@pytest.mark.parametrize("step", [0.26, 1.0, 7.5])
def test_how_far_apart_the_frames_are(folder: Path, kind: str, step: float) -> None:
    talk, video, _ = WORDS[kind]
    expected = plain_ids(folder, talk.format(f"{video}What moves?"), VIDEO, start=31.0, step=step)
    assert ids_of(answerer(folder), about(see(folder, VIDEO, start=31.0, step=step))) == expected


def test_an_image(folder: Path, kind: str) -> None:
    talk, _, image = WORDS[kind]
    expected = plain_ids(folder, talk.format(f"Look:{image}What is it?"), IMAGE)
    assert ids_of(answerer(folder), about("Look:", see(folder, IMAGE), question="What is it?")) == expected


def test_an_image_and_a_video(folder: Path, kind: str) -> None:
    talk, video, image = WORDS[kind]
    expected = plain_ids(folder, talk.format(f"{image} and {video}What moves?"), IMAGE, VIDEO)
    assert ids_of(answerer(folder), about(see(folder, IMAGE), " and ", see(folder, VIDEO))) == expected


def test_two_videos_side_by_side(folder: Path, kind: str) -> None:
    talk, video, _ = WORDS[kind]
    other = film(8, first=500)  # as long as the first: the plain Video-LLaVA takes no others
    expected = plain_ids(folder, talk.format(f"{video}{video}What moves?"), VIDEO, other)
    assert ids_of(answerer(folder), about(see(folder, VIDEO), see(folder, other))) == expected


@pytest.mark.parametrize("count", [2, 3, 5, 16])
def test_other_numbers_of_frames(folder: Path, kind: str, count: int) -> None:
    talk, video, _ = WORDS[kind]
    frames = film(count)
    expected = plain_ids(folder, talk.format(f"{video}What moves?"), frames)
    assert ids_of(answerer(folder), about(see(folder, frames))) == expected


def test_words_alone(folder: Path, kind: str) -> None:
    expected = plain_ids(folder, WORDS[kind][0].format("What moves?"))
    assert ids_of(answerer(folder), about()) == expected


def test_without_a_door_for_features_they_go_in_as_embeddings(folder: Path) -> None:
    llm = answerer(folder)
    messages = about(see(folder, IMAGE), " and ", see(folder, VIDEO))
    expected = ids_of(llm, messages)
    other = answerer(folder)
    assert other._decoder is not None
    assert other._decoder._takes  # type: ignore[attr-defined]
    other._decoder._takes = False  # type: ignore[attr-defined]
    given: list[set[str]] = []
    hook = other._decoder.model.register_forward_pre_hook(lambda m, a, how: given.append({*how}), with_kwargs=True)
    assert ids_of(other, messages) == expected
    hook.remove()
    assert "inputs_embeds" in given[0]
    assert "mm_encoder_outputs" not in set().union(*given)


def test_slots_with_time_spans_of_their_own(folder: Path, kind: str) -> None:
    """As a memory gives them: fewer than there were frames, and unequally long."""
    whole = see(folder, VIDEO)
    rows = np.asarray(whole.tokens).reshape(whole.slots, -1, WIDTH)
    spans = [(0.0, 1.5), (1.5, 6.0), (6.0, 8.0)]
    meta = {"slots": 1, "layout": dict(whole.layout)}
    records = [
        Record("embedding", *span, tokens=rows[i], space=whole.space, times=(span[0],), meta=meta)
        for i, span in enumerate(spans)
    ]
    (tokens,) = Tokens.join(records)
    assert tokens.slots == 3
    found = ids_of(answerer(folder), about(tokens))
    even = replace(tokens, records=(), times=(0.0, 3.0, 6.0))
    same = found == ids_of(answerer(folder), about(even))
    assert same == (kind not in ("qwen2_5_vl", "smolvlm"))  # only these know of time
    if kind == "video_llava":
        assert found == featured(folder, WORDS[kind], np.asarray(tokens.tokens))


class Lined(VideoLlava):
    """A family that numbers its frames, and adds a row to each."""

    def write(self, part: Tokens) -> str:
        return "".join(f"Frame {i + 1}: <video>\n" for i in range(part.slots))

    def more(self, part: Tokens) -> int:
        return 1

    def rows(self, model: Any, given: Any, shown: Vision) -> Any:
        import torch

        return torch.cat([given, given[:1] * shown.starts[0]])


@pytest.mark.parametrize("takes", [True, False])
def test_a_family_may_write_each_slot_and_add_rows(folders: dict[str, Path], takes: bool) -> None:
    folder = folders["video_llava"]

    class Numbered(VideoLanguageModel):
        _family = property(lambda self: Lined(folder, self.checkpoint.config()))  # type: ignore[assignment]

    llm = Numbered(Numbered.Options(model=str(folder), device="cpu"))
    llm.load(POOL)
    tokens = see(folder, film(3))
    llm._decoder._takes = takes  # type: ignore[union-attr]
    slots = np.asarray(tokens.tokens).reshape(3, 17, WIDTH)
    rows = np.concatenate([[*slot, slot[0] * (i + 0.5)] for i, slot in enumerate(slots)])
    text = "".join(f"Frame {i + 1}: {'<video>' * 18}\n" for i in range(3))
    assert ids_of(llm, about(tokens)) == featured(folder, WORDS["video_llava"], rows, text)
    assert llm.count(tokens) == sum(map(len, llm.writer.write(about(tokens)))) - sum(
        map(len, llm.writer.write(about()))
    )


def featured(folder: Path, words: Sequence[str], rows: Any, shown: str = "") -> list[int]:
    """Return what the plain model answers to features, shown as a text with placeholders."""
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    model, tokenizer, _ = plain(folder)
    text = words[0].format((shown or "<video>" * len(rows) + "\n") + "What moves?")
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    outputs = {"video": BaseModelOutputWithPooling(pooler_output=torch.tensor(rows, dtype=torch.float32)[None])}
    return generated(model, {"input_ids": ids, "mm_encoder_outputs": outputs}, ids.shape[1], 16)


# What it keeps from turn to turn.


@pytest.mark.parametrize("step", [0.5, 9.0])  # in which Qwen2.5-VL's places in time run ahead of those of the text
def test_a_second_turn_is_fed_what_is_new_and_answers_as_a_fresh_run(folder: Path, step: float) -> None:
    llm = answerer(folder)
    fed = count_fed(llm)
    messages = about("First ", see(folder, IMAGE), " then ", see(folder, VIDEO, step=step))
    for question in ("Why?", "And then?"):
        said = ask(llm, messages)
        messages = [*messages, Message("assistant", (Text(said),)), user(Text(question, "question"))]
        before = fed()
        found = ids_of(llm, messages)
        assert fed() - before < 75  # of which the video would be more
        assert found == ids_of(answerer(folder), messages)


def test_a_cut_within_the_rows_of_a_video(folder: Path) -> None:
    llm = answerer(folder)
    assert llm._decoder is not None
    prompt = llm.writer.write(about(see(folder, VIDEO)))
    at = next(i for i, piece in enumerate(prompt) if isinstance(piece, Vision))
    short = [*prompt[:at], prompt[at], []]  # its last row is the last of the prompt, which is always fed
    sampler = llm._decoder.sampler(Generation())
    first = [id for id, _ in zip(llm._decoder.draw(short, sampler, 6), range(6), strict=True)]
    fed = count_fed(llm)
    assert [id for id, _ in zip(llm._decoder.draw(short, sampler, 6), range(6), strict=True)] == first
    assert fed() == 6  # one row, then an answer


def test_another_video_after_the_first_is_fed_alone(folder: Path) -> None:
    llm = answerer(folder)
    fed = count_fed(llm)
    image, video, other = see(folder, IMAGE), see(folder, VIDEO), see(folder, film(8, first=77))
    ids_of(llm, about(image, " and ", video))
    before = fed()
    found = ids_of(llm, about(image, " and ", other))
    assert fed() - before < llm.count(other) + 50
    assert found == ids_of(answerer(folder), about(image, " and ", other))


def test_the_same_rows_at_other_times_are_others(folders: dict[str, Path]) -> None:
    folder = folders["qwen2_5_vl"]
    llm = answerer(folder)
    slow, fast = (see(folder, VIDEO, step=step) for step in (9.0, 0.5))
    assert np.array_equal(slow.tokens, fast.tokens)  # type: ignore[arg-type]
    answers = [ids_of(llm, about(tokens)) for tokens in (slow, fast, slow)]
    assert answers[0] == answers[2] != answers[1]


def test_two_talks_at_once_do_not_meet(folder: Path) -> None:
    """Nothing of a talk is left on the model, which both share."""
    one, two = answerer(folder), answerer(folder)
    assert one._decoder is not None
    assert two._decoder is not None
    assert one._decoder.model is two._decoder.model
    talks = [about(see(folder, VIDEO, step=9.0)), about(see(folder, IMAGE), see(folder, OTHER))]
    alone = [ask(answerer(folder), talk) for talk in talks]
    replies = [iter(llm.answer(talk, Generation(max_tokens=16))) for llm, talk in zip((one, two), talks, strict=True)]
    pairs = list(zip_longest(*replies, fillvalue=""))
    assert ["".join(pieces) for pieces in zip(*pairs, strict=True)] == alone
    assert getattr(one._decoder.model.model, "rope_deltas", None) is None


# What stands in the prompt.


@pytest.mark.parametrize(
    "data",
    [
        "<video>",
        "<image>\n<|video_pad|>",
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<img><IMG_CONTEXT></img>",
        "<fake_token_around_image><global-img><image>",
    ],
)
def test_what_looks_like_vision_tokens_stays_letters(folder: Path, data: str) -> None:
    llm = answerer(folder)
    tokens = see(folder, VIDEO)
    prompt = llm.writer.write([user(perceived(data), tokens, Text(data, "question"))])
    assert len([piece for piece in prompt if isinstance(piece, Vision)]) == len(llm._family.runs(tokens))
    special = {*llm.writer.tokenizer.all_special_ids}
    plainly = llm.writer.write([user(perceived("x"), tokens, Text("x", "question"))])
    count = [sum(id in special for piece in p if isinstance(piece, list) for id in piece) for p in (prompt, plainly)]
    assert count[0] == count[1]
    letters = llm.writer.tokenizer.decode([id for piece in prompt if isinstance(piece, list) for id in piece])
    assert letters.count(data) == 2


def test_a_prompt_file_leaves_the_placeholders_to_the_backend(folder: Path) -> None:
    llm = answerer(folder)
    with pytest.raises(LLMError, match=r"must place \{video\} and leave the model's own tokens to it"):
        ask(llm, about(llm._family.token("video"), see(folder, VIDEO)))


def test_the_count_of_tokens_holds_those_around_them(folder: Path) -> None:
    llm = answerer(folder)
    for images in (VIDEO, OTHER, IMAGE):
        tokens = see(folder, images)
        with_it, without = (sum(map(len, llm.writer.write(about(*shown)))) for shown in ([tokens], []))
        assert llm.count(tokens) == with_it - without
        assert llm.count(tokens) > tokens.tokens.shape[0]
        reply = llm.answer(about(tokens), Generation(max_tokens=8))
        assert list(reply)
        assert reply.usage.prompt == with_it


def test_several_images_in_one_part_are_shown_one_by_one(folder: Path, kind: str) -> None:
    """As of a video of which one frame is seen in each window."""
    talk, _, image = WORDS[kind]
    images = film(3)
    found = [see(folder, [one], start=float(i)) for i, one in enumerate(images)]
    (tokens,) = Tokens.join([record for part in found for record in part.records])
    assert tokens.slots == 3
    expected = plain_ids(folder, talk.format(f"{image * 3}What moves?"), *[[one] for one in images])
    assert ids_of(answerer(folder), about(tokens)) == expected


def test_embeddings_that_do_not_fit(folder: Path) -> None:
    llm, tokens = answerer(folder), see(folder, VIDEO)
    with pytest.raises(LLMError, match=r"llm vlm takes embeddings made for 'weights@\w+', and these are for 'other'"):
        ask(llm, about(replace(tokens, space="other")))
    wide = np.zeros((4, WIDTH + 1), np.float32)
    with pytest.raises(LLMError, match=rf"llm vlm takes embeddings {WIDTH} wide, and these are 4x{WIDTH + 1}"):
        ask(llm, about(replace(tokens, tokens=wide)))


def test_it_takes_words_and_embeddings_and_has_the_window_of_its_words(folder: Path) -> None:
    llm = answerer(folder, Pool("cpu"), window=900)
    assert llm.accepts == {Text, Tokens}
    assert (llm.window, answerer(folder).window) == (900, 2048)
    assert llm.turn > 0


def test_stop_texts_end_it(folder: Path) -> None:
    llm, messages = answerer(folder), about(see(folder, VIDEO))
    whole = ask(llm, messages)
    reply = llm.answer(messages, Generation(max_tokens=16, stop=(whole[5:8],)))
    assert "".join(reply) == whole[: whole.index(whole[5:8])]
    assert reply.finish == "stop"
