"""The options by which each perceiver that needs a network of somebody's runs a tiny one, of random weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from taggers import WORDS, save

from tiny_captioners import save_tiny_blip
from tiny_classifiers import save_classifier, save_uniformerv2
from tiny_detectors import save_detector
from tiny_florence import save_tiny_florence
from tiny_videochat import tiny_embed
from tiny_vlms import save_video_llava
from tiny_whisper import LOOSE, save_faster_whisper, save_whisper

# Windows share forwards, and a window's frames are parted.
_FRAMES = {"frames": 2, "batch": 3}
_CLIPS = {"top": 3, "batch": 3}
_SECONDS = {"over": 1.0, **LOOSE}
_SUREST = {"threshold": 0, "most": 4}  # well apart in their scores


def _tagger(folder: Path, kind: str) -> dict[str, Any]:
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS))
    return {"checkpoint": str(save(folder / kind, kind)), "vocabulary": str(words), "threshold": 0, **_FRAMES}


def _described_regions(folder: Path) -> dict[str, Any]:
    networks = {
        "checkpoint": str(save_detector("rt_detr", folder / "detector")),
        "captioner": str(save_tiny_blip(folder / "captioner")),
    }
    return {**networks, **_SUREST, "crops": 3, "max_tokens": 6, **_FRAMES}


# Each writes its checkpoints to a folder, and returns options that let random weights speak.
TINY: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "action.uniformerv2": lambda folder: {"checkpoint": str(save_uniformerv2(folder / "tiny.pyth")), **_CLIPS},
    "action.videomae": lambda folder: {"checkpoint": str(save_classifier("videomae", folder)), **_CLIPS},
    "asr.faster_whisper": lambda folder: {"model": str(save_faster_whisper(folder / "model")), **_SECONDS},
    "asr.whisper": lambda folder: {"model": str(save_whisper(folder / "tiny.pt")), **_SECONDS, "temperatures": (0.0,)},
    "caption.blip": lambda folder: {"checkpoint": str(save_tiny_blip(folder)), "max_tokens": 6, **_FRAMES},
    "dense.detect_caption": _described_regions,
    "dense.florence2": lambda folder: {"checkpoint": str(save_tiny_florence(folder, 1)), "max_tokens": 40, **_FRAMES},
    "detect.rtdetr": lambda folder: {"checkpoint": str(save_detector("rt_detr", folder)), **_SUREST, **_FRAMES},
    "embed.videochat": lambda folder: {"checkpoint": str(tiny_embed(folder, space="tiny")), **_FRAMES},
    "embed.vlm": lambda folder: {"checkpoint": str(save_video_llava(folder)), **_FRAMES},
    "tag.clip": lambda folder: _tagger(folder, "clip"),
    "tag.siglip": lambda folder: _tagger(folder, "siglip"),
}
