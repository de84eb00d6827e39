"""Whisper of one narrow layer with random weights, as openai-whisper saves it and as CTranslate2 converts it."""

from pathlib import Path

# Random weights repeat themselves and are sure of nothing: what they say passes only where the thresholds let it.
LOOSE = {"compression": 100, "logprob": -100, "no_speech": 1, "beams": 1}


def save_whisper(path: Path, vocabulary: int = 51865, **sizes: int) -> Path:
    """Write a .pt file of openai-whisper; return it."""
    import torch
    from whisper.model import ModelDimensions
    from whisper.model import Whisper as Network

    torch.manual_seed(0)
    text = {"n_text_ctx": 32, "n_text_state": 32, "n_text_head": 2, "n_text_layer": 1} | sizes
    dims = ModelDimensions(80, 1500, text["n_text_state"], 2, 1, vocabulary, **text)
    network = Network(dims)
    torch.nn.init.normal_(network.decoder.positional_embedding)  # the package leaves it as memory was
    network.decoder.token_embedding.weight.data[-1501:] = 0  # else it says times only and crawls
    torch.save({"dims": vars(dims), "model_state_dict": network.state_dict()}, path)
    return path


def save_faster_whisper(folder: Path) -> Path:
    """Write a folder that CTranslate2 converted from one of transformers, beside it; return the folder."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    source = folder.with_name(f"{folder.name}-hf")
    special = _save_tokenizer(source)
    end = 50257
    sides = [(f"{side}_{what}", value) for side in ("encoder", "decoder") for what, value in
             (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))]  # fmt: skip
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=end + len(special), num_mel_bins=80, d_model=16, max_source_positions=1500,
            max_target_positions=448, pad_token_id=end, bos_token_id=end, eos_token_id=end,
            decoder_start_token_id=end + 1, **dict(sides),
        )
    )  # fmt: skip
    network.generation_config = GenerationConfig(
        suppress_tokens=[], begin_suppress_tokens=[220, end], alignment_heads=[[0, 0], [0, 1]],
        lang_to_id={token: end + 2 + i for i, token in enumerate(special[2:101])},
    )  # fmt: skip
    network.save_pretrained(source)
    TransformersConverter(str(source), copy_files=["tokenizer.json"]).convert(str(folder))
    return folder


def _save_tokenizer(folder: Path) -> list[str]:
    """Save the vocabulary that openai-whisper has in its package, as transformers does; return its special tokens."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel as Bytes
    from transformers import PreTrainedTokenizerFast
    from whisper.tokenizer import get_encoding

    encoding = get_encoding("multilingual", num_languages=99)
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}  # GPT-2 writes all other bytes from U+0100 on
    hidden = [byte for byte in range(256) if byte not in shown]
    letters = {byte: chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)}
    ranks = {"".join(letters[byte] for byte in token): rank for token, rank in encoding._mergeable_ranks.items()}
    tokenizer = Tokenizer(BPE(vocab=ranks, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = Bytes(add_prefix_space=False), ByteLevel()
    special = sorted(encoding._special_tokens, key=encoding._special_tokens.__getitem__)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    end = special[0]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, unk_token=end).save_pretrained(folder)
    return special
