"""Watching: decode once, perceive in batches, keep what is finished.

The decoder runs in one thread and the perceivers of each device in another, so that they overlap; the caller's thread
writes what is finished to the cache and tells the observers. Stopped at any moment, a watch leaves whole windows, and
the next one goes on from there.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from videochat.component import checkpoints
from videochat.context import Context, Cost, Fault
from videochat.errors import VideoChatError, VideoError
from videochat.extras import prepare, require
from videochat.hookspecs import Event
from videochat.perceive import Result, perceive
from videochat.plan import Plan, Task, make_plan
from videochat.refine import refine
from videochat.registry import registry
from videochat.residency import fit, free_bytes
from videochat.segments import find_segments, known_segments, segments_file
from videochat.window import Span

if TYPE_CHECKING:
    from videochat.stack import Stack


def watch(
    stack: "Stack", path: Path, start: float | None = None, end: float | None = None, at: float | None = None
) -> Context:
    """Perceive a video, or as much of it as the cache does not hold.

    Args:
        stack: what to do.
        path: the video.
        start: seconds of media time from which to watch.
        end: seconds up to which to watch.
        at: a moment, in seconds: the context holds only records that had ended by then.

    Raises:
        VideoError: if the video cannot be read.
        ValueError: if a time is not a number.
        StackError: if the stretch is empty, a perceiver asks for more than a window may hold, or makes embeddings that
            the language model cannot read.
        UnavailableError: if an extra or a model cannot be had; nothing has been decoded then.
    """
    if any(time is not None and math.isnan(time) for time in (start, end, at)):
        raise ValueError(f"times are seconds, not {start!r}, {end!r}, {at!r}")
    parts = [component for _, component in stack.components() if component is not stack.llm]
    require(parts)
    stack.reader.probe(path)  # for a file that cannot be read nothing is downloaded
    prepare(parts)
    stack.check_reach()
    plan = make_plan(stack, path, start, end, at)
    if plan.segments is None:
        with _locked({segments_file(stack, plan.video).parent: Event("segment", "segment")}):
            if known_segments(stack, plan.video) is None:  # another process may have been here
                find_segments(stack, plan.video)
        plan = make_plan(stack, path, start, end, at)
    ledger = {task.name: Cost(task.name, cached=task.cached) for task in plan.tasks}
    faults: list[Fault] = []
    blind: list[Span] = []
    # Two alike share their windows: the first does the work.
    first = {task.store.folder: task for task in reversed(plan.tasks)}
    with _locked({folder: Event("perceive", task.name) for folder, task in first.items() if task.missing}):
        for task in plan.tasks:
            task.store.refresh()  # another process may have been here while this one waited
            ledger[task.name].cached = task.cached
        free = cache(free_bytes)  # as it is before anything is loaded
        everyone = [*stack.perceivers.values(), *stack.refiners.values()]
        stays = not plan.loads or fit(stack, everyone, free)  # for the next video
        groups = [[task for task in plan.tasks if task.missing]] if stays else plan.groups(free)
        for i, group in enumerate(groups, start=1):
            _run(plan, [task for task in group if first[task.store.folder] is task], ledger, faults, blind)
            later = [task.perceiver for group in groups[i:] for task in group]
            if not stays:
                stack.pool.trim(checkpoints([*later, *stack.refiners.values(), stack.llm]))
    if blind and not faults and not any(cost.windows or cost.cached for cost in ledger.values()):
        raise VideoError(f"{plan.video.path}: nothing could be decoded: the file is damaged")
    for task in plan.tasks:
        if (twin := first[task.store.folder]) is not task:
            task.store.refresh()
            ledger[task.name].cached = task.cached
            faults += [replace(fault, source=task.name) for fault in faults if fault.source == twin.name]
    faults.extend(_blind_stretches(blind))
    costs = list(ledger.values())
    stages = refine(plan, faults, costs)
    if not stays:
        stack.pool.trim(checkpoints([stack.llm]))
    segments = plan.segments or ()
    records = stages[-1].records
    return Context(stack, plan.video, plan.span, segments, records, tuple(faults), tuple(costs), tuple(stages), at)


def _run(plan: Plan, group: Sequence[Task], ledger: dict[str, Cost], faults: list[Fault], blind: list[Span]) -> None:
    """Perceive the missing windows of a group of tasks whose models fit together."""
    pool = plan.stack.pool
    ready: list[Task] = []
    try:
        for task in group:
            registry().observe(
                Event("perceive", task.name, ledger[task.name].cached, len(task.spans), detail="loading")
            )
            try:
                task.perceiver.load(pool)
                ready.append(task)
            except VideoChatError:
                raise
            except Exception as error:  # a stranger's plugin may raise anything
                faults.append(Fault.of(task.name, plan.span, error))
        with closing(perceive(plan.stack.reader, plan.video, ready)) as results:
            for result in results:
                _keep(result, ledger[result.task.name], faults, blind)
    finally:
        for task in group:
            ledger[task.name].notes += task.perceiver.notes
            task.perceiver.close()


def _keep(result: Result, cost: Cost, faults: list[Fault], blind: list[Span]) -> None:
    task = result.task
    if result.blind:
        blind.append(result.blind)
        return
    if result.done:
        task.store.append(result.done)
    faults.extend(result.faults)
    cost.seconds += result.seconds
    cost.windows += len(result.done)
    cost.batches += 1
    cost.frames += result.frames
    cost.bytes += result.bytes
    cost.tokens += sum(r.tokens.shape[0] for _, records in result.done for r in records if r.tokens is not None)
    done = cost.cached + cost.windows
    for fault in result.faults:
        span = Span(fault.start, fault.end)
        registry().observe(Event("perceive", task.name, done, len(task.spans), span, detail=fault))
    last = result.done[-1][0] if result.done else None
    registry().observe(Event("perceive", task.name, done, len(task.spans), last))


def _blind_stretches(spans: Sequence[Span]) -> Iterator[Fault]:
    """Yield one fault for each stretch of windows that the file had nothing for."""
    start, end = 0.0, -1.0
    for span in [*sorted(set(spans)), None]:
        if span is not None and start <= end and span.start <= end + 1e-6:
            end = max(end, span.end)
            continue
        if start <= end:
            yield Fault("read", start, end, "nothing could be decoded there: the file ends early or is damaged")
        if span is not None:
            start, end = span


@contextmanager
def _locked(parts: Mapping[Path, Event]) -> Iterator[None]:
    """Hold the locks of the parts of the cache that will be written, taken in one order by all processes.

    Where another process holds one, the event that stands with it says that this one waits.
    """
    with ExitStack() as held:
        for folder, event in sorted(parts.items(), key=itemgetter(0)):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / ".lock")
            try:
                held.enter_context(lock.acquire(timeout=0.2))
            except Timeout:
                detail = "waiting for another process that watches this video"
                registry().observe(replace(event, detail=detail))
                held.enter_context(lock)
        yield
