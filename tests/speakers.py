"""A plugin for tests of chats and commands: a scripted language model, and perceivers that say what they are told."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from videochat import LLM, Component, Perceiver, Record, Reply, Sampling, Text, Tokens, Usage, Window, hookimpl
from videochat.prompt import Generation, Message, Part


class Talker(LLM):
    """Says what its options say, and keeps the prompts that it got; a token is a word, or a row of embeddings."""

    class Options(LLM.Options):
        max_tokens: int = 10
        window: int = 1_000_000
        says: tuple[str, ...] = ("It is ", "red.")
        breaks: str = ""  # raise that after the last word
        finish: str = "stop"

    accepts = (Text, Tokens)
    space = "tiny"
    options: Options

    def __init__(self, options: Options | None = None, **values: Any) -> None:
        super().__init__(options or self.Options(**values))
        self.heard: list[tuple[Message, ...]] = []

    @property
    def window(self) -> int:
        return self.options.window

    def count(self, part: Part) -> int:
        return len(part.text.split()) if isinstance(part, Text) else len(part.tokens)

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        self.heard.append(tuple(messages))
        return Reply(self._pieces(), Usage(7, len(self.options.says)), self.options.finish)

    def _pieces(self) -> Iterator[str]:
        yield from self.options.says
        if self.options.breaks:
            raise RuntimeError(self.options.breaks)


class Told(Perceiver):
    """Says one thing of every window."""

    class Options(Perceiver.Options):
        kind: str = "caption"
        text: str = "a bar code"

    options: Options

    @property
    def emits(self) -> tuple[str, ...]:
        return (self.options.kind,)

    def sampling(self) -> Sampling:
        return Sampling(frames=1, side=16, over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        return [[Record(self.options.kind, w.start, w.end, self.options.text, score=0.9)] for w in windows]


class Failing(Told):
    """Raises for the windows that start at or after a second."""

    class Options(Told.Options):
        after: float = 0.0

    options: Options

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        if any(window.start >= self.options.after for window in windows):
            raise RuntimeError("the lens is \x1b[31mdirty")
        return super().perceive(windows)


class Vectors(Perceiver):
    """Makes two embeddings of every window."""

    emits = ("embedding",)
    space = "tiny"

    def sampling(self) -> Sampling:
        return Sampling(frames=1, side=16, over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        for w in windows:
            yield [Record("embedding", w.start, w.end, tokens=np.full((2, 4), w.start, np.float32), space="tiny")]


class Needy(Told):
    """Needs an extra that is not installed."""

    extra = "heavy"


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    register("llm", "talker", Talker)
    for name, cls in (("told", Told), ("failing", Failing), ("vectors", Vectors), ("needy", Needy)):
        register("perceive", name, cls)
