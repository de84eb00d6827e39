"""How soon an answer begins: a second question about a video against the first, through the whole chat.

VideoChat-Embed's stack with networks of random weights: a vision side that is tiny, since it is done before anybody
asks, but makes as many tokens as the real one, and a language model in which reading a long prompt takes its time.
"""

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import videochat
from benchmarks import media
from benchmarks.figure import Figure, SkippedError
from benchmarks.null import empty_cache
from videochat.chat import Answer, Chat
from videochat.context import Context

LEAST = 2000  # tokens of a prompt
WIDTH, LAYERS = 512, 8  # of the language model
FIRST = "What happens in the video, and in which order?"
SECOND = "Who is the last person that is seen?"


def figures(width: int = WIDTH, layers: int = LAYERS, pairs: int = 5) -> Iterator[Figure]:
    """Ask two questions about a minute: 96 tokens for every five seconds of it, and what the built-in eyes tell.

    Args:
        width: of the language model.
        layers: of the language model.
        pairs: how many talks are begun anew.

    Raises:
        SkippedError: if a library is not here.
        RuntimeError: if the prompt is too short to count.
    """
    if lacking := [name for name in ("torch", "transformers") if find_spec(name) is None]:
        raise SkippedError(f"{', '.join(lacking)} not installed: pip install 'videochat[models]'")
    with empty_cache(), tempfile.TemporaryDirectory(prefix="videochat-") as folder:
        stack = videochat.Stack(
            segment={"use": "fixed", "seconds": 5},
            perceive={"embed": _vision(Path(folder) / "vision", width), "look": {"use": "look"}},
            prompt="hybrid",
            llm={"use": "transformers", **save_llm(Path(folder) / "llm", width, layers), "max_tokens": 8},
            device="cpu",
        )
        context = stack.watch(media.small(minutes=1))
        talk(stack, context)  # warm
        times = [talk(stack, context) for _ in range(pairs)]
    yield Figure.of("second question", "until its answer begins", "the first's", times, 0.1)


def talk(stack: videochat.Stack, context: Context) -> tuple[float, float]:
    """Return the seconds until the second and until the first answer of a new talk began.

    Raises:
        RuntimeError: if the prompt is too short to count.
    """
    stack.llm.close()  # so that nothing of the talk before is remembered; the weights stay in the pool
    chat = stack.chat(context)
    first, second = (_answered(chat, question) for question in (FIRST, SECOND))
    if first.usage.prompt < LEAST:
        raise RuntimeError(f"a prompt of {first.usage.prompt} tokens is too short: at least {LEAST}")
    return second.first, first.first


def _answered(chat: Chat, question: str) -> Answer:
    answer = chat.ask(question)
    for _ in answer:
        pass
    return answer


def _vision(folder: Path, width: int) -> dict[str, str | int]:
    """Save a network of few narrow layers that makes 96 tokens a window; return what a stack says of it."""
    import torch
    from transformers import CLIPImageProcessorPil

    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

    narrow = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    eye = {**narrow, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    VideoChatEmbed(VideoChatEmbedConfig(eye, narrow, gmhra_layers=1, llm_width=width)).save_pretrained(folder)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    CLIPImageProcessorPil(**size).save_pretrained(folder)
    llm = str(folder.with_name("llm"))
    return {"use": "embed.videochat", "checkpoint": str(folder), "llm": llm, "over": "segment", "side": 28}


def save_llm(folder: Path, width: int, layers: int, **sizes: Any) -> dict[str, str]:
    """Save a language model that knows bytes, with random weights; return what a stack says of it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    more = (f"word{id} " for id in range(len(letters), sizes.get("vocab_size", 0)))  # for any id may be said
    known = {word: id for id, word in enumerate((*letters, *more))}
    words = Tokenizer(models.BPE(known, [], unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    marks = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **marks).save_pretrained(folder)
    usual = {"vocab_size": len(known), "intermediate_size": 4 * width, "num_attention_heads": 8}
    config = LlamaConfig(hidden_size=width, num_hidden_layers=layers, max_position_embeddings=16_384, **usual | sizes)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return {"model": str(folder), "template": "videochat"}
