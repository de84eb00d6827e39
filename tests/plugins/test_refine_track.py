import random
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import Seeing, corner
from media import make
from videochat import Box, Record, Stack, Window
from videochat_plugins.refine.track import Sight, TrackRegions, overlaps


def track(records: Iterable[Record], **options: Any) -> list[Record]:
    return list(TrackRegions(TrackRegions.Options(**options)).refine(iter(records)))


def region(time: float, text: str, x: float, width: float = 100, source: str = "detect") -> Record:
    return Record("region", time, time, text, 0.9, Box(x, 0, x + width, 50), times=(time,), source=source)


def tracks(records: Iterable[Record], **options: Any) -> list[int | None]:
    return [record.track for record in track(records, **options)]


def test_regions_of_one_thing_share_a_track_and_keep_all_else() -> None:
    records = [region(0, "dog", 0), region(0, "dog", 300), region(1, "dog", 20), region(1, "dog", 320)]
    found = track(records)
    assert found[0].track != found[1].track
    assert [record.track for record in found[2:]] == [record.track for record in found[:2]]
    for before, after in zip(records, found, strict=True):
        assert after == replace(before, track=after.track, parents=(before.id,))


def test_tracks_are_numbered_in_order_of_first_sight() -> None:
    found = tracks([region(0, "cat", 0), region(1, "cat", 0), region(1, "dog", 300), region(2, "dog", 300)])
    assert found == [0, 0, 1, 1]


@pytest.mark.parametrize(("moved", "count"), [(50, 1), (60, 2), (110, 2)])  # of 100 wide: IoU 0.33, 0.25 and 0
def test_boxes_of_one_thing_overlap(moved: float, count: int) -> None:
    assert len(set(tracks([region(0, "dog", 0), region(1, "dog", moved)]))) == count


def test_the_overlap_is_an_option() -> None:
    records = [region(0, "dog", 0), region(1, "dog", 60)]
    assert tracks(records, overlap=0.2) == [0, 0]


def test_the_nearest_of_two_goes_on() -> None:
    first, second, later = region(0, "dog", 0), region(0, "dog", 60), region(1, "dog", 40)
    found = {(record.start, record.box): record.track for record in track([first, second, later])}
    assert found[1.0, later.box] == found[0.0, second.box]


def test_names_must_be_equal_but_descriptions_need_not() -> None:
    assert tracks([region(0, "dog", 0), region(1, "cat", 0)]) == [0, 1]
    assert tracks([region(0, "Dog", 0), region(1, "dog", 0)]) == [0, 0]
    assert tracks([region(0, "a dog on the grass", 0), region(1, "a brown dog that runs", 0)]) == [0, 0]
    assert tracks([region(0, "a dog on the grass", 0), region(1, "dog", 0)]) == [0, 0]


def test_equal_words_count_before_overlap() -> None:
    man, shirt = region(0, "a man in a shirt", 0), region(0, "the shirt of a man", 20)
    later = region(1, "a man in a shirt", 10), region(1, "the shirt of a man", 5)
    found = {(record.start, record.text): record.track for record in track([man, shirt, *later])}
    assert found[0, man.text] == found[1, man.text]
    assert found[0, shirt.text] == found[1, shirt.text]


@pytest.mark.parametrize("step", [0.1, 1.0, 5.0])
@pytest.mark.parametrize(("missed", "same"), [(1, True), (2, False)])
def test_a_thing_may_be_missed_once_whatever_the_step(step: float, missed: int, same: bool) -> None:
    seen = [0, 1, 2, 3 + missed]
    found = tracks([region(step * i, "dog", 0) for i in seen])
    assert (found[-1] == found[0]) is same


def test_a_thing_beside_it_does_not_hide_the_gap() -> None:
    always = [region(i, "tree", 500) for i in range(8)]
    dog = [region(i, "dog", 0) for i in (0, 1, 6, 7)]
    found = track(sorted(always + dog, key=lambda record: record.start))
    first, second, third, fourth = (record.track for record in found if record.text == "dog")
    assert first == second != third == fourth
    assert len({record.track for record in found if record.text == "tree"}) == 1


def test_what_two_perceivers_see_stays_apart() -> None:
    records = [region(0, "dog", 0, source="a"), region(0, "dog", 0, source="b"), region(1, "dog", 0, source="a")]
    found = track(records)
    assert found[0].track != found[1].track
    assert found[2].track == found[0].track


def test_nothing_goes_on_across_a_cut() -> None:
    cut = Record("motion", 1.0, 1.0, "cut to another shot", source="motion", meta={"cut": 1.0})
    records = [region(0, "dog", 0), region(0.5, "dog", 0), cut, region(1, "dog", 0), region(1.5, "dog", 0)]
    assert [record.track for record in track(records) if record.kind == "region"] == [0, 0, 1, 1]
    assert cut in track(records)


def test_what_is_no_untracked_region_passes_as_it_is() -> None:
    others = [
        Record("caption", 0, 1, "a dog", source="caption"),
        Record("region", 0, 0, "somewhere", source="detect"),
        replace(region(0, "dog", 0), track=7),
    ]
    assert track(others) == others


def test_a_region_that_lasts_is_followed_from_its_last_frame() -> None:
    def lasting(start: float, x: float) -> Record:
        times = (start, start + 0.5)
        return Record("region", start, start + 1, "red thing", box=Box(x, 0, x + 100, 50), times=times, source="s")

    assert tracks([lasting(0, 0), lasting(1, 20), lasting(2, 40)]) == [0, 0, 0]


def test_what_lasts_longer_is_not_followed_before_it_ends() -> None:
    def lasting(start: float) -> Record:
        return Record("region", start, start + 2, "dog", box=Box(0, 0, 100, 50), times=(start, start + 2), source="s")

    assert tracks([lasting(0), lasting(1), lasting(2)]) == [0, 1, 0]


def test_of_two_where_one_was_only_one_goes_on() -> None:
    found = tracks([region(0, "dog", 0), region(1, "dog", 10), region(2, "dog", 0), region(2, "dog", 20)])
    assert sorted(set(found[2:])) == [0, 1]


@pytest.mark.parametrize("name", ["overlap", "gap"])
def test_options_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        TrackRegions.Options(**{name: 0})


boxes = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(0, 40)] * 2).map(
    lambda edges: Box(edges[0], edges[1], edges[0] + edges[2], edges[1] + edges[3])
)
regions = st.builds(
    lambda time, text, box, source: Record("region", time, time, text, 0.5, box, source=source),
    st.integers(0, 6).map(lambda i: i / 2),
    st.sampled_from(["dog", "cat", "a dog that runs on grass"]),
    boxes,
    st.sampled_from(["a", "b"]),
)


@settings(max_examples=100)
@given(st.lists(regions, max_size=40), st.integers(0, 99))
def test_every_region_comes_out_once_and_no_track_has_two_of_one_frame(records: list[Record], seed: int) -> None:
    shuffled = sorted(records, key=lambda record: record.start)
    found = track(shuffled)
    assert [replace(record, track=None, parents=()) for record in found] == shuffled
    frames = Counter((record.source, record.track, record.start) for record in found)
    assert all(times == 1 for times in frames.values())
    sources: defaultdict[int | None, set[str]] = defaultdict(set)
    for record in found:
        sources[record.track].add(record.source)
    assert all(len(seen) == 1 for seen in sources.values())
    assert {record.track for record in found} == set(range(len(sources)))
    random.Random(seed).shuffle(records)  # those of one time may come in any order
    again = track(sorted(records, key=lambda record: record.start))
    assert Counter(record.id for record in again) == Counter(record.id for record in found)


@given(st.lists(boxes, min_size=1, max_size=5), st.lists(boxes, min_size=1, max_size=5))
def test_overlaps_are_shares_of_pixels(some: list[Box], others: list[Box]) -> None:
    def cells(box: Box) -> set[tuple[int, int]]:
        return {(x, y) for x in range(int(box.x1), int(box.x2)) for y in range(int(box.y1), int(box.y2))}

    found = overlaps(np.array(some, float), np.array(others, float))
    for k, a in enumerate(some):
        for j, b in enumerate(others):
            either = cells(a) | cells(b)
            assert found[k, j] == pytest.approx(len(cells(a) & cells(b)) / len(either) if either else 0)


def test_a_film_streams_and_only_open_tracks_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[weakref.ref[Sight]] = []
    make = Sight.of.__func__  # type: ignore[attr-defined]

    def kept(cls: type[Sight], record: Record) -> Sight:
        sight: Sight = make(cls, record)
        begun.append(weakref.ref(sight))
        return sight

    monkeypatch.setattr(Sight, "of", classmethod(kept))
    read = 0

    def film() -> Iterator[Record]:
        nonlocal read
        for i in range(2000):  # a cat that stays, and dogs that are seen twice
            for record in (region(i, "dog", i // 2 % 7 * 200), region(i, "cat", 5000)):
                read += 1
                yield record

    for given_out, _ in enumerate(TrackRegions().refine(film()), start=1):
        assert read - given_out <= 2  # the frame after it
        if given_out % 100 == 0:
            assert sum(sight() is not None for sight in begun) <= 8
    assert len(begun) == 4000


def test_table1_prints_tracked_regions_as_before(tmp_path: Path) -> None:
    def red(window: Window) -> list[Record]:
        time = window.frames[-1].time
        return [replace(record, kind="region", start=time, end=time) for record in corner(window)]

    clip = make(tmp_path / "clip.mp4", frames=50).path
    seen = {"red": Seeing(red, emits=("region",), frames=1)}
    said = {"segment": {"use": "fixed", "seconds": 0.5}, "perceive": seen, "format": {"use": "table1"}}
    plain = Stack(**said).watch(clip)
    tracked = Stack(**said, refine={"track": {"use": "track"}}).watch(clip)
    assert [record.track for record in plain.records] == [None] * 4
    assert [record.track for record in tracked.records] == [0] * 4
    assert [line.text for line in tracked.lines()] == [line.text for line in plain.lines()]
    assert any("red: [0, 60, 80, 120]" in line.text for line in tracked.lines())
