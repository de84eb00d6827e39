"""The questions of a world: planned video by video, before anything is drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_ask import Balance, Fact, accepted, choose, words
from videochat_plugins.learn.world_causal import causal
from videochat_plugins.learn.world_physics import Log, reverse, run
from videochat_plugins.learn.world_spatial import spatial
from videochat_plugins.learn.world_story import write
from videochat_plugins.learn.world_temporal import temporal
from videochat_plugins.learn.world_things import Clip

Question = dict[str, Any]  # as questions.jsonl has it

_SPATIAL, _TEMPORAL, _CAUSAL = 3, 3, 2  # questions of a video, at most


@dataclass(frozen=True)
class Planned:
    """A video that is to be made, forwards or reversed, and what is asked of it."""

    clip: Clip
    log: Log
    questions: tuple[Question, ...]

    @property
    def id(self) -> str:
        """The name of its files."""
        return self.clip.id if self.log.forward else f"{self.clip.id}r"


def plan(seed: int, videos: int, things: int = 0) -> Iterator[tuple[Planned, Planned]]:
    """Yield each video of a world with its reverse; a larger world begins with those of a smaller one."""
    balance = Balance()
    for index in range(videos):
        clip = write(seed, index, things)
        log = run(clip.scenes)
        forward, backward = _ask(clip, log, balance)
        yield Planned(clip, log, tuple(forward)), Planned(clip, reverse(log), tuple(backward))


def _ask(clip: Clip, log: Log, balance: Balance) -> tuple[list[Question], list[Question]]:
    """Return the questions of a video and those of its reverse; the temporal ones stand on both."""
    author = Author(np.random.default_rng([clip.seed, clip.index, 2]))
    forward: list[Question] = []
    for facts, most in ((spatial(author, log), _SPATIAL), (causal(log), _CAUSAL)):
        for fact in choose(author, balance, clip.split, facts, most):
            forward.append(_question(clip, "", len(forward), fact, words(author, fact)))
    backward: list[Question] = []
    groups: dict[str, list[tuple[Fact, Fact]]] = {}
    for pair in temporal(log):
        groups.setdefault(pair[0].category, []).append(pair)
    for category in author.sample(sorted(groups), min(_TEMPORAL, len(groups))):
        here, there = author.pick(groups[category])
        said, number = words(author, here), len(forward)
        twin = f"{clip.id}r-{number}", f"{clip.id}-{number}"
        forward.append({**_question(clip, "", number, here, said), "twin": twin[0]})
        backward.append({**_question(clip, "r", number, there, said), "twin": twin[1]})
    return forward, backward


def _question(clip: Clip, suffix: str, number: int, fact: Fact, said: str) -> Question:
    return {
        "id": f"{clip.id}{suffix}-{number}",
        "video": f"videos/{clip.id}{suffix}.mp4",
        "group": clip.id,
        "split": clip.split,
        "category": fact.category,
        "question": said,
        "answer": fact.answer,
        "accept": accepted(fact.answer),
        "candidates": list(fact.candidates),
        "twin": None,
    }
