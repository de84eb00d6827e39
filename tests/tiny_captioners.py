"""BLIP, BLIP-2 and GIT of two narrow layers with random weights, as folders that transformers loads.

The weights are spread widely, so that captions differ from picture to picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = [
    *("a", "an", "the", "of", "picture", "photo", "man", "woman", "dog", "cat", "red", "blue", "ball", "runs", "sits"),
    *("on", "in", "with", "green", "tree", "street", "car", "one", "two", "left", "right", "and", "is", "sky", "grass"),
]
SIDE = 28  # pixels of the models' input
TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VISION = {**TOWER, "image_size": SIDE, "patch_size": 14}


def save_tiny_blip(folder: Path, seed: int = 0) -> Path:
    """Save a BLIP with a BERT's tokenizer; return the folder."""
    import transformers

    words = _bert_words(folder)
    text = {**TOWER, "encoder_hidden_size": 32, "max_position_embeddings": 64, "vocab_size": words + 2}
    marks = {"bos_token_id": words, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    config = transformers.BlipConfig(text_config=text | marks, vision_config=VISION)
    _save(lambda: transformers.BlipForConditionalGeneration(config), 0.15, seed, folder)
    transformers.BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def save_tiny_git(folder: Path, seed: int = 0) -> Path:
    """Save a GIT with a BERT's tokenizer; return the folder."""
    import transformers

    marks = {"vocab_size": _bert_words(folder), "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    config = transformers.GitConfig(vision_config=VISION, max_position_embeddings=64, **TOWER, **marks)
    _save(lambda: transformers.GitForCausalLM(config), 0.1, seed, folder)
    size = {"height": SIDE, "width": SIDE}
    transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(folder)
    return folder


def save_tiny_blip2(folder: Path, seed: int = 0, *, t5: bool = False) -> Path:
    """Save a BLIP-2 that speaks through an OPT, or a T5; return the folder."""
    import transformers

    words, picture = _opt_words(folder)
    if t5:
        text: Any = transformers.T5Config(
            vocab_size=words, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, bos_token_id=2, eos_token_id=2
        )
        text.pad_token_id = text.decoder_start_token_id = 1
    else:
        text = transformers.OPTConfig(
            vocab_size=words, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=64, **TOWER
        )
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config={**TOWER, "vocab_size": words},
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=picture,
    )
    _save(lambda: transformers.Blip2ForConditionalGeneration(config), 0.4, seed, folder)
    transformers.BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def save_tiny_blip2_t5(folder: Path, seed: int = 0) -> Path:
    """Save a BLIP-2 that speaks through a T5; return the folder."""
    return save_tiny_blip2(folder, seed, t5=True)


CAPTIONERS: dict[str, Callable[..., Path]] = {
    "blip": save_tiny_blip,
    "blip2-opt": save_tiny_blip2,
    "blip2-t5": save_tiny_blip2_t5,
    "git": save_tiny_git,
}


def _save(build: Callable[[], Any], spread: float, seed: int, folder: Path) -> None:
    import torch

    torch.manual_seed(seed)
    model = build()
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=spread)
    model.save_pretrained(folder)


def _bert_words(folder: Path) -> int:
    """Save a tokenizer; return how many words it has."""
    from transformers import BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    BertTokenizerFast(vocab={word: id for id, word in enumerate(vocabulary)}).save_pretrained(folder)
    return len(vocabulary)


def _opt_words(folder: Path) -> tuple[int, int]:
    """Save a tokenizer; return how many words it has, and the one that stands for a picture."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS), "<image>"]
    words = Tokenizer(models.WordLevel({word: id for id, word in enumerate(vocabulary)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.decoder = decoders.Metaspace()
    marks: Any = {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, additional_special_tokens=["<s>", "<image>"], **marks)
    tokenizer.save_pretrained(folder)
    return len(vocabulary), len(vocabulary) - 1
