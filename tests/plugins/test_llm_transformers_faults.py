"""Language models on this machine, asked too much or answering too little: one clear error each."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local_llm import count_fed, decoded, load, plain, reference, save, say, talk
from videochat import Generation, LLMError, StackError, Text
from videochat_plugins.llm.transformers import Transformers

pytest.importorskip("transformers", reason="the extra models is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def llm(folder: Path) -> Transformers:
    return load(folder)


def test_a_prompt_that_is_too_long_is_refused_before_any_work(folder: Path) -> None:
    llm = load(folder, window=50)
    fed = count_fed(llm)
    with pytest.raises(LLMError, match=r"takes 50 tokens, prompt and answer together, and the prompt alone has \d+"):
        say(llm, talk())
    assert fed() == 0


def test_an_answer_ends_with_the_window(folder: Path, llm: Transformers) -> None:
    reply = llm.answer(talk(), Generation(max_tokens=1))
    list(reply)
    short = load(folder, window=reply.usage.prompt + 3)
    reply = short.answer(talk(), Generation(max_tokens=24))
    list(reply)
    assert (reply.finish, reply.usage.answer) == ("length", 3)


def test_the_window_is_the_models(folder: Path, tmp_path: Path) -> None:
    assert load(folder).window == 2048
    (tmp_path / "config.json").write_text('{"text_config": {"n_positions": 77}}')
    assert Transformers(Transformers.Options(model=str(tmp_path))).window == 77
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StackError, match=r"set llm\.window"):
        _ = Transformers(Transformers.Options(model=str(tmp_path))).window


@pytest.mark.parametrize(
    ("precision", "mend"), [("float32", "its weights are damaged"), ("bfloat16", r"set llm\.precision to float32")]
)
def test_numbers_that_overflow_are_no_answer(folder: Path, precision: str, mend: str) -> None:
    import torch

    llm = load(folder, precision=precision)
    with torch.no_grad():
        llm._decoder.model.lm_head.weight[5] = float("nan")  # type: ignore[union-attr]
    for temperature in (0.0, 1.0):
        with pytest.raises(LLMError, match=rf"model's numbers overflow in torch\.{precision}: {mend}"):
            say(llm, talk(), temperature=temperature)


def test_an_answer_of_nothing_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = load(folder)
    first = reference(folder, talk())[0]
    with monkeypatch.context() as patch:
        patch.setattr(llm._decoder.model.generation_config, "eos_token_id", first)  # type: ignore[union-attr]
        with pytest.raises(LLMError, match=r"an empty answer \(finish reason: stop\); ask in other words"):
            say(llm, talk())
    with pytest.raises(LLMError, match="an empty answer"):
        say(llm, talk(), stop=(decoded(folder, [first])[:1],))
    blank = plain(folder)[1].encode(" ", add_special_tokens=False)[0]
    hook = llm._decoder.model.register_forward_hook(partial(_always, blank))  # type: ignore[union-attr]
    with pytest.raises(LLMError, match=r"its token limit ended the answer before the first word; raise llm.max_tokens"):
        say(llm, talk())
    hook.remove()
    assert say(llm, talk()) == decoded(folder, reference(folder, talk()))


def _always(id: int, module: Any, given: Any, found: Any) -> Any:
    found.logits[..., id] = 1e4
    return found


def test_half_a_surrogate_is_asked_about_too(llm: Transformers) -> None:
    assert say(llm, talk(question="a\udcff")) == say(llm, talk(question="a?"))
    assert llm.count(Text("a\udcff")) == llm.count(Text("a?"))


def test_out_of_memory_says_what_helps(folder: Path) -> None:
    import torch

    llm = load(folder)

    def fail(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    llm._decoder.model.register_forward_pre_hook(fail)  # type: ignore[union-attr]
    with pytest.raises(LLMError, match=r"ran out of memory on cpu with a prompt of \d+ tokens: set llm.quantisation"):
        say(llm, talk())
