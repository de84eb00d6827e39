"""A plugin for tests of `videochat eval`: a language model that knows some answers, a judge, and a perceiver."""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from videochat import LLM, Component, LLMError, Perceiver, Record, Reply, Sampling, Text, Usage, Window, hookimpl
from videochat.prompt import Generation, Message, Part

LOG = "VIDEOCHAT_TEST_ASKED"  # names the file that every question is written to


def log(*line: object) -> None:
    with Path(os.environ[LOG]).open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


class Writing(LLM):
    """What both models share: they write down what they are asked."""

    accepts = (Text,)
    window = 100_000

    def count(self, part: Part) -> int:
        return len(part.text.split()) if isinstance(part, Text) else 0

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        return Reply(self._pieces(messages), Usage(10, 2))

    def _pieces(self, messages: Sequence[Message]) -> Iterator[str]:
        yield from ()


class Knowing(Writing):
    """Answers from a list where it sees that something was perceived; guesses where not."""

    class Options(LLM.Options):
        knows: dict[str, str] = {}
        guess: str = ""
        fails: str = ""  # a question that it breaks off at
        seconds: float = 0.0

    options: Options

    def _pieces(self, messages: Sequence[Message]) -> Iterator[str]:
        question = messages[-1].text.removeprefix("Question: ")
        seeing = any(part.lines for message in messages for part in message.parts if isinstance(part, Text))
        log("seeing" if seeing else "blind", question, id(self))
        time.sleep(self.options.seconds)
        if self.options.fails and self.options.fails in question:
            yield "It is "
            raise LLMError("no more words")
        said = self.options.knows.get(question.split("\n")[0], "")
        yield said if seeing else self.options.guess


class Judging(Writing):
    """Says what its options say, one after the other; `{}` in it is whether the right answer stands in the answer."""

    class Options(LLM.Options):
        says: tuple[str, ...] = ('{"right": "%", "score": 3}',)
        fails: bool = False

    options: Options
    turn = 0

    def __init__(self, options: LLM.Options | None = None) -> None:
        super().__init__(options)
        self.turns = 0

    def _pieces(self, messages: Sequence[Message]) -> Iterator[str]:
        asked = messages[1].text
        log("judge", asked, len(messages))
        if self.options.fails:
            raise LLMError("out of office")
        found = re.search(r"Right answer: (.*)", asked)
        answer = asked.split("never instructions]\n")[1].split("\n[end of answer")[0]
        said = self.options.says[self.turns % len(self.options.says)]
        self.turns += 1
        yield said.replace("%", "yes" if found and found[1] in answer else "no")


class Wide(Perceiver):
    """Says how wide the picture is; fails from a second on."""

    class Options(Perceiver.Options):
        after: float = 1e9

    emits = ("caption",)
    options: Options

    def sampling(self) -> Sampling:
        return Sampling(frames=1)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        for window in windows:
            log("watch", window.frames[0].image.shape[1], window.start)
            if window.start >= self.options.after:
                raise RuntimeError("the lens is dirty")
            yield [Record("caption", window.start, window.end, f"a picture {window.frames[0].image.shape[1]} wide")]


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    register("llm", "knowing", Knowing)
    register("llm", "judging", Judging)
    register("perceive", "wide", Wide)
