"""GMHRA: the global relation aggregator of UniFormerV2 (arXiv 2211.09552), by which VideoChat-Embed sees time.

One token attends to all tokens of all frames. Its attention is computed in a folded form that is equal to the plain
one: with h heads of d = C / h channels and one query q = LN_1(g) W_q^T + b_q, the scores of head i over the context Y'
are

    q_i k_i^T = q_i (Y' W_k,i^T + b_k,i)^T = (q_i W_k,i) Y'^T + const,

whose constant the softmax removes, and as its weights a_i add up to 1, what is gathered is

    a_i v_i = a_i (Y' W_v,i^T + b_v,i) = (a_i Y') W_v,i^T + b_v,i.

So neither keys nor values are made, which would take 2 C^2 multiplications for each of the T (1 + n) tokens: folding
and unfolding takes as many once, and each token then 2 h C for scores and sums.

Shapes: B clips, T frames, n = s s patches of a frame, C channels.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_RATIO = 4.3637  # of EVA ViT-g: hidden values of a feed-forward over its width


class FoldedAttention(nn.Module):
    """Multi-head attention of one query; its weights are those of torch's `MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))  # of query, key and value
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))  # that of the key is without effect
        self.out_proj = nn.Linear(width, width)

    def forward(self, query: Tensor, context: Sequence[Tensor]) -> Tensor:
        """Return what the query gathers from a context in parts: (B, C), [(B, N_1, C), (B, N_2, C), ...] -> (B, C)."""
        width = query.shape[1]
        split = (self.heads, width // self.heads)  # (h, d)
        to_query, to_key, to_value = self.in_proj_weight.chunk(3)
        query_bias, _, value_bias = self.in_proj_bias.chunk(3)
        q = F.linear(query, to_query, query_bias).unflatten(1, split)  # (B, h, d)
        folded = torch.einsum("bhd,hdc->bhc", q * split[1] ** -0.5, to_key.unflatten(0, split))  # q W_k
        scores = torch.cat([folded @ part.mT for part in context], dim=2)  # (B, h, N)
        weights = scores.softmax(2).split([part.shape[1] for part in context], dim=2)
        pooled = sum((w @ part for w, part in zip(weights, context, strict=True)), torch.zeros_like(folded))  # a Y'
        gathered = torch.einsum("bhc,hdc->bhd", pooled, to_value.unflatten(0, split)).flatten(1) + value_bias
        out: Tensor = self.out_proj(gathered)
        return out


class GMHRA(nn.Module):
    """Update the video's token by what it finds in all frames; the frames stay as they are.

    Dynamic position embedding, attention, feed-forward: arXiv 2211.09552, section 3.3. Names of parameters are those of
    the released files.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        hidden = round(_RATIO * width)
        self.dpe = nn.Conv3d(width, width, 3, padding=1, groups=width)
        self.attn = FoldedAttention(width, heads)
        self.ln_1, self.ln_2, self.ln_3 = (nn.LayerNorm(width, eps=1e-5) for _ in range(3))
        layers = {
            "c_fc": nn.Linear(width, hidden),
            "gelu": nn.GELU(),
            "dropout": nn.Dropout(dropout),
            "c_proj": nn.Linear(hidden, width),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, token: Tensor, frames: Tensor) -> Tensor:
        """Return the token after this block: (B, C), (B, T, 1 + n, C) -> (B, C)."""
        token = token + self.attn(self.ln_1(token), self.context(frames))
        out: Tensor = token + self.mlp(self.ln_2(token))
        return out

    def context(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the token attends to, class tokens and patches: (B, T, 1 + n, C) -> (B, T, C), (B, T n, C).

        Y' = [Y_cls, Y_patch + DPE(Y_patch)], with Y = LN_3(frames); attention does not mind their order.
        """
        normed = self.ln_3(frames)
        side = isqrt(normed.shape[2] - 1)
        patches = normed[:, :, 1:].unflatten(2, (side, side))  # (B, T, s, s, C)
        place = self.dpe(patches.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return normed[:, :, 0], (patches + place).flatten(1, 3)
