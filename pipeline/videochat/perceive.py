"""Runs perceivers over windows as they are decoded (Eq. 1): the decoder in one thread, and one more for each device.

Perceivers on one device take turns: two at once would only wait for each other, and hold memory while they do.
"""

import queue
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from videochat.component import Reader
from videochat.context import Fault
from videochat.plan import Task
from videochat.record import Box, Record
from videochat.schedule import windows
from videochat.video import Video
from videochat.window import Span, Window

BATCH_LIMIT = 64 * 2**20  # bytes after which a batch goes, however few its windows


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What came of one batch of windows."""

    task: Task
    done: Sequence[tuple[Span, Sequence[Record]]] = ()
    faults: Sequence[Fault] = ()
    blind: Span | None = None  # a window that the file had nothing for
    seconds: float = 0.0
    frames: int = 0
    bytes: int = 0


Batch = tuple[Task, list[Window]]
T = TypeVar("T")


class _Stopped(Exception):
    """The consumer has gone."""


def perceive(reader: Reader, video: Video, tasks: Sequence[Task]) -> Generator[Result]:
    """Yield the results of the tasks' missing windows, batch by batch; all windows are read in one pass.

    Closing the generator stops the work after the batch in hand.

    Raises:
        VideoError: if nothing can be decoded.
    """
    results: queue.Queue[Result | BaseException | None] = queue.Queue(maxsize=16)
    devices = {task.perceiver.device for task in tasks}
    work: dict[str, queue.Queue[Batch | None]] = {device: queue.Queue(maxsize=2) for device in devices}
    stop = threading.Event()

    def put(line: "queue.Queue[T]", item: T) -> None:
        while True:
            if stop.is_set():
                raise _Stopped
            try:
                return line.put(item, timeout=0.1)
            except queue.Full:
                continue

    def decode() -> None:
        try:
            waiting: dict[str, list[Window]] = {task.name: [] for task in tasks}
            for task, span, window in windows(reader, video, tasks):
                if window is None:
                    put(results, Result(task, blind=span))
                    continue
                batch = waiting[task.name]
                batch.append(window)
                if len(batch) >= task.perceiver.batch or sum(w.nbytes for w in batch) >= BATCH_LIMIT:
                    waiting[task.name] = []
                    put(work[task.perceiver.device], (task, batch))
            for task in tasks:
                if waiting[task.name]:
                    put(work[task.perceiver.device], (task, waiting[task.name]))
            for line in work.values():
                put(line, None)
        except _Stopped:
            pass
        except BaseException as error:  # goes to the caller's thread, which raises it there
            with suppress(_Stopped):
                put(results, error)

    def work_off(line: "queue.Queue[Batch | None]") -> None:
        try:
            while not stop.is_set() and (batch := line.get()) is not None:
                put(results, _perceive_batch(*batch))
            put(results, None)
        except _Stopped:
            pass
        except BaseException as error:
            with suppress(_Stopped):
                put(results, error)

    threads = [threading.Thread(target=decode, daemon=True, name="decode")]
    threads += [threading.Thread(target=work_off, args=(work[name],), daemon=True, name=name) for name in devices]
    at_work = len(devices)
    for thread in threads:
        thread.start()
    try:
        while at_work:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            if result is None:
                at_work -= 1
            else:
                yield result
    finally:
        stop.set()
        for line in work.values():
            _empty(line)
        for thread in threads:
            thread.join(timeout=10)


def _empty(work: "queue.Queue[Batch | None]") -> None:
    """Throw away what is queued and let a worker that waits for more see the end."""
    try:
        while True:
            work.get_nowait()
    except queue.Empty:
        work.put(None)


def _perceive_batch(task: Task, batch: Sequence[Window]) -> Result:
    """Perceive a batch; where that fails, each window by itself, so that only those at fault are lost."""
    began = time.perf_counter()
    faults: list[Fault] = []
    try:
        done = _perceive(task, batch)
    except Exception as error:  # a stranger's plugin may raise anything
        done = []
        for window in batch if len(batch) > 1 else ():
            try:
                done += _perceive(task, [window])
            except Exception as alone:
                faults.append(Fault.of(task.name, window.span, alone))
        if len(batch) == 1:
            faults.append(Fault.of(task.name, batch[0].span, error))
    frames = sum(len(window.frames) for window in batch)
    size = sum(window.nbytes for window in batch)
    return Result(task, done, faults, None, time.perf_counter() - began, frames, size)


def _perceive(task: Task, batch: Sequence[Window]) -> list[tuple[Span, Sequence[Record]]]:
    lists = [list(records) for records in task.perceiver.perceive(batch)]
    if len(lists) != len(batch):
        raise ValueError(f"gave {len(lists)} lists of records for {len(batch)} windows")
    done: list[tuple[Span, Sequence[Record]]] = []
    for window, records in zip(batch, lists, strict=True):
        fitted = sorted((_fit(task, window, record) for record in records), key=lambda r: (r.start, r.end))
        done.append((window.span, fitted))
    return done


def _fit(task: Task, window: Window, record: Record) -> Record:
    """Bring a record into the source's terms: clip its times to the window and its lead, map its box, fill in `times`.

    Raises:
        ValueError, TypeError: if it is of another kind than the perceiver emits, or cannot be kept.
    """
    if record.kind not in task.perceiver.emits:
        allowed = ", ".join(sorted(task.perceiver.emits))
        raise ValueError(f"gave a record of kind {record.kind!r}, but emits only {allowed}")
    start = min(max(record.start, window.start - task.sampling.lead, 0.0), window.end)
    end = min(max(record.end, start), window.end)
    box = record.box
    if box is not None and window.frames:
        height, width = window.frames[-1].image.shape[:2]
        x, y = window.video.width / width, window.video.height / height
        box = Box(box.x1 * x, box.y1 * y, box.x2 * x, box.y2 * y)
    times = record.times or tuple(t for t in window.times if start - 1e-6 <= t <= end + 1e-6) or window.times
    tokens = None if record.tokens is None else np.asarray(record.tokens)  # off the GPU, if they are on one
    if tokens is not None and tokens.dtype.kind not in "fiu":
        raise ValueError(f"gave tokens of type {tokens.dtype}, which are no numbers that can be kept")
    return replace(record, start=start, end=end, box=box, times=times, tokens=tokens)
