"""The decoder in one thread, the perceivers in another: order, batches, faults, and that nothing is left running."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videochat.perceive
from components import Echo, Embedding, Failing, Film, FilmReader, Seeing, Slow, corner, task
from media import make
from videochat import Box, Frame, Perceiver, Reader, Record, Span, Video, VideoError, Want, Window
from videochat.context import Fault
from videochat.perceive import Result, perceive
from videochat_plugins.read.pyav import PyAV

SPANS = [Span(float(i), i + 1.0) for i in range(10)]


def film(**values: Any) -> Film:
    return Film([i / 10 for i in range(100)], 10.0, **values)


def run(
    tmp_path: Path, *perceivers: Perceiver, reader: Reader | None = None, video: Video | None = None
) -> list[Result]:
    reader = reader or FilmReader(film())
    tasks = [task(perceiver, SPANS, tmp_path, str(i)) for i, perceiver in enumerate(perceivers)]
    return list(perceive(reader, video or film().video, tasks))


def one(tmp_path: Path, see: Callable[[Window], Any], **values: Any) -> Result:
    """Perceive one window, from 2 to 3 s, with frames at 1.5 (its lead) and 2.5 s."""
    perceiver = Seeing(see, frames=1, lead=1.0, **values)
    results = list(perceive(FilmReader(film()), film().video, [task(perceiver, [Span(2.0, 3.0)], tmp_path)]))
    assert len(results) == 1
    return results[0]


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def meeting(places: int) -> Callable[[Window], Any]:
    """Return what waits until so many perceivers are at work at once."""
    barrier = threading.Barrier(places, timeout=2.0)

    def see(window: Window) -> list[Record]:
        barrier.wait()
        return []

    return see


def test_each_device_has_a_worker_of_its_own(tmp_path: Path) -> None:
    see = meeting(2)
    first, second = Seeing(see, frames=1), Seeing(see, frames=1)
    first.device, second.device = "cuda:0", "cuda:1"
    results = run(tmp_path, first, second)
    assert not any(result.faults for result in results)
    assert first.spans == second.spans == SPANS


def test_on_one_device_perceivers_take_turns(tmp_path: Path) -> None:
    see = meeting(2)
    results = run(tmp_path, Seeing(see, frames=1), Seeing(see, frames=1))
    assert any("BrokenBarrierError" in fault.reason for result in results for fault in result.faults)


@pytest.mark.parametrize("batch", [1, 3, 10, 99])
def test_batches_keep_their_order_and_lose_nothing(tmp_path: Path, batch: int) -> None:
    perceiver = Echo(frames=2, batch=batch)
    results = run(tmp_path, perceiver)
    assert perceiver.spans == SPANS
    assert perceiver.batches == [min(batch, 10 - i) for i in range(0, 10, batch)]
    assert [span for result in results for span, _ in result.done] == SPANS
    assert sum(result.frames for result in results) == 20
    assert sum(result.bytes for result in results) == 20 * 48 * 64 * 3
    assert all(result.seconds >= 0 for result in results)
    assert not any(result.faults or result.blind for result in results)


def test_a_batch_goes_when_it_holds_enough_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videochat.perceive, "BATCH_LIMIT", 3 * 48 * 64 * 3)
    perceiver = Echo(frames=1, batch=100)
    run(tmp_path, perceiver)
    assert perceiver.batches == [3, 3, 3, 1]


def test_only_the_window_at_fault_of_a_batch_is_lost(tmp_path: Path) -> None:
    def see(window: Window) -> Sequence[Record]:
        if window.start == 4.0:
            raise RuntimeError("no\n \x1b idea")
        return [Record("look", window.start, window.end, "fine")]

    perceiver, other = Seeing(see, frames=1, batch=5), Echo(frames=1)
    results = run(tmp_path, perceiver, other)
    faults = [fault for result in results for fault in result.faults]
    assert faults == [Fault("0", 4.0, 5.0, "RuntimeError: no idea")]
    good = [span for result in results for span, _ in result.done if result.task.perceiver is perceiver]
    assert sorted(good) == [span for span in SPANS if span.start != 4.0]
    assert other.spans == SPANS


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_wrong_number_of_lists_is_a_fault(tmp_path: Path, extra: int) -> None:
    class Miscounting(Echo):
        def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
            return [[] for _ in range(len(windows) + extra)]

    faults = [fault for result in run(tmp_path, Miscounting(frames=1, batch=2)) for fault in result.faults]
    assert [(fault.start, fault.end) for fault in faults] == SPANS
    assert faults[0].reason == f"ValueError: gave {1 + extra} lists of records for 1 windows"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (lambda: None, "NoneType"),
        (lambda: ["a cat"], "str"),
        (lambda: [{"kind": "look"}], "dict"),
        (lambda: [Record("speech", 2, 3)], "kind 'speech', but emits only look"),
        (lambda: [Record("look", 2, 3, meta={"array": np.zeros(2)})], "JSON"),
        (lambda: [Record("look", 2, 3, tokens=np.zeros(4, np.float32))], "(4,)"),
        (lambda: [Record("look", 2, 3, tokens=np.array([["a"]]))], "no numbers that can be kept"),
    ],
)
def test_what_cannot_be_kept_is_a_fault(tmp_path: Path, found: Callable[[], Any], reason: str) -> None:
    result = one(tmp_path, lambda window: found())
    assert not result.done
    assert reason in result.faults[0].reason


def test_times_are_clipped_to_the_window_and_its_lead_and_filled_in(tmp_path: Path) -> None:
    made = [
        Record("look", 0.0, 99.0, "all"),
        Record("look", 2.8, 2.9, "where no frame is"),
        Record("look", 0.0, 0.5, "before"),
        Record("look", 1.2, 2.4, "across"),
        Record("look", 2.1, 2.2, "own times", times=(2.15,)),
        Record("look", 5.0, 6.0, "after"),
    ]
    ((span, records),) = one(tmp_path, lambda window: made).done
    assert span == (2.0, 3.0)
    assert [(r.text, r.start, r.end, r.times) for r in records] == [
        ("before", 1.0, 1.0, (1.5, 2.5)),
        ("all", 1.0, 3.0, (1.5, 2.5)),
        ("across", 1.2, 2.4, (1.5,)),
        ("own times", 2.1, 2.2, (2.15,)),
        ("where no frame is", 2.8, 2.9, (1.5, 2.5)),
        ("after", 3.0, 3.0, (1.5, 2.5)),
    ]


def test_a_lead_reaches_back_to_the_videos_start_at_most(tmp_path: Path) -> None:
    perceiver = Seeing(lambda window: [Record("look", 0.0, 0.2)], frames=1, lead=5.0)
    (result,) = perceive(FilmReader(film()), film().video, [task(perceiver, [Span(2.0, 3.0)], tmp_path)])
    assert [(record.start, record.end) for _, records in result.done for record in records] == [(0.0, 0.2)]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("side", [None, 60])
def test_a_box_is_mapped_to_source_pixels(tmp_path: Path, rotation: int, side: int | None) -> None:
    made = make(tmp_path / "turned.mp4", frames=10, size=(320, 240), rotation=rotation)
    width, height = made.size
    reader = PyAV()
    video = reader.probe(made.path)
    assert (video.width, video.height) == (width, height)
    perceiver = Seeing(corner, frames=1, side=side)
    (result,) = perceive(reader, video, [task(perceiver, [Span(0.0, 0.4)], tmp_path)])
    box = result.done[0][1][0].box
    assert box is not None
    assert box == pytest.approx(Box(0, height / 2, width / 2, height), abs=4 if side is None else 8)


def test_embeddings_pass_through(tmp_path: Path) -> None:
    tasks = [task(Embedding(frames=1), SPANS[3:4], tmp_path)]
    (result,) = perceive(FilmReader(film()), film().video, tasks)
    (record,) = result.done[0][1]
    assert np.array_equal(np.asarray(record.tokens), np.full((3, 4), 3.0))


def test_a_file_that_breaks_off_leaves_blind_windows(tmp_path: Path) -> None:
    perceiver = Echo(frames=1)
    results = run(tmp_path, perceiver, reader=FilmReader(film(breaks=6.0)))
    assert perceiver.spans == SPANS[:6]
    assert [result.blind for result in results if result.blind] == SPANS[6:]


class Broken(FilmReader):
    """Fails after some frames."""

    def __init__(self, error: BaseException, after: int) -> None:
        super().__init__(film())
        self.error, self.after = error, after

    def frames(self, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
        for i, frame in enumerate(super().frames(video, wanted)):
            if i == self.after:
                raise self.error
            yield frame


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("error", [VideoError("damaged"), RuntimeError("odd"), MemoryError(), SystemExit(3)])
def test_a_readers_error_reaches_the_caller(tmp_path: Path, error: BaseException, after: int) -> None:
    with pytest.raises(type(error)) as caught:
        run(tmp_path, Slow(0.01, frames=1), reader=Broken(error, after))
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_ends_a_program_ends_the_work(tmp_path: Path, error: BaseException) -> None:
    began = time.perf_counter()
    with pytest.raises(type(error)):
        run(tmp_path, Failing(error, after=3.0, frames=1), Slow(0.01, frames=3))
    assert time.perf_counter() - began < 2


def test_lack_of_memory_is_a_fault_of_its_window(tmp_path: Path) -> None:
    results = run(tmp_path, Failing(MemoryError("too much"), after=8.0, frames=1))
    assert [fault for result in results for fault in result.faults] == [
        Fault("0", *span, "MemoryError: too much") for span in SPANS[8:]
    ]


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_closing_early_stops_the_work(tmp_path: Path, taken: int) -> None:
    """After the batch in hand; the decoder is then far from the end of a long video."""
    spans = [Span(float(i), i + 1.0) for i in range(5000)]
    reader = FilmReader(Film([float(i) for i in range(5000)], 5000.0))
    perceiver = Slow(0.03, frames=1)
    results = perceive(reader, reader.film.video, [task(perceiver, spans, tmp_path)])
    for _ in range(taken):
        next(results)
    began = time.perf_counter()
    results.close()
    assert time.perf_counter() - began < 1
    assert len(perceiver.spans) <= taken + 4
    assert len(reader.given) <= taken + 8, "the decoder ran far ahead of the perceivers"


def test_no_windows_no_work(tmp_path: Path) -> None:
    assert list(perceive(FilmReader(film()), film().video, [])) == []
    assert list(perceive(FilmReader(film()), film().video, [task(Echo(frames=1), [], tmp_path)])) == []
