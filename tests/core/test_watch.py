"""Watching real files through the real reader: the same records however it runs, events, ledger, stretches, moments."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components import Counting, Echo, Embedding, Looking, Passing, Slow, Weighty
from media import make
from speakers import Talker
from videochat import Event, Key, Pool, Record, Span, Stack, StackError, Weights, hookimpl
from videochat.cache import root
from videochat.plan import make_plan
from videochat.registry import registry


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of pictures with sound."""
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=100, size=(64, 48), tone=300.0).path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    return root()


@pytest.fixture
def events() -> Iterator[list[tuple[int, Event]]]:
    """Every event, with the thread that it came from."""
    heard: list[tuple[int, Event]] = []

    class Observer:
        @hookimpl
        def observe(self, event: Event) -> None:
            heard.append((threading.get_ident(), event))

    observer = Observer()
    registry().manager.register(observer)
    yield heard
    registry().manager.unregister(observer)


def stack(**values: Any) -> Stack:
    return Stack(**{"device": "cpu", **values})


def says(records: Any) -> list[tuple[str, float, float, str]]:
    return [(r.source, r.start, r.end, r.text) for r in records]


def test_records_come_in_order_of_time_with_their_source(clip: Path) -> None:
    eye, ear = Echo(fps=5, side=24), Echo(audio_rate=8000, over=2.0)
    context = stack(perceive={"eye": eye, "ear": ear}).watch(clip)
    assert [(r.source, r.start, r.end) for r in context.records] == [
        ("eye", 0, 1), ("ear", 0, 2), ("eye", 1, 2), ("eye", 2, 3), ("ear", 2, pytest.approx(4, abs=0.03)),
        ("eye", 3, 4), *([("eye", 4, context.video.duration)] if context.video.duration > 4 else []),
    ]  # fmt: skip
    assert context.records[0].times == (0.0, 0.2, 0.4, 0.6, 0.8)
    assert "5 frames, 0 samples" in context.records[0].text
    assert "0 frames, 16000 samples" in context.records[1].text
    assert context.faults == ()
    assert context.span == (0, context.video.duration)
    assert len(context.segments) == len(eye.spans)
    assert eye.loads == eye.closes == 1


@pytest.mark.parametrize("pace", [0.0, 0.004])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batches_and_pace_change_nothing(clip: Path, tmp_path: Path, batch: int, pace: float) -> None:
    def watch(batch: int, pace: float) -> list[Record]:
        parts = {
            "a": Slow(pace, fps=5, lead=0.5, batch=batch),
            "b": Echo(frames=3, side=24, over=0.7, batch=batch),
            "c": Slow(pace / 2, audio_rate=16000, fps=2, over="video"),
        }
        return list(stack(perceive=parts).watch(clip).records)

    found = watch(batch, pace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "other"))
        assert watch(2, 0.001) == found
    assert len(found) >= 11


def test_a_second_watch_perceives_and_decodes_nothing(clip: Path) -> None:
    def watch() -> tuple[Echo, Passing, Counting, Any]:
        eye, refiner, reader = Echo(fps=5, audio_rate=8000), Passing(), Counting()
        context = stack(read=reader, perceive={"eye": eye}, refine={"pass": refiner}).watch(clip)
        return eye, refiner, reader, context

    eye, refiner, reader, first = watch()
    assert reader.frames_given == 5 * len(eye.spans) - 5 + len(first.records[-1].times)
    assert reader.passes == 1
    assert reader.chunks_given >= 4
    assert refiner.calls == 1
    again, refiner, reader, second = watch()
    assert again.spans == []
    assert again.loads == 0
    assert refiner.calls == reader.passes == reader.frames_given == reader.chunks_given == 0
    assert list(second.records) == list(first.records)
    cost = second.ledger[0]
    assert (cost.cached, cost.windows, cost.frames, cost.batches, cost.bytes) == (len(eye.spans), 0, 0, 0, 0)
    assert second.ledger[1].cached == 1


def test_what_the_cache_has_needs_no_torch(clip: Path) -> None:
    code = """
import sys
from components import Weighty
from videochat import Stack
Stack(perceive={"it": Weighty(5, fps=1)}, segment={"use": "fixed", "seconds": 1}).watch(sys.argv[1])
assert "torch" not in sys.modules
"""
    stack(perceive={"it": Weighty(5, fps=1)}, segment={"use": "fixed", "seconds": 1}).watch(clip)
    subprocess.run([sys.executable, "-c", code, str(clip)], cwd=Path(__file__).parents[1], check=True, timeout=60)


def test_models_that_stay_on_the_cpu_need_no_torch(clip: Path) -> None:
    pytest.importorskip("rapidocr", reason="the extra offline is not installed")
    code = """
import sys
import videochat
plan = videochat.load("offline").plan(sys.argv[1])
assert len(plan.loads) == 3, plan.loads
assert videochat.load("offline").watch(sys.argv[1]).faults == ()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(clip)], check=True, timeout=100)


def test_one_changed_option_runs_only_that_plugin_again(clip: Path) -> None:
    stack(perceive={"a": Echo(fps=2), "b": Echo(fps=2, side=24)}).watch(clip)
    a, b = Echo(fps=2), Echo(fps=2, side=24, word="heard")
    records = stack(perceive={"a": a, "b": b}).watch(clip).records
    assert a.spans == []
    assert len(b.spans) == len(records) / 2
    assert {r.text.split()[0] for r in records if r.source == "b"} == {"heard"}


def test_another_precision_is_another_result(clip: Path) -> None:

    class Precise(Echo):
        def precision(self, pool: Pool) -> str:
            return "float32" if pool.device == "cpu" else "bfloat16"

    first, again, other = (Precise(fps=2) for _ in range(3))
    stack(perceive={"it": first}).watch(clip)
    stack(perceive={"it": again}).watch(clip)
    stack(perceive={"it": other}, device="cuda").watch(clip)
    assert first.spans == other.spans
    assert again.spans == []


def test_a_new_version_of_a_plugin_is_another(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack(perceive={"a": Echo(fps=2)}).watch(clip)
    monkeypatch.setattr(Echo, "version", 2)
    again = Echo(fps=2)
    stack(perceive={"a": again}).watch(clip)
    assert again.spans


def test_stretches_share_the_windows_of_a_grid(clip: Path) -> None:
    first = Echo(fps=5, over=0.5)
    context = stack(perceive={"a": first}).watch(clip, start=1.0, end=2.5)
    assert first.spans == [(1.0, 1.5), (1.5, 2.0), (2.0, 2.5)]
    assert context.span == (1.0, 2.5)
    assert [r.start for r in context.records] == [1.0, 1.5, 2.0]
    wider = Echo(fps=5, over=0.5)
    stack(perceive={"a": wider}).watch(clip, start=0.75, end=3.0)
    assert wider.spans == [(0.75, 1.0), (2.5, 3.0)]
    whole = Echo(fps=5, over=0.5)
    full = stack(perceive={"a": whole}).watch(clip)
    assert Span(1.5, 2.0) not in whole.spans
    assert [r.start for r in full.records] == sorted(r.start for r in full.records)
    narrow = Echo(fps=5, over=0.5)
    again = stack(perceive={"a": narrow}).watch(clip, start=1.0, end=2.5)
    assert narrow.spans == []
    assert says(again.records) == says(context.records)


@pytest.mark.parametrize(("start", "end"), [(3.0, 2.0), (2.0, 2.0), (90.0, None), (0.0, -1.0)])
def test_an_empty_stretch_is_a_mistake(clip: Path, start: float, end: float | None) -> None:
    with pytest.raises(StackError, match="nothing lies from"):
        stack(perceive={"a": Echo(fps=1)}).watch(clip, start=start, end=end)


@pytest.mark.parametrize("at", [0.0, 0.99, 1.0, 2.7, 99.0])
def test_nothing_after_the_moment_reaches_anyone(clip: Path, at: float) -> None:
    seen: list[Record] = []

    def note(records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            seen.append(record)
            yield record

    parts = {"short": Echo(fps=2, over=0.5), "long": Echo(frames=2, over=2.0)}
    refine = {"note": Passing(note)}
    context = stack(perceive=parts, refine=refine).watch(clip, at=at)
    everything = list(stack(perceive=parts, refine=refine).watch(clip).stages[0].records)
    due = [r for r in everything if r.end <= at]
    assert list(context.records) == due
    assert list(context.stages[0].records) == due
    assert seen[: len(due)] == due
    assert all(r.end <= at for r in seen[: len(due)])
    assert {r.source for r in due} == ({"short", "long"} if at > 2 else {"short"} if at >= 0.5 else set())


def test_two_of_one_kind_share_the_work_and_keep_their_names(clip: Path) -> None:
    one, two, other = Embedding(fps=2), Embedding(fps=2), Echo(fps=1)
    sources: dict[str, Any] = {"one": one, "other": other, "two": two}
    context = stack(perceive=sources, prompt="embed", llm=Talker()).watch(clip)
    spans = one.spans + two.spans
    assert len(spans) == len(set(spans)), "each window is perceived once"
    by = {name: [r for r in context.records if r.source == name] for name in sources}
    assert len(by["one"]) == len(by["two"]) == len(by["other"]) == len(spans)
    assert [replace(r, source="") for r in by["one"]] == [replace(r, source="") for r in by["two"]]
    assert np.array_equal(np.asarray(by["two"][1].tokens), np.full((3, 4), 1.0))
    assert sum(cost.windows for cost in context.ledger if cost.name != "other") == len(spans)


def test_models_that_do_not_fit_together_take_turns(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def watch(memory: int) -> tuple[int, list[Record]]:
        monkeypatch.setattr("videochat.watch.free_bytes", lambda device: memory)
        monkeypatch.setenv("VIDEOCHAT_CACHE", str(root().parent / str(memory)))
        reader = Counting()
        parts = {word: Weighty(60, fps=3, word=word) for word in ("first", "second", "third")}
        records = list(stack(read=reader, perceive=parts).watch(clip).records)
        return reader.passes, records

    once, together = watch(200)
    twice, in_two = watch(130)
    thrice, apart = watch(100)
    assert (once, twice, thrice) == (1, 2, 3)
    assert together == in_two == apart
    assert len(apart) >= 12


def test_a_segmenter_that_must_look_does_so_once(clip: Path) -> None:
    looking, eye, reader = Looking(0.5, 1.75), Echo(frames=2), Counting()
    made = stack(read=reader, segment=looking, perceive={"eye": eye})
    assert make_plan(made, clip).segments is None
    context = made.watch(clip)
    assert looking.calls == 1
    assert looking.seen >= 16
    edges = [0.0, 0.5, 1.75, context.video.duration]
    assert list(context.segments) == eye.spans == [Span(*pair) for pair in pairwise(edges)]
    assert make_plan(made, clip).segments == context.segments
    assert reader.passes == 2
    made.watch(clip)
    assert looking.calls == 1
    assert reader.passes == 2


def test_events_come_from_one_thread_and_count_up(clip: Path, events: list[tuple[int, Event]]) -> None:
    parts = {"a": Slow(0.001, fps=2, batch=2), "b": Echo(audio_rate=8000)}
    context = stack(perceive=parts, segment=Looking(1.0, 2.0), refine={"pass": Passing()}).watch(clip)
    assert {thread for thread, _ in events} == {threading.get_ident()}
    for name in parts:
        steps = [event for _, event in events if event.stage == "perceive" and event.name == name]
        assert [event.done for event in steps] == sorted(event.done for event in steps)
        assert steps[-1].done == steps[-1].total == 3
        assert [event.span for event in steps if event.span][-1] == context.segments[-1]
    stages = [event.stage for _, event in events]
    assert list(dict.fromkeys(stages)) == ["segment", "perceive", "refine"]
    assert events[-1][1].done == len(context.records)


def test_events_count_from_what_the_cache_holds(clip: Path, events: list[tuple[int, Event]]) -> None:
    stack(perceive={"a": Echo(fps=2)}).watch(clip, end=3.0)
    events.clear()
    stack(perceive={"a": Echo(fps=2)}).watch(clip)
    steps = [event for _, event in events if event.stage == "perceive"]
    assert [(event.done, event.total) for event in steps] == [(3, 4), (4, 4)]


def test_the_ledger_counts(clip: Path) -> None:
    parts = {"eye": Slow(0.01, frames=4, side=24, over=1.0, batch=3), "ear": Echo(audio_rate=8000, over=2.0)}
    eye, ear = stack(perceive=parts).watch(clip, end=4.0).ledger
    assert (eye.name, eye.windows, eye.cached, eye.frames, eye.batches, eye.tokens) == ("eye", 4, 0, 16, 2, 0)
    assert eye.bytes == 16 * 24 * 32 * 3
    assert 0.04 <= eye.seconds < 1
    assert (ear.windows, ear.frames, ear.batches) == (2, 0, 2)
    assert ear.bytes == 4 * 8000 * 4


class Modelled(Echo):
    """Gets a model from the pool."""

    built = 0

    def weights(self) -> list[Weights]:
        return [Weights(f"model-{self.options.word}", 60)]

    def load(self, pool: Pool) -> None:
        pool.get(Key("Model", f"model-{self.options.word}"), self.build)

    def build(self) -> object:
        type(self).built += 1
        return object()


@pytest.mark.parametrize(
    ("residency", "memory", "built"),
    [("auto", 1000, 2), ("auto", 100, 4), ("together", 0, 2), ("one_at_a_time", 1000, 4)],
)
def test_models_stay_for_the_next_video_where_they_fit(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, residency: str, memory: int, built: int
) -> None:
    monkeypatch.setattr("videochat.watch.free_bytes", lambda device: memory)
    monkeypatch.setattr(Modelled, "built", 0)
    other = make(tmp_path / "other.mp4", frames=60, size=(64, 48)).path
    parts = {word: Modelled(fps=1, word=word) for word in ("one", "two")}
    made = stack(perceive=parts, residency=residency)
    for path in (clip, other):
        assert made.watch(path).faults == ()
    assert Modelled.built == built
    made.close()
    assert len(made.pool) == 0


def test_a_gpu_that_is_not_there_matters_only_to_who_wants_it(clip: Path) -> None:
    pytest.importorskip("torch", reason="the extra models is not installed")
    context = stack(device="cuda:99", perceive={"it": Echo(fps=1)}).watch(clip)
    assert context.faults == ()
    assert len(context.records) == 4


@pytest.mark.parametrize("which", ["start", "end", "at"])
def test_what_is_no_number_is_no_time(clip: Path, which: str) -> None:
    with pytest.raises(ValueError, match="times are seconds"):
        Stack().watch(clip, **{which: float("nan")})
