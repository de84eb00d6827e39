"""Tiny image and text towers with random weights, for tests of tags."""

from pathlib import Path
from typing import Any

WORDS = ["cat", "dog", "car", "tree", "bar code"]


def save_tokenizer(folder: Path, length: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", "a", "photo", "of", *" ".join(WORDS).split()]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    # CLIP's tower tells of a text what it has at its end.
    inner.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", model_max_length=length
    )
    tokenizer.save_pretrained(folder)


def save(folder: Path, kind: str) -> Path:
    import torch
    import transformers

    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 30, "max_position_embeddings": 8, "pad_token_id": 0, "eos_token_id": 1}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    if kind == "siglip":
        config: Any = transformers.SiglipConfig(text_config={**text, "projection_size": 32}, vision_config=vision)
        model: Any = transformers.SiglipModel(config)
        processor: Any = transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    else:
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        model = transformers.CLIPModel(config)
        sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        processor = transformers.CLIPImageProcessorPil(**sizes)
    for weights in model.parameters():
        if weights.ndim > 1:  # as they are made, all pictures would look alike
            torch.nn.init.normal_(weights, std=0.1)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    save_tokenizer(folder, 8)
    return folder
