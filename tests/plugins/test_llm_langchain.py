"""Answers through LangChain's own client for OpenAI, from a server on this machine; which model, package and key."""

import sys
import time
import traceback
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import videochat
from openai_server import Server, Step, error, event, raw, serving, stream
from videochat import Frame, Frames, Generation, LLMError, Message, Reply, Text, UnavailableError, Usage
from videochat_plugins.llm.langchain import LangChain, _finish

pytest.importorskip("langchain_openai", reason="the extra langchain is not installed")

KEY = "sk-test-0123456789abcdefghij"
TALK = (
    Message("system", (Text("You watch. "), Text("00:00-00:02 red, a ball", "textualizing_videos"))),
    Message("user", (Text("Question: "), Text("What is red?", "question"))),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-ambient-key-of-the-environment")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "LANGSMITH_GATEWAY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")


def build(server: Server | str, **options: Any) -> LangChain:
    url = server if isinstance(server, str) else server.url
    given = {"base_url": url, "model": "openai:tiny", "timeout": 5, **options}
    return LangChain(LangChain.Options.model_validate(given))


def ask(server: Server | str, generation: Generation | None = None, **options: Any) -> Reply:
    model = build(server, **options)
    return model.answer(TALK, generation or model.generation)


def test_a_streamed_answer_comes_in_pieces() -> None:
    with serving(stream("A red ", "ball", " – ✓ 🎈.", usage=(31, 7))) as server:
        reply = ask(server)
        assert "".join(reply) == "A red ball – ✓ 🎈."
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
        "max_completion_tokens": 512,
        "temperature": 0.0,
        "seed": 0,
    }


def test_pieces_are_given_as_they_come() -> None:
    left: list[float] = []

    def forever(handler: Any) -> None:
        try:
            while not handler.server.closing.wait(0.01):
                handler.send(event("more "))
        except ConnectionError:
            left.append(time.monotonic())

    with serving(raw(event("one "), after=forever)) as server:
        reply = ask(server)
        assert server.requests == []
        assert next(iter(reply)) == "one "
        assert isinstance(reply.pieces, Generator)
        reply.pieces.close()
        deadline = time.monotonic() + 3
        while not left and time.monotonic() < deadline:
            time.sleep(0.02)
    assert left  # an answer that nobody reads on is not paid for


def test_generation_is_passed_on() -> None:
    with serving(stream("x")) as server:
        assert "".join(ask(server, Generation(9, 0.5, ("END", "\n"), 7))) == "x"
        body = server.requests[0].body
    names = ("max_completion_tokens", "temperature", "stop", "seed")
    assert [body[name] for name in names] == [9, 0.5, ["END", "\n"], 7]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_why_an_answer_ends(reason: str) -> None:
    with serving(stream("A red", finish=reason)) as server:
        reply = ask(server)
        assert "".join(reply) == "A red"
    assert reply.finish == reason
    assert reply.usage.estimated
    assert 0 < reply.usage.answer < reply.usage.prompt


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"finish_reason": "SAFETY"}, "content_filter"),
        ({"done_reason": "stop", "done": True}, "stop"),
        ({"status": "completed"}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "in_progress"}, ""),
        ({"model_provider": "openai"}, ""),
    ],
)
def test_each_provider_has_its_own_words_for_the_end(metadata: dict[str, Any], finish: str) -> None:
    assert _finish(metadata) == finish


def test_frames_go_along() -> None:
    frames = Frames((Frame(0.5, np.full((8, 8, 3), 200, np.uint8)),))
    with serving(stream("x")) as server:
        model = build(server)
        assert "".join(model.answer((Message("user", (frames, Text("What is it?"))),), Generation())) == "x"
        (message,) = server.requests[0].body["messages"]
    picture, words = message["content"]
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert words == {"type": "text", "text": "What is it?"}


@pytest.mark.parametrize(
    ("step", "gone"),
    [
        (error(400, "Unsupported value: 'temperature' does not support 0 with this model.", param="temperature"),
         "temperature"),
        (error(422, "Unexpected fields in the request: {'seed'}"), "seed"),
        (error(400, "unknown field stream_options"), "stream_options"),
    ],
    ids=["temperature", "seed", "stream_options"],
)  # fmt: skip
def test_a_field_that_a_server_refuses_is_left_out_from_then_on(step: Step, gone: str) -> None:
    with serving(step, stream("A ball.")) as server:
        model = build(server, retries=0)
        for _ in range(2):
            assert "".join(model.answer(TALK, model.generation)) == "A ball."
        first, *later = (request.body for request in server.requests)
    assert [{*body} for body in later] == [{*first} - {gone}] * 2


def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    with serving(error(400, "unsupported: temperature, seed, stream_options, messages")) as server:
        with pytest.raises(LLMError, match="400, the request was refused"):
            "".join(ask(server))
        assert len(server.requests) == 4


def test_nothing_of_the_environment_goes_to_another_host() -> None:
    with serving(stream("x")) as server:
        model = build(server)
        model.check()
        assert "".join(model.answer(TALK, Generation())) == "x"
        headers = server.requests[0].headers
    assert "ambient" not in str(headers)
    assert "authorization" not in headers


def test_a_set_key_goes_where_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    with serving(stream("x")) as server:
        for value in (KEY, "${MY_KEY}"):
            assert "".join(ask(server, api_key=value)) == "x"
        for request in server.requests:
            assert request.headers["authorization"] == f"Bearer {KEY}"
            assert "ambient" not in str(request.headers)


@pytest.mark.parametrize(
    ("model", "url", "key", "host"),
    [
        ("openai:gpt-4o-mini", None, KEY, None),
        ("openai:gpt-4o-mini", "https://api.openai.com/v1", KEY, None),
        ("openai:gpt-4o-mini", "https://llm.example.test/v1", KEY, "llm.example.test"),
        ("openai:gpt-4o-mini", "https://llm.example.test/v1", None, None),
        ("anthropic:claude", None, KEY, None),
        ("anthropic:claude", "https://llm.example.test", "${MY_KEY}", "llm.example.test"),
        ("anthropic:claude", "https://api.openai.com/v1", KEY, "api.openai.com"),
    ],
)
def test_the_host_that_a_secret_would_go_to_is_declared(
    model: str, url: str | None, key: str | None, host: str | None
) -> None:
    options = {"model": model, "base_url": url, "api_key": key}
    assert LangChain(LangChain.Options.model_validate(options)).sends_secret_to() == host


def test_openai_itself_is_asked_whatever_the_environment_says() -> None:
    model = LangChain()
    model.check()
    assert model.address == "https://api.openai.com/v1"
    with model._model(Generation()) as made:
        assert str(made.root_client.base_url) == "https://api.openai.com/v1/"
        assert made.root_client.api_key == "sk-ambient-key-of-the-environment"


def test_a_missing_key_is_found_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UnavailableError, match=r"set the environment variable OPENAI_API_KEY or llm\.api_key"):
        LangChain().check()


def test_a_providers_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_anthropic", None)
    model = LangChain(LangChain.Options(model="anthropic:claude"))
    with pytest.raises(UnavailableError, match=r"llm langchain: model anthropic:claude: .*pip install langchain-anthr"):
        model.check()


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(UnavailableError, match="model nobody:x: Unsupported provider='nobody'"):
        LangChain(LangChain.Options(model="nobody:x")).check()


def test_a_missing_langchain_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(UnavailableError, match=r"pip install 'videochat\[langchain\]'"):
        LangChain().check()


def test_what_is_wrong_with_a_parameter_is_said_without_the_key() -> None:
    model = build("http://127.0.0.1:9", api_key=KEY)
    with pytest.raises(UnavailableError, match="max_tokens: Input should be a valid integer") as caught:
        model._build({"api_key": KEY, "max_tokens": "many"})
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY[:12] not in shown


@pytest.mark.parametrize("model", ["gpt-4o-mini", ":gpt", "openai:", "openai: "])
def test_a_model_without_its_provider_is_refused(model: str) -> None:
    with pytest.raises(ValidationError, match="must be provider:model, as openai:gpt-4o-mini"):
        LangChain.Options(model=model)


def test_the_short_form_of_the_command_line_keeps_the_provider() -> None:
    stack = videochat.load("offline", llm="langchain:openai:gpt-4o")
    assert stack.llm.options.model == "openai:gpt-4o"
