"""`videochat watch`."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from command_line import command, complaint, run
from media import make


def test_prints_lines_then_the_ledger(clip: Path, cheap: Path) -> None:
    done = run("watch", clip, "-c", cheap)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:3] == ["00:00-00:01 caption: a bar code", "00:01-00:02 caption: a bar code", ""]
    assert lines[3].split() == ["plugin", "windows", "cached", "frames", "batches", "MB", "seen", "seconds"]
    assert lines[4].split()[0] == "told"


def test_json(clip: Path, cheap: Path) -> None:
    found = run("watch", clip, "-c", cheap, "--json").json
    assert set(found) == {"video", "records", "faults", "ledger"}
    assert found["video"]["duration"] == 2.0
    assert found["faults"] == []
    first = found["records"][0]
    assert (first["kind"], first["start"], first["end"], first["source"]) == ("caption", 0.0, 1.0, "told")
    assert first["times"]
    assert first["id"]
    (cost,) = found["ledger"]
    assert {"name", "seconds", "windows", "cached", "frames", "batches", "tokens", "bytes"} <= set(cost)


def test_json_never_holds_tokens(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "embed.txt").write_text("{video}\n{question}")
    stack = tmp_path / "embed.yaml"
    stack.write_text("perceive:\n  vectors: {use: vectors}\nprompt: ./embed.txt\nllm: talker\n")
    found = run("watch", clip, "-c", stack, "--json").json
    assert len(found["records"]) == 2
    for record in found["records"]:
        assert set(record["tokens"]) == {"shape", "dtype", "file"}
        assert record["tokens"]["shape"] == [2, 4]
        assert Path(record["tokens"]["file"]).is_file()


def test_second_watch_comes_from_the_cache(
    clip: Path, cheap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    first, second = (run("watch", clip, "-c", cheap, "--json").json for _ in range(2))
    assert [first["ledger"][0][key] for key in ("windows", "cached")] == [2, 0]
    assert [second["ledger"][0][key] for key in ("windows", "cached")] == [0, 2]
    assert second["records"] == first["records"]


def test_part_of_a_video(clip: Path, cheap: Path) -> None:
    done = run("watch", clip, "-c", cheap, "--from", "0:01", "--to", "1.5", "--json")
    assert [(record["start"], record["end"]) for record in done.json["records"]] == [(1.0, 1.5)]


def test_folder(clip: Path, cheap: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    done = run("watch", clip, "-c", cheap, "-o", out)
    assert (done.code, done.err) == (0, f"written to {out}\n")
    names = {"prompt.txt", "lines.jsonl", "records.jsonl", "run.json", "subtitles.srt", "subtitles.vtt"}
    assert {path.name for path in out.iterdir()} == names
    assert (out / "prompt.txt").read_text() == "".join(f"{line}\n" for line in done.out.splitlines()[:2])
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert [record["text"] for record in records] == ["a bar code"] * 2


def test_out_is_a_file(clip: Path, cheap: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "is a file" in complaint(run("watch", clip, "-c", cheap, "-o", tmp_path / "taken"), 2)
    done = run("watch", clip, "-c", cheap, "-o", tmp_path / "taken" / "below")
    assert done.code == 2
    assert done.err.startswith("error: cannot write to ")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "5"], "the video is 2 s long"),
        (["--from", "1", "--to", "0.5"], "nothing lies from 1 to 0.5 s"),
        (["--to", "0"], "nothing lies"),
        (["--from", "soon"], "'soon' is not a time"),
        (["--from", "1:75"], "is not a time"),
        (["--from", "nan"], "is not a time"),
        (["--to", "-1"], "is not a time"),
        (["--set", "nonsense"], "must look like"),
        (["--set", "=3"], "must look like"),
        (["--set", "perceive.told.text={"], "not YAML"),
        (["--set", "perceive.told.txt=a"], "did you mean text"),
        (["--set", "perceive.told.over=-1"], "perceive.told.over"),
        (["--set", "colour=red"], "no such key"),
        (["--device", "gpu"], "error: --device: device: must be auto, cpu, cuda, cuda:0"),
        (["--device", ""], "error: --device: device: must be auto"),
        (["--set", "device=gpu"], "error: --set: device: must be auto"),
        (["--llm", "talkr"], "did you mean talker"),
        (["--llm", ""], "no llm plugin"),
        (["--loud"], "--loud"),
        (["-c"], "requires an argument"),
    ],
)
def test_wrong_use(clip: Path, cheap: Path, arguments: list[str], words: str) -> None:
    assert words in complaint(run("watch", clip, "-c", cheap, *arguments), 2)


def test_nothing_to_see_is_said(tmp_path: Path, cheap: Path) -> None:
    sound = make(tmp_path / "sound.m4a", frames=0, tone=440, audio_seconds=1).path
    done = run("watch", sound, "-c", cheap)
    assert done.code == 0
    assert done.err == "note: sound.m4a has no pictures, and no perceiver of cheap does without\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
@pytest.mark.parametrize("quiet", [False, True])
def test_progress_goes_to_a_terminal_only(
    quiet: bool, clip: Path, cheap: Path, parts: dict[str, str], own_folders: Path
) -> None:
    ours, theirs = os.openpty()
    env = {**os.environ, **parts, "VIDEOCHAT_CACHE": str(own_folders / "fresh"), "TERM": "xterm", "COLUMNS": "80"}
    named = ("--set", "perceive={told: null, '[red]': {use: told}}")
    words = command("watch", clip, "-c", cheap, *named, *(["--quiet"] if quiet else []))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=env) as child:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # how a terminal ends
            pass
        assert child.stdout is not None
        printed = child.stdout.read()
    os.close(ours)
    assert child.returncode == 0, shown
    assert printed.startswith(b"00:00-00:01 caption: a bar code\n")
    assert (b"perceive [red]" in shown) is not quiet
    assert (shown == b"") is quiet
