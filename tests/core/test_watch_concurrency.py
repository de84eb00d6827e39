"""Several that watch one video at once share the work: each window is perceived once, and all get the same."""

import threading
from pathlib import Path

import pytest

from components import LOG, child, log_lines, logged_stack, make_logged_clip
from videochat import Record


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    return make_logged_clip(tmp_path)


def test_four_processes(clip: Path) -> None:
    children = [child(clip) for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in children]
    assert [process.returncode for process in children] == [0] * 4
    assert said[0].count(b"\n") == 15
    assert len(set(said)) == 1
    assert len(log_lines()) == len(set(log_lines())) == 15


def test_threads_each_with_a_stack_of_its_own(clip: Path) -> None:
    found: list[list[Record]] = []
    threads = [
        threading.Thread(target=lambda: found.append(list(logged_stack().watch(clip).records))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 3
    assert len(found[0]) == 15
    assert found[0] == found[1] == found[2]
    assert len(log_lines()) == len(set(log_lines())) == 15
