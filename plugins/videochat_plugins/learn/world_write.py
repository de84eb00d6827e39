"""Writes a world to a folder: videos one by one, so that a stopped run goes on, and at the end what is asked of them.

world.json       what was asked for: seed, number of videos, sizes
videos/          ID.mp4, and IDr.mp4, the same frames backwards
records/         ID.jsonl, the truth about each video, a record a line
captions.json    the train split's captions, and images.json with images/, its stills
instruct.json    the train split's descriptions, questions and answers
questions.jsonl  all questions of both splits
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from videochat import StackError
from videochat.cache import write_whole
from videochat.hookspecs import Event
from videochat.registry import registry
from videochat.save import check_folder
from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_encode import write_image, write_video
from videochat_plugins.learn.world_questions import Planned, plan
from videochat_plugins.learn.world_render import draw
from videochat_plugins.learn.world_tell import caption, description, still_caption
from videochat_plugins.learn.world_things import FPS, FRAMES, HEIGHT, WIDTH
from videochat_plugins.learn.world_truth import records

Row = dict[str, Any]

_FACTS = "world.json"
_PART = re.compile(r"\.\w+\.\w+\.[0-9a-f]{16}")  # what a killed run leaves of a file
_DESCRIBE = (
    "Describe the video in detail.",
    "What happens in this video? Tell it from the beginning to the end.",
    "Give a full account of the clip.",
    "Tell the story of this video.",
    "Explain what can be seen in the video, step by step.",
)


def check_target(out: Path, seed: int, videos: int, things: int = 0) -> None:
    """Make sure that a world can be written to a folder: an empty one, or one that holds the beginning of this world.

    Raises:
        StackError: if it cannot be written to, or holds something else.
    """
    check_folder(out)
    if not out.exists() or all(_PART.fullmatch(path.name) for path in out.iterdir()):
        return
    try:
        facts = json.loads((out / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StackError(f"{out} is not empty and holds no world: name another folder") from None
    wanted = _facts(seed, videos, things)
    if facts != wanted:
        found: Mapping[str, Any] = facts if isinstance(facts, dict) else {}
        other = next((name for name in wanted if found.get(name) != wanted[name]), "more")
        raise StackError(
            f"{out} holds another world ({other} is {found.get(other)!r} there, not {wanted.get(other)!r}): "
            "go on with its own options, or name another folder"
        )


def make(out: Path, seed: int, videos: int, things: int = 0) -> dict[str, Any]:
    """Write what is missing of a world to a folder that `check_target` has checked, and return the counts of all.

    Raises:
        StackError: if another process writes to it.
    """
    write_whole(out / _FACTS, json.dumps(_facts(seed, videos, things), indent=1) + "\n")
    try:
        with FileLock(out / ".lock").acquire(timeout=0):
            return _make(out, seed, videos, things)
    except Timeout:
        raise StackError(f"another process writes a world to {out}") from None


def _make(out: Path, seed: int, videos: int, things: int) -> dict[str, Any]:
    for name in ("", "videos", "records", "images"):
        (out / name).mkdir(exist_ok=True)
        for path in (out / name).iterdir():
            if _PART.fullmatch(path.name):
                path.unlink()
    captions: list[Row] = []
    images: list[Row] = []
    instructions: list[Row] = []
    questions: list[Row] = []
    written = 0
    for done, pair in enumerate(plan(seed, videos, things)):
        registry().observe(Event("world", "videos", done, videos, detail=pair[0].id))
        told = [_tell(planned) for planned in pair]
        written += _write_videos(out, pair, told)
        for planned, (short, long, still) in zip(pair, told, strict=True):
            questions += planned.questions
            if planned.clip.split == "train":
                video = f"videos/{planned.id}.mp4"
                captions.append({"video": video, "caption": short})
                images.append({"image": f"images/{planned.id}.png", "caption": still})
                ask = _DESCRIBE[(planned.clip.index + len(planned.questions)) % len(_DESCRIBE)]
                # In talks of their own: what was told before would answer the questions.
                talks = [[{"q": ask, "a": long}], [{"q": q["question"], "a": q["answer"]} for q in planned.questions]]
                instructions += [{"video": video, "QA": talk} for talk in talks if talk]
    for name, rows in (("captions", captions), ("images", images), ("instruct", instructions)):
        write_whole(out / f"{name}.json", json.dumps(rows, indent=1) + "\n")
    write_whole(out / "questions.jsonl", "".join(json.dumps(row) + "\n" for row in questions))
    registry().observe(Event("world", "videos", videos, videos))
    kinds = Counter(row["category"].partition("/")[0] for row in questions)
    splits = Counter(row["split"] for row in questions)
    facts = {"videos": videos, "files": 2 * videos, "written": written, "questions": len(questions)}
    return {"folder": str(out), "seed": seed, **facts, "kinds": dict(sorted(kinds.items())), "splits": dict(splits)}


def _facts(seed: int, videos: int, things: int) -> dict[str, Any]:
    options = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "seconds": FRAMES / FPS}
    asked = {"seed": seed, "videos": videos, "things": things}
    return {"format": "videochat-world", "version": 1, **asked, "options": options}


def _tell(planned: Planned) -> tuple[str, str, str]:
    """Return caption, description and the caption of the still."""
    clip, log = planned.clip, planned.log
    author = Author(np.random.default_rng([clip.seed, clip.index, 3 if log.forward else 4]))
    return caption(author, log), description(author, log), still_caption(log, _still(planned))


def _still(planned: Planned) -> int:
    """Return which frame is its still: another one for the reverse."""
    return planned.log.frames * (1 if planned.log.forward else 2) // 5


def _write_videos(out: Path, pair: tuple[Planned, Planned], told: list[tuple[str, str, str]]) -> int:
    """Write the files of a video and of its reverse that are not there yet, and return how many videos that were."""
    frames, written = None, 0
    for planned, (short, long, _) in zip(pair, told, strict=True):
        video, truth = out / "videos" / f"{planned.id}.mp4", out / "records" / f"{planned.id}.jsonl"
        still = out / "images" / f"{planned.id}.png"
        wanted = [video, truth, *([still] if planned.clip.split == "train" else [])]
        if all(path.is_file() for path in wanted):
            continue
        frames = frames or draw(pair[0].clip, pair[0].log)
        shown = frames if planned.log.forward else frames[::-1]
        lines = (json.dumps(record.to_json()) for record in records(planned.log, short, long))
        write_whole(truth, "".join(f"{line}\n" for line in lines))
        if still in wanted:
            write_image(still, shown[_still(planned)])
        write_video(video, shown)
        written += 1
    return written
