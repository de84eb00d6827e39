"""Detectors of transformers, tiny and with random weights, from their folders to tracked regions."""

import json
import shutil
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videochat
from media import make
from tiny_detectors import LABELS, SIDE, TYPES, processor, save_detector
from videochat import Pool, Record, StackError, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.detector import Detector
from videochat_plugins.perceive.detect_rtdetr import DetectRTDetr

torch = pytest.importorskip("torch", reason="the extra models is not installed")
pytest.importorskip("transformers", reason="the extra models is not installed")

Picture = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_detector(kind, tmp_path_factory.mktemp(kind)) for kind in TYPES}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=125, size=(160, 120)).path


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A folder of its own, for tests that spoil it."""
    return Path(shutil.copytree(folders["rt_detr"], tmp_path / "detector"))


def pictures(count: int = 3) -> Picture:
    return np.random.default_rng(0).integers(0, 256, (count, 48, 80, 3)).astype(np.uint8)


def load(folder: Path, **options: Any) -> DetectRTDetr:
    found = DetectRTDetr(DetectRTDetr.Options(checkpoint=str(folder), **options))
    found.check()
    found.load(Pool("cpu"))
    return found


def see(folder: Path, clip: Path, **options: Any) -> list[Record]:
    perceive = {"detect": {"use": "detect.rtdetr", "checkpoint": str(folder), "threshold": 0.3, **options}}
    context = videochat.Stack(segment={"use": "fixed", "seconds": 1}, perceive=perceive, device="cpu").watch(clip)
    assert not context.faults
    return list(context.records)


@pytest.mark.parametrize("kind", TYPES)
def test_detections_are_those_of_the_models_own_classes(folders: dict[str, Path], kind: str) -> None:
    from transformers import AutoModelForObjectDetection

    images = pictures()
    model = AutoModelForObjectDetection.from_pretrained(folders[kind]).eval()
    own = processor(kind)
    detector = Detector.load(Checkpoint(str(folders[kind]), needs=Detector.needs), Pool("cpu"), "float32", "cpu")
    with torch.inference_mode():
        output = model(**own(list(images), return_tensors="pt"))
        everything = detector(torch.from_numpy(images), 0.0)
        middle = float(np.median([one.score for found in everything for one in found]))
        sure = detector(torch.from_numpy(images), middle)
    assert sum(map(len, everything)) > sum(map(len, sure)) > 0
    assert len({one.label for found in everything for one in found}) > 1
    for threshold, found in ((0.0, everything), (middle, sure)):
        expected = own.post_process_object_detection(output, threshold, [(48, 80)] * len(images))
        for mine, theirs in zip(found, expected, strict=True):
            order = torch.argsort(theirs["scores"], descending=True, stable=True)
            assert [one.label for one in mine] == [LABELS[i] for i in theirs["labels"][order].tolist()]
            assert np.allclose([one.score for one in mine], theirs["scores"][order], atol=1e-5)
            edges = theirs["boxes"][order].clamp(min=0).minimum(torch.tensor([80.0, 48.0, 80.0, 48.0]))
            assert np.allclose(np.array([one.box for one in mine]).reshape(-1, 4), edges, atol=1e-3)


def test_a_stack_file_makes_tracked_regions_of_a_video(folders: dict[str, Path], clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(
        "segment: {use: fixed, seconds: 1}\n"
        f"perceive: {{objects: {{use: detect.rtdetr, checkpoint: {folders['rt_detr']}, threshold: 0.3, frames: 2}}}}\n"
        "refine: {track: {use: track}}\n"
        "format: {use: table1}\n"
    )
    context = videochat.load(str(file)).watch(clip)
    assert not context.faults
    assert {record.kind for record in context.records} == {"region"}
    assert {record.source for record in context.records} == {"objects"}
    times = sorted({record.start for record in context.records})
    assert times == pytest.approx([i / 2 + 0.25 for i in range(10)], abs=0.021)  # 25 frames a second
    for record in context.records:
        assert record.start == record.end == record.times[0]
        assert record.text in LABELS
        assert 0.3 < (record.score or 0) <= 1
        assert record.box is not None
        assert 0 <= record.box.x1 <= record.box.x2 <= 160
        assert 0 <= record.box.y1 <= record.box.y2 <= 120
        assert record.track is not None
        assert len(record.parents) == 1
    assert any(f"{context.records[0].text}: [" in line.text for line in context.lines())


def test_boxes_are_in_pixels_of_the_source(folders: dict[str, Path], clip: Path) -> None:
    records = see(folders["rt_detr"], clip, side=60)  # frames of 80 by 60
    assert max(record.box.x2 for record in records if record.box) > 81


def test_a_window_alone_gives_the_same_as_in_a_batch(folders: dict[str, Path], clip: Path) -> None:
    alone, together = (see(folders["rt_detr"], clip, batch=size) for size in (1, 4))
    assert len({record.score for record in alone}) > len(alone) // 2  # the frames do differ
    assert [(record.start, record.text) for record in alone] == [(record.start, record.text) for record in together]
    assert np.allclose([record.score for record in alone], [record.score for record in together], atol=1e-5)
    assert np.allclose([record.box for record in alone], [record.box for record in together], atol=0.02)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_forwards_and_what_they_are_given(folders: dict[str, Path], size: int) -> None:
    perceiver = load(folders["rt_detr"], batch=size)
    assert perceiver._detector is not None
    given: list[Any] = []
    perceiver._detector._model.register_forward_pre_hook(
        lambda model, args, named: given.append(named["pixel_values"]), with_kwargs=True
    )
    images = pictures(5)
    with torch.inference_mode():
        perceiver.batches.map(perceiver.detect, list(images))
    assert len(given) == ceil(5 / size)
    expected = processor("rt_detr")(list(images), return_tensors="pt")["pixel_values"]
    assert expected.shape[2:] == (SIDE, SIDE)
    assert np.allclose(torch.cat(given), expected, atol=1e-5)


def test_the_surest_are_kept(folders: dict[str, Path], clip: Path) -> None:
    many, few = (see(folders["rt_detr"], clip, most=most) for most in (300, 2))
    for time in {record.start for record in many}:
        scores = sorted((record.score or 0 for record in many if record.start == time), reverse=True)
        assert len(scores) > 2
        assert [record.score for record in few if record.start == time] == pytest.approx(scores[:2])


def test_only_wanted_labels_are_kept(folders: dict[str, Path], clip: Path) -> None:
    every = see(folders["rt_detr"], clip, most=300)
    wanted = see(folders["rt_detr"], clip, most=300, labels=("potted plant", "car"))
    assert {record.text for record in every} > {record.text for record in wanted} > set()
    assert wanted == [record for record in every if record.text in ("potted plant", "car")]


def test_an_unknown_label_is_an_error_with_the_near_name(folders: dict[str, Path], clip: Path) -> None:
    with pytest.raises(StackError, match="knows no 'pot plant'; did you mean potted plant"):
        see(folders["rt_detr"], clip, labels=("cat", "pot plant"))


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(UnavailableError, match=file):
        load(folder)


def test_a_file_cut_short_is_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UnavailableError, match=r"model\.safetensors is damaged"):
        load(folder)


def change(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_another_type_of_model_is_refused(folder: Path) -> None:
    change(folder, model_type="yolos")
    with pytest.raises(UnavailableError, match="is a yolos model, and this needs rt_detr or"):
        load(folder)
    with pytest.raises(UnavailableError, match="is a yolos model"):
        Detector.load(Checkpoint(str(folder), needs=Detector.needs), Pool("cpu"), "float32", "cpu")


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "detr", "backbone_config": None},  # as published: timm is what transformers takes by default
        {"model_type": "detr", "backbone_config": None, "use_timm_backbone": True, "backbone": "resnet50"},
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet50"}},
    ],
)
def test_a_backbone_of_timm_is_said_before_it_is_loaded(folder: Path, values: dict[str, Any]) -> None:
    change(folder, **values)
    with pytest.raises(UnavailableError, match="pip install timm"):
        DetectRTDetr(DetectRTDetr.Options(checkpoint=str(folder))).check()


def test_one_model_serves_all_who_use_it(folders: dict[str, Path]) -> None:
    pool = Pool("cpu")
    checkpoint = Checkpoint(str(folders["rt_detr"]), needs=Detector.needs)
    one, other = (Detector.load(checkpoint, pool, "float32", "cpu") for _ in range(2))
    assert one._model is other._model
    assert one.labels == set(LABELS)


def test_boxes_are_not_rounded_to_bfloat16(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    for wanted, got in (("auto", "float16"), ("bfloat16", "bfloat16"), ("float32", "float32")):
        options = DetectRTDetr.Options(checkpoint=str(folders["rt_detr"]), precision=wanted)
        assert DetectRTDetr(options).precision(Pool("cuda")) == got
    assert DetectRTDetr().precision(Pool("cpu")) == "float32"


@pytest.mark.parametrize(
    "values", [{"threshold": 1.0}, {"most": 0}, {"most": 301}, {"checkpoint": ""}, {"label": "cat"}]
)
def test_options_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        DetectRTDetr.Options(**values)
