"""A server that does all that servers do wrong: one clear error, soon, and no request too many."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from openai_server import (
    Server,
    Step,
    closed_port,
    cut,
    end,
    error,
    event,
    full_port,
    ping,
    plain,
    raw,
    reset,
    serving,
    stall,
    status,
    stream,
)
from videochat import Generation, LLMError, Message, Reply, Text
from videochat.errors import UnreachableError
from videochat_plugins.llm import remote
from videochat_plugins.llm.openai import OpenAI
from videochat_plugins.llm.openai_stream import LIMIT

pytest.importorskip("openai", reason="the extra openai is not installed")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


def ask(server: Server | str, **options: Any) -> Reply:
    url = server if isinstance(server, str) else server.url
    model = OpenAI(OpenAI.Options(**{"base_url": url, "model": "tiny", "timeout": 5, **options}))
    return model.answer((Message("user", (Text("What is red?"),)),), Generation())


def fails(step_or_url: Step | str, *words: str, **options: Any) -> tuple[Server | None, list[str]]:
    """Ask, expect one clear error soon, and return the server and what was said before it."""
    said: list[str] = []

    def run(server: Server | str) -> None:
        began = time.monotonic()
        with pytest.raises(LLMError) as caught:
            said.extend(ask(server, **options))
        assert time.monotonic() - began < 3
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) < 500
        assert "model tiny at http://" in message
        for word in words:
            assert word in message
        assert caught.value.__context__ is None  # nothing of the library's, which may quote the request

    if isinstance(step_or_url, str):
        run(step_or_url)
        return None, said
    with serving(step_or_url) as server:
        run(server)
        return server, said


def requests(server: Server | None) -> int:
    assert server is not None
    return len(server.requests)


def test_refused_connection() -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    fails(url, url, "cannot connect", "3 tries", "is the server running")


def test_who_is_not_let_in_has_not_reached_the_server_and_who_waits_for_the_answer_has() -> None:
    with full_port() as port, pytest.raises(UnreachableError, match=r"cannot connect within 0\.5 s"):
        list(ask(f"http://127.0.0.1:{port}/v1", timeout=0.5))
    with serving(stall) as server, pytest.raises(LLMError, match=r"stalled for 0\.5 s") as caught:
        list(ask(server, timeout=0.5))
    assert not isinstance(caught.value, UnreachableError)


@pytest.mark.parametrize(
    ("step", "given"),
    [(stall, ""), (raw(after=stall), ""), (raw(event("A red"), after=stall), "A red"), (raw(after=ping), "")],
    ids=["before the head", "after the head", "after a piece", "with pings"],
)
def test_a_stall_ends_after_the_timeout_and_is_not_tried_again(step: Step, given: str) -> None:
    server, said = fails(step, "stalled for 0.3 s", "llm.timeout", timeout=0.3)
    assert "".join(said) == given
    assert requests(server) == 1


def test_an_error_whose_body_stalls() -> None:
    def step(handler: Any) -> None:
        handler.begin(500)
        stall(handler)

    server, _ = fails(step, "stalled for 0.3 s", timeout=0.3)
    assert requests(server) == 1


def test_thinking_is_not_a_stall() -> None:
    def think(handler: Any) -> None:
        for _ in range(4):
            time.sleep(0.15)
            handler.send(event(choices=[{"delta": {"reasoning_content": "hm"}}]))
        handler.send(event("A ball.", finish="stop"))
        end(handler)

    with serving(raw(after=think)) as server:
        assert list(ask(server, timeout=0.4)) == ["A ball."]


@pytest.mark.parametrize("after", [cut, reset, end], ids=["closed", "reset", "ended"])
def test_half_a_stream_is_an_error_and_is_not_tried_again(after: Callable[..., None]) -> None:
    server, said = fails(raw(event("A red"), b'data: {"choices": [{"del', after=after), "broke off after 5 characters")
    assert said == ["A red"]
    assert requests(server) == 1


@pytest.mark.parametrize("step", [cut, reset, raw(after=cut), raw()], ids=["closed", "reset", "after head", "nothing"])
def test_a_connection_lost_before_the_first_piece_is_tried_again(step: Step) -> None:
    server, _ = fails(step, "broke off", "3 tries")
    assert requests(server) == 3
    with serving(step, stream("A ball.")) as second:
        assert list(ask(second)) == ["A ball."]


def test_429_is_tried_again_when_the_server_says() -> None:
    with serving(error(429, "slow down", Retry_After="0.4"), stream("A ball.")) as server:
        assert list(ask(server)) == ["A ball."]
        first, second = server.requests
    assert 0.4 <= second.time - first.time < 2


def test_429_for_ever() -> None:
    server, _ = fails(error(429, "slow down", Retry_After="0"), "429", "slow down", "2 tries", retries=1)
    assert requests(server) == 2


@pytest.mark.parametrize("value", ["86400", "inf", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_429_with_a_long_wait_is_not_waited_for(value: str) -> None:
    server, _ = fails(error(429, "slow down", Retry_After=value), "429", "asks to wait")
    assert requests(server) == 1


@pytest.mark.parametrize("value", ["nan", "-1", "soon", "1970-99-99"])
def test_a_senseless_wait_is_ignored(value: str) -> None:
    server, _ = fails(error(429, "slow down", Retry_After=value), "429", "3 tries")
    assert requests(server) == 3


def test_a_used_up_quota_is_not_tried_again() -> None:
    server, _ = fails(error(429, "You exceeded your quota", code="insufficient_quota"), "quota is used up")
    assert requests(server) == 1


@pytest.mark.parametrize("code", [500, 502, 503, 529, 408])
def test_a_failing_server_is_tried_again(code: int) -> None:
    with serving(error(code, "loading"), error(code, "loading"), stream("A ball.")) as server:
        assert list(ask(server)) == ["A ball."]
        assert requests(server) == 3
    server_, _ = fails(status(code, b"<html>oh no</html>", "text/html"), str(code), "oh no", "2 tries", retries=1)
    assert requests(server_) == 2


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (error(401, "Incorrect API key provided: sk-ab***yz"), ("401", "or there is none", "llm.api_key")),
        (error(403, "Your country is not served"), ("403", "Your country is not served")),
        (error(404, "The model `tiny` does not exist"), ("404", "The model `tiny` does not exist", "llm.model")),
        (error(400, "bad" + "\x1b[31m\n" + "x" * 5000), ("400", "bad [31m xxx", "...")),
        (error(400, "maximum context length is 8 tokens"), ("the prompt is too long", "llm.window")),
        (error(400, "temperature must be below 2", param="temperature"), ("400", "temperature must be below 2")),
        (status(422, b'{"detail": [{"msg": "no"}]}'), ("422", "no")),
        (status(418), ("418",)),
        (error(400, ""), ("400",)),
        (status(400, b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}"), ("400",)),
        (status(307, Location="http://127.0.0.1:1/"), ("307", "elsewhere", "llm.base_url")),
    ],
    ids=lambda value: None if callable(value) else value[0],
)
def test_a_refusal_is_not_tried_again(step: Step, words: tuple[str, ...]) -> None:
    server, _ = fails(step, *words)
    assert requests(server) == 1


@pytest.mark.parametrize(
    "step",
    [
        raw(b"data: {not json}\n\n"),
        raw(b"data: [1, 2]\n\n"),
        raw(b'data: {"choices": 7}\n\n'),
        raw(b"data: \xff\xfe\n\n"),
        raw(b"data: " + b"[" * 100_000 + b"\n\n"),
        raw(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'),
        raw(b"data: " + b"x" * (LIMIT + 1)),
        status(200, b"{half a body"),
        status(200, b'{"hello": "world"}'),
    ],
    ids=["no JSON", "no object", "no choices", "no UTF-8", "deep", "no text", "huge line", "half a body", "no answer"],
)
def test_garbage_is_named(step: Step) -> None:
    server, _ = fails(step, "is no answer", "OpenAI-compatible")
    assert requests(server) == 1


@pytest.mark.parametrize("data", [b"[]", b"null", b'"x"', b"[7]", b'[{"delta": 7}]', b'[{"delta": {"content": {}}}]'])
def test_odd_events_do_no_harm(data: bytes) -> None:
    odd = b'data: {"choices": %s, "usage": {"prompt_tokens": "x"}}\n\n' % data
    with serving(raw(odd)) as server, pytest.raises(LLMError):
        list(ask(server, retries=0))


def test_a_web_page_is_no_answer() -> None:
    fails(status(200, b"<html>Log in</html>", "text/html"), "broke off")


@pytest.mark.parametrize("step", [stream(), plain(None), stream("")], ids=["stream", "plain", "empty piece"])
def test_an_empty_answer(step: Step) -> None:
    server, said = fails(step, "empty answer")
    assert said == []
    assert requests(server) == 1


def test_a_limit_used_up_by_thinking() -> None:
    fails(stream(finish="length"), "token limit", "llm.max_tokens")


def test_a_refusal_in_words_is_an_answer() -> None:
    with serving(plain(None, refusal="I can't help with that.")) as server:
        assert list(ask(server)) == ["I can't help with that."]


@pytest.mark.parametrize("fault", [b'{"message": "out of memory"}', b'"out of memory"', b'{"error": "out of memory"}'])
def test_an_error_within_the_stream(fault: bytes) -> None:
    _, said = fails(raw(event("A red"), b'data: {"error": %s}\n\n' % fault), "out of memory")
    assert said == ["A red"]
