"""`videochat plan`."""

from pathlib import Path

import pytest

from command_line import run


def test_says_what_would_run(clip: Path, cheap: Path) -> None:
    done = run("plan", clip, "-c", cheap)
    assert (done.code, done.err) == (0, "")
    assert "clip.mp4: 2.00 s, 64x48, 10 fps, no sound" in done.out
    row = next(line for line in done.out.splitlines() if line.startswith("told"))
    assert "1 frames at 16 px" in row
    assert "llm     talker" in done.out
    assert "download nothing" in done.out


def test_json(clip: Path, cheap: Path) -> None:
    found = run("plan", clip, "-c", cheap, "--json").json
    assert {"stack", "video", "span", "segments", "perceive", "frames", "weights", "lacking"} <= set(found)
    assert (found["stack"], found["span"], found["segments"]) == ("cheap", [0.0, 2.0], 2)
    (task,) = found["perceive"]
    assert {"name", "use", "windows", "cached", "sampling"} <= set(task)


def test_runs_nothing_and_knows_the_cache(
    clip: Path, cheap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    before = run("plan", clip, "-c", cheap, "--json").json
    assert list((tmp_path / "cache").rglob("records.jsonl")) == []
    run("watch", clip, "-c", cheap, "--to", "1")
    after = run("plan", clip, "-c", cheap, "--json").json
    assert [plan["perceive"][0]["cached"] for plan in (before, after)] == [0, 1]
    assert [plan["frames"] for plan in (before, after)] == [2, 1]


def test_part_of_a_video(clip: Path, cheap: Path) -> None:
    found = run("plan", clip, "-c", cheap, "--from", "1", "--json").json
    assert (found["span"], found["perceive"][0]["windows"]) == ([1.0, 2.0], 1)


def test_says_what_is_missing_and_still_plans(clip: Path, cheap: Path) -> None:
    needy = ("--set", "perceive.needy={use: needy}")
    done = run("plan", clip, "-c", cheap, *needy)
    assert done.code == 0
    assert 'missing needy needs no-such-package-anywhere: pip install "videochat-speakers[heavy]"' in done.out
    assert run("plan", clip, "-c", cheap, *needy, "--json").json["lacking"]
