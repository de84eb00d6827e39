"""The size of a VideoChat-Embed, as its folder's config.json holds it."""

from typing import Any, Literal

from transformers import Blip2QFormerConfig, Blip2VisionConfig, PreTrainedConfig

TemporalPosition = Literal["none", "sinusoidal"]
SubConfig = Blip2VisionConfig | Blip2QFormerConfig | dict[str, Any] | None


class VideoChatEmbedConfig(PreTrainedConfig):
    """How large the network is, and for which language model it was trained; default: the released 7B.

    Args:
        vision_config: of the image ViT; default: EVA ViT-g/14 without its last block, 224 pixels.
        qformer_config: of the Q-Former; default: BLIP-2's.
        num_queries: queries that come from BLIP-2.
        num_extra_queries: queries that were added for video.
        gmhra_layers: blocks at the end of the ViT that have a GMHRA block after them.
        gmhra_dropout: share of the hidden values of their feed-forward that training leaves out.
        llm_width: width of the language model's embeddings: 4096 for 7B, 5120 for 13B.
        llm: the language model that the projection was trained for, as a person would name it.
        space: the id of that language model's embedding space; empty: not known.
        temporal_position: "sinusoidal" adds a code of its time to each frame's tokens. An addition of this project: the
            released weights were trained with "none".

    Raises:
        ValueError: naming the value at fault, and what is allowed.
    """

    model_type = "videochat_embed"
    sub_configs = {"vision_config": Blip2VisionConfig, "qformer_config": Blip2QFormerConfig}

    def __init__(
        self,
        vision_config: SubConfig = None,
        qformer_config: SubConfig = None,
        num_queries: int = 32,
        num_extra_queries: int = 64,
        gmhra_layers: int = 8,
        gmhra_dropout: float = 0.5,
        llm_width: int = 4096,
        llm: str = "",
        space: str = "",
        temporal_position: TemporalPosition = "none",
        **kwargs: Any,
    ) -> None:
        # BLIP-2's own 1e-10 would leave a fresh network blind.
        self.vision_config = _sub(Blip2VisionConfig, vision_config, initializer_range=0.02)
        width = self.vision_config.hidden_size
        self.qformer_config = _sub(Blip2QFormerConfig, qformer_config, encoder_hidden_size=width)
        self.num_queries = num_queries
        self.num_extra_queries = num_extra_queries
        self.gmhra_layers = gmhra_layers
        self.gmhra_dropout = gmhra_dropout
        self.llm_width = llm_width
        self.llm = llm
        self.space = space
        self.temporal_position = temporal_position
        self._check()
        super().__init__(**kwargs)

    def _check(self) -> None:
        vision, qformer = self.vision_config, self.qformer_config
        least = {"num_queries": 1, "num_extra_queries": 0, "gmhra_layers": 1, "llm_width": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {low}")
        if self.gmhra_layers > vision.num_hidden_layers:
            raise ValueError(
                f"gmhra_layers is {self.gmhra_layers}; the ViT has only {vision.num_hidden_layers} blocks "
                "(vision_config.num_hidden_layers)"
            )
        if not isinstance(self.gmhra_dropout, int | float) or not 0 <= self.gmhra_dropout < 1:
            raise ValueError(f"gmhra_dropout is {self.gmhra_dropout!r}; it must be at least 0 and less than 1")
        if self.temporal_position not in ("none", "sinusoidal"):
            raise ValueError(f"temporal_position is {self.temporal_position!r}; there are: none, sinusoidal")
        side, patch = vision.image_size, vision.patch_size
        if not isinstance(side, int) or not isinstance(patch, int) or patch < 1 or side < patch or side % patch:
            raise ValueError(
                f"vision_config.image_size is {side!r} and patch_size is {patch!r}; pictures are square, and their "
                "side is a multiple of the patch's"
            )
        for name, part in (("vision_config", vision), ("qformer_config", qformer)):
            if part.num_attention_heads < 1 or part.hidden_size % part.num_attention_heads:
                raise ValueError(
                    f"{name}.hidden_size is {part.hidden_size}; it must be a multiple of num_attention_heads, "
                    f"{part.num_attention_heads}"
                )
        if qformer.encoder_hidden_size != vision.hidden_size:
            raise ValueError(
                f"qformer_config.encoder_hidden_size is {qformer.encoder_hidden_size}; it must be that of the ViT, "
                f"vision_config.hidden_size, {vision.hidden_size}"
            )


def _sub(cls: type[Any], found: SubConfig, **ours: Any) -> Any:
    """Return a part's config; `ours`: defaults that differ from those of its class.

    Raises:
        ValueError: if it is no mapping, or its class takes no such values.
    """
    from huggingface_hub.errors import StrictDataclassError

    if isinstance(found, cls):
        return found
    try:
        return cls(**ours | dict(found or {}))
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise ValueError(f"{cls.base_config_key}: {' '.join(str(error).split())}") from None
