"""`videochat explain`."""

from pathlib import Path

import pytest

from command_line import complaint, run

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "example.mp4"


@pytest.fixture
def folder(look: Path, tmp_path: Path) -> Path:
    """Return the folder of a watch whose one line was joined from four records."""
    assert run("watch", EXAMPLE, "-c", look, "--from", "1", "--to", "5", "-o", tmp_path / "out").code == 0
    return tmp_path / "out"


def test_goes_down_to_the_frames(folder: Path) -> None:
    done = run("explain", folder, "1")
    assert (done.code, done.err) == (0, "")
    line, *tree = done.out.splitlines()
    assert line == f"line 1: {(folder / 'prompt.txt').read_text().splitlines()[0]}"
    leaves = [branch for branch in tree if branch.startswith("      ")]
    assert sum(" look " in branch for branch in leaves if "record" in branch) == 4
    assert sum("by look (look version" in branch for branch in leaves) == 4
    assert sum("from frames at " in branch for branch in leaves) == 4


def test_json(folder: Path) -> None:
    found = run("explain", folder, "1", "--json").json
    assert {"line", "text", "records"} <= set(found)
    (record,) = found["records"]
    assert (record["start"], record["end"]) == (1.0, 5.0)
    assert [parent["plugin"]["use"] for parent in record["parents"]] == ["look"] * 4
    assert all(parent["times"] for parent in record["parents"])


def test_a_line_that_is_not_there(folder: Path) -> None:
    for line in ("0", "2", "999999"):
        assert "has lines 1 to 1" in complaint(run("explain", folder, line), 2)
    for line in ("first", "1.5", "", "-1"):
        complaint(run("explain", folder, line), 2)


def test_a_folder_that_is_none(here: Path) -> None:
    (here / "file").write_text("")
    (here / "empty").mkdir()
    for name in ("file", "empty", "none"):
        assert "holds no saved watch" in complaint(run("explain", name, "1"), 2)
    complaint(run("explain", "empty"), 2)
