"""A watch in a folder, and where its lines came from."""

import json
from pathlib import Path
from typing import Any

import pytest

from media import make
from speakers import Talker, Told, Vectors
from videochat import Record, Refiner, Stack, StackError
from videochat.context import Context
from videochat.save import check_file, check_folder, explain, save

FILES = {"prompt.txt", "lines.jsonl", "records.jsonl", "run.json", "subtitles.srt", "subtitles.vtt"}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make(tmp_path / "clip.mp4", frames=30, fps=10, size=(64, 48)).path


class Merge(Refiner):
    """Makes one record of all captions."""

    reads = ("caption",)
    emits = ("caption",)

    def refine(self, records: Any) -> Any:
        captions = []
        for record in records:
            if record.kind == "caption":
                captions.append(record)
            else:
                yield record
        if captions:
            parents = tuple(record.id for record in captions)
            yield Record("caption", captions[0].start, captions[-1].end, "all captions", parents=parents)


def told(kind: str, text: str, **more: Any) -> Told:
    return Told(Told.Options(kind=kind, text=text, **more))


@pytest.fixture
def context(clip: Path) -> Context:
    perceive = {"eyes": told("caption", "a bar code"), "words": told("text", "EXIT <b>", over="video")}
    return Stack(perceive=perceive, refine={"merge": Merge()}, llm=Talker()).watch(clip)


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_files(context: Context, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    save(context, out)
    assert {path.name for path in out.iterdir()} == FILES
    lines = (out / "prompt.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == ["00:00-00:03 caption: all captions", "00:00-00:03 text: EXIT <b>"]
    records = {row["id"]: row for row in rows(out / "records.jsonl")}
    listed = rows(out / "lines.jsonl")
    assert [row["line"] for row in listed] == [1, 2]
    assert [row["text"] for row in listed] == lines
    for row in listed:
        (key,) = row["records"]
        assert records[key]["in_context"]
        assert records[key]["text"] in row["text"]
    parents = [row for row in records.values() if not row["in_context"]]
    assert [(row["start"], row["text"]) for row in parents] == [(i, "a bar code") for i in range(3)]
    assert "EXIT" in (out / "subtitles.srt").read_text(encoding="utf-8")
    assert (out / "subtitles.vtt").read_text(encoding="utf-8").startswith("WEBVTT")


def test_run_holds_all_that_decided_the_result(context: Context, tmp_path: Path) -> None:
    save(context, tmp_path / "out")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert {"videochat", "python", "packages", "stack", "components", "prompt", "video", "span"} <= set(run)
    assert run["stack"]["llm"]["seed"] == 0
    assert run["stack"]["segment"] == {"use": "fixed", "seconds": 1.0}
    assert run["video"]["hash"] == context.video.hash != ""
    assert all({"version", "options", "weights"} <= set(part) for part in run["components"].values())
    assert "{question}" in run["prompt"]["text"]
    assert run["faults"] == []
    assert [cost["name"] for cost in run["ledger"]] == ["eyes", "words", "merge"]


def test_saving_again_replaces(context: Context, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save(context, out)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "prompt.txt").write_text("old\n" * 100)
    save(context, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_nothing_perceived(clip: Path, tmp_path: Path) -> None:
    save(Stack(llm=Talker()).watch(clip), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert (tmp_path / "out" / "prompt.txt").read_text() == ""
    with pytest.raises(StackError, match="is empty"):
        explain(tmp_path / "out", 1)


def test_tokens_by_shape_and_file(clip: Path, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{video}\n{question}")
    stack = Stack(perceive={"vectors": Vectors()}, llm=Talker(), prompt=str(prompt))
    save(stack.watch(clip), tmp_path / "out")
    for row in rows(tmp_path / "out" / "records.jsonl"):
        assert row["tokens"]["shape"] == [2, 4]
        assert row["tokens"]["dtype"] == "float32"
        assert Path(row["tokens"]["file"]).is_file()
        assert len(json.dumps(row)) < 600


def test_no_secret_is_written(clip: Path, tmp_path: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-from-the-environment")
    for key in ("sk-written-in-the-stack", "${MY_KEY}"):
        llm = {"use": "openai", "api_key": key, "base_url": "http://127.0.0.1:9/v1"}
        stack = Stack(perceive={"eyes": Told()}, llm=llm, allow_hosts=["127.0.0.1"])
        save(stack.watch(clip), tmp_path / "out")
        written = b"".join(
            path.read_bytes() for folder in (tmp_path, own_folders) for path in folder.rglob("*") if path.is_file()
        )
        assert b"127.0.0.1" in written
        assert b"sk-" not in written
        assert b"MY_KEY" not in written


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_folder_that_cannot_be_written_to(context: Context, tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StackError, match="cannot write to"):
        save(context, tmp_path / place)
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder here that even an administrator cannot write to")
def test_a_place_that_nobody_can_write_to_is_refused_beforehand(tmp_path: Path) -> None:
    for place in ("/proc/out", "/proc/self/deep/out", "/proc/version/out"):
        with pytest.raises(StackError, match=f"cannot write to {place}: "):
            check_folder(Path(place))
    with pytest.raises(StackError, match=r"cannot write to /proc/out\.html: "):
        check_file(Path("/proc/out.html"))
    with pytest.raises(StackError, match=r"cannot write to .*x: File name too long"):
        check_folder(tmp_path / ("x" * 300))


def test_a_link_that_leads_nowhere_is_refused_beforehand(context: Context, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "none")
    for place in ("link", "link/out"):
        with pytest.raises(StackError, match="cannot write to "):
            check_folder(tmp_path / place)
    (tmp_path / "none").mkdir()
    check_folder(tmp_path / "link")
    save(context, tmp_path / "link")
    assert {path.name for path in (tmp_path / "none").iterdir()} == FILES


def test_to_check_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("mine")
    check_folder(tmp_path / "a" / "b")
    check_file(tmp_path / "new.html", [tmp_path / "none"])
    check_file(tmp_path / "old.html", [tmp_path / "none"])
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    with pytest.raises(StackError, match="it is read, and would be lost"):
        check_file(tmp_path / "old.html", [tmp_path / "." / "old.html"])


def test_nothing_half_written(context: Context, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "records.jsonl" / "in the way").mkdir(parents=True)
    with pytest.raises(StackError, match="cannot write to"):
        save(context, out)
    assert {path.name for path in out.iterdir()} == {"prompt.txt", "lines.jsonl", "records.jsonl"}
    with pytest.raises(StackError, match="holds no saved watch"):
        explain(out, 1)


def test_explain_goes_down_to_the_frames(context: Context, tmp_path: Path) -> None:
    save(context, tmp_path)
    lines = (tmp_path / "prompt.txt").read_text().splitlines()
    found = explain(tmp_path, lines.index("00:00-00:03 caption: all captions") + 1)
    (record,) = found["records"]
    assert (record["source"], record["plugin"]["version"]) == ("merge", 1)
    assert record["plugin"]["use"].endswith("Merge")
    assert [parent["plugin"]["use"] for parent in record["parents"]] == ["speakers:Told"] * 3
    assert [parent["source"] for parent in record["parents"]] == ["eyes"] * 3
    assert [parent["times"] for parent in record["parents"]] == [[pytest.approx(i + 0.5, abs=0.1)] for i in range(3)]
    assert all(parent["parents"] == [] for parent in record["parents"])


def test_explain_tells_a_perceiver_from_a_refiner_of_the_same_name(clip: Path, tmp_path: Path) -> None:
    stack = Stack(perceive={"same": Told()}, refine={"same": Merge()}, llm=Talker())
    save(stack.watch(clip), tmp_path)
    (record,) = explain(tmp_path, 1)["records"]
    assert record["plugin"]["use"].endswith("Merge")
    assert [parent["plugin"]["use"] for parent in record["parents"]] == ["speakers:Told"] * 3


@pytest.mark.parametrize("line", [0, -1, 3, 10**9])
def test_explain_a_line_that_is_not_there(context: Context, tmp_path: Path, line: int) -> None:
    save(context, tmp_path)
    with pytest.raises(StackError, match=f"has lines 1 to 2, not {line}"):
        explain(tmp_path, line)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("lines.jsonl", "not json"),
        ("lines.jsonl", "[1, 2]\n"),
        ("lines.jsonl", '{"line": 1}\n'),
        ("records.jsonl", "[]\n"),
        ("records.jsonl", '{"kind": "caption"}\n'),
        ("run.json", "[]"),
        ("run.json", "{}"),
        ("run.json", '{"components": 3}'),
    ],
)
def test_explain_of_files_that_are_not_ours(context: Context, tmp_path: Path, file: str, text: str) -> None:
    save(context, tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(StackError, match="holds no saved watch"):
        explain(tmp_path, 1)


def test_explain_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="holds no saved watch; make one: videochat watch"):
        explain(tmp_path / "none", 1)
