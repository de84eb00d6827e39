"""Makes training data of many videos: one thread watches, several ask the language model and write down.

A stack is watched with by one thread only. A language model that works here is asked once all videos are watched, so
that perceivers and it need not be held at once.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from videochat import LLM, Event, LLMError, Stack, StackError, VideoChatError, VideoError
from videochat.cache import digest, identity
from videochat.context import Fault
from videochat.errors import UnreachableError
from videochat.extras import prepare
from videochat.registry import registry
from videochat_plugins.learn.asking import alone, ask_all, loaded
from videochat_plugins.learn.instruct_parts import Entry, Parts, Piece
from videochat_plugins.learn.instruct_prompts import Prompts, Shown
from videochat_plugins.learn.instruct_shown import asks, show
from videochat_plugins.learn.instruct_sources import Source
from videochat_plugins.learn.instruct_write import Cost, Rejected, write

VERSION = 1  # raised when the same stack, model and prompts make something else
AHEAD = 4  # pieces that may wait for each thread that asks


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be made of one video."""

    source: Source
    make: tuple[str, ...]
    shown: Shown = field(default_factory=lambda: Shown("", "", 0.0))
    faulty: bool = False


@dataclass
class Outcome:
    """What a run did."""

    costs: dict[str, Cost] = field(default_factory=dict)  # by what was made
    failed: list[tuple[Source, str, VideoChatError]] = field(default_factory=list)  # with what was to be made
    faults: list[tuple[Source, Fault]] = field(default_factory=list)  # of perceivers
    unreached: UnreachableError | None = None  # why it ended early
    before: int = 0  # pieces of earlier runs
    watching: float = 0.0  # seconds
    seconds: float = 0.0


class Making:
    """One way to make training data: a stack, its language model, the prompts.

    Args:
        stack: what watches and writes.
        prompts: the paper's tables.
        make: "descriptions", "conversations", "captions".
        seed: of the instructions that are drawn.
    """

    def __init__(self, stack: Stack, prompts: Prompts, make: Sequence[str], seed: int) -> None:
        self.stack, self.prompts, self.make, self.seed = stack, prompts, tuple(make), seed
        self.identify()

    def identify(self) -> None:
        """Take down what decides the pieces; once more after a download, which tells which revision came."""
        stack = self.stack
        seen = {place: identity(part, stack.pool) for place, part in stack.components() if place != "llm"}
        self._seen = digest({"seen": seen, "fence": stack.fence})
        self._asked = digest({"llm": identity(stack.llm, stack.pool)})

    def key(self, source: Source, make: str) -> str:
        """Return what stands for all that decides a piece."""
        asked = "" if make == "captions" else self._asked
        return digest([VERSION, source.hash, make, self._seen, self.prompts.digest(make), asked])

    def missing(self, source: Source, parts: Parts) -> tuple[str, ...]:
        """Return what is not made of a video yet, was made while perceivers faulted, or is to be made again."""
        found = {make: parts.pieces.get(self.key(source, make)) for make in self.make}
        return tuple(
            make for make, piece in found.items() if piece is None or piece.faulty or piece.key in parts.retried
        )

    def todo(self, sources: Sequence[Source], parts: Parts, retry: bool = False) -> list[Task]:
        """Return the videos of which something is missing; with `retry`, what is set aside is missing too."""
        if retry:
            parts.retry_aside(self.entries(sources, parts))
        return [Task(source, missing) for source in sources if (missing := self.missing(source, parts))]

    def entries(self, sources: Sequence[Source], parts: Parts) -> Iterator[Entry]:
        """Yield what is made of videos, video by video, with instructions drawn."""
        for source in sources:
            for make in self.make:
                if piece := parts.pieces.get(self.key(source, make)):
                    yield Entry(source.name, self.prompts.instruction(make, self.seed, source.hash), piece)


def run(making: Making, sources: Sequence[Source], parts: Parts, jobs: int, retry: bool = False) -> Outcome:
    """Make what is missing, and add each piece to the parts as soon as it is there.

    What fails of one video is set aside, and the others go on; where no request gets to the server, none will.

    Args:
        making: what to make, and how.
        sources: the videos, each once.
        parts: where pieces go; the caller keeps other runs out.
        jobs: how many requests may be under way at once.
        retry: whether what was set aside counts as missing.

    Raises:
        UnavailableError: if a model cannot be had; nothing was watched then.
        LLMError: if the language model cannot be loaded.
    """
    began, stack = time.perf_counter(), making.stack
    if todo := making.todo(sources, parts, retry):
        talks = any(asks(task.make) for task in todo)
        prepare([part for _, part in stack.components() if talks or part is not stack.llm])
        making.identify()
        todo = making.todo(sources, parts, retry)
    talks = any(asks(task.make) for task in todo)
    total = sum(len(task.make) for task in todo)
    outcome = Outcome({make: Cost() for make in making.make}, before=len(sources) * len(making.make) - total)
    watched: Iterable[Task] = _watched(making, todo, outcome)
    try:
        if talks and alone(stack.llm):
            watched = list(watched)
        with loaded(stack, jobs) if talks else nullcontext([stack.llm]) as models:
            _make(making, watched, total, parts, models, outcome)
    except UnreachableError as error:
        outcome.unreached = error
    finally:
        stack.close()
    outcome.seconds = time.perf_counter() - began
    return outcome


def _watched(making: Making, todo: Sequence[Task], outcome: Outcome) -> Iterator[Task]:
    """Yield videos as they are watched, with what prompts tell of them."""
    for task in todo:
        began = time.perf_counter()
        try:
            context = making.stack.watch(task.source.path)
            outcome.faults += [(task.source, fault) for fault in context.faults]
            shown = show(context, making.stack.llm, making.prompts, making.make)
        except (VideoError, StackError) as error:  # of this video
            outcome.failed += [(task.source, make, error) for make in task.make]
            continue
        finally:
            outcome.watching += time.perf_counter() - began
        yield Task(task.source, task.make, shown, bool(context.faults))


def _make(
    making: Making, watched: Iterable[Task], total: int, parts: Parts, models: Sequence[LLM], outcome: Outcome
) -> None:
    """Ask for all pieces of watched videos; threads add them to the parts as they come."""
    begun: list[tuple[str, Cost]] = []
    unreached: list[UnreachableError] = []
    done = count(1)

    def wanted() -> Iterator[tuple[Task, str, Cost]]:
        for task in watched:
            for make in task.make:
                begun.append((make, Cost()))
                yield task, *begun[-1]

    def ask(model: LLM, one: tuple[Task, str, Cost]) -> LLMError | None:
        if unreached:
            return unreached[0]
        try:
            parts.add(_piece(model, making, *one))
        except UnreachableError as error:
            unreached.append(error)
            return error
        except LLMError as error:
            return error
        return None

    def tell(one: tuple[Task, str, Cost], error: LLMError | None) -> None:
        task, make, _ = one
        if isinstance(error, UnreachableError):
            raise error
        if error is not None:
            outcome.failed.append((task.source, make, error))
        registry().observe(Event("llm", "instruct", next(done), total))

    try:
        ask_all(models, wanted(), ask, tell, AHEAD)
    finally:
        for make, cost in begun:
            outcome.costs[make].add(cost)


def _piece(llm: LLM, making: Making, task: Task, make: str, cost: Cost) -> Piece:
    """Return one piece, made or set aside."""
    made = partial(Piece, making.key(task.source, make), make, faulty=task.faulty, left_out=task.shown.left_out)
    try:
        return made(rounds=write(llm, making.prompts, make, task.shown, cost))
    except Rejected as error:
        return made(reason=error.reason, raw=error.raw)
