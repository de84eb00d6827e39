"""Training data: what is wrong is told by file and entry, and refused or left out."""

import json
from pathlib import Path
from typing import Any

import pytest

from videochat import StackError
from videochat_plugins.learn.train_data import Data, Turn, read_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("data/a.mp4", "data/b.png", "secret.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path / "data"


def read(folder: Path, entries: Any, stage: Any = "stage1", bad: Any = "refuse", root: Path | None = None) -> Data:
    file = folder / "d.json"
    file.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return read_data([file], stage, root, bad)


def refused(folder: Path, entries: Any, stage: str = "stage1") -> str:
    with pytest.raises(StackError) as error:
        read(folder, entries, stage)
    return str(error.value)


def test_captions_of_videos_and_images(folder: Path) -> None:
    data = read(folder, [{"video": "a.mp4", "caption": " a dog "}, {"image": "b.png", "caption": "a cat"}])
    assert [(item.medium, item.path.name, item.talk) for item in data.items] == [
        ("video", "a.mp4", (Turn("", "a dog"),)),
        ("image", "b.png", (Turn("", "a cat"),)),
    ]
    assert [len(data.of(medium)) for medium in ("video", "image")] == [1, 1]


def test_talks_with_the_part_that_they_are_about(folder: Path) -> None:
    talk = [{"q": "Who?", "a": "A dog.", "i": ""}, {"q": "Why?", "a": "It ran."}]
    (item,) = read(folder, [{"video": "a.mp4", "QA": talk, "start": 1, "end": 2.5}], "stage2").items
    assert item.talk == (Turn("Who?", "A dog."), Turn("Why?", "It ran."))
    assert (item.start, item.end) == (1, 2.5)


def test_paths_start_from_the_root_that_is_given(folder: Path, tmp_path: Path) -> None:
    (item,) = read(folder, [{"video": "data/a.mp4", "caption": "x"}], root=tmp_path).items
    assert item.path == folder / "a.mp4"


QA = {"q": "Who?", "a": "A dog."}
WRONG: list[tuple[str, Any, str]] = [
    ("stage1", "text", "must be a JSON object, not str"),
    ("stage1", {"caption": "x"}, 'must have either "video" or "image"'),
    ("stage1", {"video": "a.mp4", "image": "b.png", "caption": "x"}, 'must have either "video" or "image"'),
    ("stage1", {"video": "none.mp4", "caption": "x"}, "there is no file"),
    ("stage1", {"video": "a" * 300, "caption": "x"}, "there is no file"),
    ("stage1", {"video": 3, "caption": "x"}, "a path must be text, not 3"),
    ("stage1", {"video": "../secret.mp4", "caption": "x"}, "../secret.mp4 leads out of"),
    ("stage1", {"video": "/etc/passwd", "caption": "x"}, "/etc/passwd leads out of"),
    ("stage1", {"video": "a.mp4", "caption": "  "}, "caption is empty"),
    ("stage1", {"video": "a.mp4", "caption": None}, "caption must be text, not None"),
    ("stage1", {"video": "a.mp4", "QA": [QA]}, 'has no "caption"; questions and answers are for stage2'),
    ("stage2", {"video": "a.mp4", "caption": "x"}, 'has no "QA"; captions are for stage1'),
    ("stage2", {"video": "a.mp4", "QA": []}, '"QA" must be a list of at least one'),
    ("stage2", {"video": "a.mp4", "QA": [QA, "x"]}, 'QA 1 must be an object with "q" and "a"'),
    ("stage2", {"video": "a.mp4", "QA": [QA, {"q": "Why?", "a": ""}]}, "QA 1: a is empty"),
    ("stage2", {"video": "a.mp4", "QA": [{"q": "Why?"}]}, "QA 0: a must be text, not None"),
    ("stage2", {"video": "a.mp4", "QA": [QA], "start": "1"}, "start must be seconds, not '1'"),
    ("stage2", {"video": "a.mp4", "QA": [QA], "start": 10**400}, "start must be seconds"),
    ("stage2", {"video": "a.mp4", "QA": [QA], "end": float("nan")}, "end must be seconds"),
    ("stage2", {"video": "a.mp4", "QA": [QA], "start": 3, "end": 2}, "end, 2, must come after start, 3"),
]


@pytest.mark.parametrize(("stage", "entry", "words"), WRONG, ids=[words[:30] for _, _, words in WRONG])
def test_a_wrong_entry_is_told_by_file_and_number(folder: Path, stage: str, entry: Any, words: str) -> None:
    good = {"video": "a.mp4", **({"caption": "x"} if stage == "stage1" else {"QA": [QA]})}
    said = refused(folder, [good, entry, good], stage)
    first, mend = said.splitlines()
    assert first.startswith(f"{folder / 'd.json'}: entry 1: ")
    assert words in first
    assert mend == "mend them, or leave them out with `bad: skip`"
    data = read(folder, [good, entry, good], stage, "skip")
    assert len(data.items) == 2
    assert [str(problem) for problem in data.problems] == [first]


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is no JSON"), ('{"a": 1}', "must hold a JSON list of entries, not a dict"), ("[]", "no entries")],
)
def test_a_file_that_is_no_list(folder: Path, text: str, words: str) -> None:
    assert words in refused(folder, text)
    with pytest.raises(StackError, match=words):
        read(folder, text, bad="skip")


def test_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(StackError, match=r"none\.json: cannot be read: No such file"):
        read_data([folder / "none.json"], "stage1", None, "skip")


def test_nothing_left_is_refused_though_wrong_entries_are_to_be_left_out(folder: Path) -> None:
    with pytest.raises(StackError, match="entry 0"):
        read(folder, [{"video": "none.mp4", "caption": "x"}], bad="skip")


def test_many_problems_are_told_with_their_number(folder: Path) -> None:
    said = refused(folder, [{"video": f"{i}.mp4", "caption": "x"} for i in range(50)])
    assert said.count("there is no file") == 20
    assert "and 30 more; mend them" in said
