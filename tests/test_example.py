"""The bundled example is what its script draws."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

av = pytest.importorskip("av")
pytest.importorskip("cv2", reason="the script that draws the example needs the extra offline")

EXAMPLES = Path(__file__).parent.parent / "examples"
CODING_LOSS = 4.0  # mean grey levels that H.264 may be off; the encoder's version decides


@pytest.fixture(scope="module")
def render() -> ModuleType:
    sys.path.insert(0, str(EXAMPLES))
    try:
        import render
    finally:
        sys.path.remove(str(EXAMPLES))
    return render


def test_rendering_again_gives_the_committed_pictures(render: ModuleType) -> None:
    with av.open(str(EXAMPLES / "example.mp4")) as file:
        committed = file.decode(video=0)
        for number, picture in enumerate(render.pictures()):
            frame = next(committed)
            assert frame.time == pytest.approx(number / render.FPS)
            loss = np.abs(frame.to_ndarray(format="rgb24").astype(np.int16) - picture).mean()
            assert loss < CODING_LOSS, f"frame {number}"
        assert number + 1 == render.DURATION * render.FPS
        assert next(committed, None) is None


def test_truth_is_the_committed_truth(render: ModuleType) -> None:
    assert json.loads((EXAMPLES / "example.json").read_text()) == render.truth()


def test_things_and_texts_keep_apart(render: ModuleType) -> None:
    truth = render.truth()
    for number, shot in enumerate(truth["shots"], start=1):
        things = [thing for thing in truth["things"] if thing["shot"] == number]
        (words,) = [text for text in truth["texts"] if shot["start"] <= text["start"] < shot["end"]]
        for places in zip(*([place["box"] for place in thing["boxes"]] for thing in things), strict=True):
            for i, box in enumerate([*places, words["box"]]):
                assert all(apart(box, other) for other in [*places, words["box"]][i + 1 :])
                assert box[0] >= 0
                assert box[1] >= 0
                assert box[2] <= render.WIDTH
                assert box[3] <= render.HEIGHT


def apart(a: list[float], b: list[float]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_script_writes_a_whole_video(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "render.py", tmp_path / "again.mp4"], check=True, timeout=120)
    assert json.loads((tmp_path / "again.json").read_text())["video"]["duration"] == 12.0
    with av.open(str(tmp_path / "again.mp4")) as file:
        assert file.duration / av.time_base == pytest.approx(12.0, abs=0.1)
        assert {stream.codec_context.name for stream in file.streams} == {"h264", "aac"}
        loud = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])) > 0.1
    assert 0.05 < loud.mean() < 0.9  # words with pauses, neither silence nor noise


def test_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir() if path.is_file()) < 400_000
