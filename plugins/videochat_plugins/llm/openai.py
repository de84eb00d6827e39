"""Language models behind any server that speaks OpenAI's chat completions protocol."""

import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator

from videochat import LLM, Component, Generation, LLMError, Message, Reply, Text, Usage, hookimpl
from videochat.budget import estimate
from videochat.prompt import Part
from videochat.record import fold
from videochat_plugins.llm.openai_client import OWN_HOST, check_address, connect, key_for
from videochat_plugins.llm.openai_failure import Failure, of_connection, of_end, of_status, quoted
from videochat_plugins.llm.openai_stream import Delta, GarbledError, encodable, events, read_event

if TYPE_CHECKING:
    import openai

FIRST_WAIT = 0.5  # seconds before the second try where the server names none; doubled for each further one
LONGEST_WAIT = 30.0  # seconds; a server that asks for more is not waited for
# What a server may refuse to hear of, and what is said in its place; None: nothing.
INSTEAD = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": None,
    "seed": None,
    "stream_options": None,
}


class OpenAI(LLM):
    """Ask a chat model over HTTP: OpenAI's, or one behind vLLM, llama.cpp, Ollama, `transformers serve` and the like.

    The prompt's words leave this machine, to the host of `base_url`. The answer is streamed; a server that does not
    stream is understood too. Connections refused or lost, 408, 429 and 5xx are tried again, but never once words of
    the answer were given, and never after a stall: the server may still be at work on the first request.

    `max_completion_tokens` is sent to OpenAI, whose newer models refuse `max_tokens`; `max_tokens` to all others. If a
    server refuses one it gets the other. A server that refuses `temperature`, `seed` or `stream_options` is asked again
    without (some models run at their own temperature only); so the same question may not get the same answer twice.
    """

    class Options(LLM.Options):
        """Which model, where, and how long to wait for it."""

        model_config = ConfigDict(hide_input_in_errors=True)

        model: str = Field(default="gpt-4o-mini", min_length=1)
        """The model's name, as the server knows it."""
        base_url: str = f"https://{OWN_HOST}/v1"
        """The server's address, to which /chat/completions is added."""
        api_key: SecretStr | None = None
        """The key, best as ${VARIABLE}. Without one OPENAI_API_KEY is used for api.openai.com, and no key elsewhere."""
        timeout: float = Field(default=60.0, gt=0, le=3600)
        """Longest wait in seconds for the connection, and for each next piece of the answer."""
        retries: int = Field(default=2, ge=0, le=10)
        """How often a request that failed before its answer began is tried again."""
        window: int = Field(default=128_000, gt=0)
        """Tokens that the model takes, prompt and answer together."""

        @field_validator("base_url")
        @classmethod
        def _address(cls, url: str) -> str:
            return check_address(url)

    extra = "openai"
    options: Options

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._refused: list[str] = []  # fields that the server turned out not to take

    @property
    def accepts(self) -> Collection[type[Part]]:
        """Text."""
        return {Text}

    @property
    def window(self) -> int:
        """What the options say: the protocol has no way to ask."""
        return self.options.window

    @property
    def host(self) -> str:
        """The host that prompts go to."""
        return urlsplit(self.options.base_url).hostname or ""

    def sends_secret_to(self) -> str | None:
        """Return the host that a key set in the options would go to, if it is not the provider's own."""
        return self.host if self.options.api_key is not None and self.host != OWN_HOST else None

    def check(self) -> None:
        """Make sure that there are a library and a key; nothing is sent.

        Raises:
            UnavailableError: if one is missing.
        """
        connect(self.options.base_url, key_for(self.host, self.options.api_key), self.options.timeout).close()

    def count(self, part: Part) -> int:
        """Return an estimate: the protocol has no tokenizer."""
        return estimate(_words(part))

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        """Start an answer; the request is made when its first piece is asked for.

        Raises:
            LLMError: while the reply is read, if the server cannot be reached, refuses or breaks off.
            UnavailableError: while the reply is read, if the library or the key is missing.
        """
        reply = Reply(iter(()))
        reply.pieces = self._pieces(reply, messages, generation)
        return reply

    def _pieces(self, reply: Reply, messages: Sequence[Message], generation: Generation) -> Iterator[str]:
        options, body = self.options, self._body(messages, generation)
        key = key_for(self.host, options.api_key)
        said: list[str] = []
        tries = 0
        with connect(options.base_url, key, options.timeout) as client:
            while True:
                try:
                    for delta in self._ask(client, key, body):
                        reply.finish, reply.usage = delta.finish or reply.finish, delta.usage or reply.usage
                        if delta.text:
                            said.append(delta.text)
                            yield delta.text
                    break
                except Failure as caught:
                    failure = caught
                # Outside of `except`, so that what is raised carries no library error with the request in it.
                if self._adapt(body, failure.refused):
                    continue
                tries += 1
                wait = FIRST_WAIT * 2 ** (tries - 1) if failure.wait is None else failure.wait
                if said or not failure.again or tries > options.retries or wait > LONGEST_WAIT:
                    raise self._error(failure, tries)
                time.sleep(wait)
        if reply.usage == Usage():
            prompt = sum(self.count(part) for message in messages for part in message.parts)
            reply.usage = Usage(prompt, estimate("".join(said)), estimated=True)

    def _ask(self, client: "openai.OpenAI", key: str, body: dict[str, Any]) -> Iterator[Delta]:
        """Yield what one request brings; every way of failing is a Failure."""
        given, finish = 0, ""
        with ExitStack() as stack:
            stream = stack.enter_context(self._open(client, key, body))
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
            raise of_status(error, key) from None
        except Exception as error:  # see `read`
            raise of_connection(error, self.options.timeout, key) from None

    def _body(self, messages: Sequence[Message], generation: Generation) -> dict[str, Any]:
        """Return the request's fields, as far as the server takes them."""
        body: dict[str, Any] = {
            "model": self.options.model,
            "messages": [
                {"role": message.role, "content": encodable("".join(map(_words, message.parts)))}
                for message in messages
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens" if self.host == OWN_HOST else "max_tokens": generation.max_tokens,
            "temperature": generation.temperature,
            "seed": generation.seed,
        }
        if generation.stop:
            body["stop"] = list(generation.stop)
        for field in self._refused:
            _replace(body, field)
        return body

    def _adapt(self, body: dict[str, Any], refused: str) -> bool:
        """Change the request to one that the server may take, if its refusal names a field that can be done without."""
        for field, other in INSTEAD.items():
            known = field in self._refused or other in self._refused
            if field in body and not known and re.search(rf"\b{field}\b", refused):
                self._refused.append(field)
                _replace(body, field)
                return True
        return False

    def _error(self, failure: Failure, tries: int) -> LLMError:
        often = f" ({tries} tries)" if tries > 1 else ""
        if failure.wait is not None and failure.wait > LONGEST_WAIT:
            often += f" (it asks to wait {failure.wait:.0f} s)"
        where = f"llm openai: model {fold(self.options.model)} at {self.options.base_url}"
        quote = f"; it says: {failure.quote}" if failure.quote else ""
        return LLMError(f"{where}: {failure.what}{often}{quote}; {failure.advice}")


def _words(part: Part) -> str:
    if not isinstance(part, Text):
        raise LLMError(f"llm openai takes text only, not {type(part).__name__}: use another llm or another prompt file")
    return part.text


def _replace(body: dict[str, Any], field: str) -> None:
    if field in body:
        value, other = body.pop(field), INSTEAD[field]
        if other is not None:
            body[other] = value


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the language model."""
    register("llm", "openai", OpenAI)
