"""The network of VideoChat-Embed: its size, what order does, its training, its files and its released names."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tiny_videochat import released, tiny_embed, tiny_network, tiny_released
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
from videochat_plugins.models.videochat_embed.network import VideoChatEmbed
from videochat_plugins.models.videochat_embed.released import rename

PLACES = 5  # tokens of a tiny frame


def a_video(clips: int = 1, frames: int = 4, seed: int = 0, side: int = 28) -> Tensor:
    return torch.randn(clips, frames, 3, side, side, generator=torch.Generator().manual_seed(seed))


def a_network(**config: Any) -> VideoChatEmbed:
    return tiny_network(**config).requires_grad_(False)


def count(*parts: nn.Module | nn.Parameter) -> int:
    return sum(
        part.numel() if isinstance(part, nn.Parameter) else sum(weight.numel() for weight in part.parameters())
        for part in parts
    )


def read_by_queries(network: VideoChatEmbed, tokens: Tensor) -> Tensor:
    """What the Q-Former makes of tokens."""
    queries = torch.cat([network.query_tokens, network.extra_query_tokens], dim=1).expand(len(tokens), -1, -1)
    return network.qformer(query_embeds=queries, encoder_hidden_states=tokens).last_hidden_state


@pytest.mark.parametrize(("llm_width", "projection"), [(4096, 3_149_824), (5120, 3_937_280)])
def test_the_released_sizes(llm_width: int, projection: int) -> None:
    with torch.device("meta"):
        network = VideoChatEmbed(VideoChatEmbedConfig(llm_width=llm_width))
        assert network(torch.empty(2, 8, 3, 224, 224)).shape == (2, 96, llm_width)
        assert network.encode(torch.empty(2, 8, 3, 224, 224)).shape == (2, 2057, 1408)
    ln_vision = count(network.vision_model.post_layernorm)
    assert ln_vision == 2_816
    key_biases = 39 * 1408  # zeros, which the released files leave out
    assert count(network.vision_model) - ln_vision - key_biases == 985_894_528
    assert count(network.gmhra, network.gmhra_cls_token) == 202_340_736
    assert count(network.qformer) == 105_137_664
    assert count(network.query_tokens) == 24_576
    assert count(network.extra_query_tokens) == 49_152
    assert count(network.llama_proj) == projection
    assert {*dict(network.named_buffers())} == set()


def test_the_released_names_and_shapes() -> None:
    with torch.device("meta"):
        network = VideoChatEmbed(VideoChatEmbedConfig())
        shapes = {name: tuple(weight.shape) for name, weight in released(network).items()}
    assert len(shapes) == 134 + 1 + 4 + 39 * 13 + 2 + 12 * 16 + 6 * 10  # trained; queries, ViT, blocks; Q-Former
    for name, shape in {
        "visual_encoder.gmhra_cls_token": (1, 1, 1408),
        "visual_encoder.gmhra.7.dpe.weight": (1408, 1, 3, 3, 3),
        "visual_encoder.gmhra.0.attn.in_proj_weight": (4224, 1408),
        "visual_encoder.gmhra.0.attn.in_proj_bias": (4224,),
        "visual_encoder.gmhra.0.mlp.c_fc.weight": (6144, 1408),
        "visual_encoder.blocks.38.attn.q_bias": (1408,),
        "visual_encoder.blocks.38.attn.qkv.weight": (4224, 1408),
        "visual_encoder.blocks.0.mlp.fc1.weight": (6144, 1408),
        "visual_encoder.pos_embed": (1, 257, 1408),
        "Qformer.bert.encoder.layer.10.crossattention.self.key.weight": (768, 1408),
        "Qformer.bert.encoder.layer.11.output_query.dense.weight": (768, 3072),
        "query_tokens": (1, 32, 768),
        "extra_query_tokens": (1, 64, 768),
        "llama_proj.weight": (4096, 768),
    }.items():
        assert shapes[name] == shape, name


@given(clips=st.integers(1, 3), frames=st.integers(1, 6), gmhra=st.integers(1, 4), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_shapes_and_a_clip_alone_as_in_a_batch(clips: int, frames: int, gmhra: int, seed: int) -> None:
    network, video = a_network(gmhra_layers=gmhra, llm_width=7), a_video(clips, frames, seed)
    stages = network.stages(video)
    assert stages.vit.shape == stages.ln.shape == (clips, frames * PLACES + 1, 32)
    assert stages.qformer.shape == (clips, 5, 24)
    assert stages.llama.shape == (clips, 5, 7)
    assert torch.equal(network(video), stages.llama)
    torch.testing.assert_close(torch.cat([network(clip[None]) for clip in video]), stages.llama, rtol=1e-4, atol=1e-5)


@given(st.permutations(range(5)).filter(lambda order: order != [*range(5)]), st.integers(0, 5))
@settings(max_examples=20)
def test_order_is_seen_by_the_gmhra_token_alone(order: list[int], seed: int) -> None:
    network, video = a_network().double(), a_video(frames=5, seed=seed).double()
    before, after = network.stages(video), network.stages(video[:, order])
    for one, other in ((before.vit, after.vit), (before.ln, after.ln)):
        frames, moved = (tokens[:, :-1].unflatten(1, (5, PLACES)) for tokens in (one, other))
        torch.testing.assert_close(moved, frames[:, order], rtol=1e-12, atol=1e-12)
        assert not torch.isclose(one[:, -1], other[:, -1]).all()
    assert not torch.isclose(before.llama, after.llama).all(-1).any()  # it reaches every query
    blind = [read_by_queries(network, stages.ln[:, :-1]) for stages in (before, after)]
    torch.testing.assert_close(*blind, rtol=1e-12, atol=1e-12)


def test_order_is_seen_by_its_dpe_alone() -> None:
    network, video = a_network().double(), a_video().double()
    for block in network.gmhra:
        block.get_parameter("dpe.weight").zero_()
    torch.testing.assert_close(network(video), network(video.flip(1)), rtol=1e-12, atol=1e-12)


@given(st.permutations(range(5)).filter(lambda order: order != [*range(5)]), st.integers(0, 5))
@settings(max_examples=20)
def test_with_a_temporal_position_order_is_seen_by_every_token(order: list[int], seed: int) -> None:
    network, video = a_network(temporal_position="sinusoidal").double(), a_video(frames=5, seed=seed).double()
    before, after = network.stages(video).ln, network.stages(video[:, order]).ln
    frames, moved = (tokens[:, :-1].unflatten(1, (5, PLACES)) for tokens in (before, after))
    for place, frame in enumerate(order):
        same = torch.isclose(moved[:, place], frames[:, frame], rtol=1e-9).all(-1)  # (B, 1 + n)
        assert (same == (place == frame)).all()
    blind = [read_by_queries(network, tokens[:, :-1]) for tokens in (before, after)]
    assert not torch.isclose(*blind, rtol=1e-6).all(-1).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_temporal_position_leaves_the_rest_as_it_was(dtype: torch.dtype) -> None:
    plain, placed = (a_network(temporal_position=name).to(dtype) for name in ("none", "sinusoidal"))
    video = a_video(2, 3).to(dtype)
    assert plain.state_dict().keys() == placed.state_dict().keys()
    one, other = plain.stages(video), placed.stages(video)
    assert torch.equal(one.vit, other.vit)
    assert torch.equal(one.ln[:, -1], other.ln[:, -1])  # the GMHRA token
    assert torch.equal(one.ln[:, :PLACES], other.ln[:, :PLACES])  # the first frame
    assert not torch.isclose(one.ln[:, PLACES:-1], other.ln[:, PLACES:-1]).all(-1).any()
    assert torch.equal(plain(video[:, :1]), placed(video[:, :1]))  # an image
    assert torch.equal(plain(video, torch.rand(2, 3)), one.llama)  # times are without effect


def test_only_differences_of_times_count() -> None:
    network, video = a_network(temporal_position="sinusoidal").double(), a_video(2, 3).double()
    seconds = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    assert torch.equal(network(video), network(video, seconds))
    late = seconds + torch.tensor([[7200.0], [3.0]], dtype=torch.float64)
    torch.testing.assert_close(network(video, late), network(video), rtol=1e-12, atol=1e-12)
    for others in (seconds * 900, seconds * 0.04):
        assert not torch.isclose(network(video, others), network(video)).all(-1).any()


def test_an_odd_width_has_a_temporal_position() -> None:
    vision = {"hidden_size": 15, "num_attention_heads": 3}
    network = a_network(vision_config=vision, temporal_position="sinusoidal")
    assert network(a_video()).isfinite().all()


def test_every_weight_is_trained() -> None:
    network = tiny_network()
    network(a_video(2)).square().sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_a_fresh_network_learns() -> None:
    torch.manual_seed(0)
    network = VideoChatEmbed(tiny_network(gmhra_dropout=0.5).config).train()
    network.qformer.eval()  # as the original trains
    video, wanted = a_video(3, 3), torch.randn(3, 5, 32)
    with torch.no_grad():
        fresh = network.stages(video)
    assert not fresh.vit[:, -1].any()  # the GMHRA token starts at zero, and so do what its blocks add to it
    assert not torch.isclose(fresh.llama[:, :-1], fresh.llama[:, 1:]).all(-1).any()  # queries differ
    assert not torch.isclose(fresh.vit[0, :-1], fresh.vit[1, :-1]).all(-1).any()  # and videos
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        loss = (network(video) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    assert network.stages(video).vit[:, -1].any()


def checkpoint_activations(network: VideoChatEmbed) -> None:
    """Do so under the name that the library at hand has for it."""
    newer = getattr(network, "activation_checkpointing_enable", None)
    (newer or network.gradient_checkpointing_enable)()


def test_gradient_checkpointing_computes_blocks_again() -> None:
    video, found = a_video(2), []
    calls: list[nn.Module] = []
    for checkpointing in (False, True):
        network = tiny_network().train()
        if checkpointing:
            checkpoint_activations(network)
        calls.clear()
        for block in network.vision_model.encoder.layers:
            block.layer_norm1.register_forward_hook(lambda module, *_: calls.append(module))
        torch.manual_seed(0)  # of dropout
        network(video).square().sum().backward()
        found.append((len(calls), [weight.grad for weight in network.parameters()]))
    (once, wanted), (twice, got) = found
    assert (once, twice) == (4, 8)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_training_drops_out_and_evaluation_does_not() -> None:
    network, video = a_network(), a_video()
    assert torch.equal(network(video), network(video))
    network.train()
    network.qformer.eval()
    assert not torch.equal(network(video), network(video))  # in GMHRA


def test_the_blocks_outputs_are_not_kept() -> None:
    network, held, most = a_network(vision_config={"num_hidden_layers": 6}, gmhra_layers=5), [], []

    def note(_module: nn.Module, _inputs: Any, out: Tensor) -> None:
        held.append(weakref.ref(out))
        most.append(sum(ref() is not None for ref in held))

    for block in network.vision_model.encoder.layers:
        block.register_forward_hook(note)
    with torch.inference_mode():
        network(a_video())
    assert len(held) == 6
    assert max(most) <= 2


def test_attention_is_sdpa() -> None:
    network = a_network()
    for part in (network, network.vision_model, network.qformer):
        assert part.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(dtype: torch.dtype) -> None:
    network, video = a_network(temporal_position="sinusoidal"), a_video()
    wanted = network(video)
    found = network.to(dtype)(video.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), wanted, rtol=0.2, atol=0.2)


def test_a_folder_of_shards_gives_the_network(tmp_path: Path) -> None:
    network = a_network(llm="Vicuna 7B v0", space="vicuna@1", temporal_position="sinusoidal", gmhra_dropout=0.25)
    network.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    loaded, told = VideoChatEmbed.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values())
    assert not loaded.training
    for name in ("vision_config", "qformer_config"):
        before, after = ({**part.config.to_dict()[name], "dtype": None} for part in (network, loaded))
        assert after == before
    for name in ("num_queries", "num_extra_queries", "gmhra_layers", "gmhra_dropout", "llm_width", "llm", "space"):
        assert getattr(loaded.config, name) == getattr(network.config, name)
    assert loaded.config.temporal_position == "sinusoidal"
    for name, weight in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    torch.testing.assert_close(loaded(a_video()), network(a_video()), rtol=1e-5, atol=1e-5)
    assert VideoChatEmbed.from_pretrained(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_what_a_folder_lacks_starts_fresh(tmp_path: Path) -> None:
    network = a_network()
    state = {name: weight for name, weight in network.state_dict().items() if not name.startswith(("gmhra", "extra"))}
    network.save_pretrained(tmp_path, state_dict=state)
    loaded, told = VideoChatEmbed.from_pretrained(tmp_path, output_loading_info=True)
    assert {name.partition(".")[0] for name in told["missing_keys"]} == {
        "gmhra",
        "gmhra_cls_token",
        "extra_query_tokens",
    }
    stages = loaded.stages(a_video())
    assert not stages.vit[:, -1].any()
    torch.testing.assert_close(stages.vit[:, :-1], network.stages(a_video()).vit[:, :-1], rtol=1e-5, atol=1e-5)
    assert loaded.extra_query_tokens.std() > 0


def test_a_tiny_folder_is_whole(tmp_path: Path) -> None:
    folder = tiny_embed(tmp_path, llm_width=48, seed=3, vision_config={"image_size": 42})
    loaded = VideoChatEmbed.from_pretrained(folder)
    ready = Preprocess.read(folder)
    assert (ready.crop, ready.filter, ready.size) == ((42, 42), "bicubic", {"shortest_edge": 42})
    assert ready.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert ready.std == pytest.approx((0.26862954, 0.26130258, 0.27577711))
    frames = torch.randint(0, 256, (2, 60, 80, 3), dtype=torch.uint8)
    assert loaded(ready(frames)[None]).shape == (1, 5, 48)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.zeros(1, 2, 3, 32, 28), r"must be \(B, T, 3, 28, 28\) with at least one frame, got \(1, 2, 3, 32, 28\)"),
        (torch.zeros(1, 2, 3, 42, 42), "got .1, 2, 3, 42, 42."),
        (torch.zeros(2, 3, 28, 28), "got .2, 3, 28, 28."),
        (torch.zeros(1, 3, 2, 28, 28), "got .1, 3, 2, 28, 28."),
        (torch.zeros(1, 0, 3, 28, 28), "at least one frame"),
        (torch.zeros(1, 2, 3, 28, 28, dtype=torch.uint8), "normalised floats, got torch.uint8"),
    ],
)
def test_other_frames_are_refused(video: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        a_network()(video)


@pytest.mark.parametrize("shape", [(4,), (1, 3), (2, 4), (1, 4, 1)])
def test_times_of_other_frames_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"times must be \(1, 4\), one for each frame"):
        a_network()(a_video(), torch.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_queries": 0}, "num_queries is 0; it must be a whole number of at least 1"),
        ({"num_extra_queries": -1}, "num_extra_queries is -1"),
        ({"gmhra_layers": 0}, "gmhra_layers is 0; it must be a whole number of at least 1"),
        ({"gmhra_layers": 2.5}, "gmhra_layers is 2.5; it must be a whole number"),
        ({"gmhra_layers": 40}, "gmhra_layers is 40; the ViT has only 39 blocks"),
        ({"gmhra_dropout": 1.0}, "gmhra_dropout is 1.0; it must be at least 0 and less than 1"),
        ({"gmhra_dropout": float("nan")}, "gmhra_dropout is nan"),
        ({"gmhra_dropout": "0.5"}, "gmhra_dropout is '0.5'"),
        ({"vision_config": 5}, "vision_config: 'int' object is not iterable"),
        ({"vision_config": {"num_attention_heads": 0}}, "it must be a multiple of num_attention_heads, 0"),
        ({"vision_config": {"hidden_size": "1408"}}, "vision_config: Validation error for field 'hidden_size'"),
        ({"llm_width": True}, "llm_width is True"),
        ({"temporal_position": "rope"}, "temporal_position is 'rope'; there are: none, sinusoidal"),
        ({"vision_config": {"image_size": 225}}, "image_size is 225 and patch_size is 14; pictures are square"),
        ({"vision_config": {"image_size": [224, 112]}}, r"image_size is \[224, 112\]"),
        ({"vision_config": {"num_attention_heads": 15}}, "vision_config.hidden_size is 1408; it must be a multiple"),
        ({"qformer_config": {"num_attention_heads": 7}}, "qformer_config.hidden_size is 768"),
        ({"qformer_config": {"encoder_hidden_size": 1024}}, "encoder_hidden_size is 1024; it must be that of the ViT"),
    ],
)
def test_nonsense_in_a_config_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoChatEmbedConfig(**options)


def test_no_extra_queries() -> None:
    network = a_network(num_extra_queries=0)
    assert network(a_video()).shape == (1, 3, 32)


@pytest.mark.parametrize("inflate", [lambda weight: weight, lambda weight: weight[:, :, None]], ids=["2-D", "3-D"])
def test_released_names_give_the_network(inflate: Callable[[Tensor], Tensor]) -> None:
    network, patches = a_network(), "visual_encoder.patch_embed.proj.weight"
    theirs = released(network)
    renamed, unknown = rename(theirs | {patches: inflate(theirs[patches])})
    assert unknown == []
    wanted = network.state_dict()
    assert renamed.keys() == wanted.keys()
    for name, weight in renamed.items():
        assert torch.equal(weight, wanted[name]), name


def test_the_released_files_together_give_the_network() -> None:
    network = a_network()
    files = tiny_released(network)
    vit = {f"visual_encoder.{name}": weight for name, weight in files["vit"].items()}
    renamed, unknown = rename(vit | files["qformer"] | files["videochat"])
    assert unknown == []
    more = renamed.keys() - network.state_dict().keys()
    assert {name.rpartition("layers.")[2].partition(".")[0] for name in more} == {"4"}  # EVA's last block
    assert renamed.keys() - more == network.state_dict().keys()
    assert len(files["videochat"]) == 2 * 16 + 1 + 2 + 1 + 2 + 2


def test_strange_released_names_are_told() -> None:
    one = torch.ones(32)
    strange = {
        "visual_encoder.blocks.0.attn.k_bias": one,
        "visual_encoder.blocks.0.lmhra1.pos_embed.1.weight": one,
        "visual_encoder.blocks.1.attn.q_bias": one,  # alone
        "visual_encoder.gmhra.0.attn.in_proj.weight": one,
        "xvisual_encoder.cls_token": one,
        "visual_encoder.cls_token.x": one,
        "Qformer.bert.encoder.layer.0.output.dense.weight": one,
        "vision_model.post_layernorm.weight": one,
    }
    assert rename(strange) == ({}, list(strange))
    assert rename({"Qformer.bert.embeddings.position_ids": torch.arange(512)[None]}) == ({}, [])
    deep = {
        "visual_encoder.patch_embed.proj.weight": torch.ones(8, 3, 2, 14, 14)
    }  # two frames deep: left for its shape
    assert rename(deep)[0]["vision_model.embeddings.patch_embedding.weight"].shape == (8, 3, 2, 14, 14)
