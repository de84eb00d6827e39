"""UniFormerV2 against a slow reference of its own, and its released file."""

from collections.abc import Callable, Mapping
from math import exp, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from videochat import UnavailableError
from videochat_plugins.models.uniformerv2 import Config, GlobalBlock, Grid, UniFormerV2, load_released
from videochat_plugins.models.uniformerv2 import _placed as placed

TINY = Config(width=128, layers=3, heads=2, patch=8, resolution=32, classes=5, global_layers=(1, 2))
State = Mapping[str, Tensor]


def random_model(config: Config = TINY, seed: int = 0) -> UniFormerV2:
    """A network all of whose weights matter: none is left at the zeros or ones that training starts from."""
    torch.manual_seed(seed)
    model = UniFormerV2(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        weight.normal_(1.0 if name.endswith("weight") and weight.ndim == 1 else 0.0, 1 / sqrt(weight.shape[-1]))
    return model


def part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}


def norm(x: Tensor, state: State, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]


def attend(queries: Tensor, context: Tensor, state: State, heads: int) -> Tensor:
    """Concat(R_1, ..., R_N) U with R_n = A_n V_n, one query and one head after the other: (m, C), (k, C) -> (m, C)."""
    width = queries.shape[1]
    wq, wk, wv = state["attn.in_proj_weight"].reshape(3, width, width)
    bq, bk, bv = state["attn.in_proj_bias"].reshape(3, width)
    found = []
    for query in queries:
        parts = []
        for h in range(heads):
            own = slice(h * width // heads, (h + 1) * width // heads)
            q = wq[own] @ query + bq[own]
            affinity = torch.stack([q @ (wk[own] @ x + bk[own]) / sqrt(width / heads) for x in context]).exp()
            values = torch.stack([wv[own] @ x + bv[own] for x in context])
            parts.append((affinity / affinity.sum()) @ values)
        found.append(state["attn.out_proj.weight"] @ torch.cat(parts) + state["attn.out_proj.bias"])
    return torch.stack(found)


def feed_forward(x: Tensor, state: State) -> Tensor:
    hidden = torch.einsum("oc,nc->no", state["mlp.c_fc.weight"], x) + state["mlp.c_fc.bias"]
    hidden = hidden / (1 + torch.exp(-1.702 * hidden))
    return torch.einsum("oc,nc->no", state["mlp.c_proj.weight"], hidden) + state["mlp.c_proj.bias"]


def position(patches: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3 x 3 x 3 convolution, channel by channel, with zeros around: (T, h, w, C), of the same shape."""
    found = bias.expand_as(patches).clone()
    frames, height, width, _ = patches.shape
    for t in range(frames):
        for y in range(height):
            for x in range(width):
                for dt in range(-1, 2):
                    for dy in range(-1, 2):
                        for dx in range(-1, 2):
                            if 0 <= t + dt < frames and 0 <= y + dy < height and 0 <= x + dx < width:
                                tap = weight[:, 0, dt + 1, dy + 1, dx + 1]
                                found[t, y, x] += tap * patches[t + dt, y + dy, x + dx]
    return found


def global_block(token: Tensor, x: Tensor, dpe: State, dec: State, heads: int) -> Tensor:
    """One global UniBlock of one clip by its definition: (1, C), (T, 1 + n, C) -> (1, C)."""
    frames, side = x.shape[0], round(sqrt(x.shape[1] - 1))
    patches = x[:, 1:].reshape(frames, side, side, -1)
    moved = patches + position(patches, dpe["weight"], dpe["bias"])
    context = torch.cat([torch.cat([x[t, :1], moved[t].reshape(side * side, -1)]) for t in range(frames)])
    token = token + attend(norm(token, dec, "ln_1"), norm(context, dec, "ln_3"), dec, heads)
    return token + feed_forward(norm(token, dec, "ln_2"), dec)


def classify(video: Tensor, state: State, config: Config) -> Tensor:
    """The whole network for one clip, from the weights' names and the paper's equations: (T, 3, H, W) -> (classes,)."""
    side, p = config.resolution // config.patch, config.patch
    frames = []
    for frame in video:
        cells = [frame[:, y * p : y * p + p, x * p : x * p + p] for y in range(side) for x in range(side)]
        patches = [torch.einsum("ocyx,cyx->o", state["conv1.weight"][:, :, 0], cell) for cell in cells]
        tokens = torch.stack([state["class_embedding"], *patches]) + state["positional_embedding"]
        frames.append(norm(tokens, state, "ln_pre"))
    token, stage = state["transformer.temporal_cls_token"][0], 0
    for layer in range(config.layers):
        block = part(state, f"transformer.resblocks.{layer}.")
        for t, x in enumerate(frames):
            normed = norm(x, block, "ln_1")
            x = x + attend(normed, normed, block, config.heads)
            frames[t] = x + feed_forward(norm(x, block, "ln_2"), block)
        if layer in config.global_layers:
            dpe, dec = (part(state, f"transformer.{name}.{stage}.") for name in ("dpe", "dec"))
            token = global_block(token, torch.stack(frames), dpe, dec, config.heads)
            stage += 1
    share = torch.tensor([1 / (1 + exp(-logit)) for logit in state["transformer.balance"].tolist()])
    mixed = (1 - share) * token[0] + share * sum(x[0] for x in frames) / len(frames)
    return (
        state["transformer.proj.2.weight"] @ norm(mixed, part(state, "transformer."), "proj.0")
        + state["transformer.proj.2.bias"]
    )


def test_the_released_size() -> None:
    with torch.device("meta"):
        model = UniFormerV2()
        assert sum(weight.numel() for weight in model.parameters()) == 114_552_208
        assert model(torch.empty(2, 8, 3, 224, 224)).shape == (2, 400)


def test_the_released_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(weight.shape) for name, weight in UniFormerV2().state_dict().items()}
    attention = {
        "attn.in_proj_weight": (2304, 768),
        "attn.in_proj_bias": (2304,),
        "attn.out_proj.weight": (768, 768),
        "attn.out_proj.bias": (768,),
        "mlp.c_fc.weight": (3072, 768),
        "mlp.c_fc.bias": (3072,),
        "mlp.c_proj.weight": (768, 3072),
        "mlp.c_proj.bias": (768,),
    }
    released = {
        "conv1.weight": (768, 3, 1, 16, 16),
        "class_embedding": (768,),
        "positional_embedding": (197, 768),
        "transformer.temporal_cls_token": (1, 1, 768),
        "transformer.balance": (768,),
        "transformer.proj.2.weight": (400, 768),
        "transformer.proj.2.bias": (400,),
    }
    norms = ["ln_pre", "transformer.proj.0"]
    for folder, count, names in (("resblocks", 12, ("ln_1", "ln_2")), ("dec", 4, ("ln_1", "ln_2", "ln_3"))):
        for i in range(count):
            released |= {f"transformer.{folder}.{i}.{name}": shape for name, shape in attention.items()}
            norms += [f"transformer.{folder}.{i}.{name}" for name in names]
    for i in range(4):
        released |= {f"transformer.dpe.{i}.weight": (768, 1, 3, 3, 3), f"transformer.dpe.{i}.bias": (768,)}
    released |= {f"{name}.{end}": (768,) for name in norms for end in ("weight", "bias")}
    assert shapes == released


def test_a_global_block_is_what_the_paper_defines() -> None:
    model = random_model()
    grid = Grid(3, 4, 4)
    x, token = torch.randn(2 * 3, 17, 128), torch.randn(2, 1, 128)
    dpe, dec = model.transformer.dpe[1], model.transformer.dec[1]
    assert isinstance(dec, GlobalBlock)
    found = dec(token, placed(x, dpe, grid))
    wanted = [
        global_block(token[i], x[3 * i : 3 * i + 3], dpe.state_dict(), dec.state_dict(), TINY.heads) for i in (0, 1)
    ]
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-5, atol=1e-5)


def test_the_network_is_what_its_weights_and_the_paper_say() -> None:
    model = random_model()
    video = torch.randn(2, 3, 3, 32, 32)
    wanted = torch.stack([classify(clip, model.state_dict(), TINY) for clip in video])
    torch.testing.assert_close(model(video), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight", [name for name, _ in UniFormerV2(TINY).named_parameters()])
def test_every_weight_counts(weight: str) -> None:
    model, video = random_model(), torch.randn(1, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = model(video)
    model.get_parameter(weight).mul_(-0.5).add_(torch.linspace(0.1, 0.9, model.get_parameter(weight).shape[-1]))
    assert not torch.allclose(model(video), before, rtol=1e-4, atol=1e-6)


def test_a_clip_alone_is_as_in_a_batch() -> None:
    model, video = random_model(), torch.randn(3, 4, 3, 32, 32)
    torch.testing.assert_close(torch.cat([model(clip[None]) for clip in video]), model(video), rtol=1e-5, atol=1e-5)


def test_the_order_of_the_frames_counts() -> None:
    model, video = random_model(), torch.randn(1, 4, 3, 32, 32)
    assert not torch.allclose(model(video), model(video.flip(1)), rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(dtype: torch.dtype) -> None:
    model, video = random_model(), torch.randn(1, 2, 3, 32, 32)
    wanted = model(video)
    torch.testing.assert_close(model.to(dtype)(video.to(dtype)).float(), wanted, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {f"backbone.{name}": weight for name, weight in state.items()},
        lambda state: {"model": {f"module.backbone.{name}": weight for name, weight in state.items()}},
        lambda state: {"epoch": 54, "state_dict": state},
        lambda state: {"module": state, "optimizer": {"lr": 0.1}},
    ],
    ids=["bare", "backbone", "model", "state_dict", "module"],
)
def test_a_released_file_gives_its_network(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    model, video = random_model(), torch.randn(1, 2, 3, 32, 32)
    torch.save(wrap(model.state_dict()), tmp_path / "tiny.pyth")
    loaded = load_released(tmp_path / "tiny.pyth")
    assert loaded.config == TINY
    assert not loaded.training
    assert torch.equal(loaded(video), model(video))


def test_wrong_weights_are_refused_by_their_names(tmp_path: Path) -> None:
    state: dict[str, Tensor] = dict(random_model().state_dict())
    del state["transformer.balance"]
    state["transformer.resblocks.0.lmhra1.pos_embed.1.weight"] = torch.zeros(1)
    state["ln_pre.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "odd.pyth")
    with pytest.raises(UnavailableError) as error:
        load_released(tmp_path / "odd.pyth")
    assert str(error.value).startswith(str(tmp_path / "odd.pyth"))
    assert "lacks transformer.balance;" in str(error.value)
    assert "has unknown transformer.resblocks.0.lmhra1.pos_embed.1.weight;" in str(error.value)
    assert str(error.value).endswith("has wrong shapes for ln_pre.bias")


def test_another_network_is_refused_in_a_line(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "other.pyth")
    with pytest.raises(UnavailableError) as error:
        load_released(tmp_path / "other.pyth")
    assert "lacks class_embedding, conv1.weight, " in str(error.value)
    assert " and 209 more; it has unknown bias, weight" in str(error.value)


class Unsafe:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return print, ("ran",)


def test_a_file_that_runs_code_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv1.weight": Unsafe()}, tmp_path / "unsafe.pyth")
    with pytest.raises(UnavailableError, match=r"unsafe\.pyth cannot be read as weights"):
        load_released(tmp_path / "unsafe.pyth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.pyth").write_bytes(content)
    with pytest.raises(UnavailableError, match=r"bad\.pyth cannot be read as weights"):
        load_released(tmp_path / "bad.pyth")


@pytest.mark.parametrize("found", [[1, 2], {"state_dict": 3}, {"epoch": 1}, {}])
def test_a_file_of_something_else_is_refused(found: Any, tmp_path: Path) -> None:
    torch.save(found, tmp_path / "else.pyth")
    with pytest.raises(UnavailableError, match=r"else\.pyth holds no"):
        load_released(tmp_path / "else.pyth")
