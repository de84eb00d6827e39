"""Answers from a real server, and what the request says."""

import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest

from openai_server import (
    DONE,
    Server,
    Step,
    cut,
    error,
    event,
    plain,
    raw,
    reset,
    serving,
    status,
    stream,
)
from videochat import Frames, Generation, LLMError, Message, Reply, Text, Tokens, Usage
from videochat_plugins.llm import remote
from videochat_plugins.llm.openai import OpenAI

pytest.importorskip("openai", reason="the extra openai is not installed")

TALK = (
    Message("system", (Text("You watch. "), Text("00:00-00:02 red, a ball", "textualizing_videos"))),
    Message("user", (Text("Question: "), Text("What is red?", "question"))),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


def ask(server: Server | str, generation: Generation | None = None, **options: Any) -> Reply:
    url = server if isinstance(server, str) else server.url
    model = OpenAI(OpenAI.Options(**{"base_url": url, "model": "tiny", "timeout": 5, **options}))
    return model.answer(TALK, generation or model.generation)


def test_a_streamed_answer_comes_in_pieces() -> None:
    with serving(stream("A red ", "ball", " – ✓ 🎈.", usage=(31, 7))) as server:
        reply = ask(server)
        assert list(reply) == ["A red ", "ball", " – ✓ 🎈."]
        assert (reply.finish, reply.usage) == ("stop", Usage(31, 7))
        (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "You watch. 00:00-00:02 red, a ball"},
            {"role": "user", "content": "Question: What is red?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 512,
        "temperature": 0.0,
        "seed": 0,
    }


def test_generation_is_passed_on() -> None:
    with serving(stream("x")) as server:
        assert list(ask(server, Generation(9, 0.5, ("END", "\n"), 7))) == ["x"]
        body = server.requests[0].body
    assert [body[name] for name in ("max_tokens", "temperature", "stop", "seed")] == [9, 0.5, ["END", "\n"], 7]


def test_nothing_is_sent_before_the_first_piece_is_asked_for() -> None:
    with serving(stream("x")) as server:
        reply = ask(server)
        assert server.requests == []
        assert next(iter(reply)) == "x"
        assert len(server.requests) == 1


def test_usage_is_estimated_where_the_server_gives_none() -> None:
    with serving(stream("a red ball")) as server:
        reply = ask(server)
        assert list(reply) == ["a red ball"]
    assert reply.usage.estimated
    assert 0 < reply.usage.answer < reply.usage.prompt


def test_a_server_that_does_not_stream_is_understood() -> None:
    with serving(plain("A ball.")) as server:
        reply = ask(server)
        assert list(reply) == ["A ball."]
    assert (reply.finish, reply.usage) == ("stop", Usage(3, 2))


def test_a_cut_answer_says_so() -> None:
    with serving(stream("A red", finish="length")) as server:
        reply = ask(server)
        assert list(reply) == ["A red"]
    assert reply.finish == "length"


@pytest.mark.parametrize("after", [cut, reset])
def test_an_answer_that_ended_is_whole_even_if_the_connection_breaks_then(after: Callable[..., None]) -> None:
    with serving(raw(event("A ball."), event(finish="stop"), b'data: {"choi', after=after)) as server:
        reply = ask(server)
        assert list(reply) == ["A ball."]
    assert reply.usage.estimated


def test_leaving_early_closes_the_connection() -> None:
    left: list[float] = []

    def forever(handler: Any) -> None:
        try:
            while not handler.server.closing.wait(0.01):
                handler.send(event("more "))
        except ConnectionError:
            left.append(time.monotonic())

    with serving(raw(event("one "), after=forever)) as server:
        reply = ask(server)
        assert next(iter(reply)) == "one "
        assert isinstance(reply.pieces, Generator)
        reply.pieces.close()
        deadline = time.monotonic() + 3
        while not left and time.monotonic() < deadline:
            time.sleep(0.02)
    assert left


def test_comments_other_fields_and_split_lines_are_read_over() -> None:
    data = event("A ball.", finish="stop").replace(b"\n\n", b"\r\n\r\n")
    pieces = [b": hello\n\nevent: x\nid: 1\n\n", data[:9], data[9:40], data[40:], DONE]
    with serving(raw(*pieces)) as server:
        assert list(ask(server)) == ["A ball."]


def test_an_end_without_a_reason_is_an_end() -> None:
    with serving(raw(event("A ball."), DONE)) as server:
        assert list(ask(server)) == ["A ball."]


def test_half_a_surrogate_can_be_printed() -> None:
    data = b'data: {"choices": [{"delta": {"content": "x\\ud83d"}, "finish_reason": "stop"}]}\n\n'
    with serving(raw(data)) as server:
        assert "".join(ask(server)).encode() == b"x?"


@pytest.mark.parametrize(
    ("step", "gone", "instead"),
    [
        (
            error(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
                  " 'max_completion_tokens' instead.", param="max_tokens", code="unsupported_parameter"),
            "max_tokens",
            "max_completion_tokens",
        ),
        (
            error(400, "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value"
                  " is supported.", param="temperature", code="unsupported_value"),
            "temperature",
            None,
        ),
        (
            status(422, b'{"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body",'
                        b' "stream_options", "include_usage"], "msg": "Extra inputs are not permitted"}]}}'),
            "stream_options",
            None,
        ),
        (error(400, 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'), "seed", None),
    ],
    ids=["max_tokens", "temperature", "stream_options", "seed"],
)  # fmt: skip
def test_a_field_that_a_server_refuses_is_left_out_from_then_on(step: Step, gone: str, instead: str | None) -> None:
    with serving(step, stream("A ball.")) as server:
        model = OpenAI(OpenAI.Options(base_url=server.url, retries=0))
        for _ in range(2):
            assert list(model.answer(TALK, model.generation)) == ["A ball."]
        first, *later = (request.body for request in server.requests)
    assert len(later) == 2
    for body in later:
        assert gone not in body
        assert {*body} == {*first} - {gone} | ({instead} if instead else set())


def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    step = error(400, "unsupported: max_tokens, max_completion_tokens, temperature, seed, stream_options, messages")
    with serving(step) as server, pytest.raises(LLMError, match="400, the request was refused"):
        list(ask(server))
    assert len(server.requests) == 5


def test_embeddings_are_not_taken() -> None:
    model = OpenAI()
    assert model.accepts == {Text, Frames}
    assert model.count(Text("a red ball")) == 4
    embeddings = Tokens(np.zeros((2, 4), np.float32), "tiny")
    with pytest.raises(LLMError, match="takes text and frames, not Tokens"):
        list(model.answer((Message("user", (embeddings,)),), Generation()))
