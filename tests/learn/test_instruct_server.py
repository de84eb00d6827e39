"""`videochat instruct` over OpenAI's protocol: against `transformers serve`, and against a server with a script."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instruct_script import conversation, description

from command_line import Done, run
from media import make
from openai_server import Handler, Server, closed_port, error, serving, stream
from transformers_server import PROGRAM, Serving, serving_tiny_llama
from videochat_plugins.llm.remote import Remote

pytest.importorskip("openai", reason="the extra openai is not installed")
pytest.importorskip("cv2", reason="the extra offline is not installed")

STACK = "segment: {use: fixed, seconds: 1}\nperceive:\n  look: {use: look, over: 1}\n"
ABOUT = "a bar code"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, width in (("a.mp4", 48), ("b.mp4", 64)):
        make(folder / name, frames=8, fps=4, size=(width, 48))
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("videochat_plugins.llm.remote.FIRST_WAIT", 0.01)
    (tmp_path / "s.yaml").write_text(STACK)


def instruct(url: str, *arguments: str | Path, **options: str | int) -> Done:
    llm = {"use": "openai", "model": "tiny", "base_url": url, "retries": 1, **options}
    return run("instruct", *arguments, "-o", "out", "-c", "s.yaml", "--set", f"llm={json.dumps(llm)}")


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("out", name).read_text().splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    for module in ("fastapi", "uvicorn", "torch"):
        pytest.importorskip(module, reason="transformers[serving] is not installed")
    if not PROGRAM.exists():
        pytest.skip("the program transformers is not installed")
    with serving_tiny_llama(tmp_path_factory.mktemp("server")) as found:
        yield found


def test_a_real_server_whose_answers_are_noise(server: Serving, clips: Path) -> None:
    done = instruct(server.url, clips, "--jobs", "2", "--json", model=server.model, max_tokens=30)
    assert done.code == 4, done
    assert json.loads(Path("out/instruct.json").read_text()) == []
    costs = done.json["costs"]
    for make_ in ("descriptions", "conversations"):
        assert costs[make_]["requests"] == 4  # each asked for twice
        assert costs[make_]["answer"] == 4 * 30
        assert costs[make_]["prompt"] > 4 * 100
        assert not costs[make_]["estimated"]
    rejected = lines("rejected.jsonl")
    assert [(row["video"], row["make"]) for row in rejected] == [
        (name, make_) for name in ("a.mp4", "b.mp4") for make_ in ("descriptions", "conversations")
    ]
    assert all("it was cut off after 30 tokens" in row["reason"] and row["raw"] for row in rejected)


def prompts(server: Server) -> list[list[dict[str, str]]]:
    return [request.body["messages"] for request in server.requests]


def test_what_a_server_is_sent_and_what_is_made_of_its_answers(clips: Path) -> None:
    steps = [stream(description(ABOUT), usage=(100, 200))] * 2 + [stream(*conversation(ABOUT), usage=(300, 50))]
    with serving(*steps) as server:
        done = instruct(server.url, clips / "a.mp4", "--jobs", "1", "--json")
        assert done.code == 0, done
        describe, correct, converse = prompts(server)
    assert [turn["role"] for turn in describe + correct] == ["user", "user"]
    assert [turn["role"] for turn in converse] == ["system", "user"]
    assert "00:00-00:01 look: " in describe[0]["content"]
    assert description(ABOUT) in correct[0]["content"]
    first, second = json.loads(Path("out/instruct.json").read_text())
    assert first["QA"][0]["a"] == description(ABOUT)
    assert second["QA"][2]["q"] == "What changes first?"
    spent = {make_: (cost["prompt"], cost["answer"]) for make_, cost in done.json["costs"].items()}
    assert spent == {"descriptions": (200, 400), "conversations": (300, 50)}


def test_a_failure_is_tried_again_by_the_backend(clips: Path) -> None:
    good = stream(description(ABOUT))
    with serving(error(503, "busy"), good, error(429, "wait", retry_after="0"), good) as server:
        done = instruct(server.url, clips / "a.mp4", "--make", "descriptions")
        assert done.code == 0, done
        assert len(server.requests) == 4


def test_what_fails_in_the_end_is_set_aside_and_the_others_go_on(clips: Path) -> None:
    good = stream(description(ABOUT))
    with serving(error(503, "busy"), error(503, "busy"), good) as server:
        words = (clips, "--make", "descriptions", "--jobs", "1")
        done = instruct(server.url, *words)
        assert done.code == 5, done
        (row,) = lines("rejected.jsonl")
        assert row["video"] == "a.mp4"
        assert "503, the server failed (2 tries)" in row["reason"]
        assert [entry["video"] for entry in json.loads(Path("out/instruct.json").read_text())] == ["b.mp4"]
        before = len(server.requests)
        assert instruct(server.url, *words).code == 5  # the same of two videos
        assert len(server.requests) == before + 2


@pytest.mark.parametrize("use", ["openai", "langchain"])
def test_a_server_that_is_not_there_is_tried_for_one_video(
    clips: Path, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if use == "langchain":
        pytest.importorskip("langchain_openai", reason="the extra langchain is not installed")
    tries: list[object] = []
    ask = Remote._pieces
    monkeypatch.setattr(Remote, "_pieces", lambda *given: (tries.append(given), ask(*given))[1])
    url = f"http://127.0.0.1:{closed_port()}/v1"
    more = {"use": use, "model": {"openai": "tiny", "langchain": "openai:tiny"}[use], "api_key": "sk-0123456789"}
    words = (clips, "--make", "conversations", "--jobs", "1", "--json", "--allow-host", "127.0.0.1")
    done = instruct(url, *words, **more)
    assert (done.code, len(tries)) == (4, 1), done
    assert done.err.startswith("stopped, and the same command goes on from here: llm ")
    assert done.err.count("\n") == 1
    assert f"at {url}: cannot connect" in done.err
    assert "(2 tries)" in done.err
    assert "sk-0" not in done.err + done.out + Path("out/run.json").read_text()
    assert (done.json["rejected"], done.json["entries"]) == ([], 0)
    assert done.json["stopped"] in done.err


def test_what_was_made_before_a_server_went_away_is_kept_and_the_same_command_goes_on(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(handler: Handler) -> None:
        handler.server.shutdown()
        handler.server.socket.close()  # nobody gets in any more
        stream(description(ABOUT))(handler)

    words = (clips, "--make", "descriptions", "--jobs", "1")
    with serving(stream(description(ABOUT)), leave) as server:
        done = instruct(server.url, *words)
    assert done.code == 4
    assert done.err.startswith("stopped, and the same command goes on from here: llm openai: model tiny at ")
    assert [entry["video"] for entry in json.loads(Path("out/instruct.json").read_text())] == ["a.mp4"]
    assert lines("rejected.jsonl") == []
    port, bind = server.server_port, Server.server_bind

    def bind_again(self: Server) -> None:
        self.server_address = ("127.0.0.1", port)
        bind(self)

    monkeypatch.setattr(Server, "server_bind", bind_again)
    with serving(stream(description("two bars"))) as server:
        assert instruct(server.url, *words).code == 0
        assert len(server.requests) == 2  # the first video is not asked for again
    assert [entry["video"] for entry in json.loads(Path("out/instruct.json").read_text())] == ["a.mp4", "b.mp4"]


def test_a_server_that_fails_at_one_request_is_not_gone(clips: Path) -> None:
    good = stream(*conversation(ABOUT))
    with serving(error(500, "lost"), error(500, "lost"), good) as server:
        done = instruct(server.url, clips, "--make", "conversations", "--jobs", "1", "--json")
        assert (done.code, len(server.requests)) == (5, 3)
    assert done.json["stopped"] is None
    assert [row["video"] for row in done.json["rejected"]] == ["a.mp4"]


def test_what_is_asked_again_in_vain_stays_set_aside(clips: Path) -> None:
    words = (clips, "--make", "descriptions", "--jobs", "1")
    with serving(stream("Too short."), stream("Too short."), stream("Too brief.")) as server:
        assert instruct(server.url, *words).code == 4
        first = lines("rejected.jsonl")
        assert [row["raw"] for row in first] == ["Too short.", "Too brief."]
        asked = len(server.requests)
        server.steps = (*server.steps[:1] * asked, error(500, "lost"), error(500, "lost"), stream("No."))
        assert instruct(server.url, *words, "--retry").code == 4
        failed, other = lines("rejected.jsonl")
        assert (failed["video"], other["video"], other["raw"]) == ("a.mp4", "b.mp4", "No.")
        assert "500, the server failed" in failed["reason"]
    done = instruct(server.url, *words, "--retry", "--json")
    assert (done.code, len(done.json["rejected"])) == (4, 2)
    assert done.err.startswith("set aside: a.mp4: descriptions: it has 2 words")
    assert "stopped, and the same command goes on from here" in done.err
    assert lines("rejected.jsonl") == [first[0], other]
