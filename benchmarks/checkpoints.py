"""The six models of the stack `text` with random weights, in folders as they are published: of full size, or tiny.

What such a network says is noise, and it goes on until it may say no more; Whisper stops after as many words as a voice
says in ten seconds. So what is measured is how long so many words take, not whether they are right.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sizes import SIZES, Size

WORDS = (
    *("a", "the", "of", "picture", "photo", "man", "woman", "dog", "red", "blue", "ball", "street", "car", "runs"),
    *("sits", "is", "on", "in", "with", "and", "left", "."),
)
PLACES = [f"<loc_{number}>" for number in range(1000)]
# Whisper doubts what a random network says: where it may, it says it six times and then drops it.
_SURE = {"temperatures": [0.0], "logprob": -100.0, "compression": 100.0, "no_speech": 1.0}


def save(folder: Path, size: str) -> dict[str, Path]:
    """Write the checkpoints that are not there yet; return them by the names that they have in the stack."""
    places = {name: folder / (f"{name}.pt" if name == "speech" else name) for name in _SAVE}
    for name, place in places.items():
        if not place.exists():
            part = place.with_name(f"part-{place.name}")
            part.parent.mkdir(parents=True, exist_ok=True)
            _SAVE[name](part, SIZES[size])
            part.rename(place)
    return places


def write_stack(file: Path, places: Mapping[str, Path], size: str, device: str) -> Path:
    """Write the stack `text` with these checkpoints in place of its own, and a language model that says its prompt."""
    tokens = SIZES[size].tokens
    own = {name: {"checkpoint": str(place)} for name, place in places.items() if name != "speech"}
    summary = {**own.pop("summary"), "output_tokens": tokens["summary"]}
    perceive: dict[str, dict[str, Any]] = {**own, "speech": {"model": str(places["speech"]), **_SURE}}
    perceive["caption"]["max_tokens"] = tokens["caption"]
    perceive["dense"]["max_tokens"] = tokens["dense"]
    perceive["tags"]["threshold"] = 0.0
    llm, refine = {"use": "echo"}, {"summary": summary}
    stack = {"extends": "text", "perceive": perceive, "refine": refine, "llm": llm, "device": device}
    file.write_text(json.dumps(stack, indent=1))  # which is YAML too
    return file


def _action(folder: Path, size: Size) -> None:
    import transformers

    config = transformers.VideoMAEConfig(
        image_size=size.sides["action"],
        patch_size=size.patch,
        num_frames=size.frames,
        id2label={index: f"action {index}" for index in range(400)},
        **_tower(size),
    )
    _build(lambda: transformers.VideoMAEForVideoClassification(config), size, folder)
    _prepare(folder, "VideoMAE", size.sides["action"])


def _caption(folder: Path, size: Size) -> None:
    import transformers

    words = _words(folder, ["[PAD]", "[UNK]", "[SEP]", *WORDS], size.words["caption"], pad="[PAD]", unk="[UNK]")
    marks = {"bos_token_id": words, "sep_token_id": 2, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": words + 2}
    shape = {"image_size": size.sides["caption"], "patch_size": size.patch}
    config = transformers.BlipConfig(
        text_config={"encoder_hidden_size": size.width, **_tower(size), **marks},
        vision_config={"initializer_range": 0.02, **_tower(size), **shape},
    )
    _build(lambda: transformers.BlipForConditionalGeneration(config), size, folder)
    _prepare(folder, "Blip", size.sides["caption"])


def _tags(folder: Path, size: Size) -> None:
    import transformers

    words = _words(folder, ["<pad>", "</s>", "<unk>", *WORDS], size.words["tags"])
    marks = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "vocab_size": words}
    config = transformers.SiglipConfig(
        text_config={"projection_size": size.width, **_tower(size), **marks},
        vision_config={"image_size": size.sides["tags"], "patch_size": size.patch, **_tower(size)},
    )
    _build(lambda: transformers.SiglipModel(config), size, folder)
    _prepare(folder, "Siglip", size.sides["tags"])


def _dense(folder: Path, size: Size) -> None:
    import transformers

    known = ["<s>", "<pad>", "</s>", "<unk>", *WORDS]
    added = ["<od>", "</od>", *PLACES, "<image>"]
    words = _words(folder, [*known, *added], size.words["dense"], bos="<s>", eos="</s>", added=added)
    depth, dims, heads = size.regions["layers"], size.regions["dims"], size.regions["heads"]
    ends = {"layers": depth, "attention_heads": size.heads, "ffn_dim": 4 * size.width}
    marks = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.Florence2Config(
        vision_config={
            "embed_dim": dims,
            "num_heads": heads,
            "num_groups": heads,
            "depths": size.regions["depths"],
            "window_size": 12 if size.width > 32 else 4,
            "projection_dim": size.width,
        },
        text_config={
            "model_type": "bart",
            "d_model": size.width,
            "vocab_size": words,
            **{f"{end}_{key}": value for end in ("encoder", "decoder") for key, value in ends.items()},
            **marks,
        },
        image_token_id=len(known) + len(added) - 1,
        **marks,
    )

    def build() -> Any:
        model = transformers.Florence2ForConditionalGeneration(config)
        model.generation_config = transformers.GenerationConfig(
            forced_bos_token_id=0,
            forced_eos_token_id=2,
            num_beams=3,
            no_repeat_ngram_size=3,
            early_stopping=True,
            min_new_tokens=size.tokens["dense"],
            **marks,
        )
        return model

    _build(build, size, folder, louder=range(4, len(known)))
    _prepare(folder, "CLIP", size.sides["dense"], do_center_crop=False)


def _speech(file: Path, size: Size) -> None:
    import torch
    from whisper.model import ModelDimensions, Whisper

    width, heads, layers = size.speech
    torch.manual_seed(0)
    network = Whisper(ModelDimensions(80, 1500, width, heads, layers, 51865, 448, width, heads, layers))
    words, end = network.decoder.token_embedding.weight.data, 50257
    words[-1501:] = 0  # times, of which it would say nothing else
    torch.nn.init.normal_(network.decoder.positional_embedding)  # which the class leaves as memory was
    network.decoder.positional_embedding.data[3 + size.tokens["speech"] :] = 20 * words[end]  # and so it ends there
    torch.save({"dims": vars(network.dims), "model_state_dict": network.state_dict()}, file)


def _summary(folder: Path, size: Size) -> None:
    import transformers

    _words(folder, ["<pad>", "</s>", "<unk>", *WORDS], size.words["summary"], ends="</s>")
    config = transformers.T5Config(
        decoder_start_token_id=0, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **size.summary
    )

    def build() -> Any:
        model = transformers.T5ForConditionalGeneration(config)
        model.generation_config.min_new_tokens = size.tokens["summary"]
        return model

    _build(build, size, folder, unsaid=3)


_SAVE: Mapping[str, Callable[[Path, Size], None]] = {
    "action": _action,
    "caption": _caption,
    "tags": _tags,
    "dense": _dense,
    "speech": _speech,
    "summary": _summary,
}


def _tower(size: Size) -> dict[str, int]:
    return {
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": 4 * size.width,
    }


def _build(build: Callable[[], Any], size: Size, folder: Path, louder: Sequence[int] = (), unsaid: int = 0) -> None:
    """Write a model.

    The embeddings of the words `louder` are wider, so that they are said more often; the first so many, `unsaid`, which
    are no words, weigh nothing, for an answer of them alone would be empty.
    """
    import torch

    torch.manual_seed(0)
    model = build()
    if size.spread:  # narrow layers of the usual weights would say one thing of every picture
        for weights in model.parameters():
            if weights.ndim > 1:
                torch.nn.init.normal_(weights, std=size.spread)
        if louder:
            model.get_input_embeddings().weight.data[louder] *= 2
    if unsaid:
        model.get_output_embeddings().weight.data[:unsaid] = 0
    model.save_pretrained(folder)


def _prepare(folder: Path, name: str, side: int, **more: Any) -> None:
    square = {"height": side, "width": side}
    size = {"shortest_edge": side} if name == "VideoMAE" else square
    settings = {"image_processor_type": f"{name}ImageProcessor", "size": size, "crop_size": square, **more}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def _words(
    folder: Path,
    known: Sequence[str],
    count: int,
    *,
    bos: str = "",
    eos: str = "</s>",
    pad: str = "<pad>",
    unk: str = "<unk>",
    ends: str = "",
    added: Sequence[str] = (),
) -> int:
    """Save a tokenizer that knows some words, and made-up ones up to so many; return how many they are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*known, *(f"word{number}" for number in range(count - len(known)))]
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=unk))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece(prefix="##")
    if ends:
        mark = [(ends, words.index(ends))]
        inner.post_processor = processors.TemplateProcessing(single=f"$A {ends}", special_tokens=mark)
    marks = {"pad_token": pad, "unk_token": unk, "eos_token": eos if eos in words else words[2]}
    marks |= {"bos_token": bos} if bos else {}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, additional_special_tokens=list(added), model_max_length=512, **marks
    )
    tokenizer.save_pretrained(folder)
    return len(words)
