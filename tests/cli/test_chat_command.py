"""`videochat chat`, fed from a pipe."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from command_line import command, run, spawn


def test_questions_from_a_pipe(clip: Path, cheap: Path) -> None:
    done = run("chat", clip, "-c", cheap, stdin=b"What is it?\nAnd then?\n")
    assert (done.code, done.err) == (0, "")
    assert done.out == "It is red.\nIt is red.\n"


def test_each_answer_a_line_of_json(clip: Path, cheap: Path) -> None:
    done = run("chat", clip, "-c", cheap, "--json", stdin=b"One?\nTwo?\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["question"], row["answer"], row["stack"]) for row in rows] == [
        ("One?", "It is red.", "cheap"),
        ("Two?", "It is red.", "cheap"),
    ]


def test_the_talk_is_remembered(clip: Path, cheap: Path) -> None:
    done = run("chat", clip, "-c", cheap, "--llm", "echo", stdin=b"First?\nSecond?")
    assert done.out.count("Question: First?") == 3  # asked, quoted in the echo, and as history
    assert done.out.count("Question: Second?") == 1


def test_an_empty_line_or_the_end_ends_it(clip: Path, cheap: Path) -> None:
    assert run("chat", clip, "-c", cheap, stdin=b"One?\n\nTwo?\n").out == "It is red.\n"
    assert run("chat", clip, "-c", cheap, stdin=b"").out == ""


def test_letters_that_are_none(clip: Path, cheap: Path) -> None:
    done = run("chat", clip, "-c", cheap, "--llm", "echo", stdin=b"Wo \xff ist \xc3\xa9?\n")
    assert done.code == 0
    assert "Question: Wo \N{REPLACEMENT CHARACTER} ist é?" in done.out


def test_a_model_that_fails_ends_it(clip: Path, cheap: Path) -> None:
    model = "llm={use: talker, breaks: no more}"
    done = run("chat", clip, "-c", cheap, "--set", model, stdin=b"One?\nTwo?\n")
    assert (done.code, done.out) == (4, "It is red.")
    assert done.err == "error: the language model failed: RuntimeError: no more\n"


def test_faults_are_said_at_the_end(clip: Path, cheap: Path, tmp_path: Path) -> None:
    (tmp_path / "two.mp4").write_bytes(clip.read_bytes())
    broken = ("--set", "perceive.bad={use: failing, after: 1}")
    done = run("chat", clip, tmp_path / "two.mp4", "-c", cheap, *broken, stdin=b"One?\n")
    assert done.code == 5
    assert done.out == "It is red.\n"
    assert done.err.count("warning: bad at 00:01-00:02: RuntimeError: the lens is") == 2  # one for each video


def test_no_input_at_all(clip: Path, parts: dict[str, str], cheap: Path) -> None:
    assert spawn("chat", clip, "-c", cheap, env=parts) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_a_person_may_ask_again_after_a_failure(clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    ours, theirs = os.openpty()
    words = command("chat", clip, "-c", cheap, "--set", "llm.breaks=no more")
    streams = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **streams, env={**os.environ, **parts}, start_new_session=True) as child:
        os.close(theirs)
        os.write(ours, b"One?\nTwo?\n\x04")
        out, err = child.communicate(timeout=60)
    os.close(ours)
    assert child.returncode == 0
    assert out.decode() == "> It is red.> It is red.> \n"
    assert err.decode() == "error: the language model failed: RuntimeError: no more\n" * 2


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_a_person_may_take_up_the_question_before(clip: Path, cheap: Path, parts: dict[str, str]) -> None:
    pytest.importorskip("readline", reason="Python was built without it")
    ours, theirs = os.openpty()
    words = command("chat", clip, "-c", cheap, "--llm", "echo", "--quiet")
    env = {**os.environ, **parts, "TERM": "xterm"}
    shown = b""
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True) as child:
        os.close(theirs)
        for typed in (b"One?\n", b"\x1b[A\n", b"\x04", b""):
            try:
                while not shown.endswith(b"> ") and (piece := os.read(ours, 4096)):
                    shown += piece
            except OSError:  # how a terminal ends
                break
            os.write(ours, typed)
            shown += b"|"
        assert child.wait(timeout=60) == 0
    os.close(ours)
    before, found, _ = shown.rpartition(b"> |")
    assert found
    assert before.endswith(b"Question: One?\r\n")
    assert before.count(b"> |") == 2
