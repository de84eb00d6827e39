"""A plugin for tests of `videochat instruct`: a perceiver that tells videos apart, and a scripted language model."""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from videochat import LLM, Component, Perceiver, Record, Reply, Sampling, Text, Usage, Weights, Window, hookimpl
from videochat.prompt import Generation, Message, Part

LOG = "VIDEOCHAT_TEST_ASKED"  # names the file that every request is written to
THINGS = (
    "roof",
    "wall",
    "door",
    "window",
    "tree",
    "lamp",
    "road",
    "car",
    "dog",
    "boat",
    "bird",
    "cloud",
    "hill",
    "gate",
)


class Wide(Perceiver):
    """Says how wide the picture is: a caption of the whole video, and one of each window."""

    class Options(Perceiver.Options):
        whole: bool = True
        breaks: str = ""  # raise that
        text: str = "a picture {width} wide"

    emits = ("caption", "summary")
    options: Options

    def sampling(self) -> Sampling:
        return Sampling(frames=1, over="video" if self.options.whole else "segment")

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        if self.options.breaks:
            raise RuntimeError(self.options.breaks)
        kind = "summary" if self.options.whole else "caption"
        for window in windows:
            said = self.options.text.replace("{width}", str(window.frames[0].image.shape[1]))
            yield [Record(kind, window.start, window.end, said)]


def description(about: str) -> str:
    """Return a good description: 148 words."""
    middle = " ".join(f"Next, the {thing} beside it is shown quite clearly." for thing in THINGS)
    return (
        f"First, we see {about} in the sun. {middle} Finally, the light is gone, and from then on nothing moves again."
    )


def conversation(about: str) -> str:
    """Return a good conversation: six rounds."""
    rounds = [
        ("Descriptive", f"What is {about}?", "It is a bar code above two fields."),
        ("Descriptive", "How many fields are there?", "There are two."),
        ("Temporal", "What changes first?", "First the left bar turns, at 00:01."),
        ("Temporal", "What is seen after the bars have turned?", "The red field is seen again."),
        ("Causal", "Why do the bars change?", "They count the frames.\n\nEach frame has a number of its own."),
        ("Causal", "What would happen without the bars?", "The provided video does not present such information"),
    ]
    return "\n".join(f"{kind} question: {q}\nAnswer: {a}" for kind, q, a in rounds)


BAD = {"describe": "Too short, at 00:03.", "correct": "Sure! Here it is.", "converse": "There is nothing to ask."}


class Scripted(LLM):
    """Writes what it should, unless its options say otherwise; a token is a word."""

    class Options(LLM.Options):
        bad: tuple[str, ...] = ()  # of "describe", "correct", "converse": what it gets wrong at first
        stubborn: bool = False  # and again
        breaks: str = ""  # raise where the prompt holds this
        same: bool = False  # write the same of each video
        slow: float = 0.0  # seconds for each answer
        counts: bool = True  # whether it tells what it took
        size: int = 1_000_000  # of the window
        model: str = "scripted"

    accepts = (Text,)
    options: Options

    @property
    def window(self) -> int:
        return self.options.size

    def count(self, part: Part) -> int:
        return len(part.text.split()) if isinstance(part, Text) else 0

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        reply = Reply(iter(()))
        reply.pieces = self._pieces(reply, messages, generation)
        return reply

    def _pieces(self, reply: Reply, messages: Sequence[Message], generation: Generation) -> Iterator[str]:
        began = time.monotonic()
        time.sleep(self.options.slow)
        whole = "\n".join(message.text for message in messages)
        task = "describe" if "sequence adverbs" in whole else "correct" if "Fix the error" in whole else "converse"
        again = "This cannot be used" in whole
        write(task=task, again=again, prompt=[[m.role, m.text] for m in messages], limit=generation.max_tokens,
              began=began, ended=time.monotonic(), me=id(self), thread=threading.get_ident())  # fmt: skip
        if self.options.breaks and self.options.breaks in whole:
            raise ConnectionError("the line is dead")
        found = re.search(r"a picture \d+ wide", whole)
        about = found[0] if found and not self.options.same else "a picture"
        good = {"describe": description(about), "correct": description(about), "converse": conversation(about)}[task]
        text = BAD[task] if task in self.options.bad and (self.options.stubborn or not again) else good
        words = sum(self.count(part) for message in messages for part in message.parts)
        if self.options.counts:
            reply.usage = Usage(words, len(text.split()))
        yield from re.findall(r"\S+\s*", text)


class Local(Scripted):
    """The same with weights, so that there is but one of it."""

    loaded = False

    def weights(self) -> Sequence[Weights]:
        return [Weights("scripted-weights", 10)]

    def load(self, pool: Any) -> None:
        write(task="load")

    def close(self) -> None:
        pass


def write(**row: Any) -> None:
    """Add a line to the log."""
    with open(os.environ[LOG], "a") as log:
        log.write(json.dumps(row) + "\n")


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    register("perceive", "wide", Wide)
    register("llm", "scripted", Scripted)
    register("llm", "scripted.local", Local)
