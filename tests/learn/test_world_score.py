"""The script that scores perceivers on the world: the truth scores in full, and what is wrong does not."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from videochat import Record
from videochat_plugins.learn.world_questions import plan
from videochat_plugins.learn.world_truth import records
from videochat_plugins.learn.world_write import make

EXAMPLES = Path(__file__).parents[2] / "examples"
CHEAP = """# without on-screen text, which is slow to read
extends: offline
perceive: {text: null, speech: null, voice: null, sound: null, subtitles: null}
"""
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up", "still": "still"}
OPPOSITE |= {"up-left": "down-right", "down-right": "up-left", "up-right": "down-left", "down-left": "up-right"}


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXAMPLES))
    import score_world

    yield score_world
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def truths() -> list[list[Record]]:
    return [records(planned.log, "", "") for pair in plan(4, 12) for planned in pair]


def shares(script: ModuleType, truths: list[list[Record]], change: Callable[[Record], Record]) -> dict[str, float]:
    scores: dict[str, list[float]] = defaultdict(list)
    for truth in truths:
        found = [change(record) for record in truth]
        script.things(scores, script.kind(truth, "region"), script.kind(found, "region"))
        script.texts(scores, script.kind(truth, "text"), script.kind(found, "text"))
        cuts = [record.meta["cut"] for record in found if "cut" in record.meta]
        script.cuts(scores, "motion", truth, cuts)
        script.views(scores, truth, found)
    return {row: sum(values) / len(values) for row, values in scores.items() if values}


def told(record: Record, **meta: Any) -> Record:
    return replace(record, meta={**record.meta, **{name: value for name, value in meta.items() if name in record.meta}})


def test_truth_is_right(script: ModuleType, truths: list[list[Record]]) -> None:
    got = shares(script, truths, lambda record: record)
    exact = {row: share for row, share in got.items() if "count" not in row}
    assert exact == dict.fromkeys(exact, 1.0)
    assert len(exact) >= 10
    assert got["count of moving things in a second, exact"] > 0.9  # a slow thing moves, but is not asked for


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("its colour", lambda record: told(record, colour="grey")),
        ("its direction, of eight", lambda record: told(record, direction=OPPOSITE.get(record.meta.get("direction")))),
        ("moving camera", lambda record: told(record, camera="shake")),
        ("cut found, motion", lambda record: told(record, cut=record.start - 1)),
        ("word read exactly", lambda record: replace(record, text=record.text.lower())),
        (
            "moving thing found, in each second",
            lambda record: replace(record, box=record.box and type(record.box)(0, 0, 1, 1)),
        ),
    ],
)
def test_what_is_wrong_counts(
    script: ModuleType, truths: list[list[Record]], row: str, wrong: Callable[[Record], Record]
) -> None:
    got = shares(script, truths, wrong)
    assert got[row] < 0.05


def test_regions_of_other_perceivers_say_no_direction(script: ModuleType, truths: list[list[Record]]) -> None:
    scores: dict[str, list[float]] = defaultdict(list)
    regions = script.kind(truths[0], "region")
    script.things(scores, regions, [replace(record, meta={"label": "thing"}) for record in regions])
    assert not any(scores["moving thing found, in each second"])
    assert scores["what is said to move is a thing"] == []


def test_script_says_what_it_needs(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], [str(tmp_path)]):
        monkeypatch.setattr(sys, "argv", ["score_world.py", *arguments])
        with pytest.raises(SystemExit, match="world is a folder that `videochat world make` wrote"):
            script.main()


def test_script_prints_a_table(tmp_path: Path) -> None:
    make_world = tmp_path / "world"
    make_world.mkdir()
    make(make_world, seed=8, videos=1)
    (tmp_path / "cheap.yaml").write_text(CHEAP)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "score_world.py", "world", "cheap.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.startswith("2 videos\n\n| | right | of |\n")
    assert "| count of moving things in a second, exact |" in done.stdout
    assert "| dark or light | 1.00 |" in done.stdout
    assert json.loads((make_world / "world.json").read_text())["seed"] == 8
