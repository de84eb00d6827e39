"""A training that takes seconds: clips of a coloured square that moves, and a language model that learnt to read first.

The language model is a random Llama until `save_reader` has taught it, by text alone, to answer questions about what
words say between <Video> and </Video>. So it can speak, and knows of no video: that is left to the training.
"""

import itertools
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from tiny_llama import SPECIAL
from tiny_videochat import tiny_embed
from videochat_plugins.learn.train_prompt import instructions

COLOURS = {"red": (220, 30, 30), "green": (30, 190, 40), "blue": (40, 60, 230), "yellow": (230, 220, 40)}
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
FPS, FRAMES, SIZE = 8, 16, (96, 96)
LOOK, GO = "Which colour is the square?", "Which way does the square move?"
VISION = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "image_size": 56}
NETWORK: dict[str, Any] = {"vision_config": VISION, "num_queries": 2, "num_extra_queries": 6}
WIDTH, ROWS = 64, 8


class Clip(NamedTuple):
    """A clip, and what is in it."""

    path: Path
    colour: str
    way: str

    @property
    def caption(self) -> str:
        return f"a {self.colour} square moves {self.way}"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(LOOK, self.colour), (GO, self.way)]


def make_clips(folder: Path, count: int, seed: int = 0) -> list[Clip]:
    """Write clips, as many of each colour and way as can be."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    kinds = itertools.islice(itertools.cycle(itertools.product(COLOURS, WAYS)), count)
    return [_write(folder / f"{i:03}.mp4", colour, way, chance) for i, (colour, way) in enumerate(kinds)]


def make_images(folder: Path, clips: Sequence[Clip]) -> list[tuple[Path, str]]:
    """Write a still of each clip; return it with its caption."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for clip in clips:
        with av.open(str(clip.path)) as container:
            picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
        Image.fromarray(picture).save(path := folder / f"{clip.path.stem}.png")
        found.append((path, f"a {clip.colour} square"))
    return found


def _write(path: Path, colour: str, way: str, chance: np.random.Generator) -> Clip:
    width, height = SIZE
    side, room = 30, (width - 30) / 2
    across, down = WAYS[way]
    off = chance.uniform(-0.4, 0.4, 2) * room * (np.array([across, down]) == 0)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for i in range(FRAMES):
            way_gone = 2 * i / (FRAMES - 1) - 1
            left, top = (int(room * (1 + go * way_gone) + shift) for go, shift in zip((across, down), off, strict=True))
            picture = np.full((height, width, 3), 90, np.uint8)
            picture[top : top + side, left : left + side] = COLOURS[colour]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return Clip(path, colour, way)


def write_captions(file: Path, clips: Sequence[Clip], images: Sequence[tuple[Path, str]] = ()) -> Path:
    """Write training data of stage 1 beside the clips' folder."""
    root = file.parent
    rows = [{"video": str(clip.path.relative_to(root)), "caption": clip.caption} for clip in clips]
    rows += [{"image": str(path.relative_to(root)), "caption": caption} for path, caption in images]
    file.write_text(json.dumps(rows))
    return file


def write_talks(file: Path, clips: Sequence[Clip]) -> Path:
    """Write training data of stage 2 beside the clips' folder: talks of two turns, in either order."""
    rows = []
    for i, clip in enumerate(clips):
        pairs = clip.pairs if i % 2 else clip.pairs[::-1]
        talk = [{"q": question, "a": answer} for question, answer in pairs]
        rows.append({"video": str(clip.path.relative_to(file.parent)), "QA": talk})
    file.write_text(json.dumps(rows))
    return file


def save_reader(folder: Path, steps: int = 220, seed: int = 0) -> Path:
    """Save a Llama that answers from the words between <Video> and </Video>, taught by text alone."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    chance = np.random.default_rng(seed)
    texts = [_lesson(chance) for _ in range(400)]
    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=list(SPECIAL), initial_alphabet=alphabet)
    words.train_from_iterator(["".join(text) for text in texts], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
    )
    model = transformers.LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(steps, 2))
    for _ in range(steps):
        rows = []
        for asked, said in (_lesson(chance) for _ in range(24)):
            before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (f"<s>{asked}", said))
            rows.append([(id, -100, 1) for id in before] + [(id, id, 1) for id in after])
        length = max(map(len, rows))
        ids, labels, mask = torch.tensor([row + [(3, -100, 0)] * (length - len(row)) for row in rows]).unbind(-1)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step(), schedule.step(), optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def _lesson(chance: np.random.Generator) -> tuple[str, str]:
    """Return a question about words, and its answer."""
    colour, way = str(chance.choice([*COLOURS])), str(chance.choice([*WAYS]))
    still = chance.random() < 0.15
    said = [colour, *([] if still else [way]), *chance.choice(["a", "square", "the"], ROWS - 2 + still)]
    video = "".join(f" {word}" for word in chance.permutation(said))
    if still or chance.random() < 0.3:
        medium = "Image" if still else "Video"
        describe = str(chance.choice(instructions("image" if still else "video")))
        moves = "" if still else f" moves {way}"
        return f"###Human: <{medium}>{video}</{medium}> {describe}\n###Assistant:", f" a {colour} square{moves}###"
    times = ", ".join(f"{time:.1f}" for time in sorted(chance.uniform(0, 2, 4)))
    told = f"###Human: <Video>{video}</Video> The video contains 4 frames sampled at {times} seconds.\n"
    first, second = chance.permutation([(LOOK, colour), (GO, way)])
    if chance.random() < 0.5:
        told += f"###Human: {second[0]}\n###Assistant: {second[1]}"
    return f"{told}###Human: {first[0]}\n###Assistant:", f" {first[1]}###"


def save_network(folder: Path, llm: Path | None = None, **config: Any) -> Path:
    """Save an untrained network for the reader."""
    from videochat_plugins.models.checkpoint import Checkpoint
    from videochat_plugins.models.space import space_of

    space = space_of(Checkpoint(str(llm))) if llm else ""
    return tiny_embed(folder, llm_width=WIDTH, space=space, **{**NETWORK, **config})


def write_config(file: Path, **values: Any) -> Path:
    """Write a training's config; JSON is YAML."""
    told = {"workers": 0, "device": "cpu", "log_every": 1, **values}
    file.write_text(json.dumps(told, default=str, indent=1))
    return file
