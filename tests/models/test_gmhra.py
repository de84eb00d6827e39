"""GMHRA's folded attention against the plain one, and its block against the definition."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from videochat_plugins.models.videochat_embed.gmhra import GMHRA, FoldedAttention


def random_block(width: int, heads: int, dropout: float = 0.0, seed: int = 0) -> GMHRA:
    """A block in float64 none of whose weights is zero."""
    torch.manual_seed(seed)
    block = GMHRA(width, heads, dropout).double().eval()
    with torch.no_grad():
        for name, weight in block.named_parameters():
            weight.normal_(float(name.startswith("ln") and name.endswith("weight")), 1 / sqrt(weight.shape[-1]))
    return block


def plain(attention: FoldedAttention, query: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Multi-head attention with a key and a value for every token, as torch has it."""
    other = nn.MultiheadAttention(query.shape[1], attention.heads, batch_first=True).double()
    context = torch.cat([*parts], dim=1)
    inputs = (query[:, None], context, context)
    return torch.func.functional_call(other, dict(attention.named_parameters()), inputs, {"need_weights": False})[0][
        :, 0
    ]


def position(patches: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3 x 3 x 3 convolution, channel by channel, with zeros around: (B, T, s, s, C), of the same shape."""
    frames, side = patches.shape[1:3]
    around = F.pad(patches, (0, 0, 1, 1, 1, 1, 1, 1))
    found = bias.expand_as(patches)
    for t in range(3):
        for y in range(3):
            for x in range(3):
                found = found + weight[:, 0, t, y, x] * around[:, t : t + frames, y : y + side, x : x + side]
    return found


def defined(block: GMHRA, token: Tensor, frames: Tensor) -> Tensor:
    """The block by its equations, step by step."""
    side = round(sqrt(frames.shape[2] - 1))
    normed = block.ln_3(frames)
    patches = normed[:, :, 1:].unflatten(2, (side, side))
    patches = patches + position(patches, block.dpe.weight, block.dpe.bias)
    context = torch.cat([normed[:, :, 0], patches.flatten(1, 3)], dim=1)
    token = token + plain(block.attn, block.ln_1(token), [context])
    fc, proj = block.get_submodule("mlp.c_fc"), block.get_submodule("mlp.c_proj")
    return token + proj(F.gelu(fc(block.ln_2(token))))


@given(
    clips=st.integers(1, 3),
    tokens=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    heads=st.integers(1, 5),
    depth=st.integers(1, 9),
    size=st.floats(0.01, 5),
    seed=st.integers(0, 9),
)
@settings(max_examples=60)
def test_folded_is_plain(clips: int, tokens: list[int], heads: int, depth: int, size: float, seed: int) -> None:
    attention = random_block(heads * depth, heads, seed=seed).attn
    query = torch.randn(clips, heads * depth).double()
    context = [size * torch.randn(clips, length, heads * depth).double() for length in tokens]
    torch.testing.assert_close(
        attention(query, context), plain(attention, query, context), rtol=1e-12, atol=1e-12 * max(1, size)
    )


@given(
    clips=st.integers(1, 2),
    frames=st.integers(1, 9),
    side=st.integers(1, 3),
    heads=st.integers(1, 3),
    depth=st.integers(2, 6),
)
@settings(max_examples=40)
def test_a_block_is_what_its_equations_say(clips: int, frames: int, side: int, heads: int, depth: int) -> None:
    block, width = random_block(heads * depth, heads), heads * depth
    token, x = torch.randn(clips, width).double(), torch.randn(clips, frames, 1 + side * side, width).double()
    before = x.clone()
    torch.testing.assert_close(block(token, x), defined(block, token, x), rtol=1e-12, atol=1e-12)
    assert torch.equal(x, before)  # the frames stay as they are


def test_gradients_are_those_of_the_plain_form() -> None:
    block = random_block(24, 4)
    token, x = torch.randn(2, 24).double().requires_grad_(), torch.randn(2, 3, 5, 24).double().requires_grad_()
    weights = [token, x, *block.parameters()]
    ours = torch.autograd.grad(block(token, x).square().sum(), weights)
    theirs = torch.autograd.grad(defined(block, token, x).square().sum(), weights)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert all(grad.any() for grad in ours)


def test_the_key_s_bias_is_without_effect() -> None:
    block = random_block(24, 4)
    token, x = torch.randn(1, 24).double(), torch.randn(1, 3, 5, 24).double()
    before = block(token, x)
    with torch.no_grad():
        block.attn.in_proj_bias[24:48] += 3
    assert torch.equal(block(token, x), before)
    torch.testing.assert_close(defined(block, token, x), before, rtol=1e-12, atol=1e-12)


def test_class_tokens_have_no_place_and_patches_do() -> None:
    block, x = random_block(24, 4), torch.randn(1, 4, 5, 24).double()
    order = torch.tensor([2, 0, 3, 1])
    (classes, patches), (moved_classes, moved_patches) = block.context(x), block.context(x[:, order])
    assert torch.equal(moved_classes, classes[:, order])
    before, after = patches.unflatten(1, (4, 4))[:, order], moved_patches.unflatten(1, (4, 4))
    assert not torch.isclose(before, after).all(-1).any()


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_for_training(training: bool) -> None:
    block = random_block(24, 4, dropout=0.5).train(training)
    token, x = torch.randn(1, 24).double(), torch.randn(1, 2, 5, 24).double()
    assert torch.equal(block(token, x), block(token, x)) is not training


def test_neither_keys_nor_values_are_made() -> None:
    attention = random_block(24, 4).attn

    def multiplications(attend: Any, tokens: int) -> int:
        query, context = torch.randn(1, 24).double(), torch.randn(1, tokens, 24).double()
        with FlopCounterMode(display=False) as counter:
            attend(attention, query, [context])
        return counter.get_total_flops() // 2

    folded, unfolded = (multiplications(how, 51) - multiplications(how, 50) for how in (FoldedAttention.forward, plain))
    assert folded == 2 * 4 * 24  # for a further token: a score and a share of the sum, of each head over all channels
    assert unfolded >= 2 * 24 * 24  # its key and its value
