"""What components with a network share: precision, device, one copy of each model, weights that do not fit."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from videochat import Pool, StackError, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.pretrained import ModelOptions, Pretrained, load_model, upload

torch = pytest.importorskip("torch", reason="the extra models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra models is not installed")


class Tower(Pretrained):
    """A component with a tiny model."""

    class Options(ModelOptions):
        checkpoint: str = "nobody/tower"

    released: ClassVar = {"nobody/tower": 12_000_000}
    model_types = ("bert",)


def tiny(folder: Path, **changes: Any) -> Path:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(vocab_size=20, **(sizes | changes)))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("models") / "bert")


def tower(**options: Any) -> Tower:
    return Tower(Tower.Options(**options))


def test_a_default_checkpoint_is_known_by_size_without_a_network() -> None:
    (weights,) = tower().weights()
    assert (weights.id, weights.bytes, weights.here) == ("nobody/tower", 12_000_000, False)


def test_a_model_is_loaded_once_for_all_who_use_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    from transformers import modeling_utils

    really = modeling_utils.safe_open

    def opens(file: Any, *args: Any, **more: Any) -> Any:
        opened.append(str(file))
        return really(file, *args, **more)

    monkeypatch.setattr(modeling_utils, "safe_open", opens)
    pool, models = Pool("cpu"), []
    for part in (tower(checkpoint=str(saved)), tower(checkpoint=str(saved), batch=4)):
        part.load(pool)
        models.append(part.pretrained(pool, transformers.BertModel))
    assert models[0] is models[1]
    assert sum(file.endswith("model.safetensors") for file in opened) == 1, "each weight file is read once"
    assert not models[0].training
    assert not any(weight.requires_grad for weight in models[0].parameters())


def test_on_a_cpu_numbers_are_float32_unless_asked_for(saved: Path) -> None:
    pool = Pool("cpu")
    assert tower().precision(pool) == "float32"
    part = tower(checkpoint=str(saved), precision="bfloat16")
    assert part.precision(pool) == "bfloat16"
    part.load(pool)
    assert part.pretrained(pool, transformers.BertModel).dtype == torch.bfloat16
    assert tower(precision="float16", device="cpu").precision(Pool("cuda")) == "float16"
    assert tower(device="cpu").precision(Pool("cuda")) == "float32"


def test_the_batch_is_the_devices_own_unless_asked_for() -> None:
    part = tower()
    part.load(Pool("cpu"))
    assert part.batches.size == Tower.batch_sizes["cpu"]
    part = tower(batch=7)
    part.load(Pool("cpu"))
    assert part.batches.size == 7


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(StackError, match=r"there is no device cuda:99: torch sees"):
        tower(device="cuda:99").load(Pool("cpu"))


def test_a_model_of_another_kind_is_refused(saved: Path, tmp_path: Path) -> None:
    tower(checkpoint=str(saved)).check()
    config = transformers.T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=20)
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    with pytest.raises(UnavailableError, match="is a t5 model, and this needs bert"):
        tower(checkpoint=str(tmp_path / "t5")).check()


def test_weights_that_lack_something_are_named(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny(tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    gone = "encoder.layer.1.output.dense.weight"
    del weights[gone]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnavailableError, match=rf"lacks {gone}"):
        load_model(transformers.BertModel, Checkpoint(str(folder)), "float32", "cpu")


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    folder, other = tiny(tmp_path / "bert"), tiny(tmp_path / "wide", intermediate_size=32)
    (folder / "config.json").write_bytes((other / "config.json").read_bytes())
    with pytest.raises(UnavailableError, match=r"encoder\.layer\.0\.intermediate\.dense"):
        load_model(transformers.BertModel, Checkpoint(str(folder)), "float32", "cpu")


def test_weights_without_a_place_are_named_where_all_must_have_one(tmp_path: Path) -> None:
    folder, less = tiny(tmp_path / "bert"), tiny(tmp_path / "less", num_hidden_layers=1)
    (folder / "config.json").write_bytes((less / "config.json").read_bytes())
    assert load_model(transformers.BertModel, Checkpoint(str(folder)), "float32", "cpu")
    with pytest.raises(UnavailableError, match=r"has no place for: encoder\.layer\.1\."):
        load_model(transformers.BertModel, Checkpoint(str(folder)), "float32", "cpu", whole=True)


def test_a_config_of_wrong_types_is_told(tmp_path: Path) -> None:
    config = tiny(tmp_path / "bert") / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": "wide"}))
    with pytest.raises(UnavailableError, match="cannot be loaded"):
        load_model(transformers.BertModel, Checkpoint(str(tmp_path / "bert")), "float32", "cpu")


def test_frames_go_up_in_one_copy_and_unchanged() -> None:
    import numpy as np

    images = [np.random.default_rng(i).integers(0, 256, (4, 6, 3), np.uint8) for i in range(3)]
    batch = upload(images, "cpu")
    assert (batch.shape, batch.dtype) == ((3, 4, 6, 3), torch.uint8)
    assert np.array_equal(batch.numpy(), np.stack(images))


@pytest.mark.parametrize("name", ["", "  "])
def test_a_checkpoint_has_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="must name a model"):
        tower(checkpoint=name)


class Fake:
    """As much of a GPU as a choice of precision asks about."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, native: bool) -> None:
        import contextlib

        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "device", lambda index: contextlib.nullcontext())
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
        )


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float16")])
def test_a_gpu_that_only_emulates_bfloat16_gets_float16(
    native: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fake(monkeypatch, count=2, native=native)
    assert tower().precision(Pool("cuda")) == precision
    assert tower(device="cuda:1").precision(Pool("cpu")) == precision


def test_without_torch_a_plan_still_knows_a_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videochat_plugins.models.pretrained.find_spec", lambda name: None)
    assert tower().precision(Pool("cuda")) == "float32"


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "mps", "cuda:", "CPU"])
def test_only_devices_that_there_are_can_be_named(device: str) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        tower(device=device)


def test_where_it_runs_is_no_part_of_what_it_finds(saved: Path) -> None:
    from videochat.cache import identity

    Tower.stage = "perceive"
    options = ({}, {"device": "cpu"}, {"precision": "float32"}, {"batch": 7})
    given = [identity(tower(checkpoint=str(saved), **one), Pool("cpu")) for one in options]
    assert all(one == given[0] for one in given)
    assert identity(tower(checkpoint=str(saved), precision="bfloat16"), Pool("cpu")) != given[0]


def test_a_damaged_pickle_is_a_damaged_file(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "config.json").write_bytes((saved / "config.json").read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02garbage")
    with pytest.raises(UnavailableError, match=r"cannot be loaded|damaged weight file") as caught:
        load_model(transformers.BertModel, Checkpoint(str(folder)), "float32", "cpu")
    assert "weights_only=False" not in str(caught.value)


def test_memory_that_runs_out_while_loading_is_no_fault_of_the_checkpoint(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(transformers.BertModel, "from_pretrained", full)
    with pytest.raises(torch.OutOfMemoryError):
        load_model(transformers.BertModel, Checkpoint(str(saved)), "float32", "cpu")
