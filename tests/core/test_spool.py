import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat import Box, Record, Span, StackError
from videochat.spool import RecordFile, StoredTokens, Windows

SPANS = [Span(i, i + 1.0) for i in range(4)]


def tokens(seed: int, rows: int = 2) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random((rows, 3), np.float32)


def record(i: int, embedded: bool = False) -> Record:
    if embedded:
        return Record("embedding", i, i + 1, tokens=tokens(i), space="llama", times=(i + 0.5,))
    return Record("region", i, i + 0.5, f"thing {i} “é”", 0.5, Box(0, 1, 2, 3), i, times=(i,), meta={"speed": 1.5})


def window(i: int) -> tuple[Span, list[Record]]:
    return SPANS[i], [record(i), record(i, embedded=True)]


def store(folder: Path) -> Windows:
    return Windows(folder / "key", {"perceive": "test"})


def texts(windows: Windows) -> list[str]:
    return [record.text for record in windows.read(SPANS, "me")]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Return a folder with three windows, the last with a line of its own kind."""
    store(tmp_path).append([(SPANS[0], [record(0)]), (SPANS[1], []), (SPANS[2], [record(2), record(3)])])
    return tmp_path


def test_what_was_appended_is_read_back_whole(tmp_path: Path) -> None:
    store(tmp_path).append([window(0), window(1)])
    again = store(tmp_path)
    found = list(again.read(SPANS, "me"))
    assert found == [replace(r, source="me") for i in (0, 1) for r in (record(i), record(i, embedded=True))]
    assert [r.id for r in found] == [replace(r, source="me").id for r in (*window(0)[1], *window(1)[1])]
    for got, wanted in zip(found, [*window(0)[1], *window(1)[1]], strict=True):
        if wanted.tokens is None:
            assert got.tokens is None
        else:
            np.testing.assert_array_equal(np.asarray(got.tokens), np.asarray(wanted.tokens))
    assert json.loads((tmp_path / "key" / "key.json").read_text()) == {"perceive": "test"}


def test_tokens_stay_on_disk_until_asked_for(tmp_path: Path) -> None:
    store(tmp_path).append([window(0)])
    found = list(store(tmp_path).read(SPANS, "me"))[1].tokens
    assert isinstance(found, StoredTokens)
    assert (found.shape, found.dtype) == ((2, 3), np.float32)
    assert np.asarray(found, dtype=np.float64).dtype == np.float64
    found.file.unlink()
    with pytest.raises(FileNotFoundError):
        np.asarray(found)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_tokens_keep_their_type_and_values_however_they_lie_in_memory(dtype: type, tmp_path: Path) -> None:
    whole = np.arange(24).reshape(4, 6).astype(dtype)
    odd = [
        whole,
        whole.T,
        whole[::2, ::-1],
        np.asfortranarray(whole),
        whole[:0],
        whole.astype(whole.dtype.newbyteorder()),
    ]
    store(tmp_path).append([(SPANS[0], [Record("embedding", 0, 1, tokens=array) for array in odd])])
    for found, given_tokens in zip(store(tmp_path).read(SPANS, "me"), odd, strict=True):
        np.testing.assert_array_equal(np.asarray(found.tokens), given_tokens)


def test_a_batch_has_one_file_of_tokens(tmp_path: Path) -> None:
    windows = store(tmp_path)
    windows.append([window(0), window(1)])
    windows.append([window(2)])
    assert len(list((tmp_path / "key").glob("tokens-*.safetensors"))) == 2
    assert not list((tmp_path / "key").glob(".tokens-*"))


def test_a_window_without_records_is_known(three: Path) -> None:
    assert [span in store(three) for span in SPANS] == [True, True, True, False]


def test_only_asked_windows_come_in_the_order_asked(three: Path) -> None:
    spans = [SPANS[2], SPANS[3], Span(0.0, 9.0), SPANS[0]]
    assert [found.start for found in store(three).read(spans, "me")] == [2, 3, 0]


def test_nothing_there(tmp_path: Path) -> None:
    assert list(store(tmp_path).read(SPANS, "me")) == []
    assert SPANS[0] not in store(tmp_path)
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("change", ["deleted", "emptied", "moved", "damaged"])
def test_what_another_process_changed_meanwhile_is_no_result(three: Path, change: str) -> None:
    """Cleared by hand in the middle of a watch, say: less than there was must not pass for all."""
    windows = store(three)
    file = three / "key" / "records.jsonl"
    lines = file.read_bytes()
    if change == "deleted":
        file.unlink()
    else:
        file.write_bytes({"emptied": b"", "moved": lines[1:], "damaged": b"\0" * len(lines)}[change])
    with pytest.raises(FileNotFoundError if change == "deleted" else StackError, match=r"records\.jsonl"):
        list(windows.read(SPANS, "me"))


def test_the_source_is_the_readers_name_for_it(three: Path) -> None:
    assert {found.source for found in store(three).read(SPANS, "mine")} == {"mine"}
    assert {found.source for found in store(three).read(SPANS, "yours")} == {"yours"}
    store(three).append([(SPANS[3], [replace(record(9), source="theirs")])])
    assert [found.source for found in store(three).read(SPANS[3:], "mine")] == ["mine"]
    file = RecordFile.write(three / "records.jsonl", [replace(record(9), source="theirs")])
    assert file[0].source == "theirs"


def test_a_window_appended_twice_counts_as_the_later(three: Path) -> None:
    windows = store(three)
    windows.append([(SPANS[0], [record(9)])])
    assert texts(windows)[0] == texts(store(three))[0] == record(9).text


def test_refresh_sees_what_another_writer_added(three: Path) -> None:
    mine, other = store(three), store(three)
    other.append([(SPANS[3], [record(7)])])
    assert SPANS[3] not in mine
    mine.refresh()
    assert SPANS[3] in mine
    assert texts(mine)[-1] == record(7).text


def test_a_line_torn_anywhere_is_dropped_and_mended(three: Path, tmp_path: Path) -> None:
    whole = (three / "key" / "records.jsonl").read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    before = texts(store(three))[:1]
    for cut in range(last, len(whole)):
        folder = tmp_path / str(cut)
        (folder / "key").mkdir(parents=True)
        file = folder / "key" / "records.jsonl"
        file.write_bytes(whole[:cut])
        windows = store(folder)
        assert [span in windows for span in SPANS] == [True, True, False, False]
        assert texts(windows) == before
        windows.append([(SPANS[3], [record(3)])])
        assert texts(windows) == texts(store(folder)) == [*before, record(3).text]
        windows.append([(SPANS[2], [])])
        assert file.read_bytes().startswith(whole[:last])
        assert all(json.loads(line) for line in file.read_bytes().splitlines())
        shutil.rmtree(folder)


def test_a_line_torn_by_another_writer_is_mended_after_refresh(three: Path) -> None:
    mine = store(three)
    mine.append([(SPANS[3], [])])
    with (three / "key" / "records.jsonl").open("ab") as other:
        other.write(b'{"span": [4.0, 5.0], "rec')
    mine.refresh()
    mine.append([(Span(4.0, 5.0), [record(4)])])
    assert Span(4.0, 5.0) in store(three)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\x00" * 40,
        b"\xff\xfe",
        b"{}",
        b"[]",
        b"null",
        b"5",
        b'{"span": 5}',
        b'{"span": [1]}',
        b'{"span": [[], []]}',
        b'{"span": [0, 1, 2], "records": []}',
        b'{"span": {"a": 1, "b": 2}}',
        b'"span"',
        b'{"span": null}',
    ],
)
def test_a_damaged_line_in_the_middle_loses_its_own_window_only(damage: bytes, three: Path) -> None:
    file = three / "key" / "records.jsonl"
    first, _, third = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + damage + b"\n" + third)
    windows = store(three)
    assert [span in windows for span in SPANS] == [True, False, True, False]
    assert texts(windows) == [record(i).text for i in (0, 2, 3)]
    windows.append([(SPANS[1], [])])
    assert SPANS[1] in store(three)


def test_a_failed_append_leaves_no_half_line(three: Path) -> None:
    windows, before = store(three), (three / "key" / "records.jsonl").read_bytes()
    bad = Record("embedding", 3, 4, tokens=np.array([["no number"]]))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever safetensors says of it
        windows.append([(SPANS[3], [record(3), bad])])
    assert (three / "key" / "records.jsonl").read_bytes() == before
    assert SPANS[3] not in windows


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 99)), max_size=30))
def test_a_record_file_is_sorted_by_start_and_keeps_the_order_of_equals(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("records")
    made = [Record("tag", start, 9, str(text)) for start, text in rows]
    file = RecordFile.write(folder / "records.jsonl", iter(made))
    assert list(file) == sorted(made, key=lambda record: record.start)
    assert len(file) == len(rows)
    assert [path.name for path in folder.iterdir()] == ["records.jsonl"]


def test_a_record_file_is_a_sequence(tmp_path: Path) -> None:
    made = [record(i) for i in range(5)]
    file = RecordFile.write(tmp_path / "deep" / "records.jsonl", reversed(made))
    assert (file[0], file[-1], file[np.int64(2)]) == (made[0], made[4], made[2])
    assert (file[1:3], file[::-2], file[7:]) == (made[1:3], made[::-2], [])
    assert list(reversed(file)) == made[::-1]
    assert made[3] in file
    assert file.index(made[3]) == 3
    assert list(zip(file, file, strict=True)) == list(zip(made, made, strict=True))
    with pytest.raises(IndexError):
        file[5]


def test_an_empty_record_file(tmp_path: Path) -> None:
    file = RecordFile.write(tmp_path / "records.jsonl", ())
    assert (len(file), list(file), file[:], file.file.read_bytes()) == (0, [], [], b"")


def test_a_source_that_breaks_off_leaves_nothing_new(tmp_path: Path) -> None:
    def broken() -> Iterator[Record]:
        yield record(1)
        yield record(2, embedded=True)
        raise RuntimeError("the refiner broke")

    with pytest.raises(RuntimeError, match="broke"):
        RecordFile.write(tmp_path / "new" / "records.jsonl", broken())
    assert [path for path in (tmp_path / "new").rglob("*") if path.name.endswith(".jsonl") or "-" in path.name] == []
    RecordFile.write(tmp_path / "records.jsonl", [record(0)])
    with pytest.raises(RuntimeError, match="broke"):
        RecordFile.write(tmp_path / "records.jsonl", broken())
    assert list(RecordFile(tmp_path / "records.jsonl")) == [record(0)]


def test_tokens_pass_through_files_without_being_copied(tmp_path: Path) -> None:
    store(tmp_path).append([window(0)])
    first = RecordFile.write(tmp_path / "a" / "records.jsonl", store(tmp_path).read(SPANS, "me"))
    second = RecordFile.write(tmp_path / "b" / "records.jsonl", iter(first))
    assert [path.parent.name for path in tmp_path.rglob("*.safetensors")] == ["key"]
    np.testing.assert_array_equal(np.asarray(second[1].tokens), tokens(0))


def test_a_refiners_own_tokens_are_kept(tmp_path: Path) -> None:
    made = [Record("embedding", i, i + 1, tokens=tokens(i, rows=i)) for i in range(20)]
    file = RecordFile.write(tmp_path / "records.jsonl", iter(made))
    for found, wanted in zip(file, made, strict=True):
        np.testing.assert_array_equal(np.asarray(found.tokens), np.asarray(wanted.tokens))
