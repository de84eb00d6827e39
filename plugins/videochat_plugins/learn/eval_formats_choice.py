"""Readers of datasets with options to choose from: MVBench, NExT-QA, EgoSchema, Video-MME."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from videochat import StackError
from videochat_plugins.learn.eval_choice import LETTERS
from videochat_plugins.learn.eval_data import Dataset, Raw
from videochat_plugins.learn.eval_files import Entry, all_of, entries, load, one_of

_NEXTQA = {"C": "causal", "T": "temporal", "D": "descriptive"}


def mvbench(source: Path, dataset: Dataset, split: str | None) -> None:
    """Read MVBench (arXiv 2311.17005): a file for each of 20 tasks, `start` and `end` in seconds in five of them."""
    for file in all_of(source, ".json"):
        for number, entry in enumerate(entries(file)):
            dataset.add(file, entry, f"{file.stem}-{number}", partial(_mvbench, entry, file.stem))


def _mvbench(entry: Entry, task: str) -> Raw:
    question, answer, candidates = map(entry.field, ("question", "answer", "candidates"))
    start, end = entry.field("start"), entry.field("end")
    if candidates is None:
        raise ValueError("has no candidates")
    return Raw([entry.field("video")], question, answer, task, candidates=candidates, start=start, end=end)


def nextqa(source: Path, dataset: Dataset, split: str | None) -> None:
    """Read NExT-QA (arXiv 2105.08276), multiple choice: a CSV file for each split, `answer` the number of an option."""
    file = one_of(source, "*.csv", split)
    for entry in entries(file):
        dataset.add(file, entry, f"{entry.field('video')}_{entry.field('qid')}", partial(_nextqa, entry))


def _nextqa(entry: Entry) -> Raw:
    options = [entry.field(f"a{i}") for i in range(5)]
    if not isinstance(kind := entry.field("type") or "other", str):
        raise ValueError(f"the type must be text, not {kind!r}")
    category = f"{_NEXTQA.get(kind[0], 'other')}/{kind}"
    answer = _numbered(entry.field("answer"), options)
    return Raw([entry.field("video")], entry.field("question"), answer, category, candidates=options)


def egoschema(source: Path, dataset: Dataset, split: str | None) -> None:
    """Read EgoSchema (arXiv 2308.09126): questions.json, and beside it the answers that are public, by `q_uid`."""
    folder, file = (source, source / "questions.json") if source.is_dir() else (source.parent, source)
    beside = one_of(folder, "*answers*.json", None)
    answers = load(beside)
    if not isinstance(answers, dict):
        raise StackError(f"{beside}:1: must be a mapping from q_uid to the number of an option")
    unknown, without = set(answers), 0
    for entry in entries(file):
        id = entry.field("q_uid")
        if isinstance(id, str) and id not in answers:
            without += 1
        else:
            dataset.add(file, entry, id, partial(_egoschema, entry, answers))
            unknown -= {id} if isinstance(id, str) else set()
    for id in sorted(unknown):
        dataset.bad(beside, 0, id, f"{file.name} has no such question")
    if without:
        dataset.notes.append(f"{without:,} questions of {file} have no answer in {beside.name}, and are not asked")


def _egoschema(entry: Entry, answers: Mapping[str, Any]) -> Raw:
    id, options = entry.field("q_uid"), [entry.field(f"option {i}") for i in range(5)]
    return Raw([id], entry.field("question"), _numbered(answers.get(id), options), "all", candidates=options)


def videomme(source: Path, dataset: Dataset, split: str | None) -> None:
    """Read Video-MME (arXiv 2405.21075): an entry for each question, or for each video with its `questions`."""
    for file in [source] if source.is_file() else sorted([*source.glob("*.json"), *source.glob("*.jsonl")]):
        for entry in entries(file):
            inner = entry.field("questions")
            for value in inner if isinstance(inner, list) else [entry.value]:
                asked = Entry(entry.line, value, entry.fault)
                dataset.add(file, asked, asked.field("question_id"), partial(_videomme, entry, asked))


def _videomme(entry: Entry, asked: Entry) -> Raw:
    address = re.search(r"(?:v=|youtu\.be/)([\w-]{11})", str(entry.field("url")))
    names = (entry.field("videoID"), address and address[1], entry.field("video_id"))
    options = asked.field("options")
    if not isinstance(options, list):
        raise ValueError(f"the options must be a list of texts, not {options!r}")
    options = [_unlettered(letter, option) for letter, option in zip(LETTERS, options, strict=False)]
    letter, letters = asked.field("answer"), LETTERS[: len(options)]
    if not isinstance(letter, str) or letter not in set(letters):
        raise ValueError(f"the answer must be the letter of an option, not {letter!r}")
    answer, category = options[letters.index(letter)], f"{entry.field('duration')}/{asked.field('task_type')}"
    found = [name for name in names if name is not None]
    return Raw(found, asked.field("question"), answer, category, candidates=options)


def _numbered(number: Any, options: Sequence[Any]) -> Any:
    """Return the option of a number, which may be written as text."""
    if isinstance(number, bool) or not re.fullmatch(r"[0-9]{1,2}", str(number)) or int(number) >= len(options):
        raise ValueError(f"the answer must be the number of an option, 0 to {len(options) - 1}, not {number!r}")
    return options[int(number)]


def _unlettered(letter: str, option: Any) -> Any:
    """Return an option without its own letter, `B. Two.` as `Two.` for the second."""
    return option.removeprefix(f"{letter}. ") if isinstance(option, str) else option
