"""Stage 1, then stage 2, from untrained to what answers about clips that it never saw, in a real stack.

The language model is random until text alone has taught it to read (small_training.save_reader): what is to be shown is
that the training gives it the video, in words that it knows.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_training import (
    COLOURS,
    LOOK,
    Clip,
    make_clips,
    make_images,
    save_network,
    save_reader,
    write_captions,
    write_config,
    write_talks,
)

import videochat
from command_line import run

TRAIN, TEST = 48, 24


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    clips = make_clips(folder / "videos", TRAIN)
    write_captions(folder / "captions.json", clips, make_images(folder / "images", clips[:16]))
    write_talks(folder / "talks.json", clips)
    save_reader(folder / "llm")
    save_network(folder / "untrained", folder / "llm")
    return folder


def train(stage: str, world: Path, **values: object) -> Path:
    out = world / stage
    shared = {"llm": world / "llm", "out": out, "batch": {"video": 8, "image": 8}, "frames": 4, "warmup": 0.1}
    file = write_config(world / f"{stage}.json", **shared, augment={"crop": 0.9}, **values)
    done = run("train", stage, file, "--quiet")
    assert done.code == 0, done.err
    return out


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def right(network: Path, llm: Path, clips: Sequence[Clip]) -> np.ndarray:
    """Which answers are right, exactly: (clips, questions)."""
    told = [f"perceive.embed.checkpoint={network}", "perceive.embed.frames=4", f"llm.model={llm}", "device=cpu"]
    stack = videochat.load("embed", [*told, "llm.max_tokens=8"])
    found = []
    for clip in clips:
        context = stack.watch(clip.path)
        said = ["".join(stack.chat(context).ask(question)) for question, _ in clip.pairs]
        found.append([text.strip() == answer for text, (_, answer) in zip(said, clip.pairs, strict=True)])
    return np.array(found)


def interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean over clips."""
    draws = np.random.default_rng(seed).integers(len(differences), size=(2000, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def test_two_stages_learn_to_answer_about_clips_that_they_never_saw(world: Path) -> None:
    one = train("stage1", world, model=world / "untrained", fresh=True, data=world / "captions.json", steps=60, lr=1e-2)
    two = train("stage2", world, model=one, data=world / "talks.json", steps=40, lr=2e-3)
    first, second = losses(one), losses(two)
    assert np.mean(first[-10:]) < 0.7 * np.mean(first[:10])
    assert np.mean(second[-10:]) < np.mean(second[:10])
    held = make_clips(world / "held", TEST, seed=9)
    before, after = (right(folder, world / "llm", held) for folder in (world / "untrained", two))
    low, _ = interval(after.mean(axis=1) - before.mean(axis=1))
    assert low > 0
    assert held[0].pairs[0][0] == LOOK
    assert after[:, 0].mean() > 2 / len(COLOURS)
