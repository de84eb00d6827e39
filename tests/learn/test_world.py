"""`videochat world make`: a folder of videos of which everything is known."""

import hashlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from filelock import FileLock

from command_line import complaint, run, spawn, start
from videochat import Record
from videochat.hookspecs import Event, hookimpl
from videochat.registry import registry
from videochat_plugins.learn.world_things import FPS, FRAMES, HEIGHT, WIDTH

VIDEOS = 6
MAKE = ("--videos", str(VIDEOS), "--seed", "2", "--quiet")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "out"
    assert run("world", "make", out, *MAKE).code == 0
    return out


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(world: Path, name: str) -> list[dict[str, Any]]:
    text = (world / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def pictures(path: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_folder_holds_what_it_should(world: Path) -> None:
    ids = [f"w{i:05d}{end}" for i in range(VIDEOS) for end in ("", "r")]
    assert sorted(path.name for path in world.iterdir()) == sorted(
        [
            ".lock",
            "captions.json",
            "images",
            "images.json",
            "instruct.json",
            "questions.jsonl",
            "records",
            "videos",
            "world.json",
        ]
    )
    assert sorted(path.stem for path in (world / "videos").iterdir()) == ids
    assert sorted(path.stem for path in (world / "records").iterdir()) == ids
    assert json.loads((world / "world.json").read_text()) == {
        "format": "videochat-world",
        "version": 1,
        "seed": 2,
        "videos": VIDEOS,
        "things": 0,
        "options": {"width": WIDTH, "height": HEIGHT, "fps": FPS, "seconds": FRAMES / FPS},
    }
    assert pictures(world / "videos" / "w00000.mp4").shape == (FRAMES, HEIGHT, WIDTH, 3)


def test_training_files_have_the_forms_of_the_original_and_no_test_video(world: Path) -> None:
    train = {f"videos/w{i:05d}{end}.mp4" for i in range(VIDEOS) if i % 5 != 4 for end in ("", "r")}
    for name, fields in (("captions.json", {"video", "caption"}), ("instruct.json", {"video", "QA"})):
        assert {row["video"] for row in rows(world, name)} == train
        assert all(row.keys() == fields for row in rows(world, name))
    for row in rows(world, "instruct.json"):
        assert all(pair.keys() == {"q", "a"} and pair["q"] and pair["a"] for pair in row["QA"])
        assert len(row["QA"]) == 1 or not any(len(pair["a"].split()) > 60 for pair in row["QA"])
    told = [row for row in rows(world, "instruct.json") if len(row["QA"][0]["a"].split()) > 60]
    assert {row["video"] for row in told} == train  # each in a talk of its own
    for row in rows(world, "images.json"):
        assert row.keys() == {"image", "caption"}
        assert (world / row["image"]).is_file()
    assert len(rows(world, "images.json")) == len(train)


def test_every_question_has_its_video(world: Path) -> None:
    questions = rows(world, "questions.jsonl")
    assert {question["split"] for question in questions} == {"train", "test"}
    for question in questions:
        assert (world / question["video"]).is_file()
        assert (question["split"] == "test") == (question["group"] == "w00004")
    trained = {pair["q"] for row in rows(world, "instruct.json") for pair in row["QA"]}
    assert all(question["question"] in trained for question in questions if question["split"] == "train")


def test_reverse_shows_the_frames_backwards(world: Path) -> None:
    for number in range(VIDEOS):
        forward, backward = (pictures(world / "videos" / f"w{number:05d}{end}.mp4") for end in ("", "r"))
        # Each is coded by itself, so they are as far apart as coding takes them.
        assert np.abs(forward[::-1].astype(int) - backward).mean() < 4
        assert np.abs(forward.astype(int) - backward).max() > 60


def test_records_are_read_back_and_lie_in_the_video(world: Path) -> None:
    kinds = set()
    for path in sorted((world / "records").iterdir()):
        for line in path.read_text().splitlines():
            record = Record.from_json(json.loads(line))
            assert record.to_json() == json.loads(line)
            assert 0 <= record.start <= record.end <= FRAMES / FPS
            if record.box is not None:
                assert record.box.x1 < record.box.x2 <= WIDTH + 3
                assert record.box.y1 < record.box.y2 <= HEIGHT + 3
            kinds.add(record.kind)
    assert kinds >= {"caption", "summary", "track", "region", "motion", "look", "text", "event"}


def test_truth_of_the_reverse_is_the_truth_reversed(world: Path) -> None:
    for number in range(VIDEOS):
        both = []
        for end in ("", "r"):
            lines = (world / "records" / f"w{number:05d}{end}.jsonl").read_text().splitlines()
            both.append([Record.from_json(json.loads(line)) for line in lines])
        tracks = [{r.track: r.meta["path"] for r in records if r.kind == "track"} for records in both]
        for track, path in tracks[0].items():
            backwards = [[round((FRAMES - 1) / FPS - t, 2), x, y] for t, x, y in path][::-1]
            assert tracks[1][track] == backwards
        cuts = [[r.meta["cut"] for r in records if "cut" in r.meta] for records in both]
        assert cuts[1] == pytest.approx([FRAMES / FPS - cut for cut in cuts[0]])


def test_same_seed_gives_the_same_bytes_and_a_larger_world_begins_alike(world: Path, tmp_path: Path) -> None:
    # What was in memory before must not show in what is written: glibc fills it with another byte.
    assert spawn("world", "make", tmp_path / "again", *MAKE, env={"MALLOC_PERTURB_": "1"}).code == 0
    assert content(tmp_path / "again") == content(world)
    assert run("world", "make", tmp_path / "small", "--videos", "2", "--seed", "2").code == 0
    small, large = content(tmp_path / "small"), content(world)
    assert all(large[name] == found for name, found in small.items() if "/" in name)
    questions = rows(tmp_path / "small", "questions.jsonl")
    assert rows(world, "questions.jsonl")[: len(questions)] == questions
    assert run("world", "make", tmp_path / "other", "--videos", "2", "--seed", "3").code == 0
    other = content(tmp_path / "other")
    assert other["videos/w00000.mp4"] != small["videos/w00000.mp4"]


def test_what_is_missing_is_made_again_and_nothing_else(world: Path, tmp_path: Path) -> None:
    before = content(world)
    times = {path: path.stat().st_mtime_ns for path in (world / "videos").iterdir()}
    lost = world / "videos" / "w00003r.mp4"
    lost.unlink()
    (world / "questions.jsonl").unlink()
    for name in ("videos/.w00001.mp4", ".questions.jsonl"):
        (world / f"{name}.0123456789abcdef").write_bytes(b"what a killed run left")
    done = run("world", "make", world, *MAKE, "--json")
    assert done.code == 0
    assert done.json["written"] == 1
    assert content(world) == before
    changed = [path for path in (world / "videos").iterdir() if path.stat().st_mtime_ns != times[path]]
    assert changed == [lost]


def test_killed_run_goes_on(tmp_path: Path, world: Path) -> None:
    process = start("world", "make", tmp_path / "out", *MAKE)
    while process.poll() is None and not list(tmp_path.rglob("*.mp4")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run("world", "make", tmp_path / "out", *MAKE).code == 0
    assert content(tmp_path / "out") == content(world)


def test_run_killed_at_the_very_beginning_goes_on(tmp_path: Path) -> None:
    (tmp_path / ".world.json.0123456789abcdef").write_text("{")
    assert run("world", "make", tmp_path, "--videos", "1").code == 0
    assert (tmp_path / "world.json").is_file()
    assert not (tmp_path / ".world.json.0123456789abcdef").exists()


def test_folder_in_use_is_refused(world: Path) -> None:
    before = content(world)
    (world / "videos" / ".w00001.mp4.0123456789abcdef").write_bytes(b"what the other process writes")
    with FileLock(world / ".lock"):
        assert f"another process writes a world to {world}" in complaint(run("world", "make", world, *MAKE), 2)
    (world / "videos" / ".w00001.mp4.0123456789abcdef").unlink()  # it is still there
    assert content(world) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--videos", str(VIDEOS), "--seed", "3"), "seed is 2 there, not 3"),
        (("--videos", str(VIDEOS + 1), "--seed", "2"), f"videos is {VIDEOS} there, not {VIDEOS + 1}"),
        (("--videos", str(VIDEOS), "--seed", "2", "--things", "1"), "things is 0 there, not 1"),
    ],
)
def test_folder_of_another_world_is_refused(world: Path, options: tuple[str, ...], said: str) -> None:
    before = content(world)
    assert said in complaint(run("world", "make", world, *options), 2)
    assert content(world) == before


@pytest.mark.parametrize("damage", ["[]", "{}", "no json", '{"format": "videochat-world", "version": 2}'])
def test_folder_of_something_else_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / "world.json").write_text(damage)
    assert str(tmp_path) in complaint(run("world", "make", tmp_path, *MAKE), 2)
    assert content(tmp_path).keys() == {"world.json"}


def test_folder_of_the_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    assert "is not empty and holds no world" in complaint(run("world", "make", tmp_path, *MAKE), 2)
    assert "not a folder" in complaint(run("world", "make", tmp_path / "mine.txt", *MAKE), 2)
    assert content(tmp_path).keys() == {"mine.txt"}


def test_wrong_numbers_are_refused(tmp_path: Path) -> None:
    assert "--videos" in complaint(run("world", "make", tmp_path / "out", "--videos", "0"), 2)
    assert "--seed" in complaint(run("world", "make", tmp_path / "out", "--seed", "-1"), 2)
    assert not (tmp_path / "out").exists()


def test_without_opencv_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    message = complaint(run("world", "make", tmp_path / "out", *MAKE), 6)
    assert "pip install 'videochat[offline]'" in message
    assert not (tmp_path / "out").exists()


def test_observers_hear_how_far_it_is_and_the_table_tells_the_counts(tmp_path: Path) -> None:
    heard: list[Event] = []

    class Listener:
        @hookimpl
        def observe(self, event: Event) -> None:
            heard.append(event)

    listener = Listener()
    registry().manager.register(listener)
    try:
        done = run("world", "make", tmp_path / "out", "--videos", "3")
    finally:
        registry().manager.unregister(listener)
    assert [(event.done, event.total) for event in heard] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert done.err == ""
    for word in ("spatial", "temporal", "train", "3 videos and their reverses, 6 files"):
        assert word in done.out
