"""Asks a stack the questions of a dataset: each video is watched once, then the language model answers about all.

Every answer is on disk before who gave it is asked again. What fails stays in its question's row, and the next run asks
that question again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import count
from typing import Any, Self

from videochat import LLM, Event, LLMError, Message, Reply, Stack, UnavailableError, VideoChatError
from videochat.cache import digest, file_hash, identity
from videochat.chat import Answer, Chat
from videochat.context import Context
from videochat.extras import prepare
from videochat.registry import registry
from videochat_plugins.learn.asking import ask_all, loaded
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


Watched = tuple[list[Example], Context | VideoChatError, float]  # what is to be asked, what was seen, seconds


@dataclass(frozen=True, slots=True)
class _Put:
    """A question, ready to be put to a copy of the language model."""

    example: Example
    ask: Callable[[LLM], Answer | Reply]  # may raise why it cannot be asked
    watch_seconds: float = 0.0
    faults: tuple[str, ...] = ()


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
        jobs: how many questions may be asked at once, unless the language model works here.
    """

    def __init__(
        self,
        stack: Stack,
        name: str,
        examples: Sequence[Example],
        choice: bool,
        rows: Rows,
        seeing: bool = True,
        jobs: int = 1,
    ) -> None:
        self.stack, self.name, self.examples, self.choice = stack, name, examples, choice
        self.rows, self.seeing, self.jobs = rows, seeing, jobs
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
        if missing := self._missing():
            # All are watched first: what perceives and what answers is loaded once each, and not at the same time.
            watched = self._watched(missing) if self.seeing else []
            with loaded(self.stack, self.jobs) as models:
                questions = self._seen(watched) if self.seeing else self._blind(missing)
                done = count(1)

                def tell(put: _Put, answered: Answered) -> None:
                    self._mind(answered)
                    self._tell("asking", next(done), len(missing))

                ask_all(models, questions, self._ask, tell)
        return [Answered.of(self.rows.get(self._keys[example.id]) or {}) for example in self.examples]

    def _watched(self, examples: Sequence[Example]) -> list[Watched]:
        groups: dict[Any, list[Example]] = {}
        for example in examples:
            groups.setdefault(example.stretch, []).append(example)
        return [(group, *self._watch(group[0], done, len(groups))) for done, group in enumerate(groups.values())]

    def _seen(self, watched: Sequence[Watched]) -> Iterator[_Put]:
        for group, found, seconds in watched:
            faults: tuple[str, ...] = ()
            try:
                if isinstance(found, VideoChatError):
                    raise found
                faults = tuple(f"{one.source} at {one.start:g}-{one.end:g} s: {one.reason}" for one in found.faults)
                talk = partial(_talk, self.stack.chat(found))
            except (UnavailableError, LLMError):
                raise
            except VideoChatError as error:
                talk = partial(_refuse, error)
            for example in group:
                yield _Put(example, partial(talk, self._question(example)), seconds, faults)

    def _blind(self, examples: Sequence[Example]) -> Iterator[_Put]:
        for example in examples:
            yield _Put(example, partial(_guess, blind(self.stack, self._question(example))))

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

    def _ask(self, llm: LLM, put: _Put) -> Answered:
        """Return an answer once it is whole and on disk, or why it is not."""
        text, began = "", time.perf_counter()
        reply: Answer | Reply = Reply(iter(()))
        failure: VideoChatError | None = None
        try:
            reply = put.ask(llm)
            for piece in reply:
                text += piece
        except VideoChatError as error:
            failure = error
        except Exception as error:  # a stranger's backend may raise anything
            failure = LLMError(f"the language model failed: {type(error).__name__}: {error}")
        answered = Answered(
            answer=text,
            seconds=time.perf_counter() - began,
            watch_seconds=put.watch_seconds,
            tokens=reply.usage.prompt + reply.usage.answer,
            finish=reply.finish,
            error="" if failure is None else str(failure),
            code=0 if failure is None else failure.exit_code,
            faults=put.faults,
        )
        self.rows.append(self._keys[put.example.id], {"id": put.example.id, **asdict(answered)})
        return answered

    def _mind(self, answered: Answered) -> None:
        """Count failures in a row.

        Raises:
            LLMError: if the language model has failed too often.
        """
        self._failures = self._failures + 1 if answered.code == LLMError.exit_code else 0
        if self._failures >= PATIENCE:
            raise LLMError(f"{self.name}: given up after {PATIENCE} failures in a row, the last: {answered.error}")

    def _tell(self, doing: str, done: int, total: int) -> None:
        registry().observe(Event("eval", f"{self.name}, {doing}", done, total))


def _talk(chat: Chat, question: str, llm: LLM) -> Answer:
    """Ask a copy of the language model about what a chat shows, as if it were the first question; any thread may."""
    own = copy(chat)
    own.stack, own.history = copy(chat.stack), []
    own.stack.llm = llm
    return own.ask(question)


def _guess(messages: Sequence[Message], llm: LLM) -> Reply:
    return llm.answer(messages, llm.generation)


def _refuse(error: VideoChatError, question: str, llm: LLM) -> Answer:
    raise error


def _content(example: Example) -> str:
    """Return the hash of a video, or nothing where it cannot be read: watching it will say why."""
    try:
        return file_hash(example.video)
    except OSError:
        return ""
