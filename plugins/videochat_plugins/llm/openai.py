"""Language models behind any server that speaks OpenAI's chat completions protocol."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr, field_validator

from videochat import Component, Generation, hookimpl
from videochat_plugins.llm.openai_client import OWN_HOST, check_address, connect, key_for, of_connection
from videochat_plugins.llm.openai_stream import GarbledError, events, read_event
from videochat_plugins.llm.remote import Delta, Remote
from videochat_plugins.llm.remote_failure import Failure, of_end, of_status, quoted, says

if TYPE_CHECKING:
    import openai

# What a server may refuse to hear of, and what is said in its place; None: nothing.
INSTEAD = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": None,
    "seed": None,
    "stream_options": None,
}


class OpenAI(Remote):
    """Ask a chat model over HTTP: OpenAI's, or one behind vLLM, llama.cpp, Ollama, `transformers serve` and the like.

    The prompt's words and frames leave this machine, to the host of `base_url`. The answer is streamed; a server that
    does not stream is understood too. Connections refused or lost, 408, 429 and 5xx are tried again, but never once
    words of the answer were given, and never after a stall: the server may still be at work on the first request.

    `max_completion_tokens` is sent to OpenAI, whose newer models refuse `max_tokens`; `max_tokens` to all others. If a
    server refuses one it gets the other. A server that refuses `temperature`, `seed` or `stream_options` is asked again
    without (some models run at their own temperature only); so the same question may not get the same answer twice.
    """

    class Options(Remote.Options):
        """Which model, where, and how long to wait for it."""

        model: str = Field(default="gpt-4o-mini", min_length=1)
        """The model's name, as the server knows it."""
        base_url: str = f"https://{OWN_HOST}/v1"
        """The server's address, to which /chat/completions is added."""
        api_key: SecretStr | None = None
        """The key, best as ${VARIABLE}. Without one OPENAI_API_KEY is used for api.openai.com, and no key elsewhere."""

        @field_validator("base_url")
        @classmethod
        def _address(cls, url: str) -> str:
            return check_address(url)

    extra = "openai"
    plugin = "openai"
    own_host = OWN_HOST
    options: Options

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._refused: list[str] = []  # fields that the server turned out not to take

    @property
    def address(self) -> str:
        """What the options say."""
        return self.options.base_url

    def check(self) -> None:
        """Make sure that there are a library and a key; nothing is sent.

        Raises:
            UnavailableError: if one is missing.
        """
        connect(self.options.base_url, key_for(self.host, self.options.api_key), self.options.timeout).close()

    def _ask(self, prompt: list[dict[str, Any]], generation: Generation) -> Iterator[Delta]:
        key = key_for(self.host, self.options.api_key)
        given, finish = 0, ""
        with ExitStack() as stack:
            client = stack.enter_context(connect(self.options.base_url, key, self.options.timeout))
            stream = stack.enter_context(self._open(client, key, self._body(prompt, generation)))
            heard = time.monotonic()  # of the model; a server can keep a connection alive without it

            def read() -> Iterator[bytes]:
                try:
                    for chunk in stream.response.iter_bytes():
                        if time.monotonic() - heard > self.options.timeout:
                            raise TimeoutError
                        yield chunk
                except Exception as error:  # the HTTP library has a dozen kinds, under other names in each version
                    if not finish:  # else only the token counts are lost
                        raise of_connection(error, self.options.timeout, key, given) from None

            try:
                for delta in map(read_event, events(read())):
                    if delta.error:
                        raise Failure("the server gave up", "ask again later", quoted(delta.error, key))
                    given += len(delta.text)
                    finish = delta.finish or finish or ("stop" if delta.done else "")
                    yield delta
                    if delta.text or delta.thinking:
                        heard = time.monotonic()
            except GarbledError as error:
                advice = "is llm.base_url that of an OpenAI-compatible server?"
                raise Failure(f"what the server sent is no answer: {error}", advice) from None
        if not finish or not given:
            raise of_end(given, finish)

    def _open(self, client: "openai.OpenAI", key: str, body: dict[str, Any]) -> "openai.Stream[Any]":
        import openai

        try:
            stream: openai.Stream[Any] = client.chat.completions.create(**body)
            return stream
        except openai.APIStatusError as error:
            raise of_status(error.status_code, error, says(error.body or ""), key) from None
        except Exception as error:  # see `read`
            raise of_connection(error, self.options.timeout, key) from None

    def _body(self, prompt: list[dict[str, Any]], generation: Generation) -> dict[str, Any]:
        """Return the request's fields, as far as the server takes them."""
        body: dict[str, Any] = {
            "model": self.options.model,
            "messages": prompt,
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit: generation.max_tokens,
            "temperature": generation.temperature,
            "seed": generation.seed,
        }
        if generation.stop:
            body["stop"] = list(generation.stop)
        for field in self._refused:
            value, other = body.pop(field), INSTEAD[field]
            if other is not None:
                body[other] = value
        return body

    @property
    def _limit(self) -> str:
        return "max_completion_tokens" if self.host == OWN_HOST else "max_tokens"

    def _adapt(self, refused: str) -> bool:
        for field, other in INSTEAD.items():
            sent = other is None or field == self._limit  # the other name for the limit is sent in its stead only
            if sent and field not in self._refused and re.search(rf"\b{field}\b", refused):
                self._refused.append(field)
                return True
        return False


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the language model."""
    register("llm", "openai", OpenAI)
