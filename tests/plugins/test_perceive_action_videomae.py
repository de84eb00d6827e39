"""Video classifiers of transformers, tiny and with random weights, from their folders to the prompt."""

import json
import shutil
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scenes import GREEN, RED, disc, plain, square, windows

import videochat
from media import make
from tiny_classifiers import FRAMES, LABELS, TYPES, processor, save_classifier
from videochat import Frame, Perceiver, Pool, Record, StackError, UnavailableError, Want, Window
from videochat.window import Span, sample_times
from videochat_plugins.perceive.action_videomae import VideoClassifier
from videochat_plugins.read.pyav import PyAV


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each type of model, as `save_pretrained` writes it."""
    return {kind: save_classifier(kind, tmp_path_factory.mktemp(kind)) for kind in TYPES}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=75, size=(160, 120)).path


@pytest.fixture(scope="module", params=TYPES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def load(folder: Path, **options: Any) -> VideoClassifier:
    found = VideoClassifier(VideoClassifier.Options(checkpoint=str(folder), **options))
    found.load(Pool("cpu"))
    return found


def scene(time: float) -> np.ndarray:
    return square(disc(plain(noise=20, seed=int(time * 100)), 40 + 70 * time, 120, 24, RED), 250, 40, 30, GREEN)


def expected(folder: Path, frames: list[np.ndarray]) -> list[float]:
    """The probability of each label, by the model's own classes and none of ours."""
    from transformers import AutoModelForVideoClassification

    pixels = processor()(frames, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        scores = AutoModelForVideoClassification.from_pretrained(folder)(pixel_values=pixels).logits
    return [float(chance) for chance in scores.softmax(-1)[0]]


def see(found: Perceiver, seen: list[Window]) -> list[list[Record]]:
    return [list(records) for records in found.perceive(seen)]


def test_a_clip_is_named_window_by_window(kind: str, folders: dict[str, Path], clip: Path, tmp_path: Path) -> None:
    stack = tmp_path / "stack.yaml"
    stack.write_text(
        "segment: {use: fixed, seconds: 1}\n"
        f"perceive: {{action: {{use: action.videomae, checkpoint: {folders[kind]}, top: 5, side: 60}}}}\n"
        "device: cpu\n"
    )
    context = videochat.load(str(stack)).watch(clip)
    assert not context.faults
    assert context.ledger[0].frames == 3 * FRAMES
    video = PyAV().probe(clip)
    for i in range(3):
        told = [record for record in context.records if record.start == i]
        sampling = videochat.Sampling(frames=FRAMES, side=60)
        wants = [Want(time, 60) for time in sample_times(Span(i, i + 1), sampling)]
        frames = [frame.image for frame in PyAV().frames(video, wants)]
        assert frames[0].shape == (60, 80, 3)
        chances = expected(folders[kind], frames)
        assert [(record.kind, record.start, record.end) for record in told] == [("action", i, i + 1)] * 5
        assert [record.meta["rank"] for record in told] == [1, 2, 3, 4, 5]
        assert {record.text: record.score for record in told} == {
            label: pytest.approx(chance, abs=1e-4) for label, chance in zip(LABELS, chances, strict=True)
        }
        assert [record.score for record in told] == sorted((record.score for record in told), reverse=True)
        assert all(len(record.times) == FRAMES for record in told)


def test_the_network_sees_what_the_processor_makes(kind: str, folders: dict[str, Path]) -> None:
    found = load(folders[kind], batch=2)
    given: list[torch.Tensor] = []
    found.model.register_forward_pre_hook(
        lambda model, args, named: given.append(named["pixel_values"]), with_kwargs=True
    )
    seen = windows(scene, found, 2.0)
    see(found, seen)
    wanted = processor()([list(window.images) for window in seen], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(given[0], wanted, rtol=0, atol=1e-5)


def test_a_window_alone_is_as_in_a_batch(kind: str, folders: dict[str, Path]) -> None:
    seen = windows(scene, load(folders[kind]), 5.0)
    together = see(load(folders[kind], batch=5, top=3), seen)
    alone = [see(load(folders[kind], batch=1, top=3), [window])[0] for window in reversed(seen)][::-1]
    assert len({records[0].score for records in alone}) > 1
    for one, other in zip(alone, together, strict=True):
        assert [record.text for record in one] == [record.text for record in other]
        assert [record.score for record in one] == pytest.approx([record.score for record in other], abs=1e-4)


@pytest.mark.parametrize(("count", "batch"), [(1, 4), (4, 4), (5, 4), (7, 3), (3, 1)])
def test_forwards_are_as_few_as_the_batch_allows(count: int, batch: int, folders: dict[str, Path]) -> None:
    found = load(folders["videomae"], batch=batch)
    sizes: list[int] = []
    found.model.register_forward_hook(lambda model, args, output: sizes.append(len(output.logits)))
    assert found.batch == batch
    see(found, windows(scene, found, float(count)))
    assert len(sizes) == ceil(count / batch)
    assert sum(sizes) == count


def test_short_memory_halves_the_batch(folders: dict[str, Path]) -> None:
    def short(model: Any, args: Any, named: Any) -> None:
        if len(named["pixel_values"]) > 2:
            raise torch.OutOfMemoryError("no room")

    found = load(folders["videomae"], batch=4)
    seen = windows(scene, found, 5.0)
    wanted = see(found, seen)
    found.model.register_forward_pre_hook(short, with_kwargs=True)
    assert [[r.text for r in records] for records in see(found, seen)] == [
        [r.text for r in records] for records in wanted
    ]
    assert found.notes == ["out of memory: batch 4 to 2"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_frames_that_are_missing_are_filled_with_their_neighbours(count: int, folders: dict[str, Path]) -> None:
    found = load(folders["videomae"], top=5)
    (whole,) = windows(scene, found, 1.0)
    window = Window(whole.start, whole.end, whole.video, whole.frames[:count])
    ((best, *_),) = see(found, [window])
    filled = {1: [0, 0, 0, 0], 2: [0, 0, 1, 1], 3: [0, 1, 1, 2]}[count]
    chances = expected(folders["videomae"], [whole.frames[i].image for i in filled])
    assert best.score == pytest.approx(max(chances), abs=1e-4)


def test_windows_without_frames_are_passed_over(folders: dict[str, Path]) -> None:
    found = load(folders["videomae"], batch=4)
    seen = windows(scene, found, 3.0)
    wanted = see(found, seen)
    seen[1] = Window(1.0, 2.0, seen[1].video)
    assert see(found, seen) == [wanted[0], [], wanted[2]]
    assert see(found, []) == []


def test_what_is_unlikely_is_not_named(folders: dict[str, Path]) -> None:
    found = load(folders["videomae"], top=5)
    seen = windows(scene, found, 1.0)
    (everything,) = see(found, seen)
    assert sum(record.score or 0 for record in everything) == pytest.approx(1, abs=1e-3)
    limit = everything[1].score
    (likely,) = see(load(folders["videomae"], top=5, threshold=limit - 1e-4), seen)
    assert likely == everything[:2]
    assert see(load(folders["videomae"], threshold=1.0), seen) == [[]]


def test_more_actions_than_there_are_is_all_of_them(folders: dict[str, Path]) -> None:
    found = load(folders["videomae"], top=1000)
    assert len(see(found, windows(scene, found, 1.0))[0]) == len(LABELS)


def test_table1_prints_the_likeliest_action_of_the_video(folders: dict[str, Path], clip: Path) -> None:
    action = {"use": "action.videomae", "checkpoint": str(folders["videomae"]), "over": "video", "top": 3}
    stack = videochat.Stack(perceive={"action": action}, format="table1", device="cpu")
    context = stack.watch(clip)
    assert len(context.records) == 3
    best = max(context.records, key=lambda record: record.score or 0.0)
    assert (best.start, best.end) == (0, pytest.approx(3))
    assert [line.text for line in context.lines()] == [best.text]


def test_a_second_watch_loads_nothing(folders: dict[str, Path], clip: Path) -> None:
    action = {"use": "action.videomae", "checkpoint": str(folders["videomae"])}
    stack = videochat.Stack(perceive={"action": action}, device="cpu")
    first = stack.watch(clip)
    again = stack.watch(clip)
    assert again.ledger[0].windows == 0
    assert list(again.records) == list(first.records)


def test_the_checkpoint_says_how_many_frames(folders: dict[str, Path], tmp_path: Path) -> None:
    sampling = VideoClassifier(VideoClassifier.Options(checkpoint=str(folders["vivit"]))).sampling()
    assert (sampling.frames, sampling.side, sampling.over) == (FRAMES, 256, "segment")
    for config, frames in (
        ({"model_type": "timesformer"}, 8),
        ({"model_type": "vivit", "num_frames": "many"}, 32),
        ({"model_type": "videomae", "num_frames": 10**9}, 16),
        ({}, 16),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert VideoClassifier(VideoClassifier.Options(checkpoint=str(tmp_path))).frames == frames
    assert VideoClassifier().frames == 16  # not here yet


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(folders["videomae"], tmp_path / "copy")


def refusal(folder: Path, clip: Path) -> str:
    """What a stack says that uses a folder, before it reads any video."""
    stack = videochat.Stack(perceive={"action": {"use": "action.videomae", "checkpoint": str(folder)}}, device="cpu")
    with pytest.raises(UnavailableError) as error:
        stack.watch(clip)
    return str(error.value)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, copy: Path, clip: Path) -> None:
    (copy / name).unlink()
    assert f"{copy} has no {name}" in refusal(copy, clip)


def test_damaged_weights_are_named(copy: Path, clip: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert str(weights) in refusal(copy, clip)


def test_a_model_of_another_type_is_refused(copy: Path, clip: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "blip"}))
    assert "is a blip model, and this needs videomae or vivit or timesformer" in refusal(copy, clip)


def test_a_network_without_a_classifier_is_refused(copy: Path, clip: Path) -> None:
    from transformers import VideoMAEConfig, VideoMAEModel

    VideoMAEModel(VideoMAEConfig.from_pretrained(copy)).save_pretrained(copy)
    assert "lacks classifier.bias, classifier.weight" in refusal(copy, clip)


def test_there_is_no_such_folder(clip: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere", clip)


@pytest.mark.parametrize(("option", "value"), [("top", 0), ("threshold", 1.5), ("side", 1), ("checkpoint", "")])
def test_wrong_options_are_named(option: str, value: Any) -> None:
    with pytest.raises(StackError, match=f"perceive.action.{option}"):
        videochat.Stack(perceive={"action": {"use": "action.videomae", option: value}})


def test_half_precision_names_the_same(folders: dict[str, Path]) -> None:
    found = load(folders["videomae"], precision="bfloat16")
    assert found.model.dtype is torch.bfloat16
    seen = windows(scene, found, 1.0)
    chances = expected(folders["videomae"], list(seen[0].images))
    ((best,),) = see(found, seen)
    assert best.score == pytest.approx(max(chances), abs=0.1)


def test_a_frame_is_not_changed(folders: dict[str, Path]) -> None:
    found = load(folders["videomae"])
    image = np.full((40, 50, 3), 7, np.uint8)
    (whole,) = windows(scene, found, 1.0)
    see(found, [Window(0.0, 1.0, whole.video, (Frame(0.5, image),))])
    assert (image == 7).all()
