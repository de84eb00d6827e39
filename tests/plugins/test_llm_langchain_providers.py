"""Other providers than OpenAI through LangChain: where a key may go, and how tokens are counted.

Their packages are not installed: small chat models stand in for them, which ask as those do.
"""

import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from openai_server import DONE, event, raw, serving, status
from videochat import Generation, LLMError, Message, Text, UnavailableError, Usage
from videochat_plugins.llm.langchain import LangChain

pytest.importorskip("langchain_openai", reason="the extra langchain is not installed")

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field, SecretStr

if TYPE_CHECKING:
    Install = Callable[[str, type[BaseChatModel]], None]

KEY = "sk-test-0123456789abcdefghij"
AMBIENT = "sk-ambient-key-of-the-environment"
TALK = (Message("user", (Text("What is red?"),)),)
AWAY = "https://llm.example.test"


class Fake(BaseChatModel):
    """Says two words and counts as Anthropic does: the prompt first, then what is new."""

    model: str = ""

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _generate(self, *given: Any, **how: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, *given: Any, **how: Any) -> Iterator[ChatGenerationChunk]:
        for text, prompt, answer in (("A ", 3, 0), ("ball.", 0, 2)):
            counts: Any = {"input_tokens": prompt, "output_tokens": answer, "total_tokens": prompt + answer}
            yield ChatGenerationChunk(message=AIMessageChunk(text, usage_metadata=counts))


class ChatAnthropic(Fake):
    anthropic_api_url: str = Field(default="", alias="base_url")
    anthropic_api_key: SecretStr = Field(default=SecretStr(AMBIENT), alias="api_key")


class ChatGroq(Fake):  # a class with no place for an address
    groq_api_key: SecretStr = Field(default=SecretStr(AMBIENT), alias="api_key")


class ChatCohere(Fake):  # a class with no place for a key
    base_url: str = ""


class ChatBedrock(Fake):  # a class with a second key
    base_url: str = ""
    api_key: SecretStr = SecretStr(AMBIENT)
    aws_secret_access_key: SecretStr | None = None


class ChatMistralAI(Fake):
    """Refuses a field in the middle of its answer."""

    seed: int = 0

    def _stream(self, *given: Any, **how: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk("A red"))
        request = httpx.Request("POST", AWAY)
        raise httpx.HTTPStatusError("unsupported: seed", request=request, response=httpx.Response(400, request=request))


class ChatOllama(Fake):
    """Asks as the client of Ollama does: with the environment's key where no header holds one."""

    base_url: str = ""
    client_kwargs: dict[str, Any] = {}

    def _stream(self, *given: Any, **how: Any) -> Iterator[ChatGenerationChunk]:
        headers = {name.lower(): value for name, value in self.client_kwargs.get("headers", {}).items()}
        if not headers.get("authorization"):
            headers["authorization"] = f"Bearer {os.environ['OLLAMA_API_KEY']}"
        with httpx.Client(**{"follow_redirects": True, **self.client_kwargs, "headers": headers}) as client:
            client.post(f"{self.base_url}/api/chat", json={}).raise_for_status()
        yield from super()._stream()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator["Install"]:
    """Give a function that puts a class where a provider's package would hold it."""
    from langchain.chat_models import base

    def put(package: str, cls: type[BaseChatModel]) -> None:
        module = ModuleType(package)
        setattr(module, cls.__name__, cls)
        monkeypatch.setitem(sys.modules, package, module)

    base._get_chat_model_creator.cache_clear()
    monkeypatch.setenv("OLLAMA_API_KEY", AMBIENT)
    yield put
    base._get_chat_model_creator.cache_clear()


def build(model: str, **options: Any) -> LangChain:
    return LangChain(LangChain.Options.model_validate({"model": model, "retries": 0, "timeout": 5, **options}))


def answer(model: LangChain) -> str:
    return "".join(model.answer(TALK, Generation()))


def test_counts_that_come_in_parts_are_added_up(install: "Install") -> None:
    install("langchain_anthropic", ChatAnthropic)
    reply = build("anthropic:claude").answer(TALK, Generation())
    assert "".join(reply) == "A ball."
    assert reply.usage == Usage(3, 2)


def test_once_words_were_given_nothing_is_asked_again(install: "Install") -> None:
    install("langchain_mistralai", ChatMistralAI)
    said = []
    with pytest.raises(LLMError, match="400, the request was refused; it says: unsupported: seed"):
        said.extend(build("mistralai:x", retries=2).answer(TALK, Generation()))
    assert "".join(said) == "A red"


@pytest.mark.parametrize("key", [None, KEY])
def test_the_clients_key_is_the_one_that_is_set_or_none(install: "Install", key: str | None) -> None:
    install("langchain_anthropic", ChatAnthropic)
    with build("anthropic:claude", base_url=AWAY, api_key=key)._model(Generation()) as model:
        assert isinstance(model, ChatAnthropic)
        assert model.anthropic_api_url == AWAY
        assert model.anthropic_api_key.get_secret_value() == (key or "none")
    with build("anthropic:claude", api_key=key)._model(Generation()) as model:
        assert isinstance(model, ChatAnthropic)
        assert model.anthropic_api_key.get_secret_value() == (key or AMBIENT)


@pytest.mark.parametrize(
    ("model", "package", "cls", "options", "said"),
    [
        ("groq:x", "langchain_groq", ChatGroq, {"base_url": AWAY}, "ChatGroq takes no base_url"),
        ("cohere:x", "langchain_cohere", ChatCohere, {"api_key": KEY}, "ChatCohere takes no api_key"),
        ("cohere:x", "langchain_cohere", ChatCohere, {"base_url": AWAY}, "ChatCohere takes no api_key"),
        ("bedrock:x", "langchain_aws", ChatBedrock, {"base_url": AWAY, "api_key": KEY},
         "ChatBedrock takes aws_secret_access_key from the environment, which must not go to llm.base_url"),
    ],
)  # fmt: skip
def test_a_class_that_would_drop_what_is_set_is_refused(
    install: "Install", model: str, package: str, cls: type[Fake], options: dict[str, str], said: str
) -> None:
    install(package, cls)
    with pytest.raises(UnavailableError, match=f"llm langchain: model {model}: {said}"):
        build(model, **options).check()
    build(model).check()


@pytest.mark.parametrize("key", [None, KEY])
def test_ollama_gets_the_key_that_is_set_or_none(install: "Install", key: str | None) -> None:
    install("langchain_ollama", ChatOllama)
    with serving(raw(event("x"), DONE)) as server:
        assert answer(build("ollama:tiny", base_url=server.url, api_key=key)) == "A ball."
        (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {key or 'none'}"
    with build("ollama:tiny")._model(Generation()) as model:  # the provider's own place
        assert isinstance(model, ChatOllama)
        assert model.client_kwargs["headers"] == {}


def test_ollama_follows_no_redirect(install: "Install") -> None:
    install("langchain_ollama", ChatOllama)
    with serving(raw(event("x"))) as other, serving(status(307, Location=other.url)) as server:
        with pytest.raises(LLMError, match="307, the server sends requests on elsewhere"):
            answer(build("ollama:tiny", base_url=server.url))
        assert other.requests == []


def test_a_proxy_of_the_environment_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain takes OPENAI_PROXY for itself, and quotes it where it stands beside our own client."""
    monkeypatch.setenv("OPENAI_PROXY", "http://user:hunter2@127.0.0.1:9")
    with serving(raw(event("A ball."), event(finish="stop"), DONE)) as server:
        model = build("openai:tiny", base_url=server.url)
        model.check()
        assert answer(model) == "A ball."


def test_passwords_in_addresses_are_not_quoted() -> None:
    from videochat_plugins.llm.remote_failure import quoted

    line = "proxy http://user:p@ss@127.0.0.1:9/x failed, see https://example.test/a@b"
    assert quoted(line, "") == "proxy http://***@127.0.0.1:9/x failed, see https://example.test/a@b"
