"""What all families of video-language models share: slots and their times, runs of rows, processors' files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_vlms import SAVED, save_video_llava
from videochat import Record, Tokens, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.vlm.family import FAMILIES, find_family, settings, starts_of
from videochat_plugins.models.vlm.pictures import OPENAI_MEAN, Pictures
from videochat_plugins.models.vlm.video_llava import VideoLlava


def record(start: float, end: float, slots: int, times: tuple[float, ...] = ()) -> Record:
    tokens = np.zeros((slots * 2, 4), np.float32)
    return Record("embedding", start, end, tokens=tokens, times=times, meta={"slots": slots, "layout": {}})


@pytest.mark.parametrize(
    ("records", "starts"),
    [
        ([record(0, 4, 4, (0.5, 1.5, 2.5, 3.5))], (0.5, 1.5, 2.5, 3.5)),
        ([record(0, 4, 2, (0.5, 1.5, 2.5, 3.5))], (0.5, 2.5)),  # two frames a slot
        ([record(0, 5, 3, (0.5, 1.5, 2.5, 3.5, 4.5))], (0.5, 2.5, 4.5)),  # the last of which is repeated
        ([record(0, 4, 2)], (0.0, 2.0)),  # no times
        ([record(0, 4, 4, (2.0,))], (0.0, 1.0, 2.0, 3.0)),  # not of every slot
        ([record(0, 2, 1, (0.5, 1.5)), record(2, 9, 1, (2.5, 3.5, 8.0))], (0.5, 2.5)),  # a memory's
    ],
)
def test_when_slots_begin(records: list[Record], starts: tuple[float, ...]) -> None:
    (tokens,) = Tokens.join(records)
    assert starts_of(tokens) == starts


def test_rows_that_do_not_fall_into_slots(tmp_path: Path) -> None:
    folder = save_video_llava(tmp_path)
    family = VideoLlava(folder, json.loads((folder / "config.json").read_text()))
    with pytest.raises(ValueError, match="7 rows in 2 slots do not fall equally on 1 placeholders"):
        family.runs(Tokens(np.zeros((7, 4), np.float32), "x", (0.0, 1.0), 2, {"media": "video"}))
    image = family.runs(Tokens(np.zeros((6, 4), np.float32), "x", (0.0, 1.0, 2.0), 3, {"media": "image"}))
    assert [(len(run), run.starts) for run in image] == [(2, (0.0,)), (2, (1.0,)), (2, (2.0,))]


def test_every_family_is_there_and_transformers_knows_it() -> None:
    from importlib import import_module

    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as known

    for kind, place in FAMILIES.items():
        module, _, name = place.partition(":")
        assert hasattr(import_module(f"videochat_plugins.models.vlm.{module}"), name)
        assert kind in known


def test_a_checkpoint_that_is_not_here_has_no_family_yet() -> None:
    assert find_family(Checkpoint("org/name")) is None


@pytest.mark.parametrize(
    ("files", "media", "side"),
    [
        ({"preprocessor_config.json": {"size": 1}}, "image", 1),
        ({"preprocessor_config.json": {"size": 1}}, "video", 1),
        ({"preprocessor_config.json": {"size": 1}, "video_preprocessor_config.json": {"size": 2}}, "video", 2),
        ({"preprocessor_config.json": {"size": 1}, "video_preprocessor_config.json": {"size": 2}}, "image", 1),
        ({"processor_config.json": {"image_processor": {"size": 3}, "video_processor": {"size": 4}}}, "image", 3),
        ({"processor_config.json": {"image_processor": {"size": 3}, "video_processor": {"size": 4}}}, "video", 4),
        ({"processor_config.json": {"image_processor": {"size": 3}}}, "video", 3),
    ],
)
def test_where_it_is_said_how_frames_are_made_ready(tmp_path: Path, files: Any, media: Any, side: int) -> None:
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values))
    assert settings(tmp_path, media)[1] == {"size": side}
    assert Pictures.read(tmp_path, media).edges() == {"shortest_edge": side}


@pytest.mark.parametrize("files", [{}, {"processor_config.json": {"processor_class": "X"}}])
def test_where_it_is_not_said(tmp_path: Path, files: Any) -> None:
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values))
    with pytest.raises(UnavailableError, match=r"preprocessor_config\.json is missing, and nothing in its place"):
        Pictures.read(tmp_path, "video")


@pytest.mark.parametrize("step", ["do_resize", "do_rescale", "do_normalize"])
def test_a_step_that_is_always_done(tmp_path: Path, step: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 1, step: False, "do_convert_rgb": False}))
    with pytest.raises(UnavailableError, match=rf"preprocessor_config\.json: {step}: false, which cannot be done here"):
        Pictures.read(tmp_path, "image")


def test_pictures_that_are_not_cropped(tmp_path: Path) -> None:
    folder = save_video_llava(tmp_path)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_center_crop": False}))
    with pytest.raises(UnavailableError, match=r"sees pictures of 32x32, and its preprocessor_config\.json crops"):
        find_family(Checkpoint(str(folder)))


@pytest.mark.parametrize("kind", ["video_llava", "qwen2_5_vl"])
def test_a_config_that_says_nothing_of_the_eyes(tmp_path: Path, kind: str) -> None:
    """Which stand at their defaults then, as transformers has it."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vision_config": None}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 224, "crop_size": 224}))
    assert find_family(Checkpoint(str(tmp_path))) is not None


def test_what_a_file_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"size": null, "image_std": [1, 1, 1], "min_pixels": 7}')
    found = Pictures.read(tmp_path, "image", size={"height": 3, "width": 4})
    assert found.edges() == {"height": 3, "width": 4}
    assert (found.image_mean, found.image_std, found.said("min_pixels", 1)) == (OPENAI_MEAN, (1, 1, 1), 7)


@pytest.mark.parametrize(
    ("kind", "file", "values"),
    [
        ("smolvlm", "preprocessor_config.json", {"max_image_size": 384}),
        ("smolvlm", "preprocessor_config.json", {"max_image_size": {"longest_edge": 0}}),
        ("internvl", "preprocessor_config.json", {"max_patches": "x"}),
        ("internvl", "config.json", {"vision_config": 7}),
        ("llava_onevision", "config.json", {"vision_config": 7}),
    ],
)
def test_values_of_another_type_are_told(tmp_path: Path, kind: str, file: str, values: dict[str, Any]) -> None:
    folder = SAVED[kind](tmp_path)
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(UnavailableError, match="download"):
        find_family(Checkpoint(str(folder)))
