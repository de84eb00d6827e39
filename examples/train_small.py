"""Train a tiny VideoChat-Embed, both stages, and ask it about clips that it never saw.

    python examples/train_small.py FOLDER

Clips, networks and language model are those of the tests (tests/learn/small_training.py): a square of one of four
colours moves in one of four ways; a random Llama learns by text alone to answer from the words between <Video> and
</Video>; ViT and Q-Former are and stay random. A colour can be told from one frame, a way from the order of frames
alone. That the paper's network shows in one of all the tokens that its queries read (docs/embed.md), and with
`temporal_position` in each: both are trained.

Needs what the tests need, and ten minutes of one CPU core; docs/learn_train.md shows what came of it.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "learn")]

import small_training as small  # noqa: E402 - found by the line above

import videochat  # noqa: E402

SHARED = {"batch": {"video": 8, "image": 8}, "frames": 4, "warmup": 0.1, "augment": {"crop": 0.9}, "log_every": 10}


def main(folder: Path) -> None:
    """Make, train and ask."""
    clips = small.make_clips(folder / "videos", 320)
    held = small.make_clips(folder / "held", 96, seed=9)
    images = small.make_images(folder / "images", clips[:64])
    captions = small.write_captions(folder / "captions.json", clips, images)
    talks = small.write_talks(folder / "talks.json", clips)
    llm = small.save_reader(folder / "llm", steps=300)
    for position in ("none", "sinusoidal"):
        here = folder / position
        kind = {"gmhra_dropout": 0.0, "temporal_position": position}
        untrained = small.save_network(here / "untrained", llm, **kind)
        one = {"model": untrained, "fresh": True, "data": captions, "steps": 700, "lr": 1e-2}
        two = {"model": here / "stage1", "data": talks, "steps": 150, "lr": 3e-3}
        for stage, own in (("stage1", one), ("stage2", two)):
            file = small.write_config(here / f"{stage}.yaml", **SHARED, llm=llm, out=here / stage, **own)
            subprocess.run([sys.executable, "-m", "videochat.cli", "train", stage, str(file)], check=True)
        for name in ("untrained", "stage1", "stage2"):
            right = answers(here / name, llm, held)
            told = ", ".join(f"{what} {interval(right[:, i])}" for i, what in enumerate(("colour", "way")))
            print(f"temporal_position {position}, {name}: {told}", flush=True)
        for stage in ("stage1", "stage2"):
            rows = [json.loads(line) for line in (here / stage / "log.jsonl").read_text().splitlines()]
            print(f"{stage}: loss", *(f"{row['loss']:.3f}" for row in rows[:: len(rows) // 7]), flush=True)


def answers(network: Path, llm: Path, clips: Sequence[small.Clip]) -> np.ndarray:
    """Return which answers of the stack `embed` are right, letter for letter: (clips, questions)."""
    told = [f"perceive.embed.checkpoint={network}", f"llm.model={llm}", "device=cpu", "llm.max_tokens=8"]
    told.append(f"perceive.embed.frames={SHARED['frames']}")
    stack = videochat.load("embed", told)
    found = []
    for clip in clips:
        context = stack.watch(clip.path)
        said = ["".join(stack.chat(context).ask(question)) for question, _ in clip.pairs]
        found.append([text.strip() == answer for text, (_, answer) in zip(said, clip.pairs, strict=True)])
    return np.array(found)


def interval(right: np.ndarray) -> str:
    """Return the share that is right, with its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).integers(len(right), size=(5000, len(right)))
    low, high = np.quantile(right[draws].mean(axis=1), [0.025, 0.975])
    return f"{100 * right.mean():.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
