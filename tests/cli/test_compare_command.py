"""`videochat compare`."""

from pathlib import Path

import pytest

from command_line import CHEAP, complaint, run


@pytest.fixture
def other(tmp_path: Path) -> Path:
    (tmp_path / "other.yaml").write_text(CHEAP.replace("llm: {use: talker}", "llm: {use: talker, says: ['[bold]No.']}"))
    return tmp_path / "other.yaml"


def test_side_by_side(clip: Path, cheap: Path, other: Path) -> None:
    done = run("compare", clip, "What?", "-c", cheap, "-c", other)
    assert (done.code, done.err) == (0, "")
    head, *rows = done.out.splitlines()
    assert head.split()[:4] == ["stack", "answer", "rests", "on"]
    assert [row.split()[0] for row in rows] == ["cheap", "other"]
    assert "It is red." in rows[0]
    assert "[bold]No." in rows[1]


def test_json(clip: Path, cheap: Path, other: Path) -> None:
    found = run("compare", clip, "What?", "-c", cheap, "-c", other, "--json").json
    assert set(found) == {"question", "answers"}
    assert found["question"] == "What?"
    assert [(row["stack"], row["answer"]) for row in found["answers"]] == [
        ("cheap", "It is red."),
        ("other", "[bold]No."),
    ]
    for row in found["answers"]:
        assert {"stack", "answer", "seconds", "tokens", "citations", "lines", "faults"} <= set(row)


def test_one_stack_is_not_enough(clip: Path, cheap: Path) -> None:
    assert "at least two stacks" in complaint(run("compare", clip, "What?", "-c", cheap), 2)
    assert "at least two stacks" in complaint(run("compare", clip, "What?"), 2)


def test_all_stacks_are_checked_first(tmp_path: Path, cheap: Path) -> None:
    assert "no config is called" in complaint(
        run("compare", tmp_path / "no.mp4", "What?", "-c", cheap, "-c", "nope"), 2
    )


def test_faults(clip: Path, cheap: Path, other: Path) -> None:
    broken = ("--set", "perceive.bad={use: failing, after: 1}")
    done = run("compare", clip, "What?", "-c", cheap, "-c", other, *broken, "--json")
    assert done.code == 5
    assert [len(row["faults"]) for row in done.json["answers"]] == [1, 1]


def test_a_model_that_fails(clip: Path, cheap: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(CHEAP.replace("{use: talker}", "{use: talker, breaks: no more}"))
    done = run("compare", clip, "What?", "-c", cheap, "-c", bad)
    assert "It is red." in done.out  # what the first stack answered is shown all the same
    assert "no more" in complaint(done._replace(out=""), 4)
