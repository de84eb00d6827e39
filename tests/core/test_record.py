import json
import math
import unicodedata
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from videochat import Box, Record
from videochat.record import fold

FINITE = st.floats(-1e9, 1e9)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    start, end = sorted((draw(FINITE), draw(FINITE)))
    return Record(
        kind=draw(st.text().filter(fold)),
        start=start,
        end=end,
        text=draw(st.text()),
        score=draw(st.none() | st.floats(0, 1)),
        box=draw(st.none() | st.builds(Box, FINITE, FINITE, FINITE, FINITE)),
        track=draw(st.none() | st.integers()),
        space=draw(st.text()),
        times=tuple(draw(st.lists(FINITE, max_size=3))),
        source=draw(st.text()),
        parents=tuple(draw(st.lists(st.text(), max_size=2))),
        meta=draw(st.dictionaries(st.text(), JSON, max_size=3)),
    )


@given(records())
def test_json_brings_back_an_equal_record_with_the_same_id(record: Record) -> None:
    again = Record.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False)))
    assert again == record
    assert again.id == record.id
    assert hash(again) == hash(record)


@given(st.text(st.characters()))
@example("a\r\nb\x0bc\x1bd\x85e\u2028f\u2029g")
@example("\u202eevil\u2066\u200b\ufeff\u061c\ud800")
@example("dog\U000e0069\U000e0067")
def test_text_is_one_line_without_what_the_eye_cannot_see(text: str) -> None:
    told = Record("text", 0, 1, text).text
    assert told == fold(told) == told.strip()
    assert "  " not in told
    assert len(told.splitlines()) <= 1
    assert not [char for char in told if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [char for char in told if unicodedata.bidirectional(char) in ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI")]
    told.encode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  a \t\n b ", "a b"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("abc\u202edef", "abc def"),
        ("a\u061cb", "a b"),
        ("SALE\U000e0053\U000e0041\U000e007f", "SALE"),
        ("café 日本語 👍🏽 مرحبا", "café 日本語 👍🏽 مرحبا"),
        ("\x00", ""),
    ],
)
def test_fold(text: str, told: str) -> None:
    assert fold(text) == told


def test_equal_records_have_equal_ids_however_their_numbers_were_given() -> None:
    plain = Record("region", 0, 1, score=1, box=Box(0, 1, 2, 3), times=(0,), track=3)
    numpy = Record(
        "region",
        np.float64(-0.0),
        np.float32(1),
        score=np.float32(1),
        box=Box(-0.001, 1.0, 2.0, 3.0),
        times=tuple(np.zeros(1)),
        track=np.int64(3),
    )
    assert numpy == plain
    assert numpy.id == plain.id
    json.dumps(numpy.to_json())


def test_the_id_tells_apart_what_differs_and_stays_from_run_to_run() -> None:
    record = Record("caption", 1, 2, "a dog", source="caption")
    assert record.id == "".join(c for c in record.id if c in "0123456789abcdef")
    assert len(record.id) == 16
    changed: list[dict[str, Any]] = [
        {"kind": "tag"},
        {"start": 0.5},
        {"end": 3},
        {"text": "a cat"},
        {"score": 0.0},
        {"box": Box(0, 0, 1, 1)},
        {"track": 0},
        {"space": "llama"},
        {"times": (1.5,)},
        {"source": "other"},
        {"parents": ("0" * 16,)},
        {"meta": {"language": "en"}},
    ]
    others = [replace(record, **values) for values in changed]
    assert len({record.id, *(other.id for other in others)}) == len(changed) + 1
    assert record not in others
    assert Record("caption", 1, 2, "a dog").id == "d929fb11c37a178c"


def test_equality_and_hash_ignore_tokens() -> None:
    bare = Record("embedding", 0, 1, space="llama")
    full = replace(bare, tokens=np.ones((2, 3)))
    assert bare == full == replace(bare, tokens=np.zeros((2, 3)))
    assert len({bare, full}) == 1
    assert bare.id == full.id
    assert "tokens" not in full.to_json()
    assert "array" not in repr(full)


def test_a_record_cannot_be_changed() -> None:
    given_meta = {"path": [[0, 1, "left"]]}
    record = Record("region", 0, 1, meta=given_meta)
    with pytest.raises(FrozenInstanceError):
        record.text = "other"
    with pytest.raises(TypeError):
        record.meta["new"] = 1
    before = record.id
    given_meta["path"][0][2] = "right"
    given_meta["more"] = []
    assert record.id == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": ""}, "kind"),
        ({"kind": "\n\u200b"}, "kind"),
        ({"start": 2.0}, "in order"),
        ({"start": math.nan}, "finite"),
        ({"end": math.inf}, "finite"),
        ({"start": -math.inf}, "finite"),
        ({"score": math.nan}, "finite"),
        ({"times": (0.0, math.nan)}, "finite"),
        ({"box": Box(0, 0, math.inf, 1)}, "finite"),
        ({"meta": {"score": math.nan}}, "JSON"),
        ({"tokens": np.ones(3)}, "width"),
    ],
)
def test_what_is_no_record_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Record(**{"kind": "tag", "start": 0.0, "end": 1.0, **values})


@pytest.mark.parametrize("meta", [{"score": np.float32(1)}, {"frame": np.zeros(2)}, {"when": {1, 2}}, {(1, 2): 3}])
def test_meta_are_json_values(meta: dict[Any, Any]) -> None:
    with pytest.raises(TypeError):
        Record("tag", 0, 1, meta=meta)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "tag"},
        {"kind": "tag", "start": 0, "end": 1, "colour": "red"},
        {"kind": "tag", "start": "0", "end": 1},
        {"kind": "tag", "start": 0, "end": 1, "box": [0, 0, 1]},
        {"kind": 5, "start": 0, "end": 1},
    ],
)
def test_json_that_is_no_record_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Record.from_json(values)


def test_a_moment_is_a_record() -> None:
    assert Record("cut", 2, 2).start == 2
