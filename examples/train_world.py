"""Train a tiny VideoChat-Embed on a small world, both stages, and ask it about videos that it never saw.

    python examples/train_world.py FOLDER

Everything is made here: the world, a language model of a million weights that text alone teaches to read (what is said
between <Video> and </Video> are words of captions, so it can speak of a video and has seen none), and a network of
random weights whose ViT and Q-Former stay random. What there is to see reaches the language model by what is trained
alone. Some 15 minutes of one CPU core; docs/learn_train.md shows what came of it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_questions import plan
from videochat_plugins.learn.world_tell import caption, still_caption
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.space import space_of
from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

WIDTH, SIDE = 128, 84
TOLD = "The video contains {} frames sampled at {} seconds.\n"
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
STACK = """\
extends: embed
device: cpu
perceive: {{embed: {{checkpoint: {network}, frames: 8}}}}
llm: {{model: {llm}, max_tokens: 24}}
"""


def main() -> None:
    """Make, train and ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--things", type=int, default=1, help="in a scene, at most")
    parser.add_argument("--lessons", type=int, default=1500, help="steps that teach the language model to read")
    parser.add_argument("--steps", type=int, default=900, help="of stage 1; stage 2 has a third")
    parser.add_argument("--rate", type=float, default=1e-2, help="of stage 1; stage 2 has a third")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    here, world = asked.folder, asked.folder / "world"
    here.mkdir(parents=True, exist_ok=True)
    videochat("world", "make", world, "--videos", asked.videos, "--things", asked.things, "--quiet")
    teach(here / "llm", asked.things, asked.lessons)
    save_network(here / "untrained", here / "llm")
    shared = {"llm": f"{here}/llm", "warmup": 0.1, "augment": {"crop": 1.0}, "workers": 1}
    shared |= {"device": "cpu", "log_every": 25, "save_every": 250, "batch": {"video": 8, "image": 8}}
    captions = [f"{world}/captions.json", f"{world}/images.json"]
    one = {"model": f"{here}/untrained", "data": captions, "length": 128, "steps": asked.steps, "lr": asked.rate}
    two = {"model": f"{here}/stage1", "data": f"{here}/talks.json", "root": str(world)}
    two |= {"steps": asked.steps // 3, "lr": asked.rate / 3}
    (here / "talks.json").write_text(json.dumps(short_talks(world)))
    for stage, own in (("stage1", one), ("stage2", two)):
        file = here / f"{stage}.yaml"
        file.write_text(json.dumps(shared | own | {"out": f"{here}/{stage}"}))  # JSON is YAML
        videochat("train", stage, file)
    for name, network in (("untrained", "untrained"), ("trained", "stage2")):
        (here / f"{name}.yaml").write_text(STACK.format(network=here / network, llm=here / "llm"))
    stacks = ["-c", here / "trained.yaml", "-c", here / "untrained.yaml"]
    videochat("eval", world, *stacks, "-o", here / "answers", check=False)  # an empty answer is a failed one


def videochat(*arguments: object, check: bool = True) -> None:
    """Run a command, shown."""
    print("$ videochat", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "videochat.cli", *map(str, arguments)], check=check)


def teach(folder: Path, things: int, steps: int, batch: int = 16) -> None:
    """Save a Llama that answers questions about a caption, taught by text of another world, which is never drawn."""
    if (folder / "model.safetensors").exists():
        return
    talks, stills = read_world(things)
    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=SPECIAL, initial_alphabet=alphabet)
    texts = [f" {text}" for caption, talk in talks[:600] for text in (caption, *(t for pair in talk for t in pair))]
    words.train_from_iterator(texts, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **sizes, **ids)
    model = transformers.LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    chance = np.random.default_rng(0)
    for step in range(steps):
        read = [lesson(talks, stills, chance) for _ in range(batch)]
        loss = model(**laid_out(read, tokenizer)).loss
        loss.backward()
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        if step % 100 == 99:
            print(f"lesson {step + 1}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(folder)


def read_world(things: int) -> tuple[list[tuple[str, list[tuple[str, str]]]], list[str]]:
    """Return captions, each with the questions that it answers, and captions of stills."""
    talks, stills = [], []
    for pair in plan(1, 2500, things):
        for one in pair:
            author = Author(np.random.default_rng([one.clip.index, len(talks)]))
            told = caption(author, one.log)
            asked = [(q["question"], q["answer"]) for q in one.questions if q["answer"].lower() in told.lower()]
            talks.append((told, asked))
            stills.append(still_caption(one.log, one.log.frames // 2))
    return talks, stills


def short_talks(world: Path) -> list[Any]:
    """Return the world's talks without the long descriptions, which so small a language model does not learn."""
    rows = json.loads((world / "instruct.json").read_text())
    short = [row | {"QA": [pair for pair in row["QA"] if len(pair["a"]) < 80]} for row in rows]
    return [row for row in short if row["QA"]]


def lesson(
    talks: list[tuple[str, list[tuple[str, str]]]], stills: list[str], chance: np.random.Generator
) -> list[tuple[str, bool]]:
    """Return pieces of a talk about a caption, and whether each is an answer."""
    if chance.random() < 0.1:
        told = stills[chance.integers(len(stills))]
        shown = shuffled(told, chance)
        asked = f"###Human: <Image>{shown}</Image> Describe the following image concisely.\n###Assistant:"
        return [(asked, False), (f" {told}###", True)]
    told, talk = talks[chance.integers(len(talks))]
    shown = shuffled(told, chance)
    if not talk or chance.random() < 0.3:
        asked = f"###Human: <Video>{shown}</Video> Describe the following video concisely.\n###Assistant:"
        return [(asked, False), (f" {told}###", True)]
    times = ", ".join(f"{time:.1f}" for time in np.sort(chance.uniform(0, 6, 8)))
    pieces = [(f"###Human: <Video>{shown}</Video> {TOLD.format(8, times)}###", False)]
    for i in chance.permutation(len(talk)):
        pieces += [(f"Human: {talk[i][0]}\n###Assistant:", False), (f" {talk[i][1]}###", True)]
    return pieces


def shuffled(told: str, chance: np.random.Generator) -> str:
    """Return the words of a caption in any order: what stands for a video will have an order of its own."""
    return "".join(f" {word}" for word in chance.permutation(told.replace(".", "").replace(",", "").lower().split()))


def laid_out(read: list[list[tuple[str, bool]]], tokenizer: Any) -> dict[str, torch.Tensor]:
    """Return talks as a batch, of which answers are learnt."""
    rows = [[(1, -100)] for _ in read]
    for row, pieces in zip(rows, read, strict=True):
        for text, answer in pieces:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            row += [(id, id if answer else -100) for id in ids]
    length = max(map(len, rows))
    full = torch.tensor([row + [(3, -100)] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return {"input_ids": full[..., 0], "labels": full[..., 1], "attention_mask": mask}


def save_network(folder: Path, llm: Path) -> None:
    """Save a VideoChat-Embed of random weights."""
    torch.manual_seed(0)
    vision = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4}
    qformer = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}
    config = VideoChatEmbedConfig(
        vision_config=vision | {"image_size": SIDE, "patch_size": 14},
        qformer_config=qformer,
        num_queries=4,
        num_extra_queries=28,
        gmhra_layers=3,
        gmhra_dropout=0.1,
        llm_width=WIDTH,
        llm=str(llm),
        space=space_of(Checkpoint(str(llm))),
    )
    network = VideoChatEmbed(config)
    with torch.no_grad():  # transformers' spread of 0.02 is for wide layers: narrow ones would pass on next to nothing
        for name, weight in network.named_parameters():
            if weight.ndim > 1 and not name.startswith(("gmhra", "llama_proj")):
                weight.normal_(0, weight.shape[-1] ** -0.5)
    network.save_pretrained(folder)
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    transformers.CLIPImageProcessorPil(**size).save_pretrained(folder)


if __name__ == "__main__":
    main()
