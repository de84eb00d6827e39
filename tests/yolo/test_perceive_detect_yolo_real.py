"""A real YOLO network with random weights, from the file that ultralytics saves to tracked regions."""

import os
import shutil
import subprocess
import sys
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics import YOLO
from ultralytics.data.augment import LetterBox
from ultralytics.models.yolo.detect import DetectionPredictor
from ultralytics.nn.tasks import ClassificationModel, SegmentationModel

import videochat
from media import draw, make
from videochat import Pool, Record, StackError, UnavailableError
from videochat_plugins.models.yolo import Letterbox, load_yolo
from videochat_plugins.perceive.detect_yolo import DetectYolo

SIZE = 128  # pixels
SURE = 0.3  # which some dozens of the candidates exceed


def pictures(count: int, height: int = 96, width: int = 128) -> list[np.ndarray]:
    coarse = np.random.default_rng(0).integers(0, 256, (count, height // 8, width // 8, 3)).astype(np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    yolo: Any = YOLO("yolov8n.yaml")
    for layer in yolo.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        images = [*pictures(6, SIZE, SIZE), *(draw(i * 300, SIZE, SIZE) for i in range(6))]
        yolo.model.train()(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255)  # now its layers spread by 1
    for branch in yolo.model.model[-1].cv3:  # scores as they are made hardly differ
        torch.nn.init.normal_(branch[-1].weight, std=0.3)
        torch.nn.init.constant_(branch[-1].bias, -3.0)
    yolo.model.names = {i: f"thing {i}" for i in range(80)}
    path = tmp_path_factory.mktemp("yolo") / "tiny.pt"
    yolo.save(path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=75, size=(160, 120)).path


def load(path: Path, **options: Any) -> DetectYolo:
    options = {"threshold": SURE, "size": SIZE, "side": 96, **options}
    found = DetectYolo(DetectYolo.Options(checkpoint=str(path), **options))
    found.check()
    found.load(Pool("cpu"))
    return found


def see(path: Path, clip: Path, **options: Any) -> list[Record]:
    options = {"threshold": SURE, "size": SIZE, "side": 96, "frames": 2, **options}
    perceive = {"objects": {"use": "detect.yolo", "checkpoint": str(path), **options}}
    context = videochat.Stack(segment={"use": "fixed", "seconds": 1}, perceive=perceive, device="cpu").watch(clip)
    assert not context.faults
    return list(context.records)


def test_a_stack_file_makes_tracked_regions_of_a_video(saved: Path, clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    options = f"checkpoint: {saved}, threshold: {SURE}, size: {SIZE}, frames: 2"
    file.write_text(
        "segment: {use: fixed, seconds: 1}\n"
        f"perceive: {{objects: {{use: detect.yolo, {options}}}}}\n"
        "refine: {track: {use: track}}\n"
    )
    context = videochat.load(str(file)).watch(clip)
    assert not context.faults
    assert len({record.start for record in context.records}) == 6
    for record in context.records:
        assert record.kind == "region"
        assert record.text.startswith("thing ")
        assert record.start == record.end == record.times[0]
        assert SURE < (record.score or 0) <= 1
        assert record.box is not None
        assert 0 <= record.box.x1 <= record.box.x2 <= 160
        assert 0 <= record.box.y1 <= record.box.y2 <= 120
        assert record.track is not None


def test_detections_are_those_of_ultralytics_own_predictor(saved: Path) -> None:
    images = pictures(3)  # as large as the network sees them: OpenCV's resizing rounds in a way of its own
    overrides = {"conf": SURE, "iou": 0.7, "imgsz": SIZE, "max_det": 20, "rect": True, "save": False}
    predictor = DetectionPredictor(overrides={**overrides, "device": "cpu", "batch": 3, "verbose": False})
    predictor.setup_model(load_yolo(saved, "float32", "cpu"), verbose=False)
    predictor.done_warmup = True  # warming up would import torchvision, for the speed of nms alone
    expected = predictor([np.ascontiguousarray(image[..., ::-1]) for image in images])
    with torch.inference_mode():
        found = load(saved).detect(images)
    assert sum(map(len, found)) > 3
    for mine, theirs in zip(found, expected, strict=True):
        assert [one.label for one in mine] == [theirs.names[int(i)] for i in theirs.boxes.cls.tolist()]
        assert np.allclose([one.score for one in mine], theirs.boxes.conf, atol=1e-5)
        assert np.allclose(np.array([one.box for one in mine]).reshape(-1, 4), theirs.boxes.xyxy, atol=1e-2)


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([64, 320]))
def test_pictures_are_fitted_as_ultralytics_does(height: int, width: int, size: int) -> None:
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3)).astype(np.uint8)
    expected = LetterBox(size, auto=True, stride=32)(image=image)
    fit = Letterbox.of((1, height, width, 3), size, 32)
    found = fit(torch.from_numpy(image[None]), torch.float32)[0].permute(1, 2, 0).numpy() * 255
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1.01  # OpenCV interpolates with 11 bits


def test_a_window_alone_gives_the_same_as_in_a_batch(saved: Path, clip: Path) -> None:
    alone, together = (see(saved, clip, batch=size) for size in (1, 6))
    assert len({record.score for record in alone}) > 3
    assert [(record.start, record.text) for record in alone] == [(record.start, record.text) for record in together]
    assert np.allclose([record.score for record in alone], [record.score for record in together], atol=1e-5)
    assert np.allclose([record.box for record in alone], [record.box for record in together], atol=0.02)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_forwards(saved: Path, size: int) -> None:
    perceiver = load(saved, batch=size)
    shapes: list[torch.Size] = []
    perceiver._model.register_forward_pre_hook(lambda model, given: shapes.append(given[0].shape))
    with torch.inference_mode():
        perceiver.batches.map(perceiver.detect, pictures(5))
    assert len(shapes) == ceil(5 / size)
    assert sum(shape[0] for shape in shapes) == 5


def test_the_surest_and_the_wanted_are_kept(saved: Path) -> None:
    images = pictures(2)
    with torch.inference_mode():
        every, few = (load(saved, most=most).detect(images) for most in (300, 2))
        name = every[0][-1].label
        wanted = load(saved, most=1, labels=(name,)).detect(images)
    for all_found, best, named in zip(every, few, wanted, strict=True):
        scores = [one.score for one in all_found]
        assert scores == sorted(scores, reverse=True)
        assert best == all_found[:2]
        assert named == [one for one in all_found if one.label == name][:1]


def test_an_unknown_label_is_an_error_with_the_near_name(saved: Path) -> None:
    with pytest.raises(StackError, match="knows no 'thing'; did you mean thing"):
        load(saved, labels=("thing",))


class Touch:
    """A pickle of it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    torch.save({"model": Touch(trap)}, tmp_path / "evil.pt")
    with pytest.raises(UnavailableError, match="cannot be loaded without running code from it"):
        load(tmp_path / "evil.pt")
    assert not trap.exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert trap.exists()  # it was one


def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    for name, model in (
        ("segment", SegmentationModel("yolov8n-seg.yaml", verbose=False)),
        ("classify", ClassificationModel("yolov8n-cls.yaml", verbose=False)),
        ("weights", {"layer": torch.zeros(2)}),
    ):
        path = tmp_path / f"{name}.pt"
        torch.save({"model": model}, path)
        with pytest.raises(UnavailableError, match=f"{name}.pt holds a .*, and this needs a DetectionModel"):
            load(path)


def test_a_released_network_is_downloaded_once(saved: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(url: str, file: Path, **rest: Any) -> None:  # the network cannot be reached here
        asked.append(url)
        shutil.copy(saved, file)

    monkeypatch.setattr("ultralytics.utils.downloads.safe_download", download)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    before = DetectYolo()
    assert [(weights.id, weights.here) for weights in before.weights()] == [("yolo11n.pt", False)]
    before.fetch()
    assert (own_folders / "cache" / "ultralytics" / "yolo11n.pt").is_file()
    (weights,) = DetectYolo().weights()
    assert weights.here
    DetectYolo().load(Pool("cpu"))
    assert len(asked) == 1
    assert asked[0].endswith("/yolo11n.pt")


def test_a_download_that_fails_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(*args: Any, **rest: Any) -> None:  # the network cannot be reached here
        raise OSError("no route to host")

    monkeypatch.setattr("requests.get", get)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(UnavailableError, match=r"yolo11n\.pt \(5 MB\) is not here and could not be downloaded \(C"):
        DetectYolo().fetch()


def test_nothing_is_asked_of_the_network_or_written_outside_the_cache(saved: Path, tmp_path: Path) -> None:
    script = f"""
import socket
def refuse(*args, **rest): raise SystemExit(f"asked for {{args}}")
socket.getaddrinfo = socket.socket.connect = refuse
import numpy, torch
from videochat import Pool
from videochat_plugins.perceive.detect_yolo import DetectYolo
perceiver = DetectYolo(DetectYolo.Options(checkpoint={str(saved)!r}, size=64))
perceiver.load(Pool("cpu"))
with torch.inference_mode():
    perceiver.detect([numpy.zeros((48, 64, 3), numpy.uint8)])
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO", "XDG"))}
    environment |= {"HOME": str(home), "VIDEOCHAT_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, cwd=home, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(home.iterdir()) == []
    assert (tmp_path / "cache" / "ultralytics").is_dir()
