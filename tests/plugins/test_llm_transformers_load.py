"""Loading: adapters, quantised weights, and everything that may be missing or wrong."""

import importlib.util
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

import videochat
from local_llm import decoded, generated, load, plain, prompt_ids, reference, save, say, talk
from tiny_llama import save_tiny_llama
from videochat import Pool, StackError, Text, UnavailableError
from videochat_plugins.llm.transformers import Transformers

pytest.importorskip("transformers", reason="the extra models is not installed")
# peft asks transformers by a name that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes the answer, as peft saves it."""
    return lora(folder, tmp_path_factory.mktemp("adapters") / "lora")


def lora(folder: Path, path: Path) -> Path:
    """Save a random LoRA adapter for a model; return its folder."""
    peft = pytest.importorskip("peft", reason="the extra lora is not installed")
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(path)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the model to spoil."""
    target = tmp_path / "copy"
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def check(**options: Any) -> None:
    Transformers(Transformers.Options(**options)).check()


# Adapters.


def test_an_adapter_is_that_of_peft(folder: Path, adapter: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), str(adapter)).merge_and_unload()
    ids = prompt_ids(folder, talk())
    expected = generated(merged.eval(), {"input_ids": ids}, ids.shape[1])
    assert expected != reference(folder, talk())
    assert say(load(folder, adapter=str(adapter)), talk()) == decoded(folder, expected)


def test_a_model_with_and_without_an_adapter_are_two(folder: Path, adapter: Path) -> None:
    pool = Pool("cpu")
    found = []
    for options in ({}, {"adapter": str(adapter)}, {}):
        llm = Transformers(Transformers.Options(model=str(folder), **options))
        llm.load(pool)
        found.append(say(llm, talk()))
        assert llm.space == Transformers(Transformers.Options(model=str(folder))).space
    assert found[0] == found[2] != found[1]
    assert len(pool) == 2
    ids = [weights.id for weights in Transformers(Transformers.Options(model="a/b", adapter=str(adapter))).weights()]
    assert ids[0] == "a/b"
    assert ids[1].startswith("lora@")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: (path / "adapter_config.json").unlink(), "lora has no adapter_config.json"),
        (lambda path: (path / "adapter_model.safetensors").unlink(), "lora has no adapter_model.safetensors"),
        (lambda path: (path / "adapter_model.safetensors").write_bytes(b"x"), "damaged or cut short"),
        (lambda path: (path / "adapter_config.json").write_text("{}"), "does not describe an adapter"),
        (
            lambda path: (path / "adapter_config.json").write_text('{"peft_type": "PREFIX_TUNING"}'),
            "of type PREFIX_TUNING, and this needs LORA",
        ),
    ],
)
def test_an_adapter_that_is_none(folder: Path, adapter: Path, tmp_path: Path, spoil: Any, said: str) -> None:
    target = tmp_path / "lora"
    target.mkdir()
    for file in adapter.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    spoil(target)
    with pytest.raises(UnavailableError, match=said):
        check(model=str(folder), adapter=str(target))


@pytest.mark.parametrize("family", ["GPTNeoX", "Qwen3"])
def test_an_adapter_for_another_model(adapter: Path, tmp_path: Path, family: str) -> None:
    other = save(tmp_path / family, family, hidden_size=48)
    with pytest.raises(UnavailableError, match=r"the adapter .*lora does not fit the model"):
        load(other, adapter=str(adapter))


def test_an_adapter_of_a_deeper_model_is_refused(folder: Path, tmp_path: Path) -> None:
    deeper = lora(save(tmp_path / "deep", num_hidden_layers=4), tmp_path / "lora")
    with pytest.raises(UnavailableError, match=r"not fit the model: that has no place for .*layers\.2\..* and 5 more"):
        load(folder, adapter=str(deeper))


def test_half_an_adapter_is_refused(folder: Path, adapter: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    target = tmp_path / "lora"
    target.mkdir()
    (target / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: weights[name] for name in list(weights)[1:]}, target / "adapter_model.safetensors")
    with pytest.raises(UnavailableError, match="does not fit the model: Found missing adapter keys"):
        load(folder, adapter=str(target))


# Quantised weights.


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model wide enough for blocks of 64 weights."""
    pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")
    return save(tmp_path_factory.mktemp("models") / "wide", hidden_size=64, intermediate_size=128)


@pytest.mark.parametrize(("quantisation", "layer"), [("8bit", "Linear8bitLt"), ("4bit", "Linear4bit")])
def test_quantised_weights_are_those_of_transformers(wide: Path, quantisation: Any, layer: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    llm = load(wide, quantisation=quantisation)
    assert llm._decoder is not None
    assert type(llm._decoder.model.model.layers[0].self_attn.q_proj).__name__ == layer
    nf4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": torch.float32}
    how: dict[str, Any] = {"load_in_8bit": True} if quantisation == "8bit" else {"load_in_4bit": True, **nf4}
    config = BitsAndBytesConfig(**how)
    model = AutoModelForCausalLM.from_pretrained(wide, quantization_config=config, device_map={"": "cpu"})
    ids = prompt_ids(wide, talk())
    assert say(llm, talk()) == decoded(wide, generated(model, {"input_ids": ids}, ids.shape[1]))


def test_quantised_and_whole_models_are_two(wide: Path) -> None:
    pool = Pool("cpu")
    for quantisation in (None, "4bit", "4bit"):
        Transformers(Transformers.Options(model=str(wide), quantisation=quantisation)).load(pool)
    assert len(pool) == 2


@pytest.mark.parametrize("saved", [False, True], ids=["quantised here", "quantised as saved"])
def test_an_adapter_beside_quantised_weights(wide: Path, tmp_path: Path, saved: bool) -> None:
    adapter, folder = lora(wide, tmp_path / "lora"), wide
    how: dict[str, Any] = {"quantisation": "4bit"}
    if saved:
        folder, how = Path(shutil.copytree(wide, tmp_path / "quantised")), {}
        (folder / "model.safetensors").unlink()
        load(wide, quantisation="4bit")._decoder.model.save_pretrained(folder)  # type: ignore[union-attr]
    bare, adapted = (load(folder, adapter=path, **how) for path in ("", str(adapter)))
    assert say(bare, talk()) != say(adapted, talk())
    assert adapted._decoder is not None
    model = adapted._decoder.model
    assert type(model).__name__ == "LlamaForCausalLM"
    query = model.model.layers[0].self_attn.q_proj
    assert type(query.base_layer).__name__ == "Linear4bit"  # the adapter stands beside it
    assert "default" in query.lora_A


def test_8bit_weights_are_not_talked_about(
    wide: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.NOTSET)
    assert say(load(wide, quantisation="8bit"), talk(), max_tokens=3)
    assert [record for record in caplog.records if record.name.startswith("bitsandbytes")] == []
    assert "MatMul8bitLt" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("module", "options", "command"),
    [
        ("bitsandbytes", {"quantisation": "4bit"}, 'llm.quantisation needs bitsandbytes: pip install "videochat[quan'),
        ("peft", {"adapter": "org/lora"}, 'llm.adapter needs peft: pip install "videochat[lora]"'),
    ],
)
def test_a_missing_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, options: dict[str, Any], command: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "videochat_plugins.llm.transformers_load.find_spec", lambda name: None if name == module else found(name)
    )
    with pytest.raises(UnavailableError) as raised:
        check(model=str(folder), **options)
    assert str(raised.value).startswith(command)


# What may be wrong.


def test_a_model_without_a_chat_template_says_which_forms_there_are(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path, chat=False)
    with pytest.raises(UnavailableError, match=r"has no chat template: set llm\.template to .* moss, stablelm, "):
        check(model=str(folder))
    prompt = plain(folder)[1](
        "<s>###Human: You see a video:\na red ball\n###Human: Question: What moves?\n###Assistant:",
        add_special_tokens=False,
        return_tensors="pt",
    )
    expected = generated(plain(folder)[0], dict(prompt), prompt["input_ids"].shape[1], 3)
    assert say(load(folder, template="videochat"), talk(), max_tokens=3) == decoded(folder, expected)


def test_a_chat_template_that_the_tokenizer_does_not_read_is_none(copy: Path) -> None:
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    with pytest.raises(UnavailableError, match="has no chat template"):
        check(model=str(copy))


@pytest.mark.parametrize(("nested", "known"), [(None, True), ({}, True), ({"hidden_size": 8}, False)])
def test_a_window_that_is_not_known_is_told_at_once(copy: Path, nested: Any, known: bool) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "text_config": nested}))
    if known:
        check(model=str(copy))
    else:
        with pytest.raises(StackError, match=r"does not say how much it reads: set llm\.window"):
            check(model=str(copy))
        check(model=str(copy), window=100)


def test_a_form_that_is_none_is_a_stack_error(folder: Path) -> None:
    with pytest.raises(StackError, match=r"llm\.template: no chat form 'vicunna'; did you mean vicuna\?"):
        videochat.load("offline", ["llm.template=vicunna"], llm=f"transformers:{folder}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no model.safetensors"),
        ("tokenizer.json", "has no tokenizer.json or tokenizer.model"),
    ],
)
def test_a_missing_file_is_named(copy: Path, name: str, said: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UnavailableError, match=said):
        check(model=str(copy))


def test_a_cut_file_is_named(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UnavailableError, match=r"model\.safetensors is damaged or cut short"):
        check(model=str(copy))


def test_a_tokenizer_that_cannot_be_read(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(UnavailableError, match=r"the tokenizer of .* cannot be loaded"):
        load(copy).count(Text("x"))


def test_no_code_of_a_checkpoint_is_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text(f"open({str(copy / 'run')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(UnavailableError, match="cannot be loaded"):
        load(copy)
    assert not (copy / "run").exists()


def test_a_model_without_keys_and_values_is_refused(tmp_path: Path) -> None:
    import transformers

    folder = save_tiny_llama(tmp_path)
    config = transformers.MambaConfig(vocab_size=400, hidden_size=16, num_hidden_layers=1, state_size=4)
    transformers.MambaForCausalLM(config).save_pretrained(folder)
    with pytest.raises(UnavailableError, match="is a mamba model, and this needs a decoder with attention"):
        load(folder, window=100)


def test_no_such_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no checkpoint"):
        check(model=str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError, match=r"Qwen/Qwen3-1.7B \(4080 MB\) is not here"):
        Transformers().fetch()


def test_no_such_device(folder: Path) -> None:
    with pytest.raises(StackError, match="there is no device cuda:99"):
        Transformers(Transformers.Options(model=str(folder), device="cuda:99")).load(Pool("cpu"))


@pytest.mark.parametrize(
    "options",
    [{"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}, {"repetition_penalty": 0}, {"quantisation": "2bit"}, {"model": ""}],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Transformers.Options(**options)


def test_tokens_are_counted_without_the_weights(folder: Path, tmp_path: Path) -> None:
    llm = Transformers(Transformers.Options(model=str(folder)))
    assert llm.count(Text("A man in a red jacket")) == len(plain(folder)[1].encode("A man in a red jacket"))
    assert llm._decoder is None


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_precision(folder: Path, precision: str) -> None:
    llm = load(folder, precision=precision)
    assert llm._decoder is not None
    model, ids = llm._decoder.model, prompt_ids(folder, talk())
    assert str(model.dtype) == f"torch.{precision}"
    assert say(llm, talk()) == decoded(folder, generated(model, {"input_ids": ids}, ids.shape[1]))


def test_after_close_the_pool_alone_holds_the_model(folder: Path) -> None:
    import gc
    import weakref

    pool = Pool("cpu")
    llm = Transformers(Transformers.Options(model=str(folder)))
    llm.load(pool)
    say(llm, talk(), max_tokens=3)
    assert llm._decoder is not None
    model = weakref.ref(llm._decoder.model)
    llm.close()
    assert model() is not None
    pool.trim()
    gc.collect()
    assert model() is None
