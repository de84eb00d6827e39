"""The same questions to several stacks, side by side.

Stacks whose language models have the same weights take one turn together: first each of them watches, then the model
is loaded once and answers for all. So no language model waits in memory while others perceive, and at no time is more
loaded than the stack at work would need by itself.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from videochat.chat import Answer, Citation
from videochat.component import checkpoints
from videochat.context import Context, Fault
from videochat.errors import UnavailableError, VideoChatError
from videochat.extras import prepare
from videochat.hookspecs import Event
from videochat.peak import Peak, peak
from videochat.pool import Pool
from videochat.prompt import Usage
from videochat.registry import registry
from videochat.stack import Stack


@dataclass(frozen=True, slots=True)
class Watched:
    """What it took a stack to watch the video; what the cache has takes no time."""

    seconds: float = 0.0
    peak: Peak = field(default_factory=Peak)
    lines: int = 0  # of textualised video
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What one stack answered to one question."""

    place: tuple[int, int]  # the question's number and the stack's, as they were given
    question: str
    stack: str  # its name
    watched: Watched
    answer: str = ""  # where the model broke off, as much as it said
    citations: tuple[Citation, ...] = ()  # what it rests on
    usage: Usage = field(default_factory=Usage)
    visual: int = 0  # tokens of the prompt that are embeddings of the video
    first: float = 0.0  # seconds until the first piece of the answer
    seconds: float = 0.0  # until the last
    peak: Peak = field(default_factory=Peak)  # while answering, the loaded model included
    finish: str = ""
    left_out: str = ""  # what of the video did not fit the model's window, in words
    error: VideoChatError | None = None  # why there is no answer

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values, without its question."""
        return {
            "stack": self.stack,
            "answer": self.answer,
            "error": None if self.error is None else str(self.error),
            "citations": [asdict(cited) for cited in self.citations],
            "seconds": self.seconds,
            "first_seconds": self.first,
            "watch_seconds": self.watched.seconds,
            "tokens": {"prompt": self.usage.prompt, "visual": self.visual, "answer": self.usage.answer},
            "estimated": self.usage.estimated,
            "peak_memory": self.peak.process,
            "peak_gpu_memory": self.peak.gpu,
            "watch_peak_memory": self.watched.peak.process,
            "watch_peak_gpu_memory": self.watched.peak.gpu,
            "finish": self.finish,
            "left_out": self.left_out,
            "lines": self.watched.lines,
            "faults": [asdict(fault) for fault in self.watched.faults],
        }


def compare(video: Path, questions: Sequence[str], stacks: Sequence[Stack]) -> Iterator[Row]:
    """Yield a row for each question and stack as soon as it is there, stack by stack.

    Each stack watches once. Each question is asked without the talk about the others, so their order does not matter.
    A stack that fails loses its own rows, which then say why.

    Raises:
        UnavailableError, VideoError, StackError: if that is known before the first stack has watched.
    """
    for stack in stacks:
        stack.plan(video)  # before anything is downloaded
    for stack in stacks:
        try:
            prepare([component for _, component in stack.components()])
        except UnavailableError as error:
            raise UnavailableError(f"{stack.name}: {error}") from None
    with _one_pool(stacks):
        for turn in _turns(stacks):
            yield from _take_turn(video, questions, [(number, stacks[number]) for number in turn])


@contextmanager
def _one_pool(stacks: Sequence[Stack]) -> Iterator[None]:
    """Let stacks for the same device share a pool, so that what two of them need is loaded once."""
    own = [stack.pool for stack in stacks]
    shared = {pool.wanted: Pool(pool.wanted) for pool in own}
    try:
        for stack in stacks:
            stack.pool = shared[stack.pool.wanted]
        yield
    finally:
        for stack, pool in zip(stacks, own, strict=True):
            stack.pool = pool


def _turns(stacks: Sequence[Stack]) -> list[list[int]]:
    """Return the stacks' numbers, those together whose language models are one; as they were given otherwise."""
    turns: dict[Hashable, list[int]] = {}
    for number, stack in enumerate(stacks):
        turns.setdefault(_model_of(stack), []).append(number)
    return list(turns.values())


def _model_of(stack: Stack) -> Hashable:
    """Return what tells apart the models that language models load; None for all that load none."""
    llm, pool = stack.llm, stack.pool
    if not (weights := checkpoints([llm])):
        return None
    how = (getattr(llm.options, name, "") for name in ("quantisation", "device"))  # as a `pool.Key` has them
    return type(llm), frozenset(weights), llm.precision(pool), *how, pool.wanted


def _take_turn(video: Path, questions: Sequence[str], turn: Sequence[tuple[int, Stack]]) -> Iterator[Row]:
    contexts: dict[int, tuple[Context, Watched]] = {}
    try:
        for i, (number, stack) in enumerate(turn):
            try:
                contexts[number] = _watch(stack, video)
            except VideoChatError as error:
                yield from _failed(questions, number, stack, Watched(), error)
            following = [part for _, other in turn[i + 1 : i + 2] for _, part in other.components()]
            stack.pool.trim(checkpoints([*following, stack.llm]))
        for number, stack in turn:
            if number in contexts:
                yield from _ask(*contexts[number], questions, number, stack)
                stack.llm.close()  # and what it remembers of the talk; the model stays in the pool
    finally:
        for _, stack in turn:
            stack.close()


def _watch(stack: Stack, video: Path) -> tuple[Context, Watched]:
    began = perf_counter()
    with peak() as memory:
        context = stack.watch(video)
    seconds = perf_counter() - began
    return context, Watched(seconds, memory, sum(1 for _ in context.lines()), context.faults)


def _ask(context: Context, watched: Watched, questions: Sequence[str], number: int, stack: Stack) -> Iterator[Row]:
    name, total = stack.name, len(questions)
    try:
        registry().observe(Event("llm", name, 0, total, detail="loading"))
        chat = stack.chat(context)
    except VideoChatError as error:
        yield from _failed(questions, number, stack, watched, error)
        return
    for i, question in enumerate(questions):
        registry().observe(Event("llm", name, i, total, detail="answering"))
        chat.history.clear()  # each question is the first
        answer, failure = Answer(question, iter(())), None
        with peak() as memory:
            try:
                answer = chat.ask(question)
                for _ in answer:
                    pass
            except VideoChatError as error:
                failure = error
        yield Row(
            place=(i, number),
            question=question,
            stack=name,
            watched=watched,
            answer=answer.text,
            citations=answer.citations,
            usage=answer.usage,
            visual=answer.visual,
            first=answer.first,
            seconds=answer.seconds,
            peak=memory,
            finish=answer.finish,
            left_out=answer.left_out,
            error=failure,
        )
    registry().observe(Event("llm", name, total, total))


def _failed(
    questions: Sequence[str], number: int, stack: Stack, watched: Watched, error: VideoChatError
) -> Iterator[Row]:
    """Yield the rows of a stack that cannot answer at all."""
    for i, question in enumerate(questions):
        yield Row((i, number), question, stack.name, watched, error=error)
