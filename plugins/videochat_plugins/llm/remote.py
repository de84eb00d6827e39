"""What language models behind a server share: their options, several tries at one answer, one error in the end."""

import time
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr

from videochat import LLM, Frames, Generation, LLMError, Message, Reply, Sampling, Text, Usage
from videochat.budget import estimate
from videochat.component import FASTER_ONLY
from videochat.errors import UnreachableError
from videochat.prompt import Part
from videochat.record import fold
from videochat_plugins.llm.remote_content import Detail, count, to_json
from videochat_plugins.llm.remote_failure import Failure

FIRST_WAIT = 0.5  # seconds before the second try where the server names none; doubled for each further one
LONGEST_WAIT = 30.0  # seconds; a server that asks for more is not waited for


@dataclass(frozen=True, slots=True)
class Delta:
    """What one event of a stream adds to the answer."""

    text: str = ""
    thinking: bool = False  # the model is at work, but on words that are not part of the answer
    finish: str = ""  # "stop" "length" "content_filter", in the last event that has a choice
    usage: Usage | None = None
    done: bool = False  # the server says that nothing more comes
    error: str = ""  # what the server says went wrong, once the stream had begun


class Remote(LLM):
    """A model that is asked over HTTP."""

    class Options(LLM.Options):
        """How to ask a model that runs elsewhere."""

        model_config = ConfigDict(hide_input_in_errors=True)

        timeout: float = Field(default=60.0, gt=0, le=3600, json_schema_extra=FASTER_ONLY)
        """Longest wait in seconds for the connection, and for each next piece of the answer."""
        retries: int = Field(default=2, ge=0, le=10, json_schema_extra=FASTER_ONLY)
        """How often a request that failed before its answer began is tried again."""
        window: int = Field(default=128_000, gt=0)
        """Tokens that the model takes, prompt and answer together."""
        frames: int = Field(default=8, ge=0, le=256)
        """Frames of the whole video that are sent, evenly spaced, where the prompt places {video}; 0: none."""
        side: int = Field(default=512, ge=32, le=2048)
        """Longer side of the frames that are sent, in pixels; larger ones are scaled down to it."""
        detail: Detail = "auto"
        """How closely OpenAI's own models look at frames: low costs the fewest tokens, high reads small print."""

    plugin: ClassVar[str]  # its name, for messages
    options: Any

    @property
    def accepts(self) -> Collection[type[Part]]:
        """Text, and frames if the model behind it can see."""
        return {Text, Frames}

    @property
    def window(self) -> int:
        """What the options say: the protocol has no way to ask."""
        return int(self.options.window)

    def sampling(self) -> Sampling | None:
        """Return the frames that the model is to see itself."""
        frames = self.options.frames
        return Sampling(frames=frames, side=self.options.side, over="video") if frames else None

    @property
    @abstractmethod
    def address(self) -> str:
        """The URL that prompts go to, or "" for the provider's own."""

    @property
    @abstractmethod
    def own_host(self) -> str:
        """The provider's own host, or "" where it is not known."""

    @property
    def host(self) -> str:
        """The host that prompts go to, or "" for the provider's own."""
        return urlsplit(self.address).hostname or ""

    def sends_secret_to(self) -> str | None:
        """Return the host that a key set in the options would go to, if it is not the provider's own."""
        key: SecretStr | None = self.options.api_key
        return self.host if key is not None and self.host != self.own_host else None

    def count(self, part: Part) -> int:
        """Return an estimate: the protocol has no tokenizer, and images cost what each family of models makes of them.

        Frames are counted by the tile rule that OpenAI publishes for GPT-4o.
        """
        return count(part, self.options.side, self.options.detail)

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        """Start an answer; the request is made when its first piece is asked for.

        Raises:
            LLMError: while the reply is read, if the server refuses or breaks off.
            UnreachableError: while the reply is read, if the server cannot be reached.
            UnavailableError: while the reply is read, if the library or the key is missing.
        """
        reply = Reply(iter(()))
        reply.pieces = self._pieces(reply, messages, generation)
        return reply

    @abstractmethod
    def _ask(self, prompt: list[dict[str, Any]], generation: Generation) -> Iterator[Delta]:
        """Yield what one request brings; every way of failing is a Failure."""

    @abstractmethod
    def _adapt(self, refused: str) -> bool:
        """Change all further requests to what the server may take, if its words name what can be done without."""

    def _pieces(self, reply: Reply, messages: Sequence[Message], generation: Generation) -> Iterator[str]:
        prompt = to_json(messages, self.options.side, self.options.detail)
        said: list[str] = []
        tries = 0
        while True:
            try:
                for delta in self._ask(prompt, generation):
                    reply.finish, reply.usage = delta.finish or reply.finish, delta.usage or reply.usage
                    if delta.text:
                        said.append(delta.text)
                        yield delta.text
                break
            except Failure as caught:
                failure = caught
            # Outside of `except`, so that what is raised carries no library error with the request in it.
            if failure.refused and not said and self._adapt(failure.refused):
                continue
            tries += 1
            wait = FIRST_WAIT * 2 ** (tries - 1) if failure.wait is None else failure.wait
            if said or not failure.again or tries > self.options.retries or wait > LONGEST_WAIT:
                raise self._error(failure, tries)
            time.sleep(wait)
        if reply.usage == Usage():
            asked = sum(self.count(part) for message in messages for part in message.parts)
            reply.usage = Usage(asked, estimate("".join(said)), estimated=True)

    def _error(self, failure: Failure, tries: int) -> LLMError:
        often = f" ({tries} tries)" if tries > 1 else ""
        if failure.wait is not None and failure.wait > LONGEST_WAIT:
            often += f" (it asks to wait {failure.wait:.0f} s)"
        where = f"llm {self.plugin}: model {fold(self.options.model)}" + (f" at {self.address}" if self.address else "")
        quote = f"; it says: {failure.quote}" if failure.quote else ""
        error = UnreachableError if failure.unreachable else LLMError
        return error(f"{where}: {failure.what}{often}{quote}; {failure.advice}")
