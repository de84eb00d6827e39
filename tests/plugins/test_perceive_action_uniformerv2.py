"""UniFormerV2, tiny and with random weights, from its released form of file to the prompt."""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scenes import GREEN, RED, disc, plain, square, windows

import videochat
from media import make
from tiny_classifiers import save_uniformerv2, uniformerv2
from videochat import Frame, Pool, StackError, UnavailableError, Want, Window
from videochat.window import Sampling, Span, sample_times
from videochat_plugins.models.kinetics400 import labels
from videochat_plugins.perceive.action_uniformerv2 import UniFormerV2Classifier, preprocess
from videochat_plugins.read.pyav import PyAV

FRAMES = 3


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_uniformerv2(tmp_path_factory.mktemp("weights") / "tiny.pyth")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=75, size=(160, 120)).path


def load(file: Path, **options: Any) -> UniFormerV2Classifier:
    given = UniFormerV2Classifier.Options(checkpoint=str(file), **{"frames": FRAMES, **options})
    found = UniFormerV2Classifier(given)
    found.load(Pool("cpu"))
    return found


def scene(time: float) -> np.ndarray:
    return square(disc(plain(noise=20, seed=int(time * 100)), 40 + 70 * time, 120, 24, RED), 250, 40, 30, GREEN)


def pillow(frames: list[np.ndarray], shorter: int, size: int) -> torch.Tensor:
    """What transformers makes of frames with ImageNet's figures: (T, 3, size, size)."""
    from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

    made = VideoMAEImageProcessorPil(
        size={"shortest_edge": shorter},
        crop_size={"height": size, "width": size},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    pixels: torch.Tensor = made(frames, return_tensors="pt")["pixel_values"][0]
    return pixels


def expected(frames: list[np.ndarray]) -> torch.Tensor:
    """The probability of each class."""
    return uniformerv2()(pillow(frames, 36, 32)[None]).softmax(-1)[0]


def test_the_labels_are_the_400_of_kinetics() -> None:
    assert len(set(labels())) == 400
    assert (labels()[0], labels()[399]) == ("riding a bike", "playing badminton")
    assert all(label == label.strip() and label for label in labels())


def test_a_clip_is_named_window_by_window(file: Path, clip: Path, tmp_path: Path) -> None:
    stack = tmp_path / "stack.yaml"
    stack.write_text(
        "segment: {use: fixed, seconds: 1}\n"
        f"perceive: {{action: {{use: action.uniformerv2, checkpoint: {file}, frames: {FRAMES}, side: 60, top: 2}}}}\n"
        "device: cpu\n"
    )
    context = videochat.load(str(stack)).watch(clip)
    assert not context.faults
    for i in range(3):
        told = [record for record in context.records if record.start == i]
        wants = [Want(time, 60) for time in sample_times(Span(i, i + 1), Sampling(frames=FRAMES))]
        chances = expected([frame.image for frame in PyAV().frames(PyAV().probe(clip), wants)]).topk(2)
        assert [(record.kind, record.end, record.meta["rank"]) for record in told] == [
            ("action", i + 1, 1),
            ("action", i + 1, 2),
        ]
        assert [record.text for record in told] == [labels()[at] for at in chances.indices]
        assert [record.score for record in told] == pytest.approx(chances.values.tolist(), abs=1e-4)


def test_table1_begins_with_the_action_of_the_video(file: Path, clip: Path) -> None:
    action = {"use": "action.uniformerv2", "checkpoint": str(file), "over": "video", "top": 3}
    context = videochat.Stack(perceive={"action": action}, format="table1", device="cpu").watch(clip)
    assert len(context.records) == 3
    assert context.ledger[0].frames == 8
    assert [line.text for line in context.lines()] == [context.records[0].text]


def test_frames_are_made_ready_as_the_processor_does(file: Path) -> None:
    frames = [scene(time) for time in (0.1, 0.7)]
    made = preprocess(224)(torch.from_numpy(np.stack(frames)))
    assert made.shape == (2, 3, 224, 224)
    torch.testing.assert_close(made, pillow(frames, 256, 224), rtol=0, atol=1e-5)
    found = load(file)
    given: list[torch.Tensor] = []
    found.model.register_forward_pre_hook(lambda model, args: given.append(args[0]))
    (window,) = windows(scene, found, 1.0)
    list(found.perceive([window]))
    torch.testing.assert_close(given[0][0], pillow(list(window.images), 36, 32), rtol=0, atol=1e-5)


def test_a_window_alone_is_as_in_a_batch(file: Path) -> None:
    seen = windows(scene, load(file), 5.0)
    together = list(load(file, batch=5, top=3).perceive(seen))
    alone = [next(iter(load(file, batch=1, top=3).perceive([window]))) for window in reversed(seen)][::-1]
    assert len({records[0].score for records in alone}) > 1
    for one, other in zip(alone, together, strict=True):
        assert [record.text for record in one] == [record.text for record in other]
        assert [record.score for record in one] == pytest.approx([record.score for record in other], abs=1e-4)


@pytest.mark.parametrize(("count", "batch"), [(4, 4), (5, 2), (3, 1)])
def test_forwards_are_as_few_as_the_batch_allows(count: int, batch: int, file: Path) -> None:
    found = load(file, batch=batch)
    sizes: list[int] = []
    found.model.register_forward_hook(lambda model, args, output: sizes.append(len(output)))
    list(found.perceive(windows(scene, found, float(count))))
    assert (len(sizes), sum(sizes)) == (ceil(count / batch), count)


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (8, 8), (36, 36)])
def test_any_shape_of_frame_and_any_number_of_them(shape: tuple[int, int], file: Path) -> None:
    found = load(file)
    (whole,) = windows(scene, found, 1.0)
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    for count in (1, 2, 5):
        frames = tuple(Frame(i / 5, image) for i in range(count))
        ((best,),) = found.perceive([Window(0.0, 1.0, whole.video, frames)])
        assert best.score == pytest.approx(float(expected([image] * FRAMES).max()), abs=1e-4)


def test_one_network_for_all_who_use_it(file: Path, clip: Path) -> None:
    pool = Pool("cpu")
    two = [UniFormerV2Classifier(UniFormerV2Classifier.Options(checkpoint=str(file), top=top)) for top in (1, 2)]
    for found in two:
        found.load(pool)
    assert two[0].model is two[1].model
    assert len(pool) == 1


def refusal(checkpoint: Path | str, clip: Path) -> str:
    stack = videochat.Stack(perceive={"action": {"use": "action.uniformerv2", "checkpoint": str(checkpoint)}})
    with pytest.raises(UnavailableError) as error:
        stack.watch(clip)
    return str(error.value)


def test_weights_that_do_not_fit_are_named(tmp_path: Path, clip: Path) -> None:
    state = dict(uniformerv2().state_dict())
    del state["ln_pre.bias"]
    torch.save(state, tmp_path / "odd.pyth")
    assert f"{tmp_path / 'odd.pyth'} holds no UniFormerV2" in refusal(tmp_path / "odd.pyth", clip)
    assert "lacks ln_pre.bias" in refusal(tmp_path / "odd.pyth", clip)


def test_other_classes_are_refused(tmp_path: Path, clip: Path) -> None:
    torch.save(uniformerv2(classes=174).state_dict(), tmp_path / "ssv2.pyth")
    assert "tells 174 classes apart, and this names the 400 of Kinetics-400" in refusal(tmp_path / "ssv2.pyth", clip)


def test_a_file_that_is_missing_is_named(tmp_path: Path, clip: Path) -> None:
    assert str(tmp_path / "none.pyth") in refusal(tmp_path / "none.pyth", clip)
    assert "k400+k710_uniformerv2_b16_8x224.pyth" in refusal(tmp_path, clip)
    said = refusal("Andy1621/uniformerv2", clip)
    assert "458 MB" in said
    assert "hf download Andy1621/uniformerv2 k400+k710_uniformerv2_b16_8x224.pyth" in said


@pytest.mark.parametrize(("option", "value"), [("frames", 0), ("frames", 1000), ("top", 0), ("checkpoint", "")])
def test_wrong_options_are_named(option: str, value: Any) -> None:
    with pytest.raises(StackError, match=f"perceive.action.{option}"):
        videochat.Stack(perceive={"action": {"use": "action.uniformerv2", option: value}})
