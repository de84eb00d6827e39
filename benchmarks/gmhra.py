"""What folding GMHRA's attention saves: a block of full size over 8 frames, side by side with keys and values made."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, SkippedError, seconds

if TYPE_CHECKING:
    from torch import Tensor, nn

    from videochat_plugins.models.videochat_embed.gmhra import GMHRA

WIDTH, HEADS, FRAMES, TOKENS = 1408, 16, 8, 257
LIMIT = 1 / 5


def figures() -> Iterator[Figure]:
    """Run one block, folded and plain in turns, on one thread: other work on the machine then slows both alike."""
    try:
        import torch
        from torch import nn
    except ImportError:
        raise SkippedError("torch is not installed: pip install 'videochat[models]'") from None
    from videochat_plugins.models.videochat_embed.gmhra import GMHRA

    torch.manual_seed(0)
    block = GMHRA(WIDTH, HEADS, dropout=0.5).eval()
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    for weight in block.parameters():
        nn.init.normal_(weight, std=0.02)
    attention.load_state_dict(block.attn.state_dict())
    token, frames = torch.randn(1, WIDTH), torch.randn(1, FRAMES, TOKENS, WIDTH)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            wanted = plain(block, attention, token, frames)
            torch.testing.assert_close(block(token, frames), wanted, rtol=1e-3, atol=1e-4)
            pairs = [
                (seconds(lambda: block(token, frames)), seconds(lambda: plain(block, attention, token, frames)))
                for _ in range(15)
            ]
    finally:
        torch.set_num_threads(threads)
    yield Figure.of("gmhra", "folded, 8 frames, CPU", "keys and values", pairs, LIMIT)


def plain(block: "GMHRA", attention: "nn.MultiheadAttention", token: "Tensor", frames: "Tensor") -> "Tensor":
    """Return what the block does, by torch's own multi-head attention."""
    import torch

    context = torch.cat(block.context(frames), dim=1)
    token = token + attention(block.ln_1(token)[:, None], context, context, need_weights=False)[0][:, 0]
    return token + block.mlp(block.ln_2(token))
