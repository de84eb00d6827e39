"""MovieChat as a refiner: records in and out, options and presets, whole stacks over clips, moments of them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save_file

import videochat
from components import Seeing
from media import Made, make, read_index
from speakers import Talker
from videochat import Pool, Record, Stack, StackError, UnavailableError, Window
from videochat_plugins.refine.moviechat import MovieChat

OTHERS = [Record("speech", 0, 1, "hello"), Record("caption", 4, 5, "a dog")]


def embedding(start: float, end: float, *values: float, rows: int = 2, **fields: Any) -> Record:
    """Return a record whose frames are `values`, each as many rows of three numbers."""
    tokens = np.repeat(np.array(values, np.float16)[:, None], 3, axis=1).repeat(rows, axis=0)
    meta = {"slots": len(values)} | fields.pop("meta", {})
    return Record("embedding", start, end, tokens=tokens, **{"source": "eye", "space": "llm", "meta": meta, **fields})


def film(n: int, **fields: Any) -> list[Record]:
    return [embedding(i, i + 1, i % 7 + 1, times=(i + 0.5,), **fields) for i in range(n)]


def refined(records: Sequence[Record], at: float | None = None, **how: Any) -> list[Record]:
    refiner = MovieChat(MovieChat.Options(**how))
    refiner.load(Pool("cpu"))
    refiner.at = at
    return list(refiner.refine(iter(records)))


def spans(records: Sequence[Record]) -> list[tuple[float, float, int]]:
    return [(record.start, record.end, record.meta["weight"]) for record in records]


def tokens(record: Record) -> Any:
    return np.asarray(record.tokens)


def test_a_slot_tells_what_it_covers() -> None:
    records = film(8)
    first, second = refined(records)
    assert spans([first, second]) == [(0, 7, 7), (7, 8, 1)]
    assert (first.times, second.times) == ((0.5, 6.5), (7.5,))
    assert (first.parents, second.parents) == ((records[0].id, records[6].id), (records[7].id,))
    assert {(r.kind, r.source, r.space, r.meta["slots"]) for r in (first, second)} == {("embedding", "eye", "llm", 1)}
    assert tokens(first).dtype == np.float16
    assert tokens(first).tolist() == [[4, 4, 4], [4, 4, 4]]


def test_what_is_no_embedding_passes_as_it_is() -> None:
    found = refined([OTHERS[0], *film(3), OTHERS[1]])
    assert found[:2] == OTHERS
    assert refined(OTHERS) == OTHERS
    assert refined([]) == []
    assert refined([], at=3.0) == []


@pytest.mark.parametrize("at", [None, 9.0])
@pytest.mark.parametrize("recent", ["unmerged", "repeated"])
def test_one_frame_or_two_stay_as_they_are(at: float | None, recent: str) -> None:
    for n in (1, 2):
        found = refined(film(n), at, recent=recent)
        assert [tokens(r)[0, 0] for r in found][-n:] == list(range(1, n + 1))
        assert spans(found)[-1] == (n - 1, n, 1)


def test_every_perceiver_has_a_memory_of_its_own() -> None:
    wide = film(10, source="wide", rows=5, space="other")
    both = sorted([*film(10), *wide], key=lambda record: record.start)
    assert refined(both) == [*refined(film(10)), *refined(wide)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), max_size=12), st.booleans())
def test_it_is_the_same_however_the_frames_lie_in_records(sizes: list[int], moment: bool) -> None:
    at = 99.0 if moment else None
    n = sum(sizes)
    single, grouped, i = film(n), list[Record](), 0
    for size in sizes:
        values = [k % 7 + 1 for k in range(i, i + size)]
        times = tuple(float(k) for k in range(i, i + size))
        grouped.append(embedding(i, i + size, *values, times=times))
        i += size
    one, other = refined(single, at), refined(grouped, at)
    assert spans(one) == spans(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(tokens(a), tokens(b))


@pytest.mark.parametrize(
    ("times", "edges", "kept"),
    [
        ((1.0, 3.0, 6.0), [0, 3, 6, 9], [(1.0,), (3.0,), (6.0,)]),
        ((1.0, 2.0, 3.0, 5.0, 6.0, 8.0), [0, 3, 6, 9], [(1.0, 2.0), (3.0, 5.0), (6.0, 8.0)]),
        ((), [0, 3, 6, 9], [(), (), ()]),
        ((1.0, 2.0), [0, 3, 6, 9], [(), (), ()]),  # nobody knows which are whose
        ((1.0, 4.0, 99.0), [0, 4, 9, 9], [(1.0,), (4.0,), (99.0,)]),
    ],
)
def test_frames_take_their_times_from_their_record(times: Any, edges: Any, kept: Any) -> None:
    found = refined([embedding(0, 9, 1, 2, 3, times=times)], merge_to=8)
    assert [(r.start, r.end) for r in found] == list(pairwise(edges))
    assert [r.times for r in found] == kept


def test_the_layout_is_carried_on_and_other_facts_while_they_hold_for_all() -> None:
    meta = {"layout": {"grid": [1, 2]}, "media": "video"}
    records = [*film(9, meta=meta), embedding(9, 10, 1, meta={**meta, "media": "image"})]
    assert {tuple(r.meta) for r in refined(records[:9])} == {("layout", "media", "slots", "weight")}
    found = refined(records)
    assert all(r.meta["layout"] == {"grid": [1, 2]} for r in found)
    assert not any("media" in r.meta for r in found)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (embedding(3, 4, 1, rows=4), "rows 2, now 4"),
        (embedding(3, 4, 1, space="else"), "space 'llm', now 'else'"),
        (embedding(3, 4, 1, meta={"layout": {"grid": [2, 1]}}), r"layout {}, now {'grid': \[2, 1\]}"),
        (Record("embedding", 3, 4, tokens=np.ones((2, 4), np.float16), space="llm", source="eye"), "width 3, now 4"),
        (Record("embedding", 3, 4, tokens=np.ones((2, 3)), space="llm", source="eye"), "'float16', now 'float64'"),
    ],
)
def test_a_change_of_layout_is_refused(other: Record, words: str) -> None:
    with pytest.raises(ValueError, match=rf"the embeddings of 'eye' change at 3 s: .*{words}"):
        refined([*film(3), other])


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (embedding(3, 4, float("nan")), "at 3 s holds numbers that are not finite"),
        (embedding(2, 4, 1, float("inf"), times=(2.0, 3.0)), "at 3 s holds numbers that are not finite"),
        (embedding(3, 4, 1, meta={"slots": 3}), "at 3 s has 2 rows of 3 numbers, which do not fall into 3"),
        (embedding(3, 4, 1, meta={"slots": 0}), "fall into 0 equal parts"),
        (Record("embedding", 3, 4, tokens=np.ones((0, 3)), source="eye"), "at 3 s has 0 rows"),
        (Record("embedding", 3, 4, source="eye"), "the embedding of 'eye' at 3 s has no tokens"),
    ],
)
def test_what_cannot_be_remembered_is_named_with_its_time(record: Record, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refined([record])


def test_black_frames_are_like_no_other() -> None:
    found = refined([embedding(i, i + 1, value) for i, value in enumerate((1, 0, 0, 2, 2, 2, 2, 2))], merge_to=3)
    assert spans(found) == [(0, 2, 2), (2, 3, 1), (3, 8, 5)]  # not even like each other: the left-most pair is merged
    assert all(np.isfinite(tokens(r)).all() for r in found)


def test_what_was_remembered_can_be_remembered_again() -> None:
    once = refined(film(64))
    assert len(once) == 16
    twice = refined(once)
    assert sum(r.meta["weight"] for r in twice) == 64
    mean = np.average([tokens(r) for r in twice], axis=0, weights=[r.meta["weight"] for r in twice])
    np.testing.assert_allclose(mean, np.mean([tokens(r) for r in film(64)], axis=0), rtol=1e-2)


def test_a_moment_is_seen_in_detail() -> None:
    found = refined(film(30), at=30.0)
    assert spans(found)[4:] == [(i, i + 1, 1) for i in range(16, 30)]
    assert [r.end for r in found[:4]][1::2] == [8, 16]
    assert sum(r.meta["weight"] for r in found) == 30
    for record, i in zip(found[4:], range(16, 30), strict=True):
        assert tokens(record)[0, 0] == i % 7 + 1


def test_a_long_film_keeps_its_beginning_or_loses_it() -> None:
    kept = refined(film(2000), long=32)
    lost = refined(film(2000), long=32, overflow="drop_oldest")
    assert (len(kept), len(lost)) == (32, 32)
    assert (kept[0].start, kept[-1].end, sum(r.meta["weight"] for r in kept)) == (0, 2000, 2000)
    assert (lost[0].start, lost[-1].end) == (2000 - 16 * 8, 2000)
    assert len(refined(film(2000), 2000.0, long=32)) == 32


def test_ten_thousand_frames_are_held_in_the_room_of_the_memory() -> None:
    import tracemalloc

    rows = np.random.default_rng(6).standard_normal((20 * 256, 3)).astype(np.float16)

    def records(n: int) -> Iterator[Record]:
        for i in range(0, n, 20):
            yield Record("embedding", i, i + 20, tokens=rows, source="eye", meta={"slots": 20})

    def peak(n: int) -> int:
        refiner = MovieChat(MovieChat.Options(long=64))
        tracemalloc.start()
        try:
            for record in refiner.refine(records(n)):
                assert len(record.times) <= 2
                assert len(record.parents) <= 2
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(10_000) <= 1.05 * peak(500)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = np.random.default_rng(4).standard_normal((32, 3)).astype(np.float32)
    save_file({"positions": rows}, tmp_path / "table.safetensors")
    return tmp_path / "table.safetensors"


def test_positions_are_added_by_place(table: Path) -> None:
    plain = refined([embedding(i, i + 1, i + 1, rows=1) for i in range(4)], merge_to=8)
    placed = refined(
        [embedding(i, i + 1, i + 1, rows=1) for i in range(4)], merge_to=8, positions="hierarchical", table=table
    )
    from safetensors.numpy import load_file

    for i, (a, b) in enumerate(zip(plain, placed, strict=True)):
        np.testing.assert_allclose(tokens(b) - tokens(a), load_file(table)["positions"][i : i + 1], atol=2e-2)


def test_the_table_decides_what_the_cache_holds(table: Path) -> None:
    refiner = MovieChat(MovieChat.Options(positions="hierarchical", table=table))
    (before,) = refiner.weights()
    assert before.here
    assert before.bytes == table.stat().st_size
    save_file({"positions": np.ones((16, 3), np.float32)}, table)
    assert refiner.weights()[0].id != before.id
    assert MovieChat(MovieChat.Options(table=table)).weights() == ()  # not used


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (None, "there is no table of positions"),
        (b"no safetensors", "cannot be read"),
        ({"a": np.ones((15, 3), np.float32)}, r"holds a \(15, 3\): it must hold one table"),
        ({"a": np.ones((2, 16, 3), np.float32)}, "must hold one table"),
        ({"a": np.ones((16, 3), np.int64)}, "must hold one table"),
        ({"a": np.ones((16, 3)), "b": np.ones((16, 3))}, "must hold one table"),
        ({"a": np.full((16, 3), np.nan)}, "not finite"),
    ],
)
def test_a_wrong_table_is_told_before_anything_runs(held: Any, words: str, tmp_path: Path) -> None:
    file = tmp_path / "table.safetensors"
    if isinstance(held, bytes):
        file.write_bytes(held)
    elif held is not None:
        save_file(held, file)
    refiner = MovieChat(MovieChat.Options(positions="hierarchical", table=file))
    for step in (refiner.check, lambda: refiner.load(Pool("cpu"))):
        with pytest.raises(UnavailableError, match=words):
            step()


def test_a_table_of_another_width_is_refused(table: Path) -> None:
    records = [Record("embedding", 0, 1, tokens=np.ones((2, 4)), source="eye")]
    with pytest.raises(ValueError, match="the positions are 3 wide, the embeddings of 'eye' 4"):
        refined(records, positions="hierarchical", table=table)


def test_a_preset_fills_what_is_not_given(table: Path) -> None:
    original = MovieChat.Options(preset="original", table=table)
    assert (original.window, original.short, original.merge_to, original.long) == (8, 18, 2, 256)
    assert (original.similarity, original.merge, original.carry) == ("dot", "plain", "clear")
    assert (original.overflow, original.recent, original.positions) == ("drop_oldest", "repeated", "hierarchical")
    port = MovieChat.Options(preset="lmms", positions="none", merge="weighted")
    assert (port.window, port.carry, port.similarity, port.merge, port.positions) == (
        16,
        "seed",
        "dot",
        "weighted",
        "none",
    )
    for filled in (original, port, MovieChat.Options()):
        assert MovieChat.Options(**filled.model_dump()) == filled


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"preset": "theirs"}, "'ours', 'original' or 'lmms'"),
        ({"preset": "original"}, "hierarchical positions need a table"),
        ({"positions": "hierarchical"}, "hierarchical positions need a table"),
        ({"positions": "hierarchical", "table": "x", "n": 15}, "15 . 15 positions are not enough for 256 slots"),
        ({"window": 19}, "short must be 19 at least"),
        ({"window": 17, "carry": "seed"}, "short must be 19 at least"),
        ({"window": 2, "merge_to": 3}, "merge_to must be no more than the window"),
        ({"long": 1}, "greater than or equal to 2"),
        ({"window": 0}, "greater than or equal to 1"),
        ({"alpha": 1.0}, "less than 1"),
        ({"capacity": 3}, "Extra inputs"),
    ],
)
def test_options_that_cannot_work_are_told(how: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MovieChat.Options(**how)


def test_a_stack_tells_the_place_of_a_wrong_option(tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text("refine:\n  memory: {use: moviechat, preset: original}\n")
    with pytest.raises(StackError, match=r"stack\.yaml:2: refine\.memory.*need a table"):
        videochat.load(str(file))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("moviechat") / "clip.mp4", frames=120, fps=10, size=(160, 120))


def look(window: Window) -> list[Record]:
    """See each frame as two rows that hold its number."""
    numbers = np.array([read_index(frame.image) for frame in window.frames], np.float16)
    rows = np.stack([numbers + 1, np.ones_like(numbers)], axis=1).repeat(2, axis=0)
    return [Record("embedding", window.start, window.end, tokens=rows, meta={"slots": len(numbers)})]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    eye = Seeing(look, emits=["embedding"], fps=10, side=120)
    eye.space = "tiny"
    return Stack(
        segment={"use": "fixed", "seconds": 1.0},
        perceive={"eye": eye},
        refine={"memory": {"use": "moviechat", "long": 20}},
        prompt="embed",
        llm=Talker(),
        device="cpu",
    )


def test_a_clip_is_remembered_with_its_times(clip: Made, stack: Stack) -> None:
    context = stack.watch(clip.path)
    assert context.faults == ()
    found = list(context.records)
    assert len(found) == 20
    assert sum(r.meta["weight"] for r in found) == 120
    assert (found[0].start, found[-1].end) == (0, 12)
    assert all(abs(a.end - b.start) < 1e-6 for a, b in pairwise(found))
    for record in found:  # the numbers of its frames, on average, are those of its stretch of time
        middle = (record.start + record.end) / 2 * 10
        np.testing.assert_allclose(tokens(record)[:, 0], middle + 0.5, atol=0.1)


def test_many_moments_on_one_encoding(clip: Made, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(stack.watch(clip.path).records)
    for at in (3.0, 7.0, 12.0):
        context = stack.watch(clip.path, at=at)
        found = list(context.records)
        assert context.faults == ()
        assert found[-1].end == pytest.approx(at)
        assert found[-1].meta["weight"] == 1
        assert tokens(found[-1])[0, 0] == pytest.approx(at * 10, abs=1)  # the frame of that moment
        assert sum(r.meta["weight"] for r in found) == round(at * 10)
    assert list(stack.watch(clip.path).records) == whole
