"""From what the perceivers found to the records of the context: all in time order, and the refiners over them.

Each refiner reads the whole video as a stream from disk and its result goes to disk, so a film takes no more memory
than a clip, and a refiner may let records go in any order.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from videochat.component import Refiner
from videochat.context import Cost, Fault, Stage
from videochat.errors import VideoChatError
from videochat.hookspecs import Event
from videochat.plan import Plan
from videochat.record import Record
from videochat.registry import registry
from videochat.spool import RecordFile
from videochat.window import Span


def merge(plan: Plan) -> Iterator[Record]:
    """Yield what all perceivers found in the stretch that is asked for; of a moment, only what had ended by then.

    They come perceiver by perceiver, window by window, and `RecordFile.write` puts them in time order: a record may
    reach back into its window's lead, so it may begin before the last one of the window before.
    """
    begin, at = plan.span.start, plan.at
    for task in plan.tasks:
        for record in task.store.read(task.spans, task.name):
            if (record.start < begin and record.end <= begin) or (at is not None and record.end > at + 1e-9):
                continue
            yield record if record.start >= begin else replace(record, start=begin)


def refine(plan: Plan, faults: list[Fault], ledger: list[Cost]) -> list[Stage]:
    """Return what was found and, for each refiner that worked, the records after it; the last are the context's.

    What the cache has is taken from there.

    A refiner that raises becomes a fault, and the records pass on as they were before it.

    Raises:
        UnavailableError: if a refiner's model cannot be had.
    """
    key = plan.perceived
    file = plan.folder / key / "records.jsonl"
    stages = [Stage("", RecordFile(file) if file.exists() else RecordFile.write(file, merge(plan)))]
    for name, refiner in plan.stack.refiners.items():
        cost = Cost(name)
        ledger.append(cost)
        next_key = plan.refined(key, name)
        file = plan.folder / next_key / "records.jsonl"
        if file.exists():
            key, cost.cached = next_key, 1
            stages.append(Stage(name, RecordFile(file)))
            continue
        began = time.perf_counter()
        try:
            refiner.load(plan.stack.pool)
            refiner.at = plan.at
            refined = _through(refiner, name, stages[-1].records, plan.span)
            stages.append(Stage(name, RecordFile.write(file, refined)))
            key = next_key
        except VideoChatError:
            raise
        except Exception as error:  # a stranger's plugin may raise anything
            faults.append(Fault.of(name, plan.span, error))
        finally:
            cost.notes += refiner.notes
            refiner.close()
            cost.seconds, cost.windows = time.perf_counter() - began, 1
    return stages


def _through(refiner: Refiner, name: str, records: Iterable[Record], span: Span) -> Iterator[Record]:
    """Yield what a refiner makes, its name and its times brought into order.

    Raises:
        ValueError: if it makes a kind that it does not emit.
    """
    kinds = set(refiner.emits)

    def given() -> Iterator[Record]:
        for record in records:
            kinds.add(record.kind)  # what came in may go out
            yield record

    count = 0
    for count, record in enumerate(refiner.refine(given()), start=1):
        if record.kind not in kinds:
            allowed = ", ".join(sorted(refiner.emits))
            raise ValueError(f"gave a record of kind {record.kind!r}, but emits only {allowed}")
        start = min(max(record.start, span.start), span.end)
        end = min(max(record.end, start), span.end)
        if not record.source or (start, end) != (record.start, record.end):
            record = replace(record, source=record.source or name, start=start, end=end)
        yield record
        if count % 100 == 0:
            registry().observe(Event("refine", name, count))
    registry().observe(Event("refine", name, count, count))
