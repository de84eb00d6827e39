"""Sounds for the tests of perceivers that hear: the example's speech, and sounds that are none."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scenes import perceiver

from videochat import Record, Span, Video, Window
from videochat_plugins.read.pyav import PyAV

Samples = npt.NDArray[np.float32]

RATE = 16_000
EXAMPLE = Path(__file__).parents[2] / "examples" / "example.mp4"
TRUTH = json.loads(EXAMPLE.with_suffix(".json").read_text(encoding="utf-8"))["speech"]


@cache
def speech() -> Samples:
    """The example's sound: somebody speaks, with pauses, from 0.5 s on."""
    reader = PyAV()
    return np.concatenate([chunk.samples for chunk in reader.audio(reader.probe(EXAMPLE), RATE)])


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.float32)


def tone(seconds: float, hertz: float = 440.0, level: float = 0.3) -> Samples:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def music(seconds: float) -> Samples:
    """Chords of plucked strings, two a second."""
    time = np.arange(RATE // 2) / RATE
    roots = (220.0, 261.6, 293.7, 246.9, 329.6)
    chords = [
        sum(
            np.sin(2 * np.pi * root * part * time) * np.exp(-3 * part * time) / part for part in (1, 1.25, 1.5, 2, 3, 4)
        )
        for root in roots
    ]
    strip = np.tile(np.concatenate(chords) / 6, int(seconds))[: round(seconds * RATE)]
    return strip.astype(np.float32)


def window(sound: Samples, span: Span | None = None, lead: float = 0.0) -> Window:
    """The window of a stretch of a sound (default: all of it) that begins at 0 and goes on to the video's end."""
    seconds = len(sound) / RATE
    start, end = span or Span(0.0, seconds)
    low, high = round(max(0.0, start - lead) * RATE), round(end * RATE)
    video = Video(Path("sound.mp4"), seconds, 0, 0)
    return Window(start, end, video, audio=sound[low:high].copy(), rate=RATE)


def hear(sound: Samples, name: str, over: float | None = None, **options: object) -> list[Record]:
    """What a perceiver says of a sound, in windows of `over` seconds."""
    found = perceiver(name, **options)
    seconds, lead = len(sound) / RATE, found.sampling().lead
    step = over or seconds or 1.0
    spans = [Span(i * step, min((i + 1) * step, seconds)) for i in range(max(1, int(np.ceil(seconds / step - 1e-9))))]
    return [record for part in found.perceive([window(sound, span, lead) for span in spans]) for record in part]
