"""Killed at any moment, the next run succeeds and repeats no window that was finished."""

import random
import signal
import time
from pathlib import Path

import pytest

from components import LOG, cached_lines, child, log_lines, logged_stack, make_logged_clip

KILLS = 20


def test_killed_at_random_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, log = make_logged_clip(tmp_path), tmp_path / "log"
    monkeypatch.setenv(LOG, str(log))
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "never killed"))
    expected = list(logged_stack().watch(clip).records)
    windows = log_lines()
    assert len(windows) == len(set(windows)) == len(expected) == 15
    moments = random.Random(7)
    partly = 0
    for kill in range(KILLS):
        monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / f"cache {kill}"))
        log.unlink(missing_ok=True)
        victim = child(clip)
        after = moments.randint(0, len(windows))  # windows perceived before the kill; 0: while it starts
        while len(log_lines()) < after and victim.poll() is None:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.3 if after == 0 else 0.03))
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=60)
        finished = cached_lines(clip)
        partly += 0 < len(finished) < len(windows)
        log.unlink(missing_ok=True)
        assert list(logged_stack().watch(clip).records) == expected, f"kill {kill}, after {after} windows"
        assert sorted([*finished, *log_lines()]) == sorted(windows), f"kill {kill}, after {after} windows"
    assert partly >= KILLS // 3, "the kills must fall into the work"
