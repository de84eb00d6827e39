"""A Florence-2 of narrow layers with random weights, as a folder that transformers loads.

Its words are few and its places a thousand, so words get wider weights: what it says is words and places mixed.
"""

from pathlib import Path
from typing import Any

SIDE = 64  # pixels of the model's input
WORDS = ["a", "man", "in", "red", "jacket", "the", "dog", "exit", "sale", "Locate", "objects", "image", "What", "text"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]  # in the order of their ids
PLACES = [f"<loc_{number}>" for number in range(1000)]


def save_tiny_florence(folder: Path, seed: int = 0) -> Path:
    """Save a model with its tokenizer and preprocessing; return the folder."""
    import torch
    import transformers

    words = _save_words(folder)
    stages = {"embed_dim": (8, 16, 32, 32), "num_heads": (1, 2, 2, 2), "num_groups": (1, 2, 2, 2)}
    layers = {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in _LAYERS.items()}
    marks = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.Florence2Config(
        vision_config={**stages, "depths": (1, 1, 1, 1), "window_size": 4, "projection_dim": 32},
        text_config={"model_type": "bart", "d_model": 32, "vocab_size": len(words), **layers, **marks},
        image_token_id=words.index("<image>"),
        **marks,
    )
    torch.manual_seed(seed)
    model = transformers.Florence2ForConditionalGeneration(config)
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.2)
    shared = model.get_input_embeddings().weight.data
    shared[[words.index(f"▁{word}") for word in WORDS]] *= 2
    model.generation_config = transformers.GenerationConfig(
        forced_bos_token_id=0, forced_eos_token_id=2, num_beams=3, no_repeat_ngram_size=3, early_stopping=True, **marks
    )
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    transformers.CLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False).save_pretrained(folder)
    return folder


_LAYERS = {"layers": 2, "attention_heads": 2, "ffn_dim": 64}


def _save_words(folder: Path) -> list[str]:
    """Save a tokenizer; return its words in the order of their ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*SPECIAL, *(f"▁{word}" for word in WORDS), "<od>", "</od>", *PLACES, "<image>"]
    words = Tokenizer(models.WordLevel({word: id for id, word in enumerate(vocabulary)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.decoder = decoders.Metaspace()
    marks: Any = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        additional_special_tokens=["<od>", "</od>", *PLACES, "<image>"],
        extra_special_tokens={"image_token": "<image>"},
        **marks,
    )
    tokenizer.save_pretrained(folder)
    return vocabulary
