import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import BLUE, DARK, RED, disc, plain, square, watch

from videochat import Box, Record
from videochat_plugins.refine.join import Join
from videochat_plugins.refine.likeness import difference, overlap


def join(records: Iterable[Record], **options: Any) -> list[Record]:
    ordered = sorted(records, key=lambda record: record.start)
    return sorted(Join(Join.Options(**options)).refine(iter(ordered)), key=lambda record: (record.start, record.id))


def text(start: float, words: str, x: float = 0, score: float = 0.9, end: float | None = None) -> Record:
    return Record("text", start, start + 1 if end is None else end, words, score, Box(x, 0, x + 100, 20), source="ocr")


def region(start: float, colour: str, x: float, direction: str = "right", speed: float = 40, **meta: Any) -> Record:
    """A region that moves for a second from x on."""
    step = {"right": speed, "left": -speed}.get(direction, 0.0)
    facts = {"colour": colour, "direction": direction, "speed": speed}
    hints = {"first": [start, x, 50], "last": [start + 0.75, x + 0.75 * step, 50]}
    middle = x + step / 2
    return Record(
        "region",
        start,
        start + 1,
        f"{colour} thing moving {direction}",
        box=Box(middle - 15, 35, middle + 15, 65),
        source="regions",
        meta=facts | hints | meta,
    )


def test_a_text_over_time_is_one_record_with_its_best_reading() -> None:
    readings = ["Keep laundfy away", "Keep laundry away", "Keep laundry away", "Keep 1aundry away"]
    records = [text(i, words) for i, words in enumerate(readings[:3])]
    (joined,) = join(records)
    assert (joined.start, joined.end, joined.text, joined.track) == (0, 3, "Keep laundry away", 0)
    assert joined.parents == tuple(record.id for record in records)
    assert joined.score == 0.9


def test_the_surer_of_two_readings_is_kept() -> None:
    (joined,) = join([text(0, "PLATFORN 9", score=0.6), text(1, "PLATFORM 9", score=0.99)])
    assert (joined.text, joined.score) == ("PLATFORM 9", 0.99)


def test_texts_with_other_digits_places_or_words_stay_apart() -> None:
    assert len(join([text(0, "PLATFORM 8"), text(1, "PLATFORM 9")])) == 2
    assert len(join([text(0, "EXIT"), text(0, "EXIT", x=400)])) == 2
    assert len(join([text(0, "OPENING NIGHT"), text(1, "CLOSING TIME")])) == 2


def test_the_same_words_may_move_on_but_others_may_not() -> None:
    assert len(join([text(0, "THE END", x=0), text(1, "THE END", x=90)])) == 1
    assert len(join([text(0, "THE END", x=0), text(1, "THE BND", x=90)])) == 2


@pytest.mark.parametrize(("away", "count"), [(1.0, 1), (2.0, 2)])
def test_a_text_may_be_unseen_for_the_gap(away: float, count: int) -> None:
    assert len(join([text(0, "EXIT"), text(1 + away, "EXIT")], gap=1.5)) == count


def test_a_thing_is_one_record_for_its_life() -> None:
    records = [region(i, "red", 20 + 40 * i) for i in range(5)]
    (joined,) = join(records)
    assert (joined.start, joined.end, joined.track) == (0, 5, 0)
    assert joined.text == "red thing moving right"
    assert joined.box == records[0].box
    assert dict(joined.meta) == {"colour": "red", "direction": "right", "speed": 40.0, "path": [[0, 5, "right"]]}


def test_a_thing_that_turns_keeps_its_track_and_tells_its_path() -> None:
    records = [region(0, "red", 20), region(1, "red", 60), region(2, "red", 100), region(3, "red", 140, "left")]
    (joined,) = join(records)
    assert joined.meta["path"] == [[0, 3, "right"], [3, 4, "left"]]
    assert joined.meta["direction"] == "right"
    assert joined.text == "red thing moving right, then left"


def test_things_of_other_colours_and_far_places_stay_apart() -> None:
    records = [region(0, "red", 20), region(0, "blue", 20), region(0, "red", 300), region(1, "red", 60)]
    joined = join(records)
    assert sorted((len(record.parents), record.meta["colour"]) for record in joined) == [
        (1, "blue"),
        (1, "red"),
        (2, "red"),
    ]
    assert sorted(record.track for record in joined) == [0, 1, 2]


def test_two_like_things_that_meet_go_on_as_they_went() -> None:
    going = [region(i, "red", 20 + 40 * i) for i in range(5)]
    coming = [region(i, "red", 200 - 40 * i, "left") for i in range(5)]
    assert {record.text for record in join(going + coming)} == {"red thing moving right", "red thing moving left"}


@pytest.mark.parametrize("hint", ["since", "cut", "none"])
def test_no_thing_goes_on_across_a_cut(hint: str) -> None:
    after = region(2, "red", 100, "left", **({"since": 2.0} if hint == "since" else {}))
    cut = [Record("motion", 2, 2, "cut to another shot", meta={"cut": 2.0})] if hint == "cut" else []
    joined = join([region(0, "red", 20), region(1, "red", 60), after, *cut])
    assert len([record for record in joined if record.kind == "region"]) == (1 if hint == "none" else 2)


def test_a_text_stays_through_a_cut() -> None:
    cut = Record("motion", 1, 1, "cut to another shot", meta={"cut": 1.0})
    assert len([record for record in join([text(0, "logo"), cut, text(1, "logo")]) if record.kind == "text"]) == 1


def test_regions_of_a_stranger_join_by_words_and_place() -> None:
    records = [Record("region", i, i + 1, "a dog on grass", box=Box(10 + i, 10, 90 + i, 80)) for i in range(3)]
    (joined,) = join(records)
    assert (joined.text, joined.start, joined.end) == ("a dog on grass", 0, 3)


def test_looks_and_motions_merge_until_they_change() -> None:
    looks = [
        Record("look", i, i + 1, words, meta={"brightness": light, "sharpness": 300, "colours": [["blue", 1.0]]})
        for i, (words, light) in enumerate(
            [("dim, sharp", 0.41), ("lit, sharp", 0.43), ("dim, sharp", 0.41), ("black", 0)]
        )
    ]
    camera = ["still", "still", "pan left"]
    motions = [Record("motion", i, i + 1, f"camera {word}", meta={"camera": word}) for i, word in enumerate(camera)]
    joined = [(record.kind, record.start, record.end, record.text) for record in join(looks + motions)]
    assert sorted(joined) == [
        ("look", 0, 3, "dim, sharp"),
        ("look", 3, 4, "black"),
        ("motion", 0, 2, "camera still"),
        ("motion", 2, 3, "camera pan left"),
    ]
    assert all(record.track is None for record in join(looks + motions))


def test_other_kinds_pass_untouched_and_tracks_close_as_the_stream_goes() -> None:
    held = text(0, "EXIT")
    speech = [Record("speech", i, i + 1, "word") for i in range(10)]
    out = Join().refine(iter([held, *speech]))
    early = [next(out) for _ in range(4)]
    assert early[0] is speech[0]
    assert [record.kind for record in early] == ["speech", "speech", "speech", "text"]


def test_from_pictures_to_tracks() -> None:
    def scene(time: float):
        if time < 3:
            return square(disc(plain(), 40 + 60 * time, 130, 14, RED), 260, 100 - 25 * time, 14, BLUE)
        return disc(plain(DARK), 280 - 60 * (time - 3), 60, 14, RED)

    seen = watch(scene, "regions", 6) + watch(scene, "motion", 6)
    found = {(r.text, r.start, r.end) for r in join(seen) if r.kind == "region"}
    assert found == {
        ("red thing moving right", 0, 3),
        ("blue thing moving up", 0, 3),
        ("red thing moving left", 3, 6),
    }


kinds = st.sampled_from(["text", "region", "look", "motion", "speech"])
records = st.builds(
    lambda kind, start, length, words, x, cut: Record(
        kind,
        start / 2,
        (start + length) / 2,
        words,
        box=Box(x, 0, x + 40, 20) if kind in ("text", "region") else None,
        meta={"colour": words[:1]} if kind == "region" else {"cut": start / 2} if cut and kind == "motion" else {},
    ),
    kinds,
    st.integers(0, 20),
    st.integers(0, 4),
    st.sampled_from(["EXIT", "EXlT", "red thing", "1:02", ""]),
    st.integers(0, 60),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(given_records=st.lists(records, max_size=25, unique_by=lambda record: record.id), seed=st.integers(0, 99))
def test_nothing_is_lost_spans_cover_and_order_does_not_matter(given_records: list[Record], seed: int) -> None:
    joined = join(given_records)
    by_id = {record.id: record for record in given_records}
    passed = [record.id for record in joined if record.kind == "speech"]
    assert sorted(passed + [parent for record in joined for parent in record.parents]) == sorted(by_id)
    for record in joined:
        for parent in record.parents:
            assert by_id[parent].kind == record.kind
            assert record.start <= by_id[parent].start <= by_id[parent].end <= record.end
    tracks = [record.track for record in joined if record.track is not None]
    assert sorted(tracks) == list(range(len(tracks)))
    shuffled = list(given_records)
    random.Random(seed).shuffle(shuffled)
    assert [record.id for record in join(shuffled)] == [record.id for record in joined]


@given(a=st.text(max_size=12), b=st.text(max_size=12))
def test_difference_is_a_distance_from_0_to_1(a: str, b: str) -> None:
    assert difference(a, a) == 0
    assert 0 <= difference(a, b) == difference(b, a) <= 1


def test_difference_counts_letters() -> None:
    assert difference("laundry", "laundfy") == pytest.approx(1 / 7)
    assert difference("Exit", "EXIT") == 0
    assert difference("12:45", "12:46") == 1


def test_overlap_is_of_the_smaller_box() -> None:
    assert overlap(Box(0, 0, 10, 10), Box(0, 0, 5, 5)) == 1
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 15, 10)) == 0.5
    assert overlap(Box(0, 0, 10, 10), Box(20, 0, 30, 10)) == 0
