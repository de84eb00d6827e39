"""Refiners run over the whole video from disk: cached by the chain before them, in order, in bounded memory."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components import Echo, Film, FilmReader, Passing, Seeing
from media import make
from videochat import Event, Pool, Record, Stack, UnavailableError, Window, hookimpl
from videochat.cache import root
from videochat.context import Fault
from videochat.plan import make_plan
from videochat.refine import refine
from videochat.registry import registry

Change = Callable[[Iterator[Record]], Iterator[Record]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=75, size=(64, 48)).path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    return root()


def stack(*changes: Change | None, words: tuple[str, ...] = (), perceive: Any = None) -> Stack:
    words = words or tuple("abcdef")
    refiners = {word: Passing(change, Passing.Options(word=word)) for word, change in zip(words, changes, strict=False)}
    return Stack(perceive=perceive or {"eye": Echo(fps=2)}, refine=refiners, device="cpu")


def calls(stack: Stack) -> list[int]:
    return [refiner.calls for refiner in stack.refiners.values() if isinstance(refiner, Passing)]


def shout(records: Iterator[Record]) -> Iterator[Record]:
    for record in records:
        yield replace(record, text=record.text.upper(), source="", parents=(record.id,))


def backwards(records: Iterator[Record]) -> Iterator[Record]:
    yield from reversed(list(records))


def fail_late(records: Iterator[Record]) -> Iterator[Record]:
    yield next(records)
    raise RuntimeError("lost\nthe thread")


def test_a_refiner_gets_all_in_order_and_signs_what_it_makes(clip: Path) -> None:
    given: list[Record] = []

    def note(records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            given.append(record)
            yield record

    parts = {"short": Echo(fps=4, over=0.5), "long": Echo(frames=1, over=1.5)}
    context = stack(note, shout, perceive=parts).watch(clip)
    assert [r.start for r in given] == [0.0, 0.0, 0.5, 1.0, 1.5, 1.5, 2.0, 2.5]
    assert {r.source for r in given} == {"short", "long"}
    assert [r.text for r in context.records] == [r.text.upper() for r in given]
    assert {r.source for r in context.records} == {"b"}
    assert [r.parents for r in context.records] == [(r.id,) for r in given]
    assert list(context.stages[0].records) == given


def test_records_that_leave_in_any_order_come_in_order(clip: Path) -> None:
    straight = list(stack().watch(clip).records)
    assert len(straight) == 3
    assert list(stack(backwards).watch(clip).records) == straight


def test_records_that_reach_back_into_a_lead_come_in_order(clip: Path) -> None:
    """Of each second, one perceiver tells what is in it and then what was in the one before."""

    def see(window: Window) -> list[Record]:
        return [
            Record("look", window.start + 0.5, window.end, f"now {window.start:g}"),
            Record("look", max(0.0, window.start - 1), window.start, f"past {window.start:g}"),
        ]

    parts = {"back": Seeing(see, fps=2, lead=1.0, over=1.0), "eye": Echo(fps=2, over=1.0)}
    records = stack(perceive=parts).watch(clip).records
    told = ["past 0", "past 1", "saw", "now 0", "past 2", "saw", "now 1", "saw", "now 2"]
    assert [record.text if record.source == "back" else "saw" for record in records] == told


def test_a_stretch_holds_nothing_that_ended_before_it(clip: Path) -> None:
    def see(window: Window) -> list[Record]:
        spans = {"gone": (0.2, 0.9), "just gone": (0.5, 1.0), "goes on": (0.5, 1.5), "at once": (1.0, 1.0)}
        return [Record("look", *span, name) for name, span in spans.items()]

    def watched(start: float, at: float | None = None) -> list[tuple[str, float, float]]:
        made = stack(perceive={"eye": Seeing(see, frames=2, lead=1.0, over=1.0)})
        return [(r.text, r.start, r.end) for r in made.watch(clip, start, start + 0.5, at).records]

    assert watched(1.0) == [("goes on", 1.0, 1.5), ("at once", 1.0, 1.0)]
    assert watched(1.0, at=1.2) == [("at once", 1.0, 1.0)]
    assert [text for text, *_ in watched(0.2)] == ["gone", "just gone", "goes on", "at once"]


def test_records_of_one_moment_keep_the_order_that_they_came_in(clip: Path) -> None:
    def many(records: Iterator[Record]) -> Iterator[Record]:
        yield from (Record("look", float(i % 3), 3.0, f"{i}") for i in range(300))

    due = [str(i) for start in range(3) for i in range(start, 300, 3)]
    assert [record.text for record in stack(many).watch(clip).records] == due


def test_a_chain_is_cached_link_by_link(clip: Path) -> None:
    first = stack(None, shout, None, words=("a", "b", "c"))
    records = list(first.watch(clip).records)
    again = stack(None, shout, None, words=("a", "b", "c"))
    assert list(again.watch(clip).records) == records
    assert (calls(first), calls(again)) == ([1, 1, 1], [0, 0, 0])
    other_end = stack(None, shout, None, words=("a", "b", "z"))
    other_end.watch(clip)
    assert calls(other_end) == [0, 0, 1]
    other_start = stack(None, shout, None, words=("z", "b", "c"))
    other_start.watch(clip)
    assert calls(other_start) == [1, 1, 1]
    shorter = stack(None, words=("a",))
    shorter.watch(clip)
    assert calls(shorter) == [0]


def test_other_records_or_another_moment_are_another_key(clip: Path) -> None:
    stack(None).watch(clip)
    for watch in (
        lambda made: made.watch(clip, at=2.0),
        lambda made: made.watch(clip, at=1.0),
        lambda made: made.watch(clip, start=1.0),
    ):
        made = stack(None)
        watch(made)
        assert calls(made) == [1]
    changed = stack(None, perceive={"eye": Echo(fps=2, word="heard")})
    assert all(record.text.startswith("heard") for record in changed.watch(clip).records)


def test_a_refiner_that_fails_is_a_fault_and_not_cached(clip: Path, cache: Path) -> None:
    broken = stack(shout, fail_late, None)
    context = broken.watch(clip)
    assert context.faults == (Fault("b", 0.0, 3.0, "RuntimeError: lost the thread"),)
    assert {r.source for r in context.records} == {"a"}
    assert len(context.records) == 3, "they pass on as they were before it"
    assert not [path for path in cache.rglob("*") if path.name.startswith((".part", ".loose"))]
    again = stack(shout, fail_late, None)
    assert again.watch(clip).faults == context.faults
    assert calls(again) == [0, 1, 0]
    mended = stack(shout, None, None)
    assert mended.watch(clip).faults == ()
    assert calls(mended) == [0, 1, 1]


@pytest.mark.parametrize("junk", [None, "words", 3])
def test_a_refiner_that_gives_no_records_is_a_fault(clip: Path, junk: Any) -> None:
    context = stack(lambda records: iter([junk])).watch(clip)
    assert [fault.source for fault in context.faults] == ["a"]
    assert len(context.records) == 3


def test_a_refiner_whose_model_cannot_be_had_ends_it(clip: Path) -> None:
    class Missing(Passing):
        def load(self, pool: Pool) -> None:
            raise UnavailableError("the model cannot be had")

    eye = Echo(fps=2)
    with pytest.raises(UnavailableError):
        Stack(perceive={"eye": eye}, refine={"none": Missing()}, device="cpu").watch(clip)
    again = Echo(fps=2)
    Stack(perceive={"eye": again}, device="cpu").watch(clip)
    assert again.spans == [], "what was perceived is kept"


def test_windows_that_failed_are_no_part_of_the_key_later(clip: Path) -> None:
    """What was refined while a window was missing is not taken for the whole."""
    gone = {1.0}

    def see(window: Window) -> list[Record]:
        if window.start in gone:
            raise RuntimeError("not now")
        return [Record("look", window.start, window.end, "seen")]

    made = stack(None, perceive={"eye": Seeing(see, fps=2)})
    assert len(made.watch(clip).records) == 2
    gone.clear()
    assert len(made.watch(clip).records) == 3
    assert calls(made) == [2]


def test_the_ledger_and_the_events_of_a_refiner(clip: Path) -> None:
    heard: list[Event] = []

    class Observer:
        @hookimpl
        def observe(self, event: Event) -> None:
            heard.append(event)

    observer = Observer()
    registry().manager.register(observer)
    try:
        context = stack(shout).watch(clip)
    finally:
        registry().manager.unregister(observer)
    (cost,) = (cost for cost in context.ledger if cost.name == "a")
    assert (cost.windows, cost.cached) == (1, 0)
    assert [(e.done, e.total) for e in heard if e.stage == "refine"] == [(3, 3)]


def test_a_long_film_takes_no_memory(tmp_path: Path) -> None:
    count, a_window = 10_000, 100
    film = Film([0.0], float(count))
    (tmp_path / "film").write_bytes(b"film")
    eye = Echo(frames=1, over=float(a_window))
    made = Stack(read=FilmReader(film), perceive={"eye": eye}, refine={"a": Passing()}, device="cpu")
    plan = make_plan(made, tmp_path / "film")
    (task,) = plan.tasks
    for span in task.spans:
        task.store.append([(span, [Record("look", span.start + i, span.end, f"line {i}") for i in range(a_window)])])
    assert task.missing == []
    small = peak(lambda: [sum(1 for _ in stage.records) for stage in refine(plan, [], [])])
    whole = peak(lambda: [list(stage.records) for stage in refine(plan, [], [])[-1:]])
    assert len(refine(plan, [], [])[-1].records) == count
    assert whole > 4 * 2**20
    assert small < whole / 4


def peak(work: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
