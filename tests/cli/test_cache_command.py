"""`videochat cache` and `videochat cache clear`."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import videochat.watch
from command_line import complaint, run


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_where_and_how_large(cache: Path, clip: Path, cheap: Path) -> None:
    assert run("cache", "--json").json == {"folder": str(cache), "videos": 0, "bytes": 0}
    run("watch", clip, "-c", cheap)
    found = run("cache", "--json").json
    assert found["videos"] == 1
    assert found["bytes"] > 0
    assert run("cache").out.startswith(f"{cache}: 1 video")


def test_clear(cache: Path, clip: Path, cheap: Path) -> None:
    run("watch", clip, "-c", cheap)
    (cache / "mine.txt").write_text("not of the cache")
    done = run("cache", "clear")
    assert (done.code, done.err) == (0, "")
    assert run("cache", "--json").json["videos"] == 0
    assert (cache / "mine.txt").exists()
    assert run("watch", clip, "-c", cheap, "--json").json["ledger"][0]["cached"] == 0
    assert run("cache", "clear", "--json").json["freed"] > 0


def test_a_folder_that_cannot_be(clip: Path, cheap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "file" / "cache"))
    message = complaint(run("watch", clip, "-c", cheap), 2)
    assert str(tmp_path / "file") in message


def test_what_is_being_watched_is_left(
    clip: Path, cheap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path))
    watched = run("watch", clip, "-c", cheap).out
    (lock,) = tmp_path.glob("*/*/.lock")
    with FileLock(lock):
        done = run("cache", "clear")
        assert (done.code, done.err) == (0, "note: 1 video stayed in the cache: being watched now\n")
        assert list(tmp_path.rglob("records.jsonl"))
    done = run("cache", "clear")
    assert (done.code, done.err) == (0, "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert run("watch", clip, "-c", cheap).out.splitlines()[:2] == watched.splitlines()[:2]


def test_what_to_do_where_the_cache_cannot_take_more(
    clip: Path, cheap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path))
    folder = tmp_path / run("plan", clip, "-c", cheap, "--json").json["video"]["hash"][:32]
    folder.write_text("in the way")
    message = complaint(run("watch", clip, "-c", cheap), 1)
    assert str(folder) in message
    assert message.endswith("; set VIDEOCHAT_CACHE to another folder\n")


def test_what_to_do_where_the_cache_is_cleared_in_the_middle_of_a_watch(
    clip: Path, cheap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refine(*arguments: Any) -> Any:
        shutil.rmtree(tmp_path)
        return refined(*arguments)

    refined = videochat.watch.refine
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("videochat.watch.refine", refine)
        message = complaint(run("watch", clip, "-c", cheap), 1)
    assert str(tmp_path) in message
    assert message.endswith("; the cache was cleared meanwhile: run it again\n")
    assert run("watch", clip, "-c", cheap).code == 0


def test_wrong_use() -> None:
    assert "clean" in complaint(run("cache", "clean"), 2)
