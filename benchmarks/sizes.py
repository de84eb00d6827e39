"""The two sizes of the models that are measured: as they are published, and tiny, to show that the code runs."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Size(NamedTuple):
    """How large the networks are, and how much they say."""

    width: int  # of a layer
    layers: int
    heads: int
    sides: Mapping[str, int]  # pixels of the pictures, by perceiver
    patch: int  # pixels
    frames: int  # of a clip whose action is named
    words: Mapping[str, int]  # that a tokenizer knows, at least
    tokens: Mapping[str, int]  # of an answer at most, about a frame, a video, or ten seconds of speech
    spread: float  # of the weights; 0: as the classes start
    regions: Mapping[str, Any]  # of Florence-2's two parts
    speech: tuple[int, int, int]  # of Whisper: width, heads, layers
    summary: Mapping[str, int]  # of T5


SIZES: Mapping[str, Size] = {
    # VideoMAE-B, BLIP-base, SigLIP-B/16, Florence-2-base, Whisper-base and FLAN-T5-base, as configs are published.
    "full": Size(
        width=768,
        layers=12,
        heads=12,
        sides={"action": 224, "caption": 384, "tags": 224, "dense": 768},
        patch=16,
        frames=16,
        words={"caption": 30522, "tags": 32000, "dense": 51290, "summary": 32128},
        tokens={"caption": 20, "dense": 128, "summary": 80, "speech": 40},
        spread=0.0,
        regions={"dims": (128, 256, 512, 1024), "heads": (4, 8, 16, 32), "depths": (1, 1, 9, 1), "layers": 6},
        speech=(512, 8, 6),
        summary={"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12, "vocab_size": 32128},
    ),
    "tiny": Size(
        width=32,
        layers=2,
        heads=2,
        sides={"action": 32, "caption": 32, "tags": 32, "dense": 64},
        patch=8,
        frames=16,
        words={"caption": 0, "tags": 0, "dense": 0, "summary": 100},
        tokens={"caption": 6, "dense": 64, "summary": 8, "speech": 6},
        spread=0.2,
        regions={"dims": (8, 16, 32, 32), "heads": (1, 2, 2, 2), "depths": (1, 1, 1, 1), "layers": 2},
        speech=(32, 2, 1),
        summary={"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 100},
    ),
}
