"""UniFormerV2 (Li et al., arXiv 2211.09552), the released B/16 without temporal convolutions, for inference.

An image ViT, CLIP's, sees every frame by itself: the local UniBlocks, here without LT_MHRA. After some of its layers a
global UniBlock lets one video token attend to the tokens of all frames; the token goes from each of them to the next
(multi-stage fusion, the sequential kind). Names of parameters are those of the released files.

Shapes: B clips, T frames, n = h w patches of a frame, C channels.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videochat import UnavailableError

_HEAD = 64  # channels of an attention head in every released size
_SHOWN = 10  # names that an error message lists


@dataclass(frozen=True, slots=True)
class Config:
    """The size of a UniFormerV2; default: B/16 for the 400 classes of Kinetics."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    patch: int = 16  # pixels
    resolution: int = 224  # pixels
    classes: int = 400
    global_layers: tuple[int, ...] = (8, 9, 10, 11)  # those with a global block after them


class Grid(NamedTuple):
    """How the tokens of clips lie in time and space."""

    frames: int
    height: int  # patches
    width: int


class QuickGELU(nn.Module):
    """CLIP's activation, x sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, of the same shape."""
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Relate queries to a context over several heads: GS_MHRA where both are one frame, C_MHRA for the video token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))  # for query, key and value
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Return what each query gathers: (B, m, C), (B, k, C) -> (B, m, C)."""
        parts = zip((queries, context, context), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        shape = (len(queries), -1, self.heads, queries.shape[2] // self.heads)
        q, k, v = (F.linear(x, w, b).reshape(shape).transpose(1, 2) for x, w, b in parts)
        gathered = F.scaled_dot_product_attention(q, k, v)  # (B, heads, m, C / heads)
        fused: Tensor = self.out_proj(gathered.transpose(1, 2).flatten(2))
        return fused


class LocalBlock(nn.Module):
    """A layer of the ViT: X^S = GS_MHRA(Norm(X)) + X, X^L = FFN(Norm(X^S)) + X^S (section "Local UniBlock")."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = Attention(config.width, config.heads)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = _feed_forward(config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Relate the tokens of each frame: (B T, 1 + n, C), of the same shape."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed)
        related: Tensor = x + self.mlp(self.ln_2(x))
        return related


class GlobalBlock(nn.Module):
    """Take up all frames into the video token (section "Global UniBlock").

    X^ST = C_MHRA(Norm(q), Norm(X^C)) + q, X^G = FFN(Norm(X^ST)) + X^ST. The sum with q is of the released code, not of
    the paper's equation.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = Attention(config.width, config.heads)
        self.ln_2 = nn.LayerNorm(config.width)
        self.ln_3 = nn.LayerNorm(config.width)
        self.mlp = _feed_forward(config.width)

    def forward(self, token: Tensor, context: Tensor) -> Tensor:
        """Return the video token, changed: (B, 1, C), (B, T (1 + n), C) -> (B, 1, C)."""
        token = token + self.attn(self.ln_1(token), self.ln_3(context))
        changed: Tensor = token + self.mlp(self.ln_2(token))
        return changed


class Transformer(nn.Module):
    """The local and global blocks, and the classifier on what they found."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, stages = config.width, range(len(config.global_layers))
        self.global_layers = config.global_layers
        self.resblocks = nn.ModuleList(LocalBlock(config) for _ in range(config.layers))
        self.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dpe = nn.ModuleList(nn.Conv3d(width, width, 3, padding=1, groups=width) for _ in stages)
        self.dec = nn.ModuleList(GlobalBlock(config) for _ in stages)
        # The middle is where training drops out: the released names count it.
        self.proj = nn.Sequential(nn.LayerNorm(width), nn.Identity(), nn.Linear(width, config.classes))
        self.balance = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return the score of each class: (B T, 1 + n, C) -> (B, classes)."""
        stages = dict(zip(self.global_layers, zip(self.dpe, self.dec, strict=True), strict=True))
        token = self.temporal_cls_token.expand(len(x) // grid.frames, 1, -1)  # (B, 1, C)
        for layer, block in enumerate(self.resblocks):
            x = block(x)
            if layer in stages:
                position, gather = stages[layer]
                token = gather(token, _placed(x, position, grid))
        # Z = a F + (1 - a) F^C (section "Multi-Stage Fusion"); `balance` is the logit of 1 - a.
        frame_classes = x[:, 0].reshape(len(token), grid.frames, -1).mean(1)  # (B, C)
        scores: Tensor = self.proj(torch.lerp(token[:, 0], frame_classes, self.balance.sigmoid()))
        return scores


class UniFormerV2(nn.Module):
    """Classify clips."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        patch, places = (1, config.patch, config.patch), (config.resolution // config.patch) ** 2 + 1
        self.conv1 = nn.Conv3d(3, config.width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(config.width))
        self.positional_embedding = nn.Parameter(torch.zeros(places, config.width))
        self.ln_pre = nn.LayerNorm(config.width)
        self.transformer = Transformer(config)

    def forward(self, video: Tensor) -> Tensor:
        """Return the score of each class, before the softmax: (B, T, 3, H, W) -> (B, classes); T is free."""
        patches = self.conv1(video.transpose(1, 2))  # (B, C, T, h, w)
        x = patches.flatten(3).permute(0, 2, 3, 1).flatten(0, 1)  # (B T, n, C)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        scores: Tensor = self.transformer(self.ln_pre(x), Grid(*patches.shape[2:]))
        return scores


def load_released(path: Path) -> UniFormerV2:
    """Return the network whose weights a file holds, in evaluation mode; its size is read from their shapes.

    The file is a state dict as `torch.save` writes it, alone or under "model", "module" or "state_dict"; its names may
    begin with "backbone." or "module.".

    Raises:
        UnavailableError: if the file cannot be read, or its weights are not those of the network: which are missing,
            which are unknown and which have another shape.
    """
    state = _read(path)
    with torch.device("meta"):
        model = UniFormerV2(_config(state))
    wanted = model.state_dict()
    shared = wanted.keys() & state.keys()
    faults = {
        "lacks": wanted.keys() - shared,
        "has unknown": state.keys() - shared,
        "has wrong shapes for": {name for name in shared if state[name].shape != wanted[name].shape},
    }
    told = [f"{fault} {_listed(names)}" for fault, names in faults.items() if names]
    if told:
        raise UnavailableError(f"{path} holds no UniFormerV2 without temporal convolutions: it {'; it '.join(told)}")
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def _feed_forward(width: int) -> nn.Sequential:
    layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": QuickGELU(), "c_proj": nn.Linear(4 * width, width)}
    return nn.Sequential(OrderedDict(layers))


def _placed(x: Tensor, position: nn.Module, grid: Grid) -> Tensor:
    """Return all tokens of a clip, the patches with their dynamic position: X^C = DPE(X^L) + X^L.

    (B T, 1 + n, C) -> (B, T (1 + n), C).
    """
    tokens = x.reshape(-1, grid.frames, *x.shape[1:])  # (B, T, 1 + n, C)
    patches = tokens[:, :, 1:]
    volume = patches.permute(0, 3, 1, 2).reshape(len(tokens), -1, *grid)  # (B, C, T, h, w)
    moved = position(volume).flatten(3).permute(0, 2, 3, 1)  # (B, T, n, C)
    return torch.cat([tokens[:, :, :1], patches + moved], dim=2).flatten(1, 2)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of the system, of zip, of pickle and of torch
        raise UnavailableError(
            f"{path} cannot be read as weights ({type(error).__name__}): it is damaged, or holds more than tensors"
        ) from None
    for name in ("model", "module", "state_dict"):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UnavailableError(f"{path} holds no state dict of a network")
    return {str(name).removeprefix("module.").removeprefix("backbone."): value for name, value in found.items()}


def _config(state: Mapping[str, Tensor]) -> Config:
    """Return the size that the shapes tell; of weights that are not a UniFormerV2's, the default."""
    try:
        classes, width = state["transformer.proj.2.weight"].shape
        places, _ = state["positional_embedding"].shape
        patch, side = state["conv1.weight"].shape[-1], isqrt(places - 1)  # of a square of patches
    except (KeyError, ValueError, IndexError):
        return Config()
    layers, stages = (
        len({name.split(".")[2] for name in state if name.startswith(f"transformer.{part}.")})
        for part in ("resblocks", "dpe")
    )
    last = tuple(range(layers - stages, layers))  # in every released size they follow the last layers
    return Config(width, layers, max(1, width // _HEAD), patch, side * patch, classes, last)


def _listed(names: set[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(sorted(names)[:_SHOWN])}{more}"
