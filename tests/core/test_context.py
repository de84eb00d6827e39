"""What a watch gives back, as an object and as JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from components import Echo, Embedding
from media import make
from speakers import Talker
from videochat import Record, Span, Stack
from videochat.context import Fault, record_json


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=75, size=(64, 48)).path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))


def test_its_json_holds_everything_that_a_program_needs(clip: Path) -> None:
    context = Stack(perceive={"eye": Echo(fps=2, side=24)}, device="cpu").watch(clip)
    out = json.loads(json.dumps(context.to_json(), allow_nan=False))
    assert list(out) == ["video", "records", "faults", "ledger"]
    assert out["video"]["path"] == str(clip)
    assert len(out["video"]["hash"]) == 64
    assert [row["id"] for row in out["records"]] == [record.id for record in context.records]
    row = {key: value for key, value in out["records"][1].items() if key != "id"}
    assert Record.from_json(row) == context.records[1]
    assert out["faults"] == []
    assert out["ledger"][0]["windows"] == 3


def test_tokens_are_never_inline(clip: Path) -> None:
    stack = Stack(perceive={"tokens": Embedding(fps=2)}, prompt="embed", llm=Talker(), device="cpu")
    row = stack.watch(clip).to_json()["records"][2]
    assert row["tokens"]["shape"] == [3, 4]
    assert row["tokens"]["dtype"] == "float32"
    assert Path(row["tokens"]["file"]).is_file()
    loose = record_json(Record("embedding", 0, 1, tokens=np.ones((2, 3), np.float16)))
    assert loose["tokens"] == {"shape": [2, 3], "dtype": "float16", "file": None}
    json.dumps(loose)


def test_lines_are_those_of_the_formatter(clip: Path) -> None:
    stack = Stack(perceive={"eye": Echo(fps=2)}, device="cpu")
    context = stack.watch(clip)
    lines = list(context.lines())
    assert [record for line in lines for record in line.records] == list(context.records)
    assert all("saw 2 frames" in line.text for line in lines)


def test_records_are_a_sequence_on_disk(clip: Path) -> None:
    records = Stack(perceive={"eye": Echo(fps=2, over=0.5)}, device="cpu").watch(clip).records
    everything = list(records)
    assert len(records) == 6
    assert [records[0], records[-1], *records[1:3], records[::2][1]] == [everything[i] for i in (0, 5, 1, 2, 2)]
    assert list(records) == everything, "it can be read more than once"
    with pytest.raises(IndexError):
        records[6]


def test_no_perceiver_no_records(clip: Path) -> None:
    context = Stack(device="cpu").watch(clip)
    assert list(context.records) == []
    assert context.ledger == context.faults == ()


def test_a_fault_is_one_harmless_line() -> None:
    fault = Fault.of("it", Span(1.0, 2.0), ValueError("\x1b[2J two\nlines"))
    assert fault == Fault("it", 1.0, 2.0, "ValueError: [2J two lines")
