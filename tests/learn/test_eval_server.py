"""`videochat eval` asks a model behind a server several questions at once, and finds the same as one at a time."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from command_line import Done, run
from media import make
from openai_server import Handler, closed_port, error, serving, stream
from videochat import Weights

pytest.importorskip("openai", reason="the extra openai is not installed")
pytest.importorskip("cv2", reason="the extra offline is not installed")

STACK = "segment: {use: fixed, seconds: 1}\nperceive:\n  look: {use: look, over: 1}\n"
WIDTHS = (48, 64)
ANSWERS = {"What colour is it?": "red", "How many are there?": "3", "Which way does it go?": "left"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for width in WIDTHS:
        make(folder / f"w{width}.mp4", frames=8, fps=4, size=(width, 48))
    return folder


@pytest.fixture(autouse=True)
def here(clips: Path, own_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a dataset of two videos with three questions each, and a stack."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("videochat_plugins.llm.remote.FIRST_WAIT", 0.01)
    Path("s.yaml").write_text(STACK)
    rows = [
        {"id": f"w{width}-{i}", "video": f"w{width}.mp4", "group": f"w{width}", "split": "test", "twin": None}
        | {"category": "all", "question": question, "answer": answer, "accept": [], "candidates": [answer, "none"]}
        for i, (question, answer) in enumerate(ANSWERS.items())
        for width in WIDTHS
    ]
    Path("world.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for clip in clips.glob("*.mp4"):
        Path(clip.name).hardlink_to(clip)


class Hall:
    """Answers each question with its own answer, and remembers how many were asked at once.

    Args:
        room: answers nobody before so many ask, or time is up.
        fails: a question that the server fails at.
        slow: seconds for each answer.
    """

    def __init__(self, room: int = 1, fails: str = "nothing", slow: float = 0.0) -> None:
        self.inside = self.most = self.requests = 0
        self.fails, self.slow = fails, slow
        self.turns: set[str] = set()
        self.gate, self.lock = threading.Barrier(room), threading.Lock()

    def answer(self, handler: Handler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self.lock:
            self.requests += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.gate.wait(20)
        time.sleep(self.slow)
        with self.lock:
            self.inside -= 1
        self.turns |= {message["role"] for message in body["messages"]}
        asked = body["messages"][-1]["content"]
        said = next(answer for question, answer in ANSWERS.items() if question in asked)
        (error(500, "lost") if self.fails in asked else stream(said, usage=(30, 1)))(handler)


@contextmanager
def opened(hall: Hall) -> Iterator[str]:
    """Run a server whose handler has the body of its own request, however many come at once; yield its URL."""
    with serving(stream("")) as server:
        server.RequestHandlerClass = type("Door", (Handler,), {"do_POST": lambda handler: hall.answer(handler)})
        yield server.url


def evaluate(url: str, *arguments: str, use: str = "openai", **options: Any) -> Done:
    model = {"openai": "tiny", "langchain": "openai:tiny"}[use]
    llm = {"use": use, "model": model, "base_url": url, "retries": 0, **options}
    return run("eval", "world.jsonl", "-c", "s.yaml", "--set", f"llm={json.dumps(llm)}", *arguments)


def results(out: str) -> str:
    """Return all results as they stand on disk, without what a clock says."""
    return re.sub(r'"(watch_)?seconds": [\d.e-]+', "", Path(out, "results.jsonl").read_text())


@pytest.mark.parametrize("use", ["openai", "langchain"])
def test_several_at_once_find_the_same_as_one_at_a_time(use: str) -> None:
    if use == "langchain":
        pytest.importorskip("langchain_openai", reason="the extra langchain is not installed")
    for jobs in (1, 3):
        hall = Hall(jobs)
        with opened(hall) as url:
            done = evaluate(url, "--jobs", str(jobs), "-o", f"out{jobs}", "--json", use=use)
        assert done.code == 0, done
        assert (hall.most, hall.requests) == (jobs, 12)
        assert hall.turns == {"system", "user"}  # each question is the first
        stack, blind, _ = done.json["systems"]
        assert stack["accuracy"]["all"]["mean"] == blind["accuracy"]["all"]["mean"] == 1.0  # none got another's answer
    assert results("out1") == results("out3")


def test_what_fails_is_asked_again_and_nothing_else() -> None:
    hall = Hall(fails="How many")
    with opened(hall) as url:
        done = evaluate(url, "-o", "out", "--no-blind", "--json")
        assert done.code == 4
        assert done.json["systems"][0]["error"] == 2
        hall.fails = "nothing"
        done = evaluate(url, "-o", "out", "--no-blind", "--json")
    assert (done.code, done.json["systems"][0]["error"]) == (0, 0)
    assert hall.requests == 6 + 2
    order = [row["id"] for row in map(json.loads, Path("out/results.jsonl").read_text().splitlines())]
    assert order[:6] == [json.loads(line)["id"] for line in Path("world.jsonl").read_text().splitlines()]


def test_a_local_model_is_asked_one_question_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hall = Hall(slow=0.05)
    monkeypatch.setattr("videochat_plugins.llm.openai.OpenAI.weights", lambda _: [Weights("here")])
    with opened(hall) as url:
        assert evaluate(url, "--jobs", "8").code == 0
    assert (hall.most, hall.requests) == (1, 12)


def test_a_server_that_is_not_there() -> None:
    done = evaluate(f"http://127.0.0.1:{closed_port()}/v1", "-o", "out", "--no-blind")
    assert done.code == 4
    assert done.err.count("cannot connect") == 1  # each thing is said once
