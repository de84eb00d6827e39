import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videochat
from videochat import Stack
from videochat.cache import clear, digest, file_hash, identity, remembered, root, size, write_whole


def fill(folder: Path) -> None:
    """Lay out a cache of two videos."""
    for video in ("a" * 32, "b" * 32):
        key = folder / video / ("0" * 32)
        key.mkdir(parents=True)
        (key / "records.jsonl").write_text("12345")
        (key / ".lock").touch()


def test_the_folder_is_the_one_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "here"))
    assert root() == tmp_path / "here"
    monkeypatch.setenv("VIDEOCHAT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert root().name == "videochat"


def test_digest_depends_on_values_and_not_on_their_order() -> None:
    assert digest({"a": 1, "b": [2.5]}) == digest({"b": [2.5], "a": 1})
    assert len({digest(values) for values in ({"a": 1}, {"a": 2}, {"a": "1"}, {"a": [1]}, {"b": 1}, {}, None)}) == 7


def test_a_hash_is_that_of_the_bytes_and_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(b"one")
    assert file_hash(file) == hashlib.sha256(b"one").hexdigest()
    (note,) = (root() / "files").iterdir()
    known = json.loads(note.read_text())
    note.write_text(json.dumps({**known, "hash": "remembered"}))
    assert file_hash(file) == "remembered"


def test_a_hash_is_renewed_when_the_bytes_change(tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(b"one")
    first = file_hash(file)
    stat = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert file_hash(file) == hashlib.sha256(b"two").hexdigest() != first
    file.write_bytes(b"three")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert file_hash(file) == hashlib.sha256(b"three").hexdigest()


def test_two_names_of_one_file_are_one_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video.mp4").write_bytes(b"one")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "video.mp4")
    monkeypatch.chdir(tmp_path)
    assert file_hash(Path("video.mp4")) == file_hash(tmp_path / "link.mp4")
    assert len(list((root() / "files").iterdir())) == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"hash": 1}', "\ufeff", '{"path": [], "size": {}}'])
def test_a_damaged_note_is_made_anew(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(b"one")
    found = file_hash(file)
    (note,) = (root() / "files").iterdir()
    note.write_text(damage)
    assert file_hash(file) == found
    assert json.loads(note.read_text())["hash"] == found


def test_write_whole_leaves_the_whole_file_or_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file.json"
    write_whole(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "new \ud800")
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_threads_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    file, failed = tmp_path / "file", list[BaseException]()

    def write(text: str) -> None:
        try:
            for _ in range(50):
                write_whole(file, text)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(str(i) * 1000,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(set(file.read_text())) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_size_and_clear(tmp_path: Path) -> None:
    assert (size(), clear()) == ((0, 0), 0)
    fill(root())
    (tmp_path / "video.mp4").write_bytes(b"one")
    file_hash(tmp_path / "video.mp4")
    (note,) = (root() / "files").iterdir()
    expected = 2 * len("12345") + note.stat().st_size
    assert size() == (2, expected)
    assert clear() == expected
    assert size() == (0, 0)
    assert [path for path in root().rglob("*") if path.is_file()] == []
    assert (tmp_path / "video.mp4").exists()


def test_clear_deletes_nothing_that_is_not_the_caches_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path))  # as one who points it at the home folder
    strangers = [
        tmp_path / "files" / "taxes.pdf",
        tmp_path / "files" / "notes.json",
        tmp_path / "files" / "deeper" / ("e" * 32) / "photo.jpg",
        tmp_path / "thesis.txt",
        tmp_path / "videos" / "holiday.mp4",
        tmp_path / ("c" * 32) / "an album of somebody's.jpg",
        tmp_path / ("A" * 32) / ("0" * 32) / "records.jsonl",
        tmp_path / ("d" * 40) / "object",
    ]
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    elsewhere = tmp_path / "elsewhere" / ("0" * 32)
    elsewhere.mkdir(parents=True)
    (elsewhere / "records.jsonl").write_text("mine")
    (tmp_path / ("f" * 32)).symlink_to(elsewhere.parent)
    (tmp_path / ("9" * 32)).write_text("a file with such a name")
    fill(tmp_path)
    assert clear() == 10
    assert [path for path in strangers if not path.exists()] == []
    assert (elsewhere / "records.jsonl").exists()
    assert not (tmp_path / ("a" * 32)).exists()


def test_identity_is_all_that_decides_a_components_output() -> None:
    fixed = Stack(segment={"use": "fixed", "seconds": 2}).segmenter
    assert identity(fixed) == {"use": "fixed", "version": 1, "options": {"seconds": 2.0}, "weights": []}


def test_what_only_makes_it_faster_keeps_the_cache() -> None:
    slow, fast = (videochat.load("offline", [f"read.threads={n}", f"perceive.text.threads={n}"]) for n in (1, 2))
    assert [identity(component) for _, component in slow.components()] == [
        identity(component) for _, component in fast.components()
    ]
    assert slow.filled() != fast.filled()


def test_arrays_are_built_once_and_a_damaged_file_is_built_again() -> None:
    built = []

    def build() -> dict[str, Any]:
        built.append(1)
        return {"texts": np.arange(6, dtype=np.float32).reshape(2, 3)}

    key = digest("of a vocabulary")
    for _ in range(2):
        assert np.array_equal(remembered(key, build)["texts"], [[0, 1, 2], [3, 4, 5]])
    assert len(built) == 1
    file = root() / "files" / f"{key}.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    assert np.array_equal(remembered(key, build)["texts"], [[0, 1, 2], [3, 4, 5]])
    assert len(built) == 2
    assert size()[1] == file.stat().st_size > 24
    clear()
    assert not file.exists()
