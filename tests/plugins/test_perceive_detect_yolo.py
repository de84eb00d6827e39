"""What of `detect.yolo` needs no ultralytics; tests/yolo has the rest, in an environment of its own."""

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import videochat
from media import make
from videochat import UnavailableError
from videochat.optiondocs import option_docs
from videochat_plugins.models.yolo import Letterbox
from videochat_plugins.perceive.detect_yolo import DetectYolo


def yolo(**options: Any) -> DetectYolo:
    return DetectYolo(DetectYolo.Options(**options))


@pytest.mark.skipif(find_spec("ultralytics") is not None, reason="the extra yolo is installed")
def test_a_missing_extra_is_said_in_a_sentence_before_anything_is_decoded(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", frames=5).path
    (tmp_path / "stack.yaml").write_text("perceive: {objects: {use: detect.yolo}}\n")
    with pytest.raises(UnavailableError) as caught:
        videochat.load(str(tmp_path / "stack.yaml")).watch(clip)
    assert str(caught.value) == 'detect.yolo needs ultralytics: pip install "videochat[yolo]"'


def test_the_licence_is_said_where_it_is_chosen() -> None:
    assert "AGPL-3.0" in (DetectYolo.__doc__ or "").splitlines()[0]
    assert "AGPL-3.0" in option_docs(DetectYolo.Options)["checkpoint"]


def test_what_it_needs_is_told_without_the_library(own_folders: Path) -> None:
    (weights,) = yolo(checkpoint="yolov8s.pt").weights()
    assert (weights.id, weights.bytes, weights.here) == ("yolov8s.pt", 22_588_772, False)
    folder = own_folders / "cache" / "ultralytics"
    folder.mkdir(parents=True)
    (folder / "yolov8s.pt").write_bytes(b"weights")
    (weights,) = yolo(checkpoint="yolov8s.pt").weights()
    assert weights.here
    assert weights.id.startswith("yolov8s.pt@")


def test_a_file_of_ones_own_is_known_by_its_content(tmp_path: Path) -> None:
    ids = set()
    for content in (b"some", b"others"):
        (tmp_path / "mine.pt").write_bytes(content)
        ids.add(yolo(checkpoint=str(tmp_path / "mine.pt")).weights()[0].id)
    assert len(ids) == 2


def test_offline_a_released_network_is_refused_in_a_sentence() -> None:
    with pytest.raises(UnavailableError) as caught:
        yolo().check()
    assert str(caught.value) == (
        "the checkpoint yolo11n.pt (5 MB) is not here and could not be downloaded (HF_HUB_OFFLINE is set): set "
        "`checkpoint` to a .pt file of ultralytics that you have; the stack `offline` needs none"
    )


def test_online_it_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    yolo().check()


def test_a_name_that_nobody_knows_is_an_error_with_the_near_one() -> None:
    with pytest.raises(UnavailableError, match=r"no file yolo11z\.pt, and no YOLO of that name; did you mean yolo11"):
        yolo(checkpoint="yolo11z.pt").check()


def test_what_is_no_whole_file_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("data.pkl", bytes(1000))
    yolo(checkpoint=str(whole)).check()
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[:500])
    for path in (tmp_path / "cut.pt", tmp_path):
        with pytest.raises(UnavailableError, match=f"the checkpoint {path} is no whole .pt file"):
            yolo(checkpoint=str(path)).check()


@pytest.mark.parametrize(
    "values",
    [{"size": 100}, {"size": 0}, {"overlap": 0}, {"threshold": 1}, {"most": 0}, {"checkpoint": ""}, {"iou": 0.5}],
)
def test_options_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        DetectYolo.Options(**values)


@pytest.mark.parametrize(
    ("height", "width", "scaled", "padded"),
    [(720, 1280, (360, 640), (384, 640)), (1280, 720, (640, 360), (640, 384)), (50, 50, (640, 640), (640, 640))],
)
def test_frames_keep_their_shape(height: int, width: int, scaled: Any, padded: Any) -> None:
    fit = Letterbox.of((1, height, width, 3), 640, 32)
    left, right, above, below = fit.padding
    assert fit.scaled == scaled
    assert (scaled[0] + above + below, scaled[1] + left + right) == padded
    assert 0 <= right - left <= 1
    assert 0 <= below - above <= 1
    assert fit.undo(left, above, left + scaled[1], above + scaled[0]) == (0, 0, width, height)
    assert fit.undo(-50, -50, 5000, 5000) == (0, 0, width, height)
