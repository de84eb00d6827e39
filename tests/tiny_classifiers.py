"""Video classifiers, tiny and with random weights: those of transformers in folders, UniFormerV2 in its one file."""

from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videochat_plugins.models.uniformerv2 import UniFormerV2

TYPES = ("videomae", "vivit", "timesformer")
LABELS = ("riding a bike", "marching", "dodgeball", "tasting beer", "juggling fire")
FRAMES = 4  # that those of transformers take


def save_classifier(kind: str, folder: Path) -> Path:
    """Write a classifier of a type that transformers knows, with its processor; return the folder."""
    import torch
    import transformers as tf

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    shape = {"image_size": 32, "num_frames": FRAMES, "id2label": dict(enumerate(LABELS))}
    decoder = {"decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_intermediate_size": 32}
    config: Any = {
        "videomae": lambda: tf.VideoMAEConfig(patch_size=8, decoder_num_attention_heads=2, **decoder, **size, **shape),
        "vivit": lambda: tf.VivitConfig(tubelet_size=[2, 8, 8], **size, **shape),
        "timesformer": lambda: tf.TimesformerConfig(patch_size=8, **size, **shape),
    }[kind]()
    torch.manual_seed(0)
    model = tf.AutoModelForVideoClassification.from_config(config)
    torch.nn.init.normal_(model.classifier.weight, std=1.0)  # so that windows differ in more than the last digits
    model.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def processor() -> Any:
    """Return the image processor of all of them."""
    from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

    return VideoMAEImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})


def uniformerv2(classes: int = 400) -> "UniFormerV2":
    """Return a UniFormerV2 of three narrow layers."""
    import torch

    from videochat_plugins.models.uniformerv2 import Config, UniFormerV2

    torch.manual_seed(0)
    model = UniFormerV2(Config(64, 3, 1, 8, 32, classes, (1, 2))).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        weight.normal_(1.0 if name.endswith("weight") and weight.ndim == 1 else 0.0, 1 / sqrt(weight.shape[-1]))
    return model


def save_uniformerv2(file: Path) -> Path:
    """Write one as it is released: the weights, their names below `backbone`; return the file."""
    import torch

    torch.save({f"backbone.{name}": weight for name, weight in uniformerv2().state_dict().items()}, file)
    return file
