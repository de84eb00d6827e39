"""Files in each public format, written here as their makers write them; and what is wrong with files."""

import csv
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from videochat import StackError
from videochat.window import Want
from videochat_plugins.learn import eval as command
from videochat_plugins.learn.eval_data import Dataset, Example
from videochat_plugins.learn.eval_formats import FORMATS, read
from videochat_plugins.learn.eval_rows import Rows as Answers
from videochat_plugins.learn.eval_run import Answered
from videochat_plugins.learn.eval_score import Scorer
from videochat_plugins.learn.world_ask import accepted
from videochat_plugins.read.ffmpeg_program import program
from videochat_plugins.read.pyav import PyAV

Rows = list[dict[str, Any]]


def write(file: Path, rows: Any, lines: bool = False) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row)}\n" for row in rows) if lines else json.dumps(rows, indent=1)
    file.write_text(text, encoding="utf-8")
    return file


def videos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def only(dataset: Dataset) -> Example:
    dataset.check(skip=False)
    (example,) = dataset.examples
    return example


def faults(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems]


def world(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return a question of a world whose one video is there."""
    videos(folder, "videos/w1.mp4", "videos/w1r.mp4")
    row = {"id": "w1-0", "video": "videos/w1.mp4", "group": "w1", "split": "test", "category": "spatial/colour"}
    row |= {"question": "Which?", "answer": "red", "accept": ["red", "the red one"], "candidates": ["red", "blue"]}
    return {**row, "twin": "w1r-0", **changes}


def test_the_command_names_every_format() -> None:
    assert set(get_args(command.FormatName)) == set(FORMATS)


def test_world(tmp_path: Path) -> None:
    rows = [world(tmp_path), world(tmp_path, id="w2-0", split="train", answer="blue")]
    write(tmp_path / "questions.jsonl", rows, lines=True)
    write(tmp_path / "world.json", {"format": "videochat-world"})
    write(tmp_path / "captions.json", [{"video": "videos/w1.mp4", "caption": "red"}])
    found = only(read(tmp_path))
    assert (found.id, found.group, found.category) == ("w1-0", "w1", "spatial/colour")
    assert found.video == tmp_path / "videos" / "w1.mp4"
    assert (found.answer, found.accept, found.candidates) == ("red", ("red", "the red one"), ("red", "blue"))
    assert only(read(tmp_path / "questions.jsonl", split="train")).id == "w2-0"
    with pytest.raises(StackError, match=r"no questions of the split val; give --split: test, train"):
        read(tmp_path, split="val")


@pytest.mark.parametrize(
    ("category", "answer", "other", "right", "wrong"),
    [
        ("size", "it grows", "it shrinks", ["It gets larger."], ["grows or shrinks", "bigger, smaller", "it shrinks"]),
        ("size", "it shrinks", "it grows", ["It gets smaller."], ["grows or shrinks", "it grows"]),
        ("rotation", "clockwise", "anticlockwise", ["clockwise"], ["counter-clockwise", "It turns anti-clockwise."]),
        ("rotation", "anticlockwise", "clockwise", ["Counter-clockwise.", "anti-clockwise"], ["clockwise"]),
        ("when", "the first half", "the second half", ["It is early."], ["early or late", "At about 1 second."]),
        ("when", "the second half", "the first half", ["late"], ["early or late", "At about 1 second."]),
        ("direction", "up", "down", ["It moves upward.", "from bottom to top"], ["top to bottom", "downward"]),
        ("direction", "right", "left", ["It moves from left to right."], ["from right to left", "right, then left"]),
        ("direction", "left", "right", ["to the left"], ["up and to the left", "down-left", "left or up"]),
        ("direction", "up and to the left", "down and to the right", ["up and left", "up-left"], ["up", "left"]),
        ("texture", "striped", "dotted", ["It has stripes."], ["stripes or dots", "dots"]),
        ("how_often", "twice", "never", ["The red one: two times."], ["once or twice", "twice or thrice", "never"]),
    ],
)
def test_world_hears_two_answers_in_any_words(
    tmp_path: Path, category: str, answer: str, other: str, right: list[str], wrong: list[str]
) -> None:
    """`accept` and `candidates` of a question hold one wording of what is wrong; models have more."""
    asked = world(tmp_path, category=f"temporal/{category}", answer=answer, candidates=[answer, other])
    found = only(read(write(tmp_path / "q.jsonl", [{**asked, "accept": accepted(answer)}], lines=True)))
    scorer = Scorer(False, None, Answers(tmp_path / "rows.jsonl"))
    for said, good in [*((text, True) for text in right), *((text, False) for text in wrong)]:
        assert [verdict.right for verdict in scorer.score("it", [found], [Answered(said)])] == [good], said


def test_mvbench(tmp_path: Path) -> None:
    videos(tmp_path, "video/star/Charades_v1_480/ZS9XR.mp4", "video/clevrer/video_10009.mp4")
    row = {"question": "What happened?", "candidates": ["Closed.", "Opened.", "Put down."], "answer": "Opened."}
    write(tmp_path / "json" / "action_sequence.json", [{"video": "ZS9XR.mp4", **row, "start": 11.1, "end": 19.6}])
    write(tmp_path / "json" / "moving_count.json", [{"video": "video_10009.mp4", **row, "answer": "Closed."}])
    dataset = read(tmp_path)
    first, second = dataset.examples
    assert dataset.choice
    assert (first.id, first.category, first.answer) == ("action_sequence-0", "action_sequence", "Opened.")
    assert first.stretch == (tmp_path / "video/star/Charades_v1_480/ZS9XR.mp4", 11.1, 19.6, None)
    assert (second.start, second.end) == (None, None)
    one = read(tmp_path / "json" / "moving_count.json", videos=tmp_path / "video")
    assert only(one).answer == "Closed."
    assert only(one).group == "clevrer/video_10009.mp4"  # wherever the folder lies, so that a report's digest tells


def test_mvbench_in_a_folder_of_pictures(tmp_path: Path) -> None:
    videos(tmp_path, "frames/clip_09/00001.jpg")
    row = {"video": "clip_09", "question": "Who?", "candidates": ["Ross", "Joey"], "answer": "Ross"}
    file = write(tmp_path / "episodic_reasoning.json", [{**row, "start": 0, "end": 9.5}])
    assert "a folder of pictures: make a video" in faults(read(file, videos=tmp_path / "frames"))[0]


def test_mvbench_in_a_video_of_pictures_as_documented(tmp_path: Path) -> None:
    """The command in docs/ makes a video that holds the very pictures, three a second, and that is found."""
    (tmp_path / "frames" / "clip_09").mkdir(parents=True)
    pictures = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(12)]
    for number, pixels in enumerate(pictures, start=1):
        Image.fromarray(pixels).save(tmp_path / "frames" / "clip_09" / f"{number:05}.jpg", quality=95)
    page = (Path(__file__).parents[2] / "docs" / "learn_eval.md").read_text()
    (command,) = re.findall(r"^for folder in .*ffmpeg.*$", page, re.MULTILINE)
    (tmp_path / "ffmpeg").symlink_to(program())
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", command], cwd=tmp_path / "frames", env=path, check=True, stdin=subprocess.DEVNULL)
    row = {"video": "clip_09", "question": "Who?", "candidates": ["Ross", "Joey"], "answer": "Ross"}
    file = write(tmp_path / "episodic_reasoning.json", [{**row, "start": 0, "end": 3.5}])
    example = only(read(file, videos=tmp_path / "frames"))
    reader = PyAV()
    video = reader.probe(example.video)
    assert (example.video.name, video.duration) == ("clip_09.mkv", 4.0)
    seen = list(reader.frames(video, [Want(i / 3, 64) for i in range(12)]))
    assert [frame.time for frame in seen] == pytest.approx([i / 3 for i in range(12)], abs=0.001)
    for frame, pixels in zip(seen, pictures, strict=True):
        assert np.abs(frame.image.astype(int) - pixels).max() <= 3


def test_nextqa(tmp_path: Path) -> None:
    videos(tmp_path, "videos/1164/3238737531.mp4")
    head = [
        "video",
        "frame_count",
        "width",
        "height",
        "question",
        "answer",
        "qid",
        "type",
        *(f"a{i}" for i in range(5)),
    ]
    row: list[object] = [3238737531, 1094, 640, 480, 'why did he "run", then', 3, 6, "CW", "a", "b", "c", "d, e", "f"]
    for name in ("val", "test"):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, row])
    found = only(read(tmp_path, split="val"))
    assert (found.id, found.category) == ("3238737531_6", "causal/CW")
    assert (found.question, found.answer) == ('why did he "run", then', "d, e")
    assert found.candidates == ("a", "b", "c", "d, e", "f")
    with pytest.raises(StackError, match=r"holds test.csv, val.csv: name the file, or --split"):
        read(tmp_path)


def test_nextqa_in_json_may_have_anything(tmp_path: Path) -> None:
    videos(tmp_path, "7.mp4")
    row = {"video": "7", "question": "why?", "answer": 0, "qid": 1, "type": "TN"}
    row |= {f"a{i}": f"b{i}" for i in range(5)}
    dataset = read(write(tmp_path / "val.json", [row, {**row, "qid": 2, "type": 3}, {**row, "qid": 3, "type": ["T"]}]))
    assert [one.category for one in dataset.examples] == ["temporal/TN"]
    assert ["the type must be text" in said for said in faults(dataset)] == [True, True]


def test_egoschema(tmp_path: Path) -> None:
    videos(tmp_path, "videos/good_clips_git/0074f737.mp4")
    asked = {"question": "What is c doing?", **{f"option {i}": f"C does {i}." for i in range(5)}}
    write(tmp_path / "questions.json", [{"q_uid": id, "google_drive_id": "1", **asked} for id in ("0074f737", "ffff")])
    write(tmp_path / "subset_answers.json", {"0074f737": 2})
    dataset = read(tmp_path)
    assert (only(dataset).answer, only(dataset).id) == ("C does 2.", "0074f737")
    assert "1 questions" in dataset.notes[0]
    write(tmp_path / "subset_answers.json", {"0074f737": 5, "none": 1})
    said = faults(read(tmp_path / "questions.json"))
    assert "questions.json:2: 0074f737: the answer must be the number of an option, 0 to 4, not 5" in said[0]
    assert "subset_answers.json: none: questions.json has no such question" in said[1]


@pytest.mark.parametrize("nested", [False, True])
def test_videomme(tmp_path: Path, nested: bool) -> None:
    videos(tmp_path, "data/fFjv93ACGo8.mp4")
    about = {"video_id": "001", "duration": "short", "domain": "Knowledge", "sub_category": "History"}
    about["url"] = "https://www.youtube.com/watch?v=fFjv93ACGo8"
    options = ["A. Apples.", "B. Candles.", "C. Berries.", "D. The three kinds are of the same number."]
    asked = {"question_id": "001-1", "task_type": "Counting Problem", "question": "When?", "options": options}
    asked["answer"] = "C"
    if nested:
        write(tmp_path / "output.json", [{**about, "questions": [asked]}])
    else:
        write(tmp_path / "test.jsonl", [{**about, "videoID": "fFjv93ACGo8", **asked}], lines=True)
    found = only(read(tmp_path))
    assert (found.id, found.category, found.answer) == ("001-1", "short/Counting Problem", "Berries.")
    assert found.candidates[0] == "Apples."
    assert found.video.name == "fFjv93ACGo8.mp4"


def test_parquet_is_named(tmp_path: Path) -> None:
    videos(tmp_path, "test-00000-of-00001.parquet")
    with pytest.raises(StackError, match="must be written as JSON lines first"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "video"), [("YouTubeClips/vid1300.avi", 1300), ("video/video7010.mp4", 7010), ("a/b/7.mp4", 7)]
)
def test_msvd_and_msrvtt(tmp_path: Path, name: str, video: int) -> None:
    videos(tmp_path, name)
    row = {"answer": "man", "id": 158581, "question": "who plays?", "video_id": video, "category_id": 3}
    write(tmp_path / "test_qa.json", [row])
    write(tmp_path / "train_qa.json", [])
    found = only(read(tmp_path, split="test"))
    assert (found.id, found.category, found.answer, found.candidates) == ("158581", "who", "man", ())
    assert found.video == tmp_path / name


def test_activitynet_joins_by_id(tmp_path: Path) -> None:
    videos(tmp_path, "v_1QIUV7WYKXg.mp4")
    ids = [f"v_1QIUV7WYKXg_{i}" for i in range(3)]
    asked = [{"video_name": "1QIUV7WYKXg", "question": f"is it {id}", "question_id": id} for id in ids]
    answers = [{"answer": id[-1], "type": int(id[-1]) + 3, "question_id": id} for id in reversed(ids)]
    write(tmp_path / "test_q.json", asked)
    write(tmp_path / "test_a.json", answers)
    dataset = read(tmp_path)
    dataset.check(skip=False)
    assert [(one.id, one.answer) for one in dataset.examples] == [(id, id[-1]) for id in ids]
    assert [one.category for one in dataset.examples] == ["yes or no", "colour", "object"]
    assert len({one.group for one in dataset.examples}) == 1
    write(tmp_path / "test_a.json", [*answers[1:], answers[1], {"answer": "no", "question_id": "other"}])
    said = faults(read(tmp_path))
    assert "test_a.json:12: v_1QIUV7WYKXg_1: has no question_id, or one that stands before it" in said[0]
    assert "test_q.json:12: v_1QIUV7WYKXg_2: test_a.json has no answer to it" in said[1]
    assert "test_a.json:17: other: test_q.json has no such question" in said[2]


def test_moviechat(tmp_path: Path) -> None:
    videos(tmp_path, "videos/AWA-6.mp4")
    info = {"video_path": "AWA-6.mp4", "fps": 25, "num_frame": 12000, "class": "animal"}
    asked = {"question": "Is there a tiger?", "answer": "Yes"}
    moments = [{"time": 5000, **asked}, {"time": 12001, **asked}, {"time": "5", **asked}]
    write(tmp_path / "jsons" / "AWA-6.json", {"info": info, "global": [asked], "breakpoint": moments, "caption": "..."})
    dataset = read(tmp_path / "jsons", videos=tmp_path / "videos")
    whole, moment = dataset.examples
    assert (whole.id, whole.category, whole.at) == ("AWA-6-global-0", "global", None)
    assert (moment.id, moment.category, moment.at) == ("AWA-6-breakpoint-0", "breakpoint", 200.0)  # a frame, no second
    said = faults(dataset)
    assert "AWA-6-breakpoint-1: time is frame 12001, and the video has 12000" in said[0]
    assert "AWA-6-breakpoint-2: time must be the number of a frame, not '5'" in said[1]
    write(tmp_path / "jsons" / "AWA-6.json", {"info": {**info, "fps": 0}, "global": 3, "breakpoint": moments[:1]})
    said = faults(read(tmp_path / "jsons", videos=tmp_path / "videos"))
    assert "global: must be a list of questions" in said[0]
    assert "info must have the fps that time counts in, not 0" in said[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video": "videos/none.mp4"}, "no video 'videos/none.mp4' below"),
        ({"video": "../w1.mp4"}, "leads out of the folder"),
        ({"video": "/etc/w1.mp4"}, "leads out of the folder"),
        ({"video": "C:\\w1.mp4"}, "leads out of the folder"),
        ({"video": "."}, "leads out of the folder"),
        ({"video": ["w1.mp4"]}, "the video must be the name of a file"),
        ({"video": "w1\0.mp4"}, "leads out of the folder"),
        ({"video": f"{'w' * 300}.mp4"}, "cannot be looked for: "),
        ({"question": " "}, "the question must be text, not ' '"),
        ({"question": None}, "the question must be text, not None"),
        ({"answer": 3}, "the answer must be text, not 3"),
        ({"answer": "x" * 1001}, "the answer is 1,001 characters long, at most 1,000"),
        ({"answer": "green"}, "the answer 'green' is none of the candidates ['red', 'blue']"),
        ({"candidates": ["red", "red"]}, "needs 2 to 26 different candidates"),
        ({"candidates": ["red"]}, "needs 2 to 26 different candidates"),
        ({"candidates": "red"}, "the candidates must be a list of texts"),
        ({"candidates": [["red"], "blue"]}, "the candidate must be text"),
        ({"accept": {"red": 1}}, "the answers must be a list of texts"),
        ({"category": ""}, "the category must be text"),
        ({"group": 7}, "the group must be text"),
        ({"split": 7}, "does not say which split"),
        ({"id": None}, "the id must be text"),
        ({"id": "w1-0"}, "the id stands at"),
    ],
)
def test_a_bad_entry_is_named_by_file_and_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    rows = [world(tmp_path), world(tmp_path, **{"id": "w1-1", **changes})]
    file = write(tmp_path / "questions.jsonl", rows, lines=True)
    dataset = read(tmp_path)
    (said,) = faults(dataset)
    assert said.startswith(f"{file}:2: ")
    assert words in said
    assert only_good(dataset) == ["w1-0"]
    with pytest.raises(StackError) as error:
        dataset.check(skip=False)
    assert words in str(error.value)
    assert "--bad skip" in str(error.value)
    dataset.check(skip=True)


def only_good(dataset: Dataset) -> list[str]:
    return [example.id for example in dataset.examples]


def test_a_line_that_is_no_json_costs_itself_only(tmp_path: Path) -> None:
    good = json.dumps(world(tmp_path))
    text = "\n".join([good, '{"id": "w1', '{"id": NaN}', "[" * 100_000, "[]", good.replace("w1-0", "w1-5")])
    (tmp_path / "questions.jsonl").write_text(text + "\n")
    dataset = read(tmp_path)
    assert only_good(dataset) == ["w1-0", "w1-5"]
    assert [problem.where.rpartition(":")[2] for problem in dataset.problems] == ["2", "3", "4", "5"]
    assert "not JSON" in faults(dataset)[0]
    assert "NaN is no number of JSON" in faults(dataset)[1]
    assert "nested too deeply" in faults(dataset)[2]


def test_a_format_is_known_by_its_first_good_entry(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"id": "w1\n[]\n' + json.dumps(world(tmp_path)) + "\n")
    (tmp_path / "notes.json").write_text("{")  # of another kind: it does not count
    assert only_good(read(tmp_path / "q.jsonl")) == ["w1-0"]
    (tmp_path / "questions.jsonl").write_bytes((tmp_path / "q.jsonl").read_bytes())
    assert only_good(read(tmp_path)) == ["w1-0"]
    with pytest.raises(StackError, match=r"notes.json:1: not JSON"):  # where nothing else tells the format
        read(tmp_path / "notes.json")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.json", b'[{"video": \n', "a.json:2: not JSON"),
        ("a.json", b'{"video": 1}', "a.json:1: must be a list of entries"),
        ("a.json", b'["\xff"]', "a.json:1: is not text in UTF-8"),
        ("a.json", b"[" * 100_000, "a.json:1: nested too deeply"),
        ("a.json", b"[]", "no question is left to ask"),
        ("none.json", None, "no such file or folder"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(StackError) as error:
        read(tmp_path / name, "mvbench").check(skip=True)
    assert words in str(error.value)


def test_a_broken_csv(tmp_path: Path) -> None:
    videos(tmp_path, "7.mp4")
    head = "video,question,a0,a1,a2,a3,a4,answer,qid,type\n"
    (tmp_path / "val.csv").write_text(f'{head}7,why,a,b,c,d,e,1,0,TN\n7,"why\nnot",a,b\n7,why,a,b,c,d,e,7,2,TN\n')
    dataset = read(tmp_path)
    assert only_good(dataset) == ["7_0"]
    assert [problem.where.rpartition(":")[2] for problem in dataset.problems] == ["3", "5"]
    assert "has 4 values, and the head names 10" in faults(dataset)[0]
    (tmp_path / "val.csv").write_text(f'{head}7,"why"x,a\n')
    with pytest.raises(StackError, match=r"val.csv:2: not CSV"):
        read(tmp_path, "nextqa")


def test_a_name_that_fits_several_videos(tmp_path: Path) -> None:
    videos(tmp_path, "a/7.mp4", "b/7.avi")
    row = {"answer": "man", "id": 1, "question": "who?", "video_id": 7}
    dataset = read(write(tmp_path / "test_qa.json", [row]))
    assert "may be" in faults(dataset)[0]


def test_a_link_that_leads_out(tmp_path: Path) -> None:
    outside = videos(tmp_path / "outside", "w9.mp4")
    rows = [world(tmp_path / "in", video="videos/w9.mp4"), world(tmp_path / "in", id="w1-1", video="w8.mp4")]
    for name in ("w8", "w9"):
        (tmp_path / "in" / "videos" / f"{name}.mp4").symlink_to(outside / "w9.mp4")
    write(tmp_path / "in" / "questions.jsonl", rows, lines=True)
    dataset = read(tmp_path / "in")
    assert dataset.examples == []
    assert all("is a link out of" in said for said in faults(dataset))
    assert only_good(read(tmp_path / "in", videos=tmp_path)) == ["w1-0", "w1-1"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda folder: read(folder, videos=folder / "none"), "no such folder"),
        (lambda folder: read(folder), "looks like none of world, mvbench"),
        (lambda folder: read(folder, "mvbench", split="test"), "has no splits"),
        (lambda folder: read(folder, "nextqa", split="val"), "holds no *.csv of the split val"),
    ],
)
def test_what_cannot_be_read_at_all(tmp_path: Path, call: Callable[[Path], Dataset], words: str) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(StackError) as error:
        call(tmp_path)
    assert words in str(error.value)


def test_long_lists_of_problems_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "questions.jsonl", [world(tmp_path, id=f"w1-{i}", question="") for i in range(50)], lines=True)
    with pytest.raises(StackError) as error:
        read(tmp_path).check(skip=True)
    assert "and 30 more bad entries" in str(error.value)
    assert "no question is left to ask" in str(error.value)
