"""T5 with random weights: what it is given, in which batches, and what becomes of what it writes."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import videochat
from components import Seeing
from media import Made, make
from videochat import Pool, Record, Stack, StackError, UnavailableError
from videochat.save import explain, save
from videochat_plugins.refine.t5 import T5

WORDS = "a man dog rides runs jumps sits red blue bike park street . : summarize Correct the grammar"


def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.decoders import WordPiece
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", *WORDS.split(), *(f"n{i}" for i in range(79))]
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    model.pre_tokenizer, model.decoder = Whitespace(), WordPiece(prefix="##")
    model.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(3)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    config = T5Config(vocab_size=100, decoder_start_token_id=0, tie_word_embeddings=False, **sizes)
    model = T5ForConditionalGeneration(config)
    model.lm_head.weight.data[:3] = 0  # or what it writes may be nothing
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool("cpu")


@pytest.fixture
def given_texts(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the model was given, as words, call by call."""
    from transformers import T5ForConditionalGeneration

    words = tokenizer()
    calls: list[list[str]] = []
    generate = T5ForConditionalGeneration.generate

    def watched(self: Any, input_ids: Any, **how: Any) -> Any:
        assert input_ids.shape == how["attention_mask"].shape
        calls.append(words.batch_decode(input_ids, skip_special_tokens=True))
        return generate(self, input_ids=input_ids, **how)

    monkeypatch.setattr(T5ForConditionalGeneration, "generate", watched)
    return calls


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=150)


def refiner(checkpoint: Path, pool: Pool, **options: Any) -> T5:
    short = {"output_tokens": 8, "input_tokens": 32}
    found = T5(T5.Options.model_validate({"checkpoint": str(checkpoint), **short, **options}))
    found.load(pool)
    return found


def captions(count: int, seconds: float = 1.0, words: int = 7) -> list[Record]:
    """Captions of which no two are equal, each of `words` tokens, the full stop and the end mark included."""
    body = [" ".join(["man", "rides", "bike", "park", "street", "red"][: words - 3]) for _ in range(count)]
    return [
        Record("caption", i * seconds, (i + 1) * seconds, f"n{i % 79} {text}", source="caption")
        for i, text in enumerate(body)
    ]


def test_captions_become_one_summary_that_spans_them(
    checkpoint: Path, pool: Pool, given_texts: list[list[str]]
) -> None:
    held = captions(3)
    *passed, summary = refiner(checkpoint, pool).refine(iter(held))
    assert passed == held
    assert (summary.kind, summary.start, summary.end) == ("summary", 0.0, 3.0)
    assert summary.parents == tuple(record.id for record in held)
    assert summary.text
    assert summary.meta == {"captions": 3}
    assert given_texts == [["summarize : n0 man rides bike park. n1 man rides bike park. n2 man rides bike park."]]


def test_without_captions_the_model_is_not_called(checkpoint: Path, pool: Pool, given_texts: list[list[str]]) -> None:
    others = [Record("speech", 0, 1, "hello"), Record("region", 0, 0, "a dog"), Record("caption", 0, 1, "")]
    for records in ([], others):
        assert list(refiner(checkpoint, pool, clean=True).refine(iter(records))) == records
    assert given_texts == []


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_a_film_is_read_in_chunks_and_these_in_batches(
    checkpoint: Path, pool: Pool, given_texts: list[list[str]], batch: int
) -> None:
    held = captions(200)
    *_, summary = refiner(checkpoint, pool, batch=batch).refine(iter(held))
    assert summary.parents == tuple(record.id for record in held)
    assert (summary.start, summary.end) == (0.0, 200.0)
    assert max(map(len, given_texts)) <= batch
    # The prompt takes 3 of 32 tokens, a caption 7, a summary 10 with its end: 4 captions to a chunk, then 2 summaries.
    levels = [50, 25, 13, 7, 4, 2, 1]
    calls = [math.ceil(chunks / batch) for chunks in levels]
    assert len(given_texts) == sum(calls)
    first = [text for call in given_texts[: calls[0]] for text in call]
    assert " ".join(text.removeprefix("summarize : ") for text in first) == " ".join(f"{r.text}." for r in held)
    assert sum(map(len, given_texts)) == sum(levels)


def test_nothing_waits_for_the_end_but_the_last_chunk(checkpoint: Path, pool: Pool) -> None:
    found = refiner(checkpoint, pool, batch=2)
    written: list[int] = []
    write = found._write
    found._write = lambda prompts: written.append(len(prompts)) or write(prompts)  # type: ignore[method-assign, func-returns-value]

    def stream() -> Iterator[Record]:
        for i, record in enumerate(captions(80)):
            assert sum(written) >= i // 4 - 2  # chunks are summarised as they fill
            yield record

    for i, record in enumerate(found.refine(stream())):
        assert record.kind == ("caption" if i < 80 else "summary")


def test_one_summary_for_each_stretch(checkpoint: Path, pool: Pool, given_texts: list[list[str]]) -> None:
    held = captions(20)
    del held[10:15]  # nothing is said from 10 to 15 s
    found = list(refiner(checkpoint, pool, per=5, batch=64).refine(iter(held)))
    summaries = [record for record in found if record.kind == "summary"]
    assert [(record.start, record.end) for record in summaries] == [(0, 5), (5, 10), (15, 20)]
    assert [parent for record in summaries for parent in record.parents] == [record.id for record in held]
    assert [len(call) for call in given_texts] == [6, 3]  # four and one of each, then both as one


def test_a_caption_that_goes_on_is_said_once(checkpoint: Path, pool: Pool, given_texts: list[list[str]]) -> None:
    held = [Record("caption", i, i + 1, "a dog runs" if i < 6 else "a dog sits") for i in range(8)]
    *_, summary = refiner(checkpoint, pool).refine(iter(held))
    assert given_texts == [["summarize : a dog runs. a dog sits."]]
    assert len(summary.parents) == 8


def test_a_caption_longer_than_the_encoder_is_cut(checkpoint: Path, pool: Pool, given_texts: list[list[str]]) -> None:
    held = [Record("caption", i, i + 1, " ".join(["dog"] * 500) + f" n{i}") for i in range(3)]
    found = refiner(checkpoint, pool)
    *_, summary = found.refine(iter(held))
    assert len(summary.parents) == 3
    assert all(len(text.split()) <= 32 for call in given_texts for text in call)
    assert found.notes == ["texts longer than input_tokens, 32, whose ends were not read: 3"]
    found.load(pool)
    assert found.notes == []  # of another run
    list(found.refine(iter(captions(4))))
    assert found.notes == []


@pytest.mark.parametrize("written", [0, 1])
def test_where_the_model_writes_nothing_the_ledger_says_so(checkpoint: Path, pool: Pool, written: int) -> None:
    found = refiner(checkpoint, pool, batch=9)
    found._write = lambda prompts: ["a dog runs"] * written + [" "] * (len(prompts) - written)  # type: ignore[method-assign]
    held = captions(12)
    refined = list(found.refine(iter(held)))
    assert [record.text for record in refined if record.kind == "summary"] == ["a dog runs"] * written
    told = "chunks of captions of which the model wrote nothing, so that no summary tells of them"
    assert found.notes == [f"{told}: {3 - written}"]


def test_a_prompt_that_leaves_no_room_is_refused(checkpoint: Path, pool: Pool) -> None:
    words = "a man rides " * 5
    refiner(checkpoint, pool, prompt=words)  # 16 tokens of 32
    refiner(checkpoint, pool, clean_prompt=words * 9)  # not asked for
    for name in ("prompt", "clean_prompt"):
        with pytest.raises(StackError, match=rf"refine t5: {name} takes 17 of input_tokens, 32, and must leave half"):
            refiner(checkpoint, pool, clean=True, **{name: f"{words} dog"})


def test_clean_captions_stand_in_the_place_of_theirs(
    checkpoint: Path, pool: Pool, given_texts: list[list[str]]
) -> None:
    held = [record for said in captions(5) for record in (said, Record("tag", said.start, said.end, "dog"))]
    found = list(refiner(checkpoint, pool, clean=True, batch=2).refine(iter(held)))
    old = [record for record in held if record.kind == "caption"]
    new = [record for record in found if record.kind == "caption"]
    assert [record for record in found if record.kind == "tag"] == [record for record in held if record.kind == "tag"]
    assert [(r.start, r.end, r.source) for r in new] == [(r.start, r.end, r.source) for r in old]
    assert [r.parents for r in new] == [(r.id,) for r in old]
    assert all(a.text != b.text for a, b in zip(old, new, strict=True))
    (summary,) = (record for record in found if record.kind == "summary")
    assert summary.parents == tuple(record.id for record in new)
    cleaned = [call for call in given_texts if call[0].startswith("Correct the grammar")]
    assert [len(call) for call in cleaned] == [2, 2, 1]


def test_what_comes_to_nothing_stays_what_it_was(checkpoint: Path, pool: Pool) -> None:
    found = refiner(checkpoint, pool, clean=True)
    found._write = lambda prompts: [" "] * len(prompts)  # type: ignore[method-assign]
    held = captions(3)
    assert list(found.refine(iter(held))) == held


@settings(max_examples=25)
@given(
    starts=st.lists(st.tuples(st.floats(0, 500), st.floats(0, 20), st.sampled_from(["caption", "tag"])), max_size=60),
    per=st.one_of(st.just("video"), st.floats(0.5, 300)),
    batch=st.integers(1, 9),
)
def test_each_caption_is_in_one_summary_that_covers_it(
    checkpoint: Path, pool: Pool, starts: list[tuple[float, float, str]], per: Any, batch: int
) -> None:
    found = refiner(checkpoint, pool, per=per, batch=batch)
    found._write = lambda prompts: [prompt[-9:] for prompt in prompts]  # type: ignore[method-assign]
    held = [
        Record(kind, start, start + length, f"a dog n{i} runs")
        for i, (start, length, kind) in enumerate(sorted(starts))
    ]
    refined = list(found.refine(iter(held)))
    summaries = [record for record in refined if record.kind == "summary"]
    assert [record for record in refined if record.kind != "summary"] == held
    by_id = {record.id: record for record in held if record.kind == "caption"}
    assert sorted(parent for record in summaries for parent in record.parents) == sorted(by_id)
    for summary in summaries:
        assert summary.start == min(by_id[parent].start for parent in summary.parents)
        assert summary.end == max(by_id[parent].end for parent in summary.parents)


def stack(checkpoint: Path, **options: Any) -> Stack:
    def see(window: Any) -> list[Record]:
        which = int(window.start) % 3
        return [Record("caption", window.start, window.end, ["a dog runs", "a man sits", "a red bike"][which])]

    values = {"use": "t5", "checkpoint": str(checkpoint), "output_tokens": 8, "input_tokens": 32, **options}
    captions = Seeing(see, emits=("caption",), frames=1, over=1.0)
    return Stack(perceive={"caption": captions}, refine={"summary": values}, format="table1", device="cpu")


def test_a_stack_prints_the_summary_above_the_captions(checkpoint: Path, clip: Made) -> None:
    context = stack(checkpoint).watch(clip.path)
    assert context.faults == ()
    (summary,) = (record for record in context.records if record.kind == "summary")
    assert (summary.start, summary.end, summary.source) == (0.0, 6.0, "summary")
    seen = [record for record in context.records if record.kind == "caption"]
    assert summary.parents == tuple(record.id for record in seen)
    lines = [line.text for line in context.lines()]
    assert lines[0] == summary.text
    assert lines[1:] == [f"00:0{i}-00:0{i + 1} {record.text}" for i, record in enumerate(seen)]


def test_explain_leads_from_the_summary_to_the_first_captions(checkpoint: Path, clip: Made, tmp_path: Path) -> None:
    save(stack(checkpoint, clean=True).watch(clip.path), tmp_path / "out")
    (summary,) = explain(tmp_path / "out", 1)["records"]
    assert (summary["kind"], summary["plugin"]["use"]) == ("summary", "t5")
    seen = [first["text"] for clean in summary["parents"] for first in clean["parents"]]
    assert seen == ["a dog runs", "a man sits", "a red bike"] * 2


def test_a_stack_in_a_file(checkpoint: Path, clip: Made, tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(
        f"perceive: {{look: {{use: look, over: 2}}}}\nrefine:\n  summary: {{use: t5, checkpoint: {checkpoint}}}\n"
        "device: cpu\n"
    )
    context = videochat.load(str(file)).watch(clip.path)
    assert {record.kind for record in context.records} == {"look"}  # nothing to summarise, and no fault
    assert context.faults == ()


def test_out_of_memory_halves_the_batch_and_changes_nothing(
    checkpoint: Path, pool: Pool, given_texts: list[list[str]]
) -> None:
    import torch

    held = captions(24)
    *_, whole = refiner(checkpoint, pool, batch=8).refine(iter(held))
    found = refiner(checkpoint, pool, batch=8)

    def short(module: Any, arguments: Any, keywords: Any) -> None:
        if keywords["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("too much")

    hook = found._model.encoder.register_forward_pre_hook(short, with_kwargs=True)
    try:
        *_, halved = found.refine(iter(held))
    finally:
        hook.remove()
    assert halved == whole
    assert list(found.notes) == ["out of memory: batch 6 to 3", "out of memory: batch 3 to 1"]


def test_a_checkpoint_that_will_not_do(checkpoint: Path, pool: Pool, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(checkpoint, tmp_path / "bare")
    (tmp_path / "bare" / "tokenizer.json").unlink()
    with pytest.raises(UnavailableError, match=r"no tokenizer.json or spiece.model"):
        T5(T5.Options(checkpoint=str(tmp_path / "bare"))).check()
    shutil.copytree(checkpoint, tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(config.read_text().replace('"model_type": "t5"', '"model_type": "bart"'))
    with pytest.raises(UnavailableError, match="is a bart model, and this needs t5"):
        T5(T5.Options(checkpoint=str(tmp_path / "other"))).check()
    shutil.copytree(checkpoint, tmp_path / "broken")
    (tmp_path / "broken" / "tokenizer.json").write_text('{"model": {}')
    with pytest.raises(UnavailableError, match=r"the tokenizer of .*broken cannot be loaded"):
        T5(T5.Options(checkpoint=str(tmp_path / "broken"))).load(pool)
    with pytest.raises(UnavailableError, match=r"google/flan-t5-base \(990 MB\)"):
        T5().fetch()


@pytest.mark.parametrize(
    "options", [{"per": 0}, {"per": "segment"}, {"beams": 0}, {"input_tokens": 64, "output_tokens": 22}]
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        T5.Options.model_validate(options)
