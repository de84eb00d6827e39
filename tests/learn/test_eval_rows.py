"""Rows on disk outlive a kill at any byte."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from videochat_plugins.learn.eval_rows import Rows


def test_what_was_written_is_read(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "deep" / "rows.jsonl")
    assert (rows.get("a"), len(rows)) == (None, 0)
    assert not rows.file.parent.exists()
    rows.append("a", {"said": "one\nline\u2028 \ud800"})
    rows.append("b", {"said": 1})
    rows.append("a", {"said": 2})
    for known in (rows, Rows(rows.file)):
        assert known.get("a") == {"key": "a", "said": 2}
        assert len(known) == 2
    assert len(rows.file.read_bytes().splitlines()) == 3


@given(cut=st.integers(0, 200))
def test_a_torn_line_is_dropped(tmp_path_factory: object, cut: int) -> None:
    folder: Path = tmp_path_factory.mktemp("rows")  # type: ignore[attr-defined]
    whole = Rows(folder / "rows.jsonl")
    for key in "abc":
        whole.append(key, {"said": key * 5})
    data = whole.file.read_bytes()
    whole.file.write_bytes(data[:cut])
    torn = Rows(whole.file)
    assert len(torn) == data[:cut].count(b"\n")
    torn.append("d", {"said": "new"})
    lines = [json.loads(line) for line in whole.file.read_bytes().splitlines()]
    assert [line["key"] for line in lines] == [*"abc"[: len(torn) - 1], "d"]


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'\x00\x00\n{"key": "a", "said": 1}\n[1]\n{"said": 2}\n{"key": ["b"]}\n')
    assert len(Rows(file)) == 1
