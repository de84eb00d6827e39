"""`videochat cache` and `videochat cache clear`."""

from pathlib import Path

import pytest

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


def test_wrong_use() -> None:
    assert "clean" in complaint(run("cache", "clean"), 2)
