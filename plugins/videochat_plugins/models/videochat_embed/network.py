"""VideoChat-Embed (Li et al., arXiv 2305.06355, section 3.2): video frames to tokens of a language model.

A ViT sees every frame by itself; after its last blocks GMHRA lets one token see all frames. The Q-Former's queries read
the frames' tokens and that one, and a linear projection gives each query the width of the language model's embeddings.
ViT and Q-Former are BLIP-2's, in transformers' classes; the code of time is ours.

Shapes: B clips, T frames, n patches of a frame, C channels, N = T (1 + n), Q queries.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Blip2QFormerModel, Blip2VisionModel, PreTrainedModel
from transformers import initialization as init

from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
from videochat_plugins.models.videochat_embed.gmhra import GMHRA

_CODE = 0.1  # amplitude of the code of time, where normalised tokens spread by about 1


class Stages(NamedTuple):
    """What the network makes of a video on its way."""

    vit: Tensor  # (B, N + 1, C), the GMHRA token last
    ln: Tensor  # (B, N + 1, C), what the Q-Former reads
    qformer: Tensor  # (B, Q, width of the Q-Former)
    llama: Tensor  # (B, Q, width of the language model)


class VideoChatEmbed(PreTrainedModel):
    """Turn a video into tokens of a language model, as many for every length; an image is a video of one frame."""

    config_class = VideoChatEmbedConfig
    config: VideoChatEmbedConfig
    base_model_prefix = "videochat_embed"
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Blip2EncoderLayer", "Blip2QFormerLayer", "GMHRA"]

    def __init__(self, config: VideoChatEmbedConfig) -> None:
        super().__init__(config)
        vision, qformer = config.vision_config, config.qformer_config
        self.vision_model = Blip2VisionModel(vision)
        self.vision_model.post_layernorm.eps = 1e-5  # ln_vision's; the blocks' is vision.layer_norm_eps
        self.gmhra = nn.ModuleList(
            GMHRA(vision.hidden_size, vision.num_attention_heads, config.gmhra_dropout)
            for _ in range(config.gmhra_layers)
        )
        self.gmhra_cls_token = nn.Parameter(torch.zeros(1, 1, vision.hidden_size))
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_queries, qformer.hidden_size))
        self.extra_query_tokens = nn.Parameter(torch.zeros(1, config.num_extra_queries, qformer.hidden_size))
        self.qformer = Blip2QFormerModel(qformer)
        self.llama_proj = nn.Linear(qformer.hidden_size, config.llm_width)
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def is_custom_code(cls) -> bool:
        """Return false: with custom code, modules without weights of their own, such as GMHRA, are not initialised."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Give fresh weights: the GMHRA token starts as zeros and, by its blocks' last layers, stays so at first."""
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, GMHRA):
            for name in ("attn.in_proj_weight", "mlp.c_fc.weight"):
                init.xavier_uniform_(module.get_parameter(name))
            for name in ("attn.in_proj_bias", "attn.out_proj.weight", "mlp.c_proj.weight"):
                init.zeros_(module.get_parameter(name))
            init.kaiming_uniform_(module.dpe.weight, a=5**0.5)  # torch's own
        elif isinstance(module, VideoChatEmbed):
            init.zeros_(module.gmhra_cls_token)
            for queries in (module.query_tokens, module.extra_query_tokens):
                init.normal_(queries, mean=0.0, std=0.02)  # equal ones would give equal tokens

    def forward(self, pixel_values: Tensor, times: Tensor | None = None) -> Tensor:
        """Return the tokens of each clip: (B, T, 3, H, W) -> (B, Q, width of the language model).

        Args:
            pixel_values: normalised frames, in order of time, of the size that the network was trained for.
            times: (B, T) seconds, of which only differences count; default: a second from each frame to the next.
                Without effect unless the config asks for a temporal position.

        Raises:
            ValueError: if either has another shape, or frames are not normalised numbers.
        """
        return self.stages(pixel_values, times).llama

    def stages(self, pixel_values: Tensor, times: Tensor | None = None) -> Stages:
        """Return what `forward` does, with all that comes before it."""
        self._check(pixel_values, times)
        vit = self.encode(pixel_values)
        ln = self.vision_model.post_layernorm(vit)
        if self.config.temporal_position == "sinusoidal":
            if times is None:
                times = torch.arange(pixel_values.shape[1]).expand(len(ln), -1)
            ln = ln + _temporal_code(times, ln)
        queries = torch.cat([self.query_tokens, self.extra_query_tokens], dim=1).expand(len(ln), -1, -1)
        qformer = self.qformer(query_embeds=queries, encoder_hidden_states=ln).last_hidden_state
        return Stages(vit, ln, qformer, self.llama_proj(qformer))

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Return all frames' tokens and the GMHRA token, not normalised: (B, T, 3, H, W) -> (B, N + 1, C)."""
        clips, frames = pixel_values.shape[:2]
        layers = self.vision_model.encoder.layers
        x = self.vision_model.embeddings(pixel_values.flatten(0, 1))  # (B T, 1 + n, C)
        token = self.gmhra_cls_token[0].expand(clips, -1)  # (B, C)
        for layer, block in enumerate(layers, start=len(self.gmhra) - len(layers)):
            x = block(x)
            if layer >= 0:
                token = self.gmhra[layer](token, x.unflatten(0, (clips, frames)))
        return torch.cat([x.reshape(clips, -1, x.shape[2]), token[:, None]], dim=1)

    def _check(self, pixel_values: Tensor, times: Tensor | None) -> None:
        side = self.config.vision_config.image_size
        shape = tuple(pixel_values.shape)
        if len(shape) != 5 or shape[2:] != (3, side, side) or 0 in shape:
            raise ValueError(f"pixel_values must be (B, T, 3, {side}, {side}) with at least one frame, got {shape}")
        if not pixel_values.is_floating_point():
            raise ValueError(f"pixel_values must be normalised floats, got {pixel_values.dtype}")
        if times is not None and tuple(times.shape) != shape[:2]:
            raise ValueError(f"times must be {shape[:2]}, one for each frame, got {tuple(times.shape)}")


def _temporal_code(times: Tensor, tokens: Tensor) -> Tensor:
    """Return what is added to the normalised tokens: (B, T), (B, N + 1, C) -> (B, N + 1, C), zero for the GMHRA token.

    The Q-Former's keys carry no place in time, so it is given to them, of class and patches of every frame: behind the
    frozen ViT, which never saw such a code, and behind ln_vision, before which tokens have no scale to go by. Sines and
    cosines of arXiv 1706.03762, section 3.5, of the seconds since the clip's first frame, less their value at 0: only
    differences in time show, and the first frame, and so an image, stays as it is.
    """
    width, places = tokens.shape[2], (tokens.shape[1] - 1) // times.shape[1]
    seconds = times.to(tokens.device, torch.float64)  # of a long film, to the millisecond
    seconds = seconds - seconds.amin(1, keepdim=True)
    rates = 10_000 ** (-torch.arange(0, width, 2, device=tokens.device, dtype=torch.float64) / width)
    angles = seconds[..., None] * rates  # (B, T, C / 2)
    code = torch.stack([angles.sin(), angles.cos() - 1], dim=-1).flatten(2)[..., :width]  # (B, T, C)
    code = (_CODE * code).to(tokens.dtype).repeat_interleave(places, dim=1)  # (B, N, C)
    return F.pad(code, (0, 0, 0, 1))
