"""`videochat compare`."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import CHEAP, complaint, run
from media import make
from videochat import Stack, peak


@pytest.fixture
def other(tmp_path: Path) -> Path:
    (tmp_path / "other.yaml").write_text(CHEAP.replace("llm: {use: talker}", "llm: {use: talker, says: ['[bold]No.']}"))
    return tmp_path / "other.yaml"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    (tmp_path / "bad.yaml").write_text(CHEAP.replace("{use: talker}", "{use: talker, breaks: no more}"))
    return tmp_path / "bad.yaml"


def test_side_by_side(clip: Path, cheap: Path, other: Path) -> None:
    done = run("compare", clip, "What?", "-c", cheap, "-c", other)
    assert (done.code, done.err) == (0, "")
    question, head, *rows, gap, costs, one, two = done.out.splitlines()
    assert (question, gap) == ("What?", "")
    assert head.split() == ["stack", "answer", "rests", "on", "first", "s", "all", "s", "tokens"]
    assert [row.split()[0] for row in rows] == ["cheap", "other"]
    assert "It is red." in rows[0]
    assert "[bold]No." in rows[1]
    assert costs.split() == ["stack", "watch", "s", "watch", "MB", "answer", "MB", "visual", "lines", "faults"]
    assert [line.split()[0] for line in (one, two)] == ["cheap", "other"]
    assert one.split()[-3:] == ["0", "2", "0"]


def test_questions_are_groups(clip: Path, cheap: Path, other: Path) -> None:
    done = run("compare", clip, "What?", "When?", "-c", cheap, "-c", other)
    assert [group.split("\n")[0] for group in done.out.split("\n\n")[:2]] == ["What?", "When?"]
    assert [group.count("It is red.") for group in done.out.split("\n\n")] == [1, 1, 0]


def test_long_answers_wrap_and_many_stretches_are_counted(tmp_path: Path) -> None:
    long = make(tmp_path / "long.mp4", frames=16, fps=2, size=(32, 32)).path
    said = " ".join(f"00:0{i}-00:0{i + 1}" for i in range(6)) + " word" * 40
    (tmp_path / "long.yaml").write_text(CHEAP.replace("{use: talker}", f"{{use: talker, says: ['{said}']}}"))
    done = run("compare", long, "What?", "-c", tmp_path / "long.yaml", "-c", tmp_path / "long.yaml")
    assert max(map(len, done.out.splitlines())) <= 120
    assert done.out.count("word") == 80
    assert done.out.count("and 2 more") == 2


def test_stacks_of_one_name_are_called_by_their_files(clip: Path, cheap: Path, bad: Path, tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    namesake = bad.rename(tmp_path / "my" / cheap.name)
    done = run("compare", clip, "What?", "-c", cheap, "-c", namesake, "-c", cheap, "--json")
    assert [row["stack"] for row in done.json["answers"]] == [str(cheap), str(namesake), str(cheap)]
    assert f"error: {namesake}: the language model failed" in done.err
    again = run("compare", clip, "What?", "-c", cheap, "-c", cheap, "--json")
    assert [row["stack"] for row in again.json["answers"]] == ["cheap", "cheap"]


def test_all_times_of_a_long_film_have_hours(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", times=[0.0, 1800.0, 3600.0], size=(32, 32)).path
    says = CHEAP.replace("seconds: 1", "seconds: 600").replace("talker", "talker, says: ['0:10:00-0:20:00']")
    (tmp_path / "slow.yaml").write_text(says)
    broken = ("--set", "perceive.bad={use: failing}")
    done = run("compare", film, "When?", "-c", tmp_path / "slow.yaml", "-c", tmp_path / "slow.yaml", *broken)
    assert done.out.count("0:10:00-0:20:00") == 4  # what it said and what that rests on, twice
    assert "slow: bad at 0:00:00-0:10:00" in done.err


def test_json(clip: Path, cheap: Path, other: Path) -> None:
    found = run("compare", clip, "What?", "-c", cheap, "-c", other, "--json").json
    assert set(found) == {"question", "answers"}
    assert found["question"] == "What?"
    assert [(row["stack"], row["answer"]) for row in found["answers"]] == [
        ("cheap", "It is red."),
        ("other", "[bold]No."),
    ]
    for row in found["answers"]:
        assert {"stack", "answer", "error", "seconds", "tokens", "citations", "lines", "faults"} <= set(row)


def test_json_of_several_questions(clip: Path, cheap: Path, other: Path, tmp_path: Path) -> None:
    found = run("compare", clip, "What?", "When?", "-c", cheap, "-c", other, "--json").json
    assert set(found) == {"video", "questions"}
    assert found["video"]["path"] == str(clip)
    assert [group["question"] for group in found["questions"]] == ["What?", "When?"]
    assert [[row["stack"] for row in group["answers"]] for group in found["questions"]] == [["cheap", "other"]] * 2
    (tmp_path / "one.txt").write_text("What?\n")  # a file of one has the shape of a file
    again = run("compare", clip, "--questions", tmp_path / "one.txt", "-c", cheap, "-c", other, "--json").json
    assert [group["question"] for group in again["questions"]] == ["What?"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.txt", "\ufeff# asked of all\n\n  What?  \n   # and\nWhen is #2?\r\n"),
        ("q.json", '["What?",\n "When is #2?"]'),
        ("q.JSON", '\n[ "What?" , "When is \\u00232?" ]\n'),
    ],
)
def test_questions_from_a_file(clip: Path, cheap: Path, other: Path, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    done = run("compare", clip, "First?", "--questions", tmp_path / name, "-c", cheap, "-c", other, "--json")
    assert [group["question"] for group in done.json["questions"]] == ["First?", "What?", "When is #2?"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("q.txt", b"# nothing\n\n", ":1: holds no question"),
        ("q.txt", b"What?\nWhat \xff?\n", ":2: is not text in UTF-8"),
        ("q.json", b'["What?",\n', ":2: not JSON"),
        ("q.json", b'{"a": "What?"}', ":1: must be a list of questions"),
        ("q.json", b'[\n"What?",\n\n3]', ":4: a question must be text, not 3"),
        ("q.json", b'["What?",\n " "]', ':2: a question must be text, not " "'),
        ("q.json", b"[]", ":1: holds no question"),
        ("q.json", b"[" * 100_000, ":1: nested too deeply"),
        ("none.txt", None, "none.txt: cannot be read: No such file"),
    ],
)
def test_a_bad_file(clip: Path, cheap: Path, tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    message = complaint(run("compare", clip, "--questions", tmp_path / name, "-c", cheap, "-c", cheap), 2)
    assert f"{tmp_path / name}" in message
    assert words in message


@pytest.mark.parametrize("questions", [(), ("",), ("What?", " \n")])
def test_no_question(clip: Path, cheap: Path, questions: tuple[str, ...]) -> None:
    words = "the question is empty" if questions else "--questions FILE"
    assert words in complaint(run("compare", clip, *questions, "-c", cheap, "-c", cheap), 2)


def test_one_stack_is_not_enough(clip: Path, cheap: Path) -> None:
    assert "at least two stacks" in complaint(run("compare", clip, "What?", "-c", cheap), 2)
    assert "at least two stacks" in complaint(run("compare", clip, "What?"), 2)


def test_all_stacks_are_checked_first(tmp_path: Path, cheap: Path) -> None:
    assert "no config is called" in complaint(
        run("compare", tmp_path / "no.mp4", "What?", "-c", cheap, "-c", "nope"), 2
    )


def test_faults(clip: Path, cheap: Path, other: Path) -> None:
    broken = ("--set", "perceive.bad={use: failing, after: 1}")
    done = run("compare", clip, "What?", "When?", "-c", cheap, "-c", other, *broken, "--json")
    assert done.code == 5
    assert [len(row["faults"]) for row in done.json["questions"][0]["answers"]] == [1, 1]
    assert done.err.count("warning: cheap: bad at 00:01-00:02") == 1  # not once a question


def test_a_model_that_fails(clip: Path, cheap: Path, bad: Path) -> None:
    done = run("compare", clip, "What?", "When?", "-c", bad, "-c", cheap)
    rows = [line for line in done.out.splitlines() if line.startswith("cheap")]
    assert all("It is red." in row for row in rows[:2])  # what the others answered is shown all the same
    assert done.out.count("error: the language model failed") == 2
    assert "error: bad: the language model failed: RuntimeError: no more" in complaint(done._replace(out=""), 4)
    found = run("compare", clip, "What?", "-c", bad, "-c", cheap, "--json")
    assert found.code == 4
    errors = [row["error"] for row in found.json["answers"]]
    assert "no more" in errors[0]
    assert errors[1] is None


def test_the_worst_decides(clip: Path, cheap: Path, bad: Path) -> None:
    broken = ("--set", "perceive.bad={use: failing, after: 1}")
    done = run("compare", clip, "What?", "-c", bad, "-c", cheap, *broken)
    assert done.code == 4
    assert "warning: cheap: bad at 00:01-00:02" in done.err


def test_html(clip: Path, cheap: Path, other: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.html"
    done = run("compare", clip, "What?", "When?", "-c", cheap, "-c", other, "--html", file)
    assert (done.code, done.err) == (0, f"written to {file}\n")
    text = file.read_text(encoding="utf-8")
    for words in ("What?", "When?", "cheap", "other", "It is red.", "[bold]No.", "data:image/jpeg;base64,"):
        assert words in text
    assert run("compare", clip, "What?", "-c", cheap, "-c", other, "--html", file, "--json").json["question"] == "What?"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("none/out.html", "there is no folder"),
        ("", "it is a folder"),
        ("clip.mp4", "it is read, and would be lost"),
        ("other.yaml", "it is read, and would be lost"),
        ("asked.txt", "it is read, and would be lost"),
        ("other.yaml/out.html", "there is no folder"),
        ("x" * 300, "name too long"),
        ("pipe", "it is no plain file"),
        ("link to nowhere", "there is no folder"),
    ],
)
def test_html_that_cannot_be_written_is_refused_before_any_work(
    clip: Path, cheap: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    video = Path(shutil.copy(clip, tmp_path / "clip.mp4"))
    (tmp_path / "asked.txt").write_text("What?")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link to nowhere").symlink_to(tmp_path / "none" / "out.html")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    asked = ("--questions", tmp_path / "asked.txt")
    done = run("compare", video, *asked, "-c", cheap, "-c", other, "--html", tmp_path / place)
    assert words in complaint(done, 2).lower()
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert not (tmp_path / "cache").exists()


def test_a_page_may_have_any_name_and_is_written_anew(clip: Path, cheap: Path, other: Path, tmp_path: Path) -> None:
    for name in ("x" * 255, "x" * 255, "東京 é.html"):
        assert run("compare", clip, "What?", "-c", cheap, "-c", other, "--html", tmp_path / name).code == 0
        assert "It is red." in (tmp_path / name).read_text(encoding="utf-8")


def test_through_a_link_a_page_goes_to_where_it_leads(clip: Path, cheap: Path, other: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (link := tmp_path / "out.html").symlink_to(page := tmp_path / "site" / "page.html")
    for _ in range(2):  # a link to nothing yet, and one to a page
        assert run("compare", clip, "What?", "-c", cheap, "-c", other, "--html", link).code == 0
        assert link.readlink() == page
        assert "It is red." in page.read_text(encoding="utf-8")
        page.write_text("old")


def test_a_page_that_fails_at_the_end_loses_no_answer(
    clip: Path, cheap: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.html"

    def watch(*arguments: Any) -> Any:  # something comes to stand there in the meantime
        file.mkdir(exist_ok=True)
        return watched(*arguments)

    watched = Stack.watch
    monkeypatch.setattr(Stack, "watch", watch)
    done = run("compare", clip, "What?", "-c", cheap, "-c", other, "--html", file, "--json")
    assert json.loads(done.out)["answers"][0]["answer"] == "It is red."
    assert "cannot write to" in complaint(done._replace(out=""), 2)


@pytest.mark.parametrize("gpu", [None, 7_000_000])
def test_memory_on_a_gpu_has_columns_of_its_own(
    clip: Path, cheap: Path, other: Path, monkeypatch: pytest.MonkeyPatch, gpu: int | None
) -> None:
    class Allocated:  # what torch tells, where there is a GPU
        def max_memory_allocated(self, device: int) -> int:
            return gpu or 0

        def device_count(self) -> int:
            return 1

        def reset_peak_memory_stats(self, device: int) -> None:
            pass

    monkeypatch.setattr("videochat.peak._cuda", lambda: Allocated() if gpu else None)
    monkeypatch.setattr("videochat.peak._high_water", lambda: 300_000_000)
    done = run("compare", clip, "What?", "-c", cheap, "-c", other)
    head, one, two = done.out.splitlines()[-3:]
    words = ["watch MB", "answer MB", *(["watch GPU MB", "answer GPU MB"] if gpu else [])]
    assert " ".join(head.split()) == f"stack watch s {' '.join(words)} visual lines faults"
    for line in (one, two):
        assert line.split()[2:] == [
            *(["300", "300"] if peak._reset() else []),
            *(["7", "7"] if gpu else []),
            "0",
            "2",
            "0",
        ]


def test_what_is_missing_is_missing_in_a_stack(clip: Path, cheap: Path, other: Path, tmp_path: Path) -> None:
    needy = tmp_path / "needs.yaml"
    needy.write_text(f"extends: {cheap}\nllm: {{use: transformers, model: no-such-model-anywhere}}\n")
    done = run("compare", clip, "What?", "-c", other, "-c", needy)
    assert complaint(done, 6).startswith("error: needs: ")
