"""Readers of datasets with answers in words: our world, MSVD-QA, MSRVTT-QA, ActivityNet-QA and MovieChat-1K."""

import re
from functools import partial
from pathlib import Path
from typing import Any

from videochat import StackError
from videochat_plugins.learn.eval_data import Dataset, Raw
from videochat_plugins.learn.eval_files import Entry, all_of, entries, load, one_of
from videochat_plugins.learn.world_ask import rejected

_ACTIVITYNET = ("motion", "spatial", "temporal", "yes or no", "colour", "object", "location", "number", "other")
_ASKING = ("what", "who", "how", "when", "where", "which", "why")


def world(source: Path, dataset: Dataset, split: str | None) -> None:
    """Read what `videochat world` made: the test split, unless another is asked for."""
    file = source / "questions.jsonl" if source.is_dir() else source
    others: set[str] = set()
    for entry in entries(file):
        of = entry.field("split")
        if isinstance(of, str) and of != (split or "test"):
            others.add(of)
        else:
            dataset.add(file, entry, entry.field("id"), partial(_world, entry))
    if others and not dataset.examples and not dataset.problems:
        there = ", ".join(sorted(others))
        raise StackError(f"{file} has no questions of the split {split or 'test'}; give --split: {there}")


def _world(entry: Entry) -> Raw:
    if not isinstance(entry.field("split"), str):
        raise ValueError("does not say which split it belongs to")
    names = ("question", "answer", "category", "group", "accept", "candidates")
    return Raw([entry.field("video")], **{name: entry.field(name) for name in names}, others=_others(entry))


def _others(entry: Entry) -> list[str]:
    given = entry.field("candidates")
    candidates = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
    return rejected(str(entry.field("category")), str(entry.field("answer")), candidates)


def videoqa(source: Path, dataset: Dataset, split: str | None) -> None:
    """Read MSVD-QA, MSRVTT-QA or ActivityNet-QA: one file, or questions (`*_q.json`) and answers (`*_a.json`) apart.

    Those are joined by their `question_id`, never by their order.
    """
    apart = source.stem.endswith("_q") if source.is_file() else any(source.glob("*_q.json"))
    file = one_of(source, "*_q.json" if apart else "*.json", split)
    beside = file.with_name(f"{file.stem.removesuffix('_q')}_a.json")
    answers = _answers(beside, dataset) if apart else {}
    for entry in entries(file):
        id = next((str(given) for key in ("question_id", "id") if (given := entry.field(key)) is not None), None)
        dataset.add(file, entry, id, partial(_videoqa, entry, answers.pop(str(id), None) if apart else entry, beside))
    for id, entry in answers.items():
        dataset.bad(beside, entry.line, id, f"{file.name} has no such question")


def _answers(file: Path, dataset: Dataset) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries(file):
        id = entry.field("question_id")
        if entry.fault or id is None or str(id) in found:
            dataset.bad(file, entry.line, id, entry.fault or "has no question_id, or one that stands before it already")
        else:
            found[str(id)] = entry
    return found


def _videoqa(entry: Entry, answered: Entry | None, beside: Path) -> Raw:
    if answered is None:
        raise ValueError(f"{beside.name} has no answer to it")
    question = entry.field("question")
    category = _category(str(question), answered.field("type"))
    return Raw(_names(entry), question, answered.field("answer"), category)


def _names(entry: Entry) -> list[Any]:
    """Return the names that the file of a video may have."""
    if (name := entry.field("video_name")) is not None:
        return [name, f"v_{name}"]  # the latter in ActivityNet
    id = entry.field("video_id")
    return [f"video{id}", f"vid{id}", str(id)] if isinstance(id, int) else [id]


def _category(question: str, kind: Any) -> str:
    """Return ActivityNet-QA's type of question, or else the word that a question asks with."""
    if isinstance(kind, int) and 0 <= kind < len(_ACTIVITYNET):
        return _ACTIVITYNET[kind]
    word = next(iter(re.findall(r"\w+", question)), "").lower()
    return word if word in _ASKING else "other"


def moviechat(source: Path, dataset: Dataset, split: str | None) -> None:
    """Read MovieChat-1K (arXiv 2307.16449): a file for each video, with questions about all of it and about moments."""
    for file in all_of(source, ".json"):
        whole = Entry(0, load(file))
        info = Entry(0, whole.field("info"))
        kinds = {kind: asked for kind in ("global", "breakpoint") if (asked := whole.field(kind)) is not None}
        if not kinds:
            dataset.bad(file, 0, None, "holds no questions, neither global nor breakpoint")
        for kind, asked in kinds.items():
            if not isinstance(asked, list):
                dataset.bad(file, 0, kind, "must be a list of questions")
                continue
            for i, value in enumerate(asked):
                entry = Entry(0, value)
                dataset.add(file, entry, f"{file.stem}-{kind}-{i}", partial(_moviechat, entry, info, kind))


def _moviechat(entry: Entry, info: Entry, kind: str) -> Raw:
    at = _second(entry.field("time"), info) if kind == "breakpoint" else None
    return Raw([info.field("video_path")], entry.field("question"), entry.field("answer"), kind, at=at)


def _second(frame: Any, info: Entry) -> float:
    """Return the second of a moment, which is written as the number of a frame: the last that is known.

    Raises:
        ValueError: if it is no such number, or `info` has no rate for it.
    """
    rate, frames = info.field("fps"), info.field("num_frame")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
        raise ValueError(f"info must have the fps that time counts in, not {rate!r}")
    if isinstance(frame, bool) or not isinstance(frame, int | float) or frame < 0:
        raise ValueError(f"time must be the number of a frame, not {frame!r}")
    if isinstance(frames, int) and frame > frames:
        raise ValueError(f"time is frame {frame}, and the video has {frames}")
    return frame / rate
