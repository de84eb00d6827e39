"""`videochat eval` through the command line: what is asked, counted, kept and compared."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eval_parts
import pytest
from eval_parts import LOG

from command_line import Done, complaint, distribute, run, start
from media import make
from speakers import Talker, Vectors
from videochat import Event, Stack, Tokens, Weights, hookimpl
from videochat.registry import registry
from videochat_plugins.learn.eval_formats import read
from videochat_plugins.learn.eval_rows import Rows
from videochat_plugins.learn.eval_run import Run

STACK = (
    "segment: {use: fixed, seconds: 1}\nperceive:\n  wide: {use: wide}\nllm: {use: knowing, guess: '2', knows: %s}\n"
)
QUESTIONS = ("What colour is it?", "How many are there?", "Which way does it go?")
ANSWERS = ("red", "2", "left")
OTHERS = (("blue", "green"), ("1", "3"), ("right", "up"))
WIDTHS = (48, 64, 80, 96)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for width in WIDTHS:
        make(folder / f"w{width}.mp4", frames=8, fps=4, size=(width, 48))
    return folder


@pytest.fixture(scope="module")
def parts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distribute(tmp_path_factory.mktemp("parts"), "videochat-eval-parts", "eval_parts")


@pytest.fixture(autouse=True)
def parts(
    own_folders: Path, parts_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Install the parts here; return the environment in which a new process has them too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(LOG, str(tmp_path / "log.jsonl"))
    known = registry()
    monkeypatch.setattr(sys, "path", [*sys.path, str(parts_folder)])
    before = dict(known.entries)
    known.register(eval_parts, "eval_parts", "videochat-eval-parts 1.0")
    yield {"PYTHONPATH": os.pathsep.join([str(parts_folder), str(Path(eval_parts.__file__).parent)])}
    known.manager.unregister(name="eval_parts")
    known.entries.clear()
    known.entries.update(before)


def question(width: int, number: int, **changes: Any) -> dict[str, Any]:
    row = {"id": f"w{width}-{number}", "video": f"w{width}.mp4", "group": f"w{width}", "split": "test", "twin": None}
    row |= {"category": f"kind{number % 2}/{number}", "question": QUESTIONS[number], "answer": ANSWERS[number]}
    return {**row, "accept": [], "candidates": [ANSWERS[number], *OTHERS[number]], **changes}


@pytest.fixture
def world(clips: Path, tmp_path: Path) -> Path:
    """Return a dataset of four videos with three questions each."""
    write(tmp_path / "world.jsonl", [question(width, number) for number in range(3) for width in WIDTHS])
    for clip in clips.glob("*.mp4"):
        (tmp_path / clip.name).hardlink_to(clip)
    return tmp_path / "world.jsonl"


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Return a stack that knows two answers of three when it sees, and guesses one when not."""
    (tmp_path / "some.yaml").write_text(STACK % json.dumps({QUESTIONS[0]: "It is red.", QUESTIONS[1]: "2 or 3"}))
    return tmp_path / "some.yaml"


@pytest.fixture
def better(tmp_path: Path) -> Path:
    knows = {QUESTIONS[0]: "(A)", QUESTIONS[1]: "two", QUESTIONS[2]: "To the left"}
    (tmp_path / "better.yaml").write_text(STACK % json.dumps(knows))
    return tmp_path / "better.yaml"


def logged(*kinds: str) -> list[list[Any]]:
    log = Path(os.environ[LOG])
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [line for line in lines if line[0] in (kinds or ("watch", "seeing", "blind", "judge"))]


def means(done: Done, category: str = "all") -> dict[str, float]:
    return {system["name"]: system["accuracy"][category]["mean"] for system in done.json["systems"]}


def test_accuracy_with_baselines(world: Path, stack: Path) -> None:
    done = run("eval", world, "-c", stack, "--json")
    assert (done.code, done.err) == (0, "")
    assert means(done) == {"some": pytest.approx(1 / 3), "some blind": pytest.approx(1 / 3), "majority": 1.0}
    assert means(done, "kind1") == means(done, "kind1/1") == {"some": 0.0, "some blind": 1.0, "majority": 1.0}
    assert means(done, "kind0/0")["some"] == 1.0
    chance = pytest.approx(1 / 3)  # among three candidates
    assert done.json["categories"]["kind0"] == {"questions": 8, "groups": 4, "chance": chance}
    some = done.json["systems"][0]
    assert some["accuracy"]["kind0"] == {"mean": 0.5, "low": 0.5, "high": 0.5}  # every video has one of each
    assert (some["empty"], some["error"], some["faults"]) == (4, 0, 0)
    assert some["tokens_per_question"] == 12
    assert some["watch_seconds_per_video"] > 0 < some["seconds_per_question"]
    pairs = [(one["system"], one["less"]) for one in done.json["differences"]]
    assert pairs == [("some", "some blind"), ("some", "majority")]


def test_each_video_is_watched_once_and_blind_means_blind(world: Path, stack: Path) -> None:
    run("eval", world, "-c", stack, "--jobs", "1")
    watched = [(width, start) for _, width, start in logged("watch")]
    assert sorted(watched) == [(width, float(second)) for width in WIDTHS for second in (0, 1)]
    assert [line[1] for line in logged("seeing")] == list(QUESTIONS) * 4  # by video
    assert [line[1] for line in logged("blind")] == [q for q in QUESTIONS for _ in WIDTHS]
    last_watch = max(i for i, line in enumerate(logged()) if line[0] == "watch")
    assert not any(line[0] != "watch" for line in logged()[:last_watch])


def test_the_table(world: Path, stack: Path, better: Path) -> None:
    done = run("eval", world, "-c", stack, "-c", better)
    assert (done.code, done.err) == (0, "")
    accuracy, cost, differences = done.out.split("\n\n")
    head, *rows = accuracy.splitlines()
    assert head.split() == ["category", "n", "some", "some", "blind", "better", "better", "blind", "majority", "chance"]
    assert [row.split()[0] for row in rows] == ["all", "kind0", "0", "2", "kind1", "1"]
    assert rows[0].split()[1:4] == ["12", "33.3", "[33,"]
    assert rows[0].split()[-1] == "33.3"
    assert [line.split()[0] for line in cost.splitlines()] == ["system", "some", "some", "better", "better", "majority"]
    first = differences.splitlines()[1]
    assert first.split()[:4] == ["some", "-", "better", "-33.3"]
    assert first.split()[-1] == "yes"


def test_a_comparison_is_paired(world: Path, stack: Path, better: Path) -> None:
    done = run("eval", world, "-c", stack, "-c", better, "--no-blind", "--json")
    found = {(one["system"], one["less"]): one["difference"] for one in done.json["differences"]}
    assert [*found] == [("some", "better"), ("some", "majority"), ("better", "majority")]
    assert found["some", "better"]["all"] == {"mean": pytest.approx(-1 / 3), "low": pytest.approx(-1 / 3),
                                              "high": pytest.approx(-1 / 3)}  # fmt: skip
    assert found["some", "better"]["kind0/0"]["mean"] == 1.0  # a letter is no answer to an open question
    assert not logged("blind")


def test_chance_is_known_only_where_all_have_candidates(world: Path, stack: Path) -> None:
    rows = [question(48, 0), question(64, 0, candidates=["red", "blue"]), question(48, 1, candidates=[])]
    write(world, rows)
    done = run("eval", world, "-c", stack, "--json")
    found = {name: facts.get("chance") for name, facts in done.json["categories"].items()}
    each = pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found == {"all": None, "kind0": each, "kind0/0": each, "kind1": None, "kind1/1": None}


class Here(Talker):
    """Has weights, so that there is but one of it."""

    def weights(self) -> list[Weights]:
        return [Weights("talker")]


def test_each_thread_has_a_copy_of_its_own(world: Path, stack: Path) -> None:
    run("eval", world, "-c", stack, "--jobs", "3", "--set", "llm.seconds=0.1", "--no-blind")
    assert len({line[2] for line in logged("seeing")}) == 3


def test_embeddings_are_shown_to_who_sees_only(world: Path, tmp_path: Path) -> None:
    examples = read(world).examples[:2]
    talker = Here(says=("red",))
    stack = Stack(perceive={"vectors": Vectors()}, llm=talker, prompt="embed")
    for seeing in (True, False):
        answers = Run(stack, "it", examples, False, Rows(tmp_path / f"{seeing}.jsonl"), seeing).answers()
        assert [answered.answer for answered in answers] == ["red", "red"]
    shown = [
        [part for message in heard for part in message.parts if isinstance(part, Tokens)] for heard in talker.heard
    ]
    assert [len(parts) for parts in shown] == [1, 1, 0, 0]


def test_observers_hear_how_far_it_is(world: Path, stack: Path) -> None:
    heard: list[Event] = []

    class Observer:
        @hookimpl
        def observe(self, event: Event) -> None:
            heard.append(event)

    observer = Observer()
    registry().manager.register(observer)
    try:
        run("eval", world, "-c", stack, "--judge", "judging")
    finally:
        registry().manager.unregister(observer)
    last = {event.name: (event.done, event.total) for event in heard if event.stage == "eval"}
    asked = {f"{name}, asking": (12, 12) for name in ("some", "some blind")}
    judged = {f"{name}, judging": (12, 12) for name in ("some", "some blind", "majority")}
    assert last == {"some, watching": (4, 4), **asked, **judged}


def test_two_stacks_of_one_name(world: Path, stack: Path) -> None:
    done = run("eval", world, "-c", stack, "-c", stack, "--limit", "3", "--json")
    names = ["some", "some blind", "some 2", "some 2 blind", "majority"]
    assert [system["name"] for system in done.json["systems"]] == names


def test_lettered_options(world: Path, better: Path) -> None:
    done = run("eval", world, "-c", better, "--ask", "choice", "--json")
    assert done.json["ask"] == "choice"
    asked = next(line[1] for line in logged("seeing") if QUESTIONS[0] in line[1])
    assert asked.startswith("What colour is it?\nOptions:\n(A) red\n(B) blue\n(C) green\nAnswer with the letter")
    assert means(done) == {"better": 1.0, "better blind": pytest.approx(1 / 3), "majority": 1.0}
    assert done.json["categories"]["all"]["chance"] == pytest.approx(1 / 3)
    blind = done.json["systems"][1]
    assert blind["no choice"] == 8  # `2` is the text of an option of four


def test_it_goes_on_from_what_was_answered(world: Path, stack: Path, tmp_path: Path) -> None:
    first = run("eval", world, "-c", stack, "-o", "out", "--limit", "6", "--json")
    assert [len(logged(kind)) for kind in ("seeing", "blind")] == [6, 6]
    (rows,) = Path("out").glob("some-????????????.jsonl")
    rows.write_bytes(rows.read_bytes()[:-20])  # torn by a kill
    whole = run("eval", world, "-c", stack, "-o", "out", "--json")
    assert [len(logged(kind)) for kind in ("seeing", "blind")] == [13, 12]
    again = run("eval", world, "-c", stack, "-o", "out", "--json")
    assert [len(logged(kind)) for kind in ("seeing", "blind")] == [13, 12]
    assert again.json == whole.json
    assert (first.json["dataset"]["questions"], whole.json["dataset"]["questions"]) == (6, 12)
    results = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    assert [(row["system"], row["id"]) for row in results[:2]] == [("some", "w48-0"), ("some", "w64-0")]
    assert (results[0]["answer"], results[0]["expected"], results[0]["right"]) == ("It is red.", "red", True)
    assert json.loads(Path("out/report.json").read_text()) == whole.json


def test_other_settings_start_afresh_and_say_so(world: Path, stack: Path) -> None:
    run("eval", world, "-c", stack, "-o", "out")
    other = run("eval", world, "-c", stack, "-o", "out", "--set", "llm.knows={'What colour is it?': blue}", "--json")
    assert "is of other settings of some: it stays, and all is asked afresh" in other.err
    assert means(other)["some"] == 0.0
    assert len(logged("seeing")) == 24
    perceives = ("--set", "perceive.wide.after=1000")  # what sees changes nothing for who does not
    run("eval", world, "-c", stack, "-o", "out", *perceives)
    assert [len(logged(kind)) for kind in ("seeing", "blind")] == [36, 24]
    run("eval", world, "-c", stack, "-o", "out", "--ask", "choice")  # another question; the answers before stay
    run("eval", world, "-c", stack, "-o", "out")
    assert [len(logged(kind)) for kind in ("seeing", "blind")] == [48, 36]


def test_a_changed_question_or_video_is_asked_again(world: Path, stack: Path) -> None:
    run("eval", world, "-c", stack, "-o", "out")
    rows = [question(width, number) for number in range(3) for width in WIDTHS]
    rows[0] |= {"question": "What hue is it?"}
    write(world, rows)
    Path("w96.mp4").unlink()
    make(Path("w96.mp4"), frames=4, fps=4, size=(96, 48))
    run("eval", world, "-c", stack, "-o", "out")
    assert sorted(line[1] for line in logged("seeing")[12:]) == sorted(["What hue is it?", *QUESTIONS])
    assert [line[1] for line in logged("blind")[12:]] == ["What hue is it?"]


def test_a_judge(world: Path, stack: Path) -> None:
    judged = ("--judge", "judging", "-o", "out", "--json")
    done = run("eval", world, "-c", stack, *judged)
    assert done.code == 0
    some, blind, majority = done.json["systems"]
    assert means(done)["some"] == pytest.approx(2 / 3)  # `2 or 3` holds the right answer: this judge is a mild one
    assert (some["score"], blind["score"], majority["score"]) == (2.0, 3.0, 3.0)  # an empty answer scores 0, unasked
    assert len(logged("judge")) == 7  # the same answer to the same question is judged once, whoever gave it
    assert done.json["judge"]["use"] == "judging"
    assert done.json["judge"]["prompt"].startswith("You grade answers")
    assert run("eval", world, "-c", stack, *judged).json == done.json
    assert len(logged("judge")) == 7
    other = run("eval", world, "-c", stack, *judged, "--judge-set", "says=[no idea]")
    assert [system["set aside"] for system in other.json["systems"]] == [8, 12, 12]
    assert means(other)["some"] == 0.0
    assert "warning: some: set aside: the judge said 'no idea'" in other.err
    table = run("eval", world, "-c", stack, *judged[:-1]).out.split("\n\n")[1].splitlines()
    assert table[0].split()[-5:] == ["set", "aside", "faults", "score", "0-5"]
    assert table[1].split()[-1] == "2.00"


def test_a_judge_that_fails(world: Path, stack: Path) -> None:
    done = run("eval", world, "-c", stack, "-o", "out", "--judge", "judging", "--judge-set", "fails=true")
    assert "the judge failed 10 times in a row, the last: out of office" in complaint(done, 4)
    assert len(logged("seeing")) == 12
    assert run("eval", world, "-c", stack, "-o", "out").code == 0  # what was answered is kept
    assert len(logged("seeing")) == 12


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_killed_run_loses_what_is_being_answered_at_most(
    world: Path, stack: Path, parts: dict[str, str], jobs: int
) -> None:
    slow = ("--set", "llm.seconds=0.2", "--jobs", str(jobs))
    process = start("eval", world, "-c", stack, "-o", "out", *slow, env=parts)
    while len(logged("seeing")) < 4:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(logged("seeing"))
    assert before < 12
    assert run("eval", world, "-c", stack, "-o", "out", *slow).code == 0
    assert 12 <= len(logged("seeing")) <= 12 + jobs
    assert len(logged("watch")) == 8


def test_a_folder_in_use_or_of_something_else(world: Path, stack: Path) -> None:
    from filelock import FileLock

    Path("out").mkdir()
    with FileLock("out/.lock"):
        assert "another process evaluates into out" in complaint(run("eval", world, "-c", stack, "-o", "out"), 2)
    Path("out/report.json").write_text("{}")
    message = complaint(run("eval", world, "-c", stack, "-o", "out"), 2)
    assert "report.json was not written by this command" in message
    assert Path("out/report.json").read_text() == "{}"


def test_a_folder_stays_ours_when_killed_at_the_end(world: Path, stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def killed(path: Path, content: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr("videochat_plugins.learn.eval_folder.write_whole", killed)
        run("eval", world, "-c", stack, "-o", "out")
    assert len(written) == 1
    assert run("eval", world, "-c", stack, "-o", "out").code == 0
    assert len(logged("seeing")) == 12


def test_what_fails_stays_in_its_row(world: Path, stack: Path) -> None:
    rows = [question(width, number) for number in range(3) for width in WIDTHS]
    Path("w64.mp4").unlink()
    Path("w64.mp4").write_bytes(b"no video at all")
    write(world, rows)
    breaks = ("--set", "llm.fails=Which way")
    done = run("eval", world, "-c", stack, "-o", "out", *breaks, "--json")
    assert done.code == 3
    some, blind, _ = done.json["systems"]
    assert (some["error"], blind["error"]) == (6, 4)
    assert some["accuracy"]["kind0/0"]["mean"] == 0.75  # the lost video counts as wrong
    results = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()][:12]
    assert len([row for row in results if row["error"]]) == 6
    broken = next(row for row in results if row["id"] == "w48-2")
    assert (broken["answer"], broken["right"], broken["why"]) == ("It is ", False, "error")
    assert done.err.count("no more words") == 2  # of the stack and of its blind self, each once
    asked = len(logged("seeing"))
    run("eval", world, "-c", stack, "-o", "out", *breaks)  # tries them again, and nothing else
    assert len(logged("seeing")) == asked + 3


def test_stopped_with_ctrl_c(world: Path, stack: Path, parts: dict[str, str]) -> None:
    words = ("eval", world, "-c", stack, "-o", "out", "--jobs", "2", "--set", "llm.seconds=0.3")
    process = start(*words, env=parts, stderr=-1)
    while len(logged("seeing")) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"stopped; what was finished is kept" in err
    (rows,) = Path("out").glob("some-*.jsonl")
    assert rows.read_bytes().count(b"\n") == len(logged("seeing")) < 12  # what was being answered is paid for


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_model_that_always_fails_is_given_up(world: Path, stack: Path, jobs: int) -> None:
    done = run("eval", world, "-c", stack, "-o", "out", "--set", "llm.fails='?'", "--jobs", str(jobs))
    assert "some: given up after 10 failures in a row, the last: no more words" in complaint(done, 4)
    assert 10 <= len(logged("seeing")) < 10 + jobs


def test_faults_of_perceivers(world: Path, stack: Path) -> None:
    done = run("eval", world, "-c", stack, "--set", "perceive.wide.after=1", "--json")
    assert done.code == 5
    assert done.json["systems"][0]["faults"] == 12
    assert "warning: some: wide at 1-2 s: RuntimeError: the lens is dirty" in done.err


def test_a_moment_and_a_stretch(clips: Path, stack: Path, tmp_path: Path) -> None:
    asked = {"question": QUESTIONS[0], "answer": "red"}
    info = {"video_path": "w48.mp4", "fps": 4, "num_frame": 8}
    film = {"info": info, "global": [asked], "breakpoint": [{**asked, "time": 4}]}
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "w48.json").write_text(json.dumps(film))
    done = run("eval", "films", "--videos", clips, "-c", stack, "--json")
    assert done.json["categories"]["breakpoint"]["questions"] == 1
    assert means(done, "breakpoint")["some"] == 1.0
    row = {"video": "w64.mp4", **asked, "candidates": ["red", "blue"], "start": 1.0, "end": 1.5}
    (tmp_path / "action_sequence.json").write_text(json.dumps([row, {**row, "start": 5.0, "end": 6.0}]))
    done = run("eval", "action_sequence.json", "--videos", clips, "-c", stack, "--json", "--ask", "open")
    assert done.code == 2  # what lies behind the end of the video is in its row
    assert means(done)["some"] == 0.5
    assert [line[2] for line in logged("watch") if line[1] == 64] == [1.0]


def test_bad_entries(world: Path, stack: Path) -> None:
    rows = [question(48, 0), question(64, 0, video="none.mp4"), question(80, 0, answer="")]
    write(world, rows)
    message = run("eval", world, "-c", stack)
    assert message.code == 2
    assert "world.jsonl:2: w64-0: no video 'none.mp4'" in message.err
    assert "world.jsonl:3: w80-0: the answer must be text" in message.err
    assert "--bad skip" in message.err
    assert logged() == []
    done = run("eval", world, "-c", stack, "--bad", "skip", "--json")
    assert done.code == 0
    assert done.err.count("skipped: ") == 2
    assert done.json["dataset"]["questions"] == 1
    assert len(done.json["dataset"]["bad"]) == 2


def test_some_questions_only(world: Path, stack: Path) -> None:
    done = run("eval", world, "-c", stack, "--category", "kind0", "--json")
    assert [*done.json["categories"]] == ["all", "kind0", "kind0/0", "kind0/2"]
    done = run("eval", world, "-c", stack, "--limit", "4", "--json")  # of each category as many as can be
    assert [facts["questions"] for facts in done.json["categories"].values()] == [4, 3, 2, 1, 1, 1]
    assert "no such category; did you mean kind" in complaint(run("eval", world, "--category", "kin"), 2)


def test_twins_are_asked_together(world: Path, stack: Path) -> None:
    rows = [question(width, 0, group="clip", twin=f"w{80 - width}-0") for width in (48, 32)]
    rows[1] |= {"video": "w64.mp4"}
    write(world, [*rows, question(80, 1), question(96, 1)])
    for limit, asked in ((2, ["w48-0", "w32-0"]), (3, ["w48-0", "w32-0", "w80-1"])):
        done = run("eval", world, "-c", stack, "--limit", str(limit), "-o", f"out{limit}", "--no-blind")
        assert done.code == 0
        results = [json.loads(line) for line in Path(f"out{limit}/results.jsonl").read_text().splitlines()]
        assert [row["id"] for row in results if row["system"] == "some"] == asked
    done = run("eval", world, "-c", stack, "--limit", "1", "--json")  # no room for the twins
    assert [*done.json["categories"]] == ["all", "kind1", "kind1/1"]
    write(world, rows)
    message = complaint(run("eval", world, "-c", stack, "--limit", "1"), 2)
    assert "--limit 1: a question and its twin are asked together: give 2 or more" in message


def test_what_cannot_run_is_said_before_anything_is_asked(world: Path, stack: Path) -> None:
    Path("heavy.yaml").write_text(f"extends: {stack}\nllm: {{use: transformers, model: ./nowhere}}\n")
    assert run("eval", world, "-c", stack, "-c", "heavy.yaml").code == 6
    assert run("eval", world, "-c", stack, "--judge", "transformers:./nowhere").code == 6
    for option, words in (
        (("--judge", "nobody:x"), "--judge: llm.use: "),
        (("--judge", ""), "--judge: "),
        (("--judge-set", "colour=red"), "name it with --judge"),
        (("--seed", "-1"), "--seed"),
        (("--judge", "judging", "--judge-set", "colour=red"), "--judge: llm.colour: no such option"),
        (("--judge", "judging", "--judge-set", "colour"), "must look like"),
        (("--format", "videomme", "--split", "test"), "has no splits"),
        (("--split", "val"), "no questions of the split val"),
    ):
        assert words in complaint(run("eval", world, "-c", stack, *option), 2)
    assert "another folder than the dataset's own" in complaint(run("eval", world.parent, "-o", world.parent), 2)
    Path("plain.json").write_text('[{"video_id": 48, "question": "who?", "answer": "man", "id": 1}]')
    Path("48.mp4").hardlink_to("w48.mp4")
    assert "have no options to choose from" in complaint(run("eval", "plain.json", "--ask", "choice"), 2)
    assert logged() == []


def test_the_offline_stack_without_a_model(world: Path) -> None:
    pytest.importorskip("cv2", reason="the extra offline is not installed")
    Path("look.yaml").write_text("perceive:\n  look: {use: look, over: 1}\nrefine:\n  join: {use: join}\n")
    rows = [
        question(w, 0, question="What colours are there?", answer="red", candidates=["red", "green"]) for w in WIDTHS
    ]
    write(world, rows)
    done = run("eval", world, "-c", "look.yaml", "--json")
    assert done.code == 0
    assert means(done) == {"look": 1.0, "look blind": 0.0, "majority": 1.0}
