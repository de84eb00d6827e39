"""Asks a stack the questions of a dataset: each video is watched once, then the language model answers about all.

Every answer is on disk before the next question is asked. What fails stays in its question's row, and the next run asks
it again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, Self

from videochat import Event, LLMError, Reply, Stack, UnavailableError, VideoChatError
from videochat.cache import digest, file_hash, identity
from videochat.chat import Answer
from videochat.context import Context
from videochat.extras import prepare
from videochat.registry import registry
from videochat_plugins.learn.eval_baselines import blind
from videochat_plugins.learn.eval_choice import lettered
from videochat_plugins.learn.eval_data import Example
from videochat_plugins.learn.eval_rows import Rows

PATIENCE = 10  # failures of a language model in a row, after which it is given up


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one question."""

    answer: str = ""  # where the model broke off, as much as it said
    seconds: float = 0.0  # until the last piece, with the model loaded
    watch_seconds: float = 0.0  # for the video; what the cache has takes no time
    tokens: int = 0  # of prompt and answer
    finish: str = ""
    error: str = ""  # why there is no answer, or not all of it
    code: int = 0  # the exit code of that
    faults: tuple[str, ...] = ()  # of perceivers, while watching

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Return what a row on disk says."""
        values = {field.name: row[field.name] for field in fields(cls) if field.name in row}
        return cls(**{**values, "faults": tuple(row.get("faults", ()))})


def key_of(stack: Stack, seeing: bool = True) -> str:
    """Return a digest of all that decides what a stack answers; of its language model's part where it sees nothing."""
    parts = dict(stack.components()) if seeing else {"llm": stack.llm}
    about = {place: identity(component, stack.pool) for place, component in parts.items()}
    return digest({"parts": about, "prompt": stack.template.text, "fence": stack.fence})


class Run:
    """Asks one stack, with its eyes open or without.

    Args:
        stack: whom.
        name: of the run, for people.
        examples: what.
        choice: whether to show lettered options, where questions have candidates.
        rows: what was answered before, and where answers go.
        seeing: whether it watches the videos; without, its language model gets the question alone.
    """

    def __init__(
        self, stack: Stack, name: str, examples: Sequence[Example], choice: bool, rows: Rows, seeing: bool = True
    ) -> None:
        self.stack, self.name, self.examples, self.choice = stack, name, examples, choice
        self.rows, self.seeing = rows, seeing
        self._keys = {example.id: self._key(example) for example in examples}
        self._failures = 0

    def prepare(self) -> None:
        """Make sure that the stack can run here, if there is anything left to ask.

        Raises:
            UnavailableError, StackError: if it cannot.
        """
        if self._missing():
            parts = [component for _, component in self.stack.components()]
            prepare(parts if self.seeing else [self.stack.llm])
            self.stack.check_reach()

    def answers(self) -> list[Answered]:
        """Return what is answered to each question; what the rows hold already is not asked again.

        Raises:
            UnavailableError: if a model cannot be had.
            LLMError: if the language model does not load, or fails over and over.
        """
        missing = self._missing()
        found = self._see(missing) if self.seeing else self._guess(missing)
        for done, (example, answered) in enumerate(found, start=1):
            self.rows.append(self._keys[example.id], {"id": example.id, **asdict(answered)})
            self._tell("asking", done, len(missing))
        return [Answered.of(self.rows.get(self._keys[example.id]) or {}) for example in self.examples]

    def _see(self, examples: Sequence[Example]) -> Iterator[tuple[Example, Answered]]:
        by_stretch: dict[Any, list[Example]] = {}
        for example in examples:
            by_stretch.setdefault(example.stretch, []).append(example)
        groups = list(by_stretch.values())
        # All are watched first: what perceives and what answers is loaded once each, and not at the same time.
        watched = [self._watch(group[0], done, len(groups)) for done, group in enumerate(groups)]
        for group, (found, seconds) in zip(groups, watched, strict=True):
            yield from self._talk(group, found, seconds)

    def _guess(self, examples: Sequence[Example]) -> Iterator[tuple[Example, Answered]]:
        llm = self.stack.llm
        if examples:
            load_llm(self.stack)
        for example in examples:
            prompt = blind(self.stack, self._question(example))
            yield example, self._listen(partial(llm.answer, prompt, llm.generation))

    def _question(self, example: Example) -> str:
        """Return a question as it is put."""
        return (
            lettered(example.question, example.candidates) if self.choice and example.candidates else example.question
        )

    def _key(self, example: Example) -> str:
        """Return a digest of what an answer rests on, the stack's settings aside."""
        seen = [_content(example), *example.stretch[1:]] if self.seeing else []
        return digest([example.id, self._question(example), *seen])

    def _missing(self) -> list[Example]:
        """Return the questions that have no answer yet, those included whose last try failed."""
        return [one for one in self.examples if (self.rows.get(self._keys[one.id]) or {}).get("error", "none")]

    def _watch(self, example: Example, done: int, total: int) -> tuple[Context | VideoChatError, float]:
        self._tell("watching", done, total)
        began = time.perf_counter()
        try:
            found: Context | VideoChatError = self.stack.watch(*example.stretch)
        except UnavailableError:
            raise
        except VideoChatError as error:
            found = error
        self._tell("watching", done + 1, total)
        return found, time.perf_counter() - began

    def _talk(
        self, group: Sequence[Example], found: Context | VideoChatError, seconds: float
    ) -> Iterator[tuple[Example, Answered]]:
        """Yield what is answered to the questions about one stretch of a video, each asked as if it were the first."""
        try:
            if isinstance(found, VideoChatError):
                raise found
            chat = self.stack.chat(found)
        except (UnavailableError, LLMError):
            raise
        except VideoChatError as error:
            for example in group:
                yield example, Answered(watch_seconds=seconds, error=str(error), code=error.exit_code)
            return
        faults = tuple(f"{one.source} at {one.start:g}-{one.end:g} s: {one.reason}" for one in found.faults)
        for example in group:
            chat.history.clear()
            answered = self._listen(partial(chat.ask, self._question(example)))
            yield example, replace(answered, watch_seconds=seconds, faults=faults)

    def _listen(self, ask: Callable[[], Answer | Reply]) -> Answered:
        """Return an answer once it is whole, or why it is not.

        Raises:
            LLMError: if the language model has failed too often in a row.
        """
        text, began = "", time.perf_counter()
        reply: Answer | Reply = Reply(iter(()))
        failure: VideoChatError | None = None
        try:
            reply = ask()
            for piece in reply:
                text += piece
        except VideoChatError as error:
            failure = error
        except Exception as error:  # a stranger's backend may raise anything
            failure = LLMError(f"the language model failed: {type(error).__name__}: {error}")
        self._failures = self._failures + 1 if isinstance(failure, LLMError) else 0
        if failure is not None and self._failures >= PATIENCE:
            raise LLMError(f"{self.name}: given up after {PATIENCE} failures in a row, the last: {failure}")
        return Answered(
            answer=text,
            seconds=time.perf_counter() - began,
            tokens=reply.usage.prompt + reply.usage.answer,
            finish=reply.finish,
            error="" if failure is None else str(failure),
            code=0 if failure is None else failure.exit_code,
        )

    def _tell(self, doing: str, done: int, total: int) -> None:
        registry().observe(Event("eval", f"{self.name}, {doing}", done, total))


def load_llm(stack: Stack) -> None:
    """Load the language model of a stack.

    Raises:
        UnavailableError: if it cannot be had.
        LLMError: if it does not load.
    """
    try:
        stack.llm.load(stack.pool)
    except VideoChatError:
        raise
    except Exception as error:  # a stranger's backend may raise anything
        raise LLMError(f"the language model failed: {type(error).__name__}: {error}") from error


def _content(example: Example) -> str:
    """Return the hash of a video, or nothing where it cannot be read: watching it will say why."""
    try:
        return file_hash(example.video)
    except OSError:
        return ""
