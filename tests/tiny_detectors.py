"""Detectors of transformers, tiny and with random weights, in folders as `save_pretrained` writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

LABELS = ("cat", "dog", "potted plant", "car")
TYPES = ("rt_detr", "rt_detr_v2", "d_fine", "deformable_detr", "conditional_detr", "detr")
SIDE = 64  # pixels


def save_detector(kind: str, folder: Path) -> Path:
    """Write a detector of a type that transformers knows, with the processor that goes with it."""
    import torch
    from transformers import AutoModelForObjectDetection

    torch.manual_seed(0)
    model = AutoModelForObjectDetection.from_config(_CONFIGS[kind]()).eval()
    biases = set()  # some heads share theirs
    for name, layer in model.named_modules():  # as they are made, queries would hardly differ
        if isinstance(layer, torch.nn.Linear) and "backbone" not in name:
            torch.nn.init.normal_(layer.weight, std=1.0 if "class" in name else 0.3)
            biases |= {layer.bias} if "class" in name else set()
        if isinstance(layer, torch.nn.Embedding):
            torch.nn.init.normal_(layer.weight, std=3.0)
    noise = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():  # nor would the likeliest class; which queries are taken depends on it, so twice
        for _ in range(2):
            usual = model(pixel_values=noise).logits.mean((0, 1))
            for bias in biases:
                bias -= usual
    model.save_pretrained(folder)
    processor(kind).save_pretrained(folder)
    return folder


def processor(kind: str) -> Any:
    """Return the type's own image processor; RT-DETR's squares the picture, the others keep its shape."""
    from transformers.models.conditional_detr.image_processing_pil_conditional_detr import (
        ConditionalDetrImageProcessorPil,
    )
    from transformers.models.deformable_detr.image_processing_pil_deformable_detr import DeformableDetrImageProcessorPil
    from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
    from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil

    edges = {"shortest_edge": SIDE, "longest_edge": 2 * SIDE}
    match kind:
        case "detr":
            return DetrImageProcessorPil(size=edges)
        case "conditional_detr":
            return ConditionalDetrImageProcessorPil(size=edges)
        case "deformable_detr":
            return DeformableDetrImageProcessorPil(size=edges)
    return RTDetrImageProcessorPil(size={"height": SIDE, "width": SIDE})


def _resnet(name: str, *stages: str) -> Any:
    import transformers

    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}
    return getattr(transformers, name)(**sizes, out_features=list(stages))


def _hgnet() -> Any:
    from transformers import HGNetV2Config

    return HGNetV2Config(
        embedding_size=8,
        stem_channels=[3, 8, 8],
        hidden_sizes=[16] * 4,
        stage_in_channels=[8, 16, 16, 16],
        stage_mid_channels=[8] * 4,
        stage_out_channels=[16] * 4,
        stage_num_blocks=[1] * 4,
        out_features=["stage2", "stage3", "stage4"],
    )


def _hybrid(name: str, backbone: Any) -> Any:
    """RT-DETR and what is built on it."""
    import transformers

    return getattr(transformers, name)(
        backbone_config=backbone,
        id2label=dict(enumerate(LABELS)),
        encoder_hidden_dim=32,
        encoder_in_channels=[16] * 3,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_in_channels=[32] * 3,
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_n_points=2,
        d_model=32,
        hidden_expansion=0.5,
        num_queries=12,
        num_denoising=0,
    )


def _plain(name: str, backbone: Any, **more: Any) -> Any:
    """DETR and what is built on it."""
    import transformers

    return getattr(transformers, name)(
        backbone_config=backbone,
        use_timm_backbone=False,
        id2label=dict(enumerate(LABELS)),
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        d_model=32,
        num_queries=12,
        **more,
    )


_LAST = ("stage2", "stage3", "stage4")
_POINTS = {"num_feature_levels": 3, "encoder_n_points": 2, "decoder_n_points": 2}
_CONFIGS: dict[str, Callable[[], Any]] = {
    "rt_detr": lambda: _hybrid("RTDetrConfig", _resnet("RTDetrResNetConfig", *_LAST)),
    "rt_detr_v2": lambda: _hybrid("RTDetrV2Config", _resnet("RTDetrResNetConfig", *_LAST)),
    "d_fine": lambda: _hybrid("DFineConfig", _hgnet()),
    "deformable_detr": lambda: _plain("DeformableDetrConfig", _resnet("ResNetConfig", *_LAST), **_POINTS),
    "conditional_detr": lambda: _plain("ConditionalDetrConfig", _resnet("ResNetConfig", "stage4")),
    "detr": lambda: _plain("DetrConfig", _resnet("ResNetConfig", "stage4")),
}
