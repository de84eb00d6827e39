"""`videochat convert`: the files that VideoChat's makers released, built tiny, into one folder; and wrong ones."""

import json
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from command_line import Done, complaint, run, spawn
from tiny_llama import save_tiny_llama
from tiny_videochat import QFORMER, VISION, tiny_network, tiny_released
from videochat import UnavailableError
from videochat.hookspecs import Event, hookimpl
from videochat.registry import registry
from videochat_plugins.learn import convert, convert_write
from videochat_plugins.learn.convert_names import folded
from videochat_plugins.learn.convert_read import read_folder
from videochat_plugins.learn.convert_sizes import config_of
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.space import space_of
from videochat_plugins.models.videochat_embed.network import VideoChatEmbed
from videochat_plugins.models.videochat_embed.released import rename

Changes = Mapping[str, Tensor | None]
# What tiny weights do not tell.
SIZES = {
    "vision_config": {"num_hidden_layers": VISION["num_hidden_layers"], "num_attention_heads": 4},
    "qformer_config": {"num_attention_heads": QFORMER["num_attention_heads"]},
}
TEXT_SIDE = {
    "t5_proj.weight": torch.ones(8, 24),
    "Qformer.bert.embeddings.word_embeddings.weight": torch.ones(9, 24),
    "Qformer.bert.encoder.layer.0.intermediate.dense.bias": torch.ones(48),
    "Qformer.cls.predictions.bias": torch.ones(9),
}


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, Tensor]]:
    """Return what each released file holds."""
    found = tiny_released(tiny_network())
    found["qformer"] |= TEXT_SIDE
    found["vit"] |= {"norm.weight": torch.ones(32), "norm.bias": torch.ones(32), "head.weight": torch.ones(5, 32)}
    return found


@pytest.fixture(scope="module")
def files(states: dict[str, dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    torch.save(states["vit"], folder / "vit.pth")
    torch.save({"model": states["qformer"]}, folder / "qformer.pth")
    torch.save({"model": states["videochat"], "epoch": 2}, folder / "videochat.pth")
    wide = tiny_released(tiny_network(llm_width=40, seed=1))["videochat"]
    torch.save({"model": wide}, folder / "wide.pth")
    (folder / "sizes.json").write_text(json.dumps(SIZES))
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def change(files: Path, states: dict[str, dict[str, Tensor]], tmp_path: Path) -> Callable[[str, Changes], Path]:
    """Return what writes a released file with some weights changed, or left out where they are None."""

    def changed(name: str, changes: Changes) -> Path:
        state = {key: weight for key, weight in (states[name] | changes).items() if weight is not None}
        torch.save({"model": state}, tmp_path / f"{name}.pth")
        return tmp_path / f"{name}.pth"

    return changed


def words(files: Path, out: Path, **other: Path) -> list[str | Path]:
    """Return the arguments that convert the released files, or others in their place."""
    found: list[str | Path] = ["convert", out, "--config", files / "sizes.json"]
    for name in ("vit", "qformer", "videochat"):
        found += [f"--{name}", other.get(name, files / f"{name}.pth")]
    return found


def refused(done: Done, out: Path, code: int = 6) -> str:
    """Return why a conversion was refused; nothing is left of it."""
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert not out.exists()
    assert [path for path in out.parent.iterdir() if path.name.startswith(".")] == []
    return done.err


def load(folder: Path) -> VideoChatEmbed:
    found, told = VideoChatEmbed.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for weight in found.parameters():
        weight.data = weight.data.clone()  # where a weight lies in its file changes how sums are rounded
    return found


def tokens(network: VideoChatEmbed) -> Tensor:
    video = torch.randn(1, 3, 3, 28, 28, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return network.eval()(video)


def test_the_folder_is_the_network(files: Path, states: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    done = run(*words(files, tmp_path / "out"))
    assert done.code == 0, done
    network = tiny_network()
    assert torch.equal(tokens(load(tmp_path / "out")), tokens(network))
    whole = {f"visual_encoder.{name}": weight for name, weight in states["vit"].items()}
    renamed, _ = rename(whole | states["qformer"] | states["videochat"])
    direct = VideoChatEmbed(network.config)
    direct.load_state_dict({name: renamed[name] for name in direct.state_dict()})
    assert torch.equal(tokens(load(tmp_path / "out")), tokens(direct))
    assert done.err == "warning: no --llm was given: `embed.videochat` will need its option `llm`\n"
    assert f"written to {tmp_path / 'out'}" in done.out
    assert "qformer.pth: not needed: Qformer.bert.embeddings.word_embeddings.weight," in done.out
    assert "visual_encoder.norm.bias" in done.out
    assert "vision_model.encoder.layers.4.*" in done.out  # EVA's last block


def test_what_json_tells(files: Path, llama: Path, tmp_path: Path) -> None:
    done = run(*words(files, tmp_path / "out"), "--llm", llama, "--json")
    assert (done.code, done.err) == (0, "")
    found = done.json
    assert (found["width"], found["tokens"], found["gmhra"]) == (32, 5, 2)
    assert found["vision"] == {"width": 32, "blocks": 4}
    assert found["parameters"] == sum(weight.numel() for weight in tiny_network().parameters())
    assert (found["llm"], found["space"]) == (str(llama), space_of(Checkpoint(str(llama))))
    assert [one["option"] for one in found["sources"]] == ["--vit", "--qformer", "--videochat"]
    assert sum(one["weights"] for one in found["sources"]) == len(tiny_network().state_dict())
    written = json.loads((tmp_path / "out" / "converted.json").read_text())
    assert written["sources"] == found["sources"]
    assert re.fullmatch(r"[0-9a-f]{64}", written["sources"][0]["sha256"])
    config = load(tmp_path / "out").config
    assert (config.llm, config.space) == (found["llm"], found["space"])


def test_frames_are_made_ready_as_in_the_demo(files: Path, tmp_path: Path) -> None:
    assert run(*words(files, tmp_path / "out")).code == 0
    ready = Preprocess.read(tmp_path / "out")
    assert (ready.size, ready.crop, ready.filter) == ({"shortest_edge": 28}, (28, 28), "bicubic")
    assert ready.mean == (0.48145466, 0.4578275, 0.40821073)
    assert ready.std == (0.26862954, 0.26130258, 0.27577711)


def test_precision(files: Path, change: Callable[[str, Changes], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    half = {name: weight.half() for name, weight in torch.load(files / "vit.pth").items()}
    vit = change("vit", half)
    kinds = {}
    for precision in ("released", "bfloat16"):
        assert run(*words(files, tmp_path / precision, vit=vit), "--precision", precision).code == 0
        state = load_file(tmp_path / precision / "model.safetensors")
        kinds[precision] = {weight.dtype for weight in state.values()}
        assert torch.isfinite(tokens(load(tmp_path / precision))).all()
    assert kinds == {"released": {torch.float16, torch.float32}, "bfloat16": {torch.bfloat16}}


def test_large_weights_are_sharded(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_write, "_SHARD", "100KB")
    assert run(*words(files, tmp_path / "out")).code == 0
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 2
    assert torch.equal(tokens(load(tmp_path / "out")), tokens(tiny_network()))
    Checkpoint(str(tmp_path / "out")).check()


def test_the_second_stage_goes_over_the_first(
    files: Path, change: Callable[[str, Changes], Path], tmp_path: Path
) -> None:
    first = change("videochat", {"ln_vision.bias": torch.full((32,), 7.0)})
    both = [*words(files, tmp_path / "both"), "--stage1", first]
    assert run(*both).code == 0
    assert torch.equal(tokens(load(tmp_path / "both")), tokens(tiny_network()))
    alone = ["convert", tmp_path / "alone", *both[2:]]
    del alone[alone.index("--videochat") : alone.index("--videochat") + 2]
    assert run(*alone).code == 0
    assert load(tmp_path / "alone").vision_model.post_layernorm.bias.eq(7).all()


@pytest.mark.parametrize("t5", [True, False], ids=["flan-t5", "opt"])
def test_a_folder_of_transformers(files: Path, tmp_path: Path, t5: bool) -> None:
    from transformers import Blip2Config, Blip2ForConditionalGeneration

    torch.manual_seed(0)
    text: dict[str, Any] = {"model_type": "t5", "d_model": 16, "d_ff": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2}
    if not t5:
        text = {"model_type": "opt", "hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Blip2Config(
        vision_config=VISION | {"initializer_range": 0.1},
        qformer_config=QFORMER | {"encoder_hidden_size": 32},
        text_config=text | {"vocab_size": 20},
        num_query_tokens=3,
    )
    blip2 = Blip2ForConditionalGeneration(config)
    blip2.save_pretrained(tmp_path / "blip2", max_shard_size="100KB")
    arguments = ("--blip2", tmp_path / "blip2", "--videochat", files / "videochat.pth")
    done = run("convert", tmp_path / "out", *arguments, "--json")
    assert done.code == 0, done
    network = tiny_network()  # whose trained weights videochat.pth holds
    network.vision_model.encoder.load_state_dict(blip2.vision_model.encoder.state_dict())
    network.vision_model.embeddings.load_state_dict(blip2.vision_model.embeddings.state_dict())
    network.qformer.load_state_dict(blip2.qformer.state_dict())
    network.query_tokens.data.copy_(blip2.query_tokens)
    assert torch.equal(tokens(load(tmp_path / "out")), tokens(network))
    assert all(one["weights"] or one["ignored"] for one in done.json["sources"])


def test_sizes_of_the_released_files() -> None:
    """Nothing has to be said about them: names and shapes tell."""
    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig

    for width in (4096, 5120):
        config = VideoChatEmbedConfig(llm_width=width)
        with torch.device("meta"):
            shapes = {name: tuple(weight.shape) for name, weight in VideoChatEmbed(config).state_dict().items()}
        first = {name: shape for name, shape in shapes.items() if "encoder.layers.0." in name}
        last = {name.replace("layers.0.", "layers.39."): shape for name, shape in first.items()}
        assert config_of(shapes | last, {}).to_dict() == config.to_dict()
        ends = ("layers.38.", "gmhra.7.", "layer.11.", "layer.10.crossattention.")
        short = {name: shape for name, shape in shapes.items() if not any(end in name for end in ends)}
        assert config_of(short, {}).to_dict() == config.to_dict()  # so that what is missing is told


def test_the_number_of_heads_must_be_said(files: Path, tmp_path: Path) -> None:
    arguments = words(files, tmp_path / "out")
    told = refused(run(*arguments[:2], *arguments[4:]), tmp_path / "out")
    assert '{"vision_config": {"num_attention_heads": ...}}' in told


@pytest.mark.parametrize(
    ("values", "told", "code"),
    [
        ({"gmhra_layer": 3}, "gmhra_layer is nothing that config.json has; did you mean gmhra_layers?", 2),
        ({"vision_config": {"heads": 4}}, "vision_config.heads is nothing that config.json has", 2),
        ({"vision_config": 5}, "vision_config is 5, and it must be a JSON object", 2),
        (SIZES | {"qformer_config": None}, "qformer_config is None, and it must be a JSON object", 2),
        ({"vision_config": {"num_attention_heads": 0}}, "it must be a multiple of num_attention_heads, 0", 6),
        ({"vision_config": {"num_attention_heads": "4"}}, "vision_config: Validation error", 6),
        ({"vision_config": {"hidden_size": None}}, "vision_config: Validation error for field 'hidden_size'", 6),
    ],
)
def test_sizes_that_cannot_be(files: Path, tmp_path: Path, values: dict[str, Any], told: str, code: int) -> None:
    sizes = tmp_path / "sizes.json"
    whole = {"qformer_config": SIZES["qformer_config"]} | values
    sizes.write_text(json.dumps(whole))
    arguments = words(files, tmp_path / "out")
    assert told in refused(run(*arguments[:3], sizes, *arguments[4:]), tmp_path / "out", code)


def test_what_was_trained_is_not_made_up_of_what_was_before(
    files: Path, change: Callable[[str, Changes], Path], tmp_path: Path
) -> None:
    """BLIP-2's file has a ln_vision as well, which would fit."""
    videochat = change("videochat", {"ln_vision.weight": None, "ln_vision.bias": None})
    told = refused(run(*words(files, tmp_path / "out", videochat=videochat)), tmp_path / "out")
    lacking = "  vision_model.post_layernorm.bias\n  vision_model.post_layernorm.weight\n"
    assert f"{videochat} (--videochat) lacks:\n{lacking}" in told
    first = [*words(files, tmp_path / "out", videochat=videochat), "--stage1", files / "videochat.pth"]
    assert run(*first).code == 0


@pytest.mark.parametrize(
    "bias",
    [
        torch.zeros(32).to(torch.float8_e4m3fn),
        torch.zeros(32).to_sparse(),
        torch.zeros(32, dtype=torch.int64),
        torch.zeros(32, device="meta"),
    ],
    ids=["float8", "sparse", "whole", "meta"],
)
def test_numbers_of_another_kind_are_named(
    files: Path, change: Callable[[str, Changes], Path], tmp_path: Path, bias: Tensor
) -> None:
    videochat = change("videochat", {"llama_proj.bias": bias})
    told = refused(run(*words(files, tmp_path / "out", videochat=videochat)), tmp_path / "out")
    assert told.endswith(f"{videochat} (--videochat) has no finite numbers in:\n  llama_proj.bias\n")


def test_numbers_too_large_for_the_precision(
    files: Path, change: Callable[[str, Changes], Path], tmp_path: Path
) -> None:
    arguments = words(
        files, tmp_path / "out", videochat=change("videochat", {"llama_proj.bias": torch.full((32,), 1e6)})
    )
    told = refused(run(*arguments, "--precision", "float16"), tmp_path / "out")
    assert told == "error: --precision float16 cannot hold the numbers of llama_proj.bias\n"
    assert run(*arguments, "--precision", "bfloat16").code == 0


def test_keys_that_do_not_fit_are_named_with_their_file(
    files: Path, change: Callable[[str, Changes], Path], tmp_path: Path
) -> None:
    missing = {f"blocks.{block}.mlp.fc1.bias": None for block in range(1, 5)}
    vit = change("vit", {**missing, "blocks.0.attn.rope": torch.ones(2)})
    qformer = change("qformer", {"Qformer.bert.embeddings.LayerNorm.bias": torch.ones(7)})
    videochat = change(
        "videochat", {"llama_proj.bias": None, "visual_encoder.gmhra.0.ln_1.bias": torch.full((32,), torch.nan)}
    )
    done = run(*words(files, tmp_path / "out", vit=vit, qformer=qformer, videochat=videochat))
    assert refused(done, tmp_path / "out").splitlines() == [
        "error: these files make no whole VideoChat-Embed:",
        f"{vit} (--vit) lacks:",
        "  vision_model.encoder.layers.{1-3}.mlp.fc1.bias",
        f"{videochat} (--videochat) lacks:",
        "  llama_proj.bias",
        f"{vit} (--vit) has unknown:",
        "  visual_encoder.blocks.0.attn.rope",
        f"{qformer} (--qformer) has wrong shapes for:",
        "  qformer.layernorm.bias: (7,), and it should be (24,)",
        f"{videochat} (--videochat) has no finite numbers in:",
        "  gmhra.0.ln_1.bias",
    ]


def test_long_lists_are_cut_unless_asked_for(
    files: Path, change: Callable[[str, Changes], Path], tmp_path: Path
) -> None:
    videochat = change("videochat", {f"strange_{n}": torch.ones(1) for n in range(30)})
    arguments = words(files, tmp_path / "out", videochat=videochat)
    told = refused(run(*arguments), tmp_path / "out")
    assert told.count("strange_") == 10
    assert "and 20 more: see --verbose" in told
    assert refused(run(*arguments, "--verbose"), tmp_path / "out").count("strange_") == 30


def test_names_that_differ_in_a_number() -> None:
    names = ["a.0.b", "a.1.b", "a.2.b", "a.5.b", "c.7.d", "e"]
    assert folded(names) == ["a.{0-2,5}.b", "c.7.d", "e"]


def test_7b_and_13b(files: Path, tmp_path: Path) -> None:
    told = refused(run(*words(files, tmp_path / "out"), "--stage1", files / "wide.pth"), tmp_path / "out")
    assert "one is of the 7B, the other of the 13B model" in told
    assert f"llama_proj.weight is (40, 24) in {files / 'wide.pth'} (--stage1) and (32, 24) in" in told


def test_files_given_as_each_other(files: Path, tmp_path: Path) -> None:
    vit, qformer, videochat = (files / f"{name}.pth" for name in ("vit", "qformer", "videochat"))
    done = run(*words(files, tmp_path / "out", vit=qformer, qformer=videochat, videochat=vit))
    lines = refused(done, tmp_path / "out").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "--qformer", "--videochat"]
    assert "it looks like a Q-Former" in lines[0]
    assert lines[0].endswith("give it as --qformer")
    assert "it looks like what VideoChat trained" in lines[1]
    assert "it looks like EVA's ViT" in lines[2]


@pytest.mark.parametrize(
    ("name", "words_"),
    [
        ("model.layers.0.self_attn.q_proj.weight", "a language model"),
        ("lm_head.weight", "a language model"),
        ("vision_encoder.encoder.blocks.0.norm1.weight", "VideoChat2"),
        ("qformer.encoder.layer.0.attention.attention.key.bias", "BLIP-2 of transformers"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "an adapter"),
        ("llama_proj.weight", "MiniGPT-4"),
        ("something.else", "it holds something.else"),
    ],
)
def test_strangers_are_named(files: Path, tmp_path: Path, name: str, words_: str) -> None:
    torch.save({"model": {name: torch.ones(1)}}, tmp_path / "it.pth")
    told = refused(run(*words(files, tmp_path / "out", videochat=tmp_path / "it.pth")), tmp_path / "out")
    assert words_ in told
    assert str(tmp_path / "it.pth") in told


def old_form(files: Path) -> bytes:
    path = files / "old.pth"
    torch.save(torch.load(files / "videochat.pth"), path, _use_new_zipfile_serialization=False)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda files: b"", "is empty"),
        (lambda files: (files / "videochat.pth").read_bytes()[:-9000], "is cut short after"),
        (lambda files: old_form(files)[:-9000], "is damaged or cut short"),
        (lambda files: old_form(files)[:3000], "is damaged or cut short"),
        (lambda files: b"\n<!DOCTYPE html><html><body>too large to scan</body></html>", "is a web page"),
        (
            lambda files: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "is a pointer of Git LFS",
        ),
        (lambda files: b"404: Not Found", "is text, not weights"),
        (lambda files: b"\x1f\x8b\x08\x00" + bytes(99), "is an archive"),
        (lambda files: b'\x40\0\0\0\0\0\0\0{"a": {"dtype": "F32"}}', "is a safetensors file"),
        (lambda files: bytes(1000), "is damaged or cut short"),
    ],
    ids=["empty", "cut", "old cut", "old cut early", "page", "lfs", "text", "gzip", "safetensors", "zeros"],
)
def test_files_that_are_no_weights(files: Path, tmp_path: Path, make: Callable[[Path], bytes], told: str) -> None:
    path = tmp_path / "download.pth"
    path.write_bytes(make(files))
    done = run(*words(files, tmp_path / "out", videochat=path))
    found = refused(done, tmp_path / "out")
    assert f"--videochat: {path} {told}" in found
    assert found.count("\n") == 1


def test_a_zip_of_other_things(files: Path, tmp_path: Path) -> None:
    from zipfile import ZipFile

    with ZipFile(tmp_path / "it.pth", "w") as archive:
        archive.writestr("videochat_7b.pth", b"...")
    told = refused(run(*words(files, tmp_path / "out", videochat=tmp_path / "it.pth")), tmp_path / "out")
    assert "unpack it" in told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"model": {}}, "holds no weights but an empty table"),
        ([1, 2], "holds no weights but a list"),
        ({"model": {"a": 1, "b": torch.ones(1)}}, "a are no tensors"),
        ({"epoch": 3, "optimizer": {}}, "epoch, optimizer are no tensors"),
    ],
)
def test_files_without_weights(files: Path, tmp_path: Path, value: object, told: str) -> None:
    torch.save(value, tmp_path / "it.pth")
    done = run(*words(files, tmp_path / "out", videochat=tmp_path / "it.pth"))
    assert told in refused(done, tmp_path / "out")


@pytest.mark.parametrize("module", ["easydict", "utils.easydict"])
@pytest.mark.parametrize("newer", [True, False], ids=["zip", "old form"])
def test_settings_of_the_original_are_read_over(
    files: Path,
    states: dict[str, dict[str, Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    newer: bool,
) -> None:
    source = (
        "class EasyDict(dict):\n"
        "    def __init__(self, **values):\n"
        "        for name, value in values.items():\n"
        "            setattr(self, name, value)\n"
        "    def __setattr__(self, name, value):\n"
        "        super().__setattr__(name, value)\n"
        "        super().__setitem__(name, value)\n"
    )
    made = ModuleType(module)
    exec(source, made.__dict__)
    for name in ("utils", module):
        monkeypatch.setitem(sys.modules, name, made)
    path = tmp_path / "videochat.pth"
    inner = made.EasyDict(lr=1e-4, betas=[0.9, 0.999])
    checkpoint = {"model": states["videochat"], "config": made.EasyDict(seed=42, optimizer=inner)}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=newer)
    monkeypatch.undo()  # nobody has the class here
    assert run(*words(files, tmp_path / "out", videochat=path)).code == 0
    assert torch.equal(tokens(load(tmp_path / "out")), tokens(tiny_network()))


class Runs:
    """What runs code when an ordinary unpickler reads it."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.witness)!r}, 'w').close()",)


@pytest.mark.parametrize("newer", [True, False], ids=["zip", "old form"])
def test_code_is_named_and_not_run(files: Path, tmp_path: Path, newer: bool) -> None:
    path, witness = tmp_path / "videochat.pth", tmp_path / "ran"
    torch.save({"model": Runs(witness)}, path, _use_new_zipfile_serialization=newer)
    told = refused(run(*words(files, tmp_path / "out", videochat=path)), tmp_path / "out")
    assert "exec, which is no plain data and might run code: it was not loaded" in told
    assert not witness.exists()


def test_other_classes_are_named(files: Path, tmp_path: Path) -> None:
    torch.save({"model": {}, "args": Namespace(lr=1), "path": tmp_path}, tmp_path / "it.pth")
    told = refused(run(*words(files, tmp_path / "out", videochat=tmp_path / "it.pth")), tmp_path / "out")
    assert "argparse.Namespace, pathlib." in told


def test_a_language_model_of_another_width(files: Path, llama: Path, tmp_path: Path) -> None:
    other = words(files, tmp_path / "out", videochat=files / "wide.pth")
    told = refused(run(*other, "--llm", llama), tmp_path / "out")
    assert f"{llama} takes embeddings 32 wide, and the projection makes 40" in told


def test_a_language_model_that_is_not_here(files: Path, tmp_path: Path) -> None:
    told = refused(run(*words(files, tmp_path / "out"), "--llm", "some/llama-7b"), tmp_path / "out")
    assert "hf download some/llama-7b" in told
    told = refused(run(*words(files, tmp_path / "out"), "--llm", tmp_path / "none"), tmp_path / "out")
    assert "there is no checkpoint" in told


def test_a_delta_is_suspected(files: Path, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "vicuna-7b-delta-v0").symlink_to(llama)
    done = run(*words(files, tmp_path / "out"), "--llm", tmp_path / "vicuna-7b-delta-v0")
    assert done.code == 0
    assert "is named as a delta" in done.err


def test_another_q_former_is_suspected() -> None:
    from videochat_plugins.learn.convert_embed import _doubt

    queries = {"query_tokens": torch.empty(1, 32, 768)}
    assert _doubt(queries | {"t5_proj.weight": torch.empty(4096, 768)}) == ""
    for other in ({"t5_proj.weight": torch.empty(2048, 768)}, {"opt_proj.weight": torch.empty(4096, 768)}, {}):
        assert "not the Q-Former that VideoChat was trained with" in _doubt(queries | other)
    of_transformers = {"language_projection.weight": torch.empty(4096, 768)}
    assert _doubt({**queries, **of_transformers, "language_model.encoder.block.0.x": torch.empty(1)}) == ""
    assert _doubt({**queries, **of_transformers, "language_model.model.decoder.x": torch.empty(1)})


@pytest.mark.parametrize(
    "options",
    [["--vit", "a"], ["--vit", "a", "--qformer", "b"], ["--blip2", "a", "--vit", "b", "--videochat", "c"], []],
    ids=["half", "not trained", "twice", "none"],
)
def test_files_that_are_lacking(tmp_path: Path, options: list[str]) -> None:
    assert complaint(run("convert", tmp_path / "out", *options), 2).startswith("error: give ")


def test_a_folder_that_is_no_blip2(files: Path, llama: Path, tmp_path: Path) -> None:
    arguments = ("--blip2", llama, "--videochat", files / "videochat.pth")
    told = refused(run("convert", tmp_path / "out", *arguments), tmp_path / "out")
    assert f"--blip2: {llama} is a llama model, and this needs a BLIP-2 of transformers" in told


def test_a_blip2_that_is_not_here(files: Path, tmp_path: Path) -> None:
    arguments = ("--blip2", "some/blip2", "--videochat", files / "videochat.pth")
    told = refused(run("convert", tmp_path / "out", *arguments), tmp_path / "out")
    assert "there is no folder some/blip2: run `hf download some/blip2`" in told


def test_a_weight_file_of_a_folder_that_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(UnavailableError, match=r"model-00001-of-00002\.safetensors is damaged or cut short"):
        read_folder(tmp_path)


def test_check_writes_nothing(files: Path, tmp_path: Path) -> None:
    done = run(*words(files, tmp_path / "out"), "--check")
    assert done.code == 0
    assert done.out.endswith("the files fit; nothing was written\n")
    assert not (tmp_path / "out").exists()
    assert refused(run(*words(files, tmp_path / "out", vit=files / "none.pth"), "--check"), tmp_path / "out")


def test_nothing_of_the_users_is_replaced(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert run(*words(files, out)).code == 0  # it was empty
    before = (out / "config.json").read_text()
    assert "replace it with --force" in complaint(run(*words(files, out)), 2)
    assert run(*words(files, out, videochat=files / "wide.pth"), "--force").code == 0
    assert (out / "config.json").read_text() != before
    (out / "notes.txt").write_text("mine")
    assert "holds notes.txt, which this command did not write" in complaint(run(*words(files, out), "--force"), 2)
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert "is not a folder" in complaint(run(*words(files, out / "notes.txt"), "--force"), 2)


def test_the_folder_that_one_is_in(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is the folder that you are in" in complaint(run(*words(files, Path())), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert run(*words(files, out)).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    for target in (out, tmp_path / "other"):
        done = run(*words(files, target), "--force")
        assert (done.code, done.err) == (1, "error: No space left on device\n")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_how_far_it_is(files: Path, tmp_path: Path) -> None:
    heard: list[Event] = []

    class Observer:
        @hookimpl
        def observe(self, event: Event) -> None:
            heard.append(event)

    observer = Observer()
    registry().manager.register(observer)
    try:
        assert run(*words(files, tmp_path / "out")).code == 0
    finally:
        registry().manager.unregister(observer)
    assert [(event.name, event.done, event.total) for event in heard if event.stage == "convert"] == [
        *(("read", done, 3) for done in range(3)),
        *(("sha256", done, 3) for done in range(3)),
        ("write", 0, 1),
    ]


def test_a_missing_extra(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_NEEDS", ("torch", "no_such_package"))
    told = complaint(run(*words(files, tmp_path / "out")), 6)
    assert told == 'error: convert needs no_such_package: pip install "videochat[models]"\n'


def test_help_lists_it() -> None:
    done = spawn("--help")
    assert done.code == 0
    assert re.search(r"^  convert +Make a folder", done.out, re.MULTILINE)
