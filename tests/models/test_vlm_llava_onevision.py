"""LLaVA-OneVision: stills in tiles as the class has them, and the row that ends a video."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from local_vlm import about, answerer, film, ids_of, plain, plain_ids, processor, see
from tiny_vlms import save_llava_onevision
from videochat_plugins.models.vlm.family import Vision
from videochat_plugins.models.vlm.llava_onevision import LlavaOneVision

SIZES = [(64, 48), (48, 64), (32, 32), (33, 71), (9, 9), (200, 30), (61, 300), (500, 400)]  # width and height
TALK = "<|im_start|>user\n{}What is it?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava_onevision(tmp_path_factory.mktemp("llava_onevision"))


def family(folder: Path) -> LlavaOneVision:
    return LlavaOneVision(folder, json.loads((folder / "config.json").read_text()))


@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_those_of_the_class(folder: Path, size: tuple[int, int]) -> None:
    images = np.stack(film(2, size))
    expected = processor(folder)([*images], return_tensors="pt")["pixel_values"]  # (2, tiles, 3, h, w)
    found = family(folder)
    torch.testing.assert_close(found.pixels(torch.from_numpy(images), "image"), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.pixels(torch.from_numpy(images), "video"), expected[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_a_still_of_any_size_is_seen_as_the_plain_model_sees_it(folder: Path, size: tuple[int, int]) -> None:
    image = film(1, size)
    found = ids_of(answerer(folder), about(see(folder, image), question="What is it?"))
    assert found == plain_ids(folder, TALK.format("<image>\n"), image)


def test_stills_of_unequal_sizes_in_one_prompt(folder: Path) -> None:
    stills = [film(1, size, first=i) for i, size in enumerate(SIZES[:4])]
    expected = plain_ids(folder, TALK.format("<image>\n" * 4), *stills)
    shown = [see(folder, image) for image in stills]
    assert len({len(np.asarray(part.tokens)) for part in shown}) > 2
    assert ids_of(answerer(folder), about(*shown, question="What is it?")) == expected


def test_a_newline_ends_each_video_and_no_still(folder: Path) -> None:
    llm = answerer(folder)
    assert llm._decoder is not None
    video, still = see(folder, film(3)), see(folder, film(1))
    prompt = llm.writer.write(about(video, still, video))
    shown = [piece for piece in prompt if isinstance(piece, Vision)]
    assert [piece.more for piece in shown] == [1, 0, 1]
    rows = llm._decoder._rows(shown[0])[0]
    newline = plain(folder)[0].model.image_newline
    assert torch.equal(rows[:-1], torch.tensor(np.asarray(video.tokens)))
    assert torch.equal(rows[-1], newline)
    assert len(llm._decoder._rows(shown[1])[0]) == len(np.asarray(still.tokens))


def test_the_grids_where_config_does_not_say(folder: Path, tmp_path: Path) -> None:
    """Those of the class, of tiles of 384 x 384."""
    from transformers import LlavaOnevisionConfig

    (tmp_path / "preprocessor_config.json").write_text("{}")
    config = {"vision_config": {"image_size": 384}}
    found = LlavaOneVision(tmp_path, config)
    assert found._grids == LlavaOnevisionConfig().image_grid_pinpoints
    wide, small = (torch.zeros(1, *size, 3, dtype=torch.uint8) for size in [(336, 597), (9, 9)])
    assert [found.pixels(images, "image").shape[1] for images in (wide, small)] == [3, 2]
