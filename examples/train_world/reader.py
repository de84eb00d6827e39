"""A tiny language model that has learnt to read, by text alone: it answers from words between <Video> and </Video>.

Those words are of captions, in any order. So it can speak of a video, and has seen none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_questions import plan
from videochat_plugins.learn.world_tell import caption, still_caption

WIDTH = 128
SIZES = {"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4}
TOLD = "The video contains {} frames sampled at {} seconds.\n"
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
SEED, VIDEOS = 1, 2500  # of the world that it reads of, at most; it is never drawn

Piece = tuple[str, bool]  # text, and whether it is an answer


class Told(NamedTuple):
    """What is said of one video, its middle frame, and questions with their answers."""

    caption: str
    still: str
    talk: list[tuple[str, str]]


def save_reader(folder: Path, things: int, steps: int, batch: int = 16) -> None:
    """Save the language model with its tokenizer."""
    if (folder / "model.safetensors").exists():
        return
    world = list(read_world(min(VIDEOS, 2 * steps), things))
    tokenizer = make_tokenizer(world[:600])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **SIZES, **ids)
    model = transformers.LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    chance = np.random.default_rng(SEED)
    for step in range(steps):
        lessons = [lesson(world[chance.integers(len(world))], chance) for _ in range(batch)]
        loss = model(**laid_out(lessons, tokenizer)).loss
        loss.backward()
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        if step % 100 == 99:
            print(f"reading, step {step + 1}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(folder)


def read_world(videos: int, things: int) -> Iterator[Told]:
    """Yield what is told of videos and of their reverses."""
    for pair in plan(SEED, videos, things):
        for one in pair if pair[0].clip.split == "train" else ():  # the rest shows what is held out
            author = Author(np.random.default_rng([one.clip.index, not one.log.forward]))
            talk = [(question["question"], question["answer"]) for question in one.questions]
            yield Told(caption(author, one.log), still_caption(one.log, one.log.frames // 2), talk)


def make_tokenizer(world: list[Told]) -> Any:
    """Return a tokenizer of most of the world's words."""
    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=SPECIAL, initial_alphabet=alphabet)
    texts = [f" {text}" for told in world for text in (told.caption, *(text for pair in told.talk for text in pair))]
    words.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def lesson(told: Told, chance: np.random.Generator) -> list[Piece]:
    """Return a prompt of stage 1 or 2, with words in place of what is to be seen."""
    kind = chance.random()
    if kind < 0.1:
        asked = f"###Human: <Image>{shuffled(told.still, chance)}</Image> Describe the following image concisely."
        return [(f"{asked}\n###Assistant:", False), (f" {told.still}###", True)]
    shown = shuffled(f"{told.caption} {told.still}", chance)
    if kind < 0.3 or not told.talk:
        asked = f"###Human: <Video>{shown}</Video> Describe the following video concisely."
        return [(f"{asked}\n###Assistant:", False), (f" {told.caption}###", True)]
    times = ", ".join(f"{time:.1f}" for time in np.sort(chance.uniform(0, 6, 8)))
    pieces = [(f"###Human: <Video>{shown}</Video> {TOLD.format(8, times)}###", False)]
    for i in chance.permutation(len(told.talk)):
        question, answer = told.talk[i]
        pieces += [(f"Human: {question}\n###Assistant:", False), (f" {answer}###", True)]
    return pieces


def shuffled(text: str, chance: np.random.Generator) -> str:
    """Return words of a text in any order, for what will stand for a video has an order of its own."""
    return "".join(f" {word}" for word in chance.permutation(text.replace(".", "").replace(",", "").lower().split()))


def laid_out(lessons: list[list[Piece]], tokenizer: Any) -> dict[str, torch.Tensor]:
    """Return talks as a batch, of which answers are learnt."""
    rows = [[(1, -100)] for _ in lessons]
    for row, pieces in zip(rows, lessons, strict=True):
        for text, answer in pieces:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            row += [(id, id if answer else -100) for id in ids]
    length = max(map(len, rows))
    full = torch.tensor([row + [(3, -100)] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return {"input_ids": full[..., 0], "labels": full[..., 1], "attention_mask": mask}
