"""Each exit code reached for real: in a process of its own, seen as a shell sees it."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

import openai_server as server
from command_line import command, complaint, distribute, run, spawn, start
from media import make


def test_0_good(clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    done = spawn("watch", clip, "-c", cheap, env=parts)
    assert (done.code, done.err) == (0, "")  # no terminal, no progress
    assert "00:00-00:01 caption: a bar code" in done.out
    assert spawn("--help").code == 0


def test_2_wrong_use_or_stack(clip: Path) -> None:
    assert "there are: embed, hybrid, moviechat, offline" in complaint(spawn("watch", clip, "-c", "nope"), 2)
    assert "No such command 'wach'" in complaint(spawn("wach", clip), 2)


def test_3_no_video(tmp_path: Path) -> None:
    assert "no such file" in complaint(spawn("watch", tmp_path / "none.mp4"), 3)


def openai(url: str, **options: object) -> list[str]:
    chosen = {"use": "openai", "model": "tiny", "base_url": url, "retries": 0, "timeout": 0.3, **options}
    return ["--set", f"llm={{{', '.join(f'{name}: {value}' for name, value in chosen.items())}}}"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (server.raw(after=server.stall), "stalled for 0.3 s"),
        (server.raw(server.event("It "), after=server.stall), "stalled for 0.3 s after 3 characters"),
        (server.raw(server.event("It "), after=server.cut), "broke off after 3 characters"),
        (server.reset, "broke off"),
        (server.error(429, "slow down"), "429"),
        (server.error(500, "on fire \x1b[31m[bold]"), "500"),
        (server.error(401, "who are you"), "401"),
    ],
    ids=["stalled", "half, then stalled", "half, then closed", "reset", "429", "500", "401"],
)
def test_4_model(clip: Path, cheap: Path, step: server.Step, words: str) -> None:
    pytest.importorskip("openai", reason="the extra openai is not installed")
    with server.serving(step) as running:
        began = time.monotonic()
        done = run("ask", clip, "What?", "-c", cheap, *openai(running.url))
        assert time.monotonic() - began < 5
    assert done.code == 4
    assert done.out in ("", "It ")  # what came before is there
    assert words in complaint(done._replace(out=""), 4)
    assert "\x1b" not in done.err


def test_4_refused_in_a_process_of_its_own(clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    pytest.importorskip("openai", reason="the extra openai is not installed")
    url = f"http://127.0.0.1:{server.closed_port()}/v1"
    done = spawn("ask", clip, "What?", "-c", cheap, "--json", *openai(url), env=parts)
    assert "cannot connect" in complaint(done, 4)


def test_4_nothing_with_json_but_a_whole_answer(clip: Path, cheap: Path) -> None:
    pytest.importorskip("openai", reason="the extra openai is not installed")
    with server.serving(server.raw(server.event("It "), after=server.cut)) as running:
        complaint(run("ask", clip, "What?", "-c", cheap, "--json", *openai(running.url)), 4)


def test_5_some_perceivers_faulted(clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    broken = ("--set", "perceive.bad={use: failing, after: 1, kind: tag}")
    done = spawn("watch", clip, "-c", cheap, *broken, env=parts)
    assert done.code == 5
    assert "00:01-00:02 caption: a bar code" in done.out  # the others went on
    assert "00:00-00:01 tag: a bar code" in done.out  # and so did it
    assert done.err == "warning: bad at 00:01-00:02: RuntimeError: the lens is [31mdirty\n"
    found = run("watch", clip, "-c", cheap, *broken, "--json")
    assert found.code == 5
    assert [(fault["source"], fault["start"]) for fault in found.json["faults"]] == [("bad", 1.0)]
    asked = run("ask", clip, "What?", "-c", cheap, *broken)
    assert (asked.code, asked.out) == (5, "It is red.\n")


def test_6_extra_is_missing(clip: Path, cheap: Path, parts: dict[str, str], own_folders: Path) -> None:
    fresh = {**parts, "VIDEOCHAT_CACHE": str(own_folders / "fresh")}
    done = spawn("watch", clip, "-c", cheap, "--set", "perceive.needy={use: needy}", env=fresh)
    assert 'pip install "videochat-speakers[heavy]"' in complaint(done, 6)
    assert not list(own_folders.rglob("records.jsonl"))  # found before decoding


def test_6_key_is_missing(clip: Path, cheap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason="the extra openai is not installed")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "OPENAI_API_KEY" in complaint(run("ask", clip, "What?", "-c", cheap, "--llm", "openai:gpt"), 6)


SLOW = """
import time
from videochat import Perceiver, Record, Sampling, hookimpl

class Slow(Perceiver):
    \"\"\"Takes its time.\"\"\"
    emits = ("caption",)

    def sampling(self):
        return Sampling(frames=1, side=16)

    def perceive(self, windows):
        for window in windows:
            print("seeing", flush=True)
            time.sleep(0.2)
            yield [Record("caption", window.start, window.end, "slow")]

@hookimpl
def register_components(register):
    register("perceive", "slow", Slow)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_130_ctrl_c(tmp_path: Path, parts_folder: Path) -> None:
    (tmp_path / "slowpart.py").write_text(SLOW)
    distribute(tmp_path, "videochat-slow", "slowpart")
    long = make(tmp_path / "long.mp4", frames=60, fps=2, size=(32, 32)).path
    (tmp_path / "slow.yaml").write_text("perceive:\n  slow: {use: slow}\n")
    env = {"PYTHONPATH": str(tmp_path), "VIDEOCHAT_CACHE": str(tmp_path / "cache")}
    watching = start(
        "watch", long, "-c", tmp_path / "slow.yaml", env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert watching.stdout is not None
    for _ in range(3):
        assert watching.stdout.readline() == b"seeing\n"
    watching.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = watching.communicate(timeout=20)
    assert watching.returncode == 130
    assert time.monotonic() - began < 5
    assert err.decode() == "stopped; what was finished is kept, and the next run goes on from there\n"
    done = spawn("watch", long, "-c", tmp_path / "slow.yaml", "--to", "3", "--json", env=env)
    assert done.code == 0
    assert done.out.count("seeing") < 3  # the cache has what was finished


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's pipes")
@pytest.mark.parametrize("arguments", [("config", "schema"), ("plugins",), ("watch",)])
def test_broken_pipe_is_quiet(arguments: tuple[str, ...], clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    words = (*arguments, clip, "-c", cheap) if arguments == ("watch",) else arguments
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        command(*words), stdout=writing, stderr=subprocess.PIPE, env={**os.environ, **parts}
    ) as child:
        os.close(writing)
        _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_1_full_disk(clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("watch", clip, "-c", cheap), stdout=full, stderr=subprocess.PIPE, env={**os.environ, **parts}
        )
    assert done.returncode == 1
    assert done.stderr.decode() == "error: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's redirection")
def test_closed_streams(clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    words = " ".join(f"'{word}'" for word in command("watch", clip, "-c", cheap))
    for closed in (">&-", "<&- >&- 2>&-"):
        done = subprocess.run(["sh", "-c", f"{words} {closed}"], capture_output=True, env={**os.environ, **parts})
        assert (done.returncode, done.stderr) == (0, b""), closed


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}])
def test_any_locale(clip: Path, tmp_path: Path, parts: dict[str, str], locale: dict[str, str]) -> None:
    (tmp_path / "stack.yaml").write_text("perceive:\n  told: {use: told, text: Zürich 東京 😀}\n", encoding="utf-8")
    words = command("watch", clip, "-c", tmp_path / "stack.yaml", "-o", tmp_path / "out")
    done = subprocess.run(words, capture_output=True, env={**os.environ, **parts, **locale})
    assert (done.returncode, done.stderr) == (0, f"written to {tmp_path / 'out'}\n".encode())
    assert done.stdout.startswith(b"00:00-00:01 caption: Z")
    assert "Zürich 東京 😀" in (tmp_path / "out" / "prompt.txt").read_text(encoding="utf-8")


def test_no_command_prints_help() -> None:
    assert "Commands:" in run("--help").out
    for name in ("watch", "ask", "chat", "compare", "plan", "plugins", "explain", "config", "cache"):
        done = run(name, "--help")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"Usage: videochat {name}")


def test_the_version_is_that_of_the_package() -> None:
    for arguments in (["--version"], ["--version", "watch"]):
        assert run(*arguments) == (0, f"videochat {version('videochat')}\n", "")
