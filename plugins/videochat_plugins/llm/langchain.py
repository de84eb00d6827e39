"""Language models of every provider that LangChain knows."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError, field_validator

from videochat import Component, Generation, UnavailableError, Usage, hookimpl
from videochat.record import fold
from videochat_plugins.llm.langchain_failure import of_error
from videochat_plugins.llm.openai_client import NO_KEY, OWN_HOST, check_address, http_client, key_for
from videochat_plugins.llm.remote import Delta, Remote
from videochat_plugins.llm.remote_content import encodable
from videochat_plugins.llm.remote_failure import of_end, quoted

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

# What a server may refuse to hear of: its name in the request, and in LangChain.
REFUSABLE = {"temperature": "temperature", "seed": "seed", "stream_options": "stream_usage"}
# Where providers tell why an answer ended, and what they call one that met its limit or their filter.
_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_LENGTH = {"length", "max_tokens", "max_output_tokens", "model_length"}
_FILTER = {"content_filter", "content_filtered", "safety", "refusal"}


class LangChain(Remote):
    """Ask a chat model through LangChain's `init_chat_model`: OpenAI's, Anthropic's, Google's, Mistral's and others.

    Each provider but OpenAI needs its own package, as `pip install langchain-anthropic`; its key is taken from the
    environment variable that the package asks for, such as ANTHROPIC_API_KEY, unless `api_key` is set. With `base_url`
    no key of the environment is used; a provider whose class cannot be given both, or takes more keys than one, is
    refused it. Headers that a package adds from the environment (ANTHROPIC_CUSTOM_HEADERS) go wherever it sends.

    The prompt's words and frames leave this machine, to the provider or to `base_url`, and to LangSmith where LangChain
    was told by LANGSMITH_TRACING to trace what it does. The clients of OpenAI and Ollama follow no redirect to another
    host; those of others may. Temperature, seed, stop texts and the limit of tokens are passed where the provider takes
    them; of what a server refuses, temperature and seed are left out from then on. Connections refused or lost, 408,
    429 and 5xx are tried again, but never once words of the answer were given. `timeout` is passed where the provider
    takes it, and means the wait for each next byte: a server that sends signs of life only is waited for.

    For a server that speaks OpenAI's protocol, the llm `openai` is lighter, watches the time, and understands more.
    """

    class Options(Remote.Options):
        """Which model of which provider."""

        model: str = "openai:gpt-4o-mini"
        """Provider and model, as `init_chat_model` takes them: anthropic:claude-sonnet-4-5."""
        base_url: str | None = None
        """The server's address, where it is not the provider's own."""
        api_key: SecretStr | None = None
        """The key, best as ${VARIABLE}; without one the environment's is used, which never goes to a base_url."""

        @field_validator("model")
        @classmethod
        def _named(cls, model: str) -> str:
            if not re.fullmatch(r"[A-Za-z][\w-]*:.*\S.*", model):
                raise ValueError("must be provider:model, as openai:gpt-4o-mini")
            return model

        @field_validator("base_url")
        @classmethod
        def _address(cls, url: str | None) -> str | None:
            return url and check_address(url)

    extra = "langchain"
    plugin = "langchain"
    options: Options

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._refused: set[str] = set()  # parameters that the server turned out not to take

    @property
    def provider(self) -> str:
        """The first part of the model's name, as LangChain spells it."""
        return self.options.model.partition(":")[0].replace("-", "_").lower()

    @property
    def own_host(self) -> str:
        """OpenAI's own host; those of other providers are known to their packages only."""
        return OWN_HOST if self.provider == "openai" else ""

    @property
    def address(self) -> str:
        """What the options say; for OpenAI its own host without them, whatever the environment says."""
        return self.options.base_url or (f"https://{OWN_HOST}/v1" if self.own_host else "")

    def check(self) -> None:
        """Make sure that there are the provider's package and a key; nothing is sent.

        Raises:
            UnavailableError: if one is missing.
        """
        with self._connection() as connection:
            self._build(connection)

    def _ask(self, prompt: list[dict[str, Any]], generation: Generation) -> Iterator[Delta]:
        key, given, finish, usage = self._key, 0, "", Usage()
        with self._model(generation) as model:
            pieces = model.stream(prompt)
            while True:
                try:
                    piece = next(pieces, None)
                except Exception as error:  # each provider's library has its own
                    raise of_error(error, self.options.timeout, key, given) from None
                if piece is None:
                    break
                text = encodable(str(piece.text))
                given += len(text)
                finish = _finish(piece.response_metadata) or finish
                if counts := getattr(piece, "usage_metadata", None):
                    before = Usage() if self.own_host else usage  # OpenAI counts all so far, others what is new
                    usage = Usage(before.prompt + counts["input_tokens"], before.answer + counts["output_tokens"])
                yield Delta(text, finish=finish, usage=usage)
        if not given or (not finish and self.own_host):  # not all others tell why they end
            raise of_end(given, finish)

    @property
    def _key(self) -> str:
        return key_for(self.host, self.options.api_key)

    @contextmanager
    def _model(self, generation: Generation) -> "Iterator[BaseChatModel]":
        """Give a model with all the parameters that its class takes; its connection ends with the context."""
        wishes: dict[str, Any] = {
            "timeout": self.options.timeout,
            "max_retries": 0,  # `Remote` tries again
            "max_tokens": generation.max_tokens,
            "num_predict": generation.max_tokens,  # what Ollama calls it
            "temperature": generation.temperature,
            "seed": generation.seed,
            "stream_usage": True,
        }
        if generation.stop:
            wishes["stop"] = list(generation.stop)
        taken = self._taken - self._refused
        with self._connection() as connection:
            yield self._build({**connection, **{name: wish for name, wish in wishes.items() if name in taken}})

    @cached_property
    def _taken(self) -> frozenset[str]:
        """The names of the parameters that the provider's class takes."""
        with self._connection() as connection:
            fields = type(self._build(connection)).model_fields
        return frozenset(fields) | {field.alias for field in fields.values() if field.alias}

    @contextmanager
    def _connection(self) -> Iterator[dict[str, Any]]:
        """Give what says where to ask and with which key; no key of the environment goes to another host."""
        found: dict[str, Any] = {"base_url": self.address} if self.address else {}
        key = self._key
        bearer = key or (NO_KEY if self.address else "")  # without one a library takes that of the environment
        if self.provider == "ollama":  # whose class has no place for a key
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            how = {"headers": headers, "follow_redirects": False, "timeout": self.options.timeout}
            yield {**found, "client_kwargs": how}
            return
        if bearer:
            found["api_key"] = SecretStr(bearer)
        if not self.own_host:
            yield found
            return
        _import()
        with http_client(self.address, key) as http:  # which minds the environment's proxies itself
            yield {**found, "http_client": http, "openai_proxy": None}

    def _build(self, parameters: Mapping[str, Any]) -> "BaseChatModel":
        init = _import()
        name = self.options.model.partition(":")[2]
        try:
            model = init(name, model_provider=self.provider, **parameters)
        except ValidationError as error:  # its text would show what was given
            found = error.errors(include_input=False, include_url=False, include_context=False)
            why = "; ".join(": ".join([*map(str, part["loc"]), part["msg"]]) for part in found)
        except Exception as error:  # ImportError without the package, and whatever that raises without a key
            why = str(error)
        else:
            why = _unsafe(type(model), {"base_url", "api_key", "client_kwargs"} & {*parameters})
            if not why:
                return model
        raise UnavailableError(f"llm langchain: model {fold(self.options.model)}: {quoted(why, self._key)}")

    def _adapt(self, refused: str) -> bool:
        for field, name in REFUSABLE.items():
            if name in self._taken - self._refused and re.search(rf"\b{field}\b", refused):
                self._refused.add(name)
                return True
        return False


def _import() -> "Callable[..., BaseChatModel]":
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise UnavailableError(f"llm langchain needs an extra: pip install 'videochat[langchain]' ({error})") from None
    return init_chat_model


def _unsafe(cls: "type[BaseChatModel]", given: Collection[str]) -> str:
    """Return why a provider's class cannot be told where to ask and with which key, or nothing if it can."""
    named = {field.alias or name: field for name, field in cls.model_fields.items()}
    if lacking := sorted({*given} - {*named} - {*cls.model_fields}):
        return f"{cls.__name__} takes no {' and no '.join(lacking)}"
    others = sorted(name for name, field in named.items() if "SecretStr" in str(field.annotation) and name != "api_key")
    if "base_url" in given and others:
        return f"{cls.__name__} takes {', '.join(others)} from the environment, which must not go to llm.base_url"
    return ""


def _finish(metadata: Mapping[str, Any]) -> str:
    """Return why an answer ended: "stop", "length" or "content_filter"; "" while it goes on."""
    found = next((metadata[name] for name in _REASONS if metadata.get(name)), None)
    if found is None and metadata.get("status") in ("completed", "incomplete"):  # of OpenAI's newer interface
        found = (metadata.get("incomplete_details") or {}).get("reason") or metadata["status"]
    reason = str(found or "").lower()
    return "length" if reason in _LENGTH else "content_filter" if reason in _FILTER else "stop" if reason else ""


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the language model."""
    register("llm", "langchain", LangChain)
