"""Asks one language model many things: several at once where others do the work, one after the other where it is here.

Who asks a server mostly waits, so several threads ask at once, each with a copy of the backend of its own. A model that
loads weights is one and answers one request after the other; one that repeats what it is shown has nothing to wait for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

from videochat import LLM, LLMError, Pool, Stack, VideoChatError
from videochat.component import checkpoints
from videochat.registry import registry

Task = TypeVar("Task")
Result = TypeVar("Result")

QUOTING = ("extractive", "echo")  # language models that repeat what they are shown


def alone(llm: LLM) -> bool:
    """Return whether a language model is asked one thing at a time, since it works on this machine."""
    return bool(checkpoints([llm])) or registry().name_of(type(llm)) in QUOTING


@contextmanager
def loaded(stack: Stack, jobs: int) -> Iterator[Sequence[LLM]]:
    """Load a stack's language model, and give as many of it as may be asked at once: itself, or copies.

    Where it is alone, what perceived must have done its work, and makes room for it.

    Raises:
        UnavailableError: if it cannot be had.
        LLMError: if it does not load.
    """
    llm = stack.llm
    copies = [] if alone(llm) else [type(llm)(llm.options) for _ in range(jobs)]
    if not copies:
        stack.pool.trim(checkpoints([llm]))
    try:
        for model in copies or [llm]:
            load(model, stack.pool)
        yield copies or [llm]
    finally:
        for copy in copies:
            copy.close()


def load(llm: LLM, pool: Pool) -> None:
    """Load a language model.

    Raises:
        UnavailableError: if it cannot be had.
        LLMError: if it does not load.
    """
    try:
        llm.load(pool)
    except VideoChatError:
        raise
    except Exception as error:  # a stranger's backend may raise anything
        raise LLMError(f"the language model failed: {type(error).__name__}: {error}") from error


def ask_all(
    models: Sequence[LLM],
    tasks: Iterable[Task],
    ask: Callable[[LLM, Task], Result],
    tell: Callable[[Task, Result], None],
    ahead: int = 1,
) -> None:
    """Ask all, as many at once as there are models.

    What is being answered when this ends early, by an error or with Ctrl-C, is answered to its end: it is paid for.

    Args:
        models: loaded; each is used by one thread at a time.
        tasks: drawn on this thread while others are under way.
        ask: does a task with a model, on a thread of its own, and keeps what came of it.
        tell: hears on this thread of each task that is done, in the order in which they get done.
        ahead: tasks for each model that may be under way or wait: with 1, none is drawn before a model is free.

    Raises:
        Whatever these raise.
    """
    free: SimpleQueue[LLM] = SimpleQueue()
    for model in models:
        free.put(model)
    waiting: dict[Future[Result], Task] = {}

    def work(task: Task) -> Result:
        model = free.get()
        try:
            return ask(model, task)
        finally:
            free.put(model)

    def collect(finished: Iterable[Future[Result]]) -> None:
        for future in finished:
            tell(waiting.pop(future), future.result())

    pool = ThreadPoolExecutor(len(models), "asking")
    try:
        for task in tasks:
            waiting[pool.submit(work, task)] = task
            collect([future for future in waiting if future.done()])
            while len(waiting) >= ahead * len(models):
                collect(wait(waiting, return_when=FIRST_COMPLETED).done)
        while waiting:
            collect(wait(waiting, return_when=FIRST_COMPLETED).done)
    finally:
        pool.shutdown(cancel_futures=True)
