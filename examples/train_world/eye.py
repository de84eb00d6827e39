"""A network whose eye has learnt to see: a tiny ViT and Q-Former, as BLIP-2 gives them to VideoChat-Embed.

BLIP-2's saw 129 million pictures with their captions before VideoChat froze them. These see stills of a world that has
another seed, and learn which words the caption of each has. What of a picture goes on to a language model, and all of
time, is left to the training: GMHRA, the further queries and the projection are random.
"""

import re
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from videochat_plugins.learn.world_questions import plan
from videochat_plugins.learn.world_render import draw
from videochat_plugins.learn.world_tell import still_caption
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.space import space_of
from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig
from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

SIDE = 112
VISION = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4}
QFORMER = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4}
SEED, VIDEOS, STILLS = 2, 1500, 4  # of the world that it learns from, at most, and stills of each of its videos


def save_network(folder: Path, llm: Path, things: int, steps: int) -> None:
    """Save a VideoChat-Embed that knows what is in a picture, and not how to tell a language model."""
    if (folder / "model.safetensors").exists():
        return
    torch.manual_seed(0)
    config = VideoChatEmbedConfig(
        vision_config=VISION | {"image_size": SIDE, "patch_size": 14},
        qformer_config=QFORMER,
        num_queries=8,
        num_extra_queries=24,
        gmhra_layers=3,
        gmhra_dropout=0.1,
        llm_width=transformers.AutoConfig.from_pretrained(llm).hidden_size,
        llm=str(llm),
        space=space_of(Checkpoint(str(llm))),
    )
    network = VideoChatEmbed(config)
    with torch.no_grad():  # transformers' spread of 0.02 is for wide layers: narrow ones would pass on next to nothing
        for name, weight in network.named_parameters():
            if weight.ndim > 1 and not name.startswith(("gmhra", "llama_proj")):
                weight.normal_(0, weight[0].numel() ** -0.5)
        network.query_tokens.normal_(0, 0.5)  # apart from each other, so that each comes to know words of its own
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    transformers.CLIPImageProcessorPil(**size).save_pretrained(folder)
    learn(network, *stills(min(VIDEOS, 2 * steps), things, Preprocess.read(folder)), steps)
    network.save_pretrained(folder)


def stills(videos: int, things: int, prepare: Preprocess) -> tuple[Tensor, Tensor]:
    """Return pictures as the network takes them, and which words their captions have.

    Returns:
        (N, 3, SIDE, SIDE) half-precision floats, and (N, words) zeros and ones.
    """
    chance = np.random.default_rng(SEED)
    pictures, captions = [], []
    for forward, _ in plan(SEED, videos, things):
        if forward.clip.split == "test":  # which shows what is held out
            continue
        frames = draw(forward.clip, forward.log)
        chosen = chance.choice(len(frames), STILLS, replace=False)
        pictures.append(prepare(torch.from_numpy(np.stack([frames[i] for i in chosen])), torch.float16))
        captions += [set(re.findall(r"\w+", still_caption(forward.log, int(i)).lower())) for i in chosen]
    words = sorted(set.union(*captions))
    return torch.cat(pictures), torch.tensor([[float(word in caption) for word in words] for caption in captions])


def learn(network: VideoChatEmbed, pictures: Tensor, said: Tensor, steps: int, batch: int = 48) -> None:
    """Teach ViT, Q-Former and its own queries, each of which may know some of the words."""
    head = nn.Linear(network.config.qformer_config.hidden_size, said.shape[1])
    learnt = [*network.vision_model.parameters(), *network.qformer.parameters(), network.query_tokens]
    optimizer = torch.optim.AdamW([*learnt, *head.parameters()], lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        rows = torch.randint(len(pictures), (batch,))
        patches = network.vision_model(pixel_values=pictures[rows].float()).last_hidden_state  # (B, 1 + n, C)
        queries = network.query_tokens.expand(batch, -1, -1)
        found = network.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state  # (B, Q, C)
        told = head(found).amax(1)  # (B, words)
        loss = nn.functional.binary_cross_entropy_with_logits(told, said[rows], reduction="none").sum(1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        if step % 100 == 99:
            print(f"stills, step {step + 1}: loss {loss.item():.3f}", flush=True)
