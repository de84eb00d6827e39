"""The stack `embed` at full size on a GPU: how fast clips become tokens, and what memory a watch and an answer take.

Weights are random: 1.3 billion of VideoChat-Embed, 6.7 billion of a Llama as wide and deep as the 7B.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import videochat
from benchmarks import media
from benchmarks.figure import Figure
from benchmarks.gpu import Resident, check, load_all, peak, timed
from benchmarks.models import recorded, replay, watch
from benchmarks.null import empty_cache
from benchmarks.second_question import save_llm
from videochat.cache import root

CLIPS = 60  # of one second, eight frames each
ORIGINAL = 20 * 1024.0  # MB that the original needs with 7B, about, as its makers say
_NARROW = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {  # of the network, and of the language model
    "full": (
        {},
        {"width": 4096, "layers": 32, "num_attention_heads": 32, "intermediate_size": 11_008, "vocab_size": 32_000},
    ),
    "tiny": (
        {
            "vision_config": {**_NARROW, "image_size": 28, "patch_size": 14},
            "qformer_config": _NARROW,
            "gmhra_layers": 1,
            "llm_width": 32,
        },
        {"width": 32, "layers": 1},
    ),
}


def figures(size: str = "full", device: str = "cuda", pairs: int = 5) -> Iterator[Figure]:
    """Watch a minute in clips of a second, then ask about ten seconds.

    Args:
        size: of the networks, "full" or "tiny", which shows that this runs and is no measurement.
        device: where they run.
        pairs: how often each side is timed, in turns.

    Raises:
        SkippedError: if the device or a library is not here.
        RuntimeError: if a watch faulted.
    """
    check(device, "torch", "transformers")
    vision, llm = save(media.FOLDER / f"embed-{size}", size, device)
    film = media.small(minutes=1)
    stack = videochat.Stack(
        segment={"use": "fixed", "seconds": 60 / CLIPS},
        perceive={"embed": {"use": "embed.videochat", "over": "segment", "frames": 8, **vision}},
        prompt="embed",
        llm={"use": "transformers", "max_tokens": 32, **llm},
        device=device,
    )
    stack.pool = pool = Resident(device)
    with empty_cache():
        load_all(stack)
        kept = root() / stack.plan(film).video.hash[:32]
        with recorded(pool.networks) as calls:
            watch(stack, film, kept)  # and all is warm now
        runs: list[Callable[[], object]] = [lambda: watch(stack, film, kept), lambda: replay(calls)]
        times = [(timed(runs[0], device), timed(runs[1], device)) for _ in range(pairs)]
        calls.clear()
        rates = [(CLIPS / whole, CLIPS / alone) for whole, alone in times]
        most = peak(lambda: _answer(stack, film), device)
    yield Figure.of("embed, clips", "watch", "the network alone", rates, None, "clips/s")
    if device.startswith("cuda"):
        pair = most / 2**20, ORIGINAL
        yield Figure.of("embed, GPU memory", "watch and answer, peak", "the original, 7B", [pair], None, "MB")


def save(folder: Path, size: str, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Save both networks where they are not there yet, in bfloat16; return what a stack says of each."""
    import torch
    from transformers import CLIPImageProcessorPil

    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

    network, llm = SIZES[size]
    vision, language = folder / "vision", folder / "llm"
    config = VideoChatEmbedConfig(**network)
    side = config.vision_config.image_size
    if not folder.exists():
        part = folder.with_name(f"part-{folder.name}")
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            with torch.device(device):
                torch.manual_seed(0)
                VideoChatEmbed(config).save_pretrained(part / "vision")
                save_llm(part / "llm", **llm)
        finally:
            torch.set_default_dtype(usual)
        sides = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
        CLIPImageProcessorPil(**sides).save_pretrained(part / "vision")
        part.rename(folder)
    return {"checkpoint": str(vision), "llm": str(language), "side": side}, {
        "model": str(language),
        "template": "videochat",
    }


def _answer(stack: videochat.Stack, film: Path) -> None:
    context = stack.watch(film, end=10.0)
    for _ in stack.chat(context).ask("What happens in the video?"):
        pass
