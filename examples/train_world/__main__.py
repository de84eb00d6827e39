"""Train a tiny VideoChat-Embed on a small world, both stages, and ask it about videos that it never saw.

    python examples/train_world FOLDER

Everything is made here: the world, a language model of a million weights that text alone teaches to read, and a network
whose ViT and Q-Former have learnt to see, as BLIP-2's had. What is seen reaches the language model by what `videochat
train` trains, and by nothing else. Some 20 minutes of one CPU core; docs/learn_train.md shows what came of it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from eye import save_network

from reader import save_reader


def main() -> None:
    """Make, train and ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--things", type=int, default=1, help="in a scene, at most")
    parser.add_argument("--reading", type=int, default=1500, help="steps that teach the language model to read")
    parser.add_argument("--seeing", type=int, default=800, help="steps that teach ViT and Q-Former to see")
    parser.add_argument("--steps", type=int, default=900, help="of stage 1; stage 2 has a third")
    parser.add_argument("--rate", type=float, default=1e-2, help="of stage 1; stage 2 has a third")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    here, world = asked.folder, asked.folder / "world"
    here.mkdir(parents=True, exist_ok=True)
    videochat("world", "make", world, "--videos", asked.videos, "--things", asked.things, "--quiet")
    save_reader(here / "llm", asked.things, asked.reading)
    save_network(here / "untrained", here / "llm", asked.things, asked.seeing)
    shared = {"llm": f"{here}/llm", "warmup": 0.1, "augment": {"crop": 1.0}, "workers": 1}
    shared |= {"device": "cpu", "log_every": 25, "save_every": 250, "batch": {"video": 8, "image": 8}}
    captions = [f"{world}/captions.json", f"{world}/images.json"]
    stage1 = {"model": f"{here}/untrained", "data": captions, "length": 128, "steps": asked.steps, "lr": asked.rate}
    stage2 = {"model": f"{here}/stage1", "data": f"{here}/talks.json", "root": str(world)}
    stage2 |= {"steps": asked.steps // 3, "lr": asked.rate / 3}
    (here / "talks.json").write_text(json.dumps(short_talks(world)))
    for stage, own in (("stage1", stage1), ("stage2", stage2)):
        file = here / f"{stage}.yaml"
        file.write_text(json.dumps(shared | own | {"out": f"{here}/{stage}"}))  # JSON is YAML
        if not (here / stage / "trained.json").exists():
            videochat("train", stage, file)
    for name, network in (("untrained", "untrained"), ("trained", "stage2")):
        perceive = {"embed": {"checkpoint": f"{here}/{network}", "frames": 8}}
        llm = {"model": f"{here}/llm", "max_tokens": 24}
        stack = {"extends": "embed", "device": "cpu", "perceive": perceive, "llm": llm}
        (here / f"{name}.yaml").write_text(json.dumps(stack))
    stacks = ["-c", here / "trained.yaml", "-c", here / "untrained.yaml"]
    videochat("eval", world, *stacks, "-o", here / "answers", check=False)  # an empty answer is a failed one


def videochat(*arguments: object, check: bool = True) -> None:
    """Run a command, shown."""
    print("$ videochat", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "videochat.cli", *map(str, arguments)], check=check)


def short_talks(world: Path) -> list[Any]:
    """Return the world's talks without the long descriptions, which so small a language model does not learn."""
    rows = json.loads((world / "instruct.json").read_text())
    short = [row | {"QA": [pair for pair in row["QA"] if len(pair["a"]) < 80]} for row in rows]
    return [row for row in short if row["QA"]]


if __name__ == "__main__":
    main()
