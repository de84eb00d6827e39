"""SmolVLM2: what is written around frames and tiles, and the sizes that they are brought to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from local_vlm import about, answerer, film, ids_of, plain_ids, processor, see
from tiny_vlms import save_smolvlm
from videochat import Record, Tokens
from videochat_plugins.models.vlm.smolvlm import SmolVLM, fit_edge, in_words

SIZES = [(64, 48), (48, 64), (32, 32), (33, 71), (9, 9), (200, 30), (61, 300), (500, 400)]  # width and height
SAMPLING = {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 64}}
WHOLE = "<fake_token_around_image><global-img><image><fake_token_around_image>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_smolvlm(tmp_path_factory.mktemp("smolvlm"))


def family(folder: Path, said: dict[str, Any] | None = None) -> SmolVLM:
    """Return the family of a folder, or of a processor's file that is written there."""
    if said is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return SmolVLM(folder, {})


# Pixels.


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("media", ["image", "video"])
def test_pixels_are_those_of_the_class(folder: Path, size: tuple[int, int], media: Any) -> None:
    """Frames of videos are made ready as stills that are not cut."""
    images = np.stack(film(2, size))
    made = processor(folder)([*images], do_image_splitting=media == "image", return_tensors="pt")["pixel_values"]
    found = family(folder)
    pixels = found.pixels(torch.from_numpy(images), media)
    torch.testing.assert_close(pixels.flatten(0, 1), made.flatten(0, 1), rtol=0, atol=1e-5)
    rows, columns = found.layout((size[1], size[0]), media)["tiles"]
    assert pixels.shape[1] == rows * columns + 1


@pytest.mark.parametrize("size", SIZES)
def test_a_still_of_any_size_is_seen_as_the_plain_model_sees_it(folder: Path, size: tuple[int, int]) -> None:
    image = film(1, size)
    found = ids_of(answerer(folder), about(see(folder, image)))
    assert found == plain_ids(folder, "<|im_start|>User: <image>What moves?<end_of_utterance>\nAssistant:", image)


@given(size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)), tile=st.sampled_from([364, 384, 512]))
def test_the_sizes_are_those_of_the_class(size: tuple[int, int], tile: int) -> None:
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
    from transformers.models.smolvlm.image_processing_pil_smolvlm import _resize_output_size_rescale_to_max_len as fit

    enlarged = fit_edge(size, 4 * tile, 2)
    assert enlarged == fit(*size, max_len=4 * tile)
    prepare = SmolVLMImageProcessorPil(size={"longest_edge": 4 * tile}, max_image_size={"longest_edge": tile})
    _, rows, columns = prepare.get_number_of_image_patches(*size)
    assert fit_edge(enlarged, -(-max(enlarged) // tile) * tile, tile) == (rows * tile, columns * tile)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"size": {"longest_edge": 96}},
        {"video_sampling": SAMPLING},
        {"size": {"longest_edge": 96}, "video_sampling": SAMPLING},
    ],
)
def test_frames_of_videos_have_the_size_that_the_class_takes_from_a_file(tmp_path: Path, said: dict[str, Any]) -> None:
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    said["max_image_size"] = {"longest_edge": 32}
    found = family(tmp_path, said)
    edge = SmolVLMVideoProcessor(**json.loads(json.dumps(said))).size["longest_edge"]
    assert found._sizes((30, 40), "video") == [fit_edge((30, 40), edge, 2)]
    assert found._sizes((30, 40), "image")[0] == fit_edge((30, 40), said.get("size", {}).get("longest_edge", 1456), 2)
    assert found.side == 32


def test_a_still_that_is_not_to_be_cut(tmp_path: Path) -> None:
    found = family(tmp_path, {"do_image_splitting": False, "max_image_size": {"longest_edge": 32}})
    assert found.layout((30, 40), "image") == {"media": "image", "tiles": [0, 0]}
    assert found.pixels(torch.zeros(2, 30, 40, 3, dtype=torch.uint8), "image").shape == (2, 1, 3, 32, 32)


# Words.


def part(media: str, tiles: list[int], *spans: tuple[float, float]) -> Tokens:
    """Return slots, each a record of its own, of one row a tile."""
    rows = np.arange((tiles[0] * tiles[1] + 1) * 4, dtype=np.float32).reshape(-1, 4)
    meta = {"slots": 1, "layout": {"media": media, "tiles": tiles}}
    found = [Record("embedding", *span, tokens=rows, times=span[:1], meta=meta) for span in spans]
    (tokens,) = Tokens.join(found)
    return tokens


def test_frames_are_dated(folder: Path) -> None:
    told = "You are provided the following series of three frames from a 1:01:15 [H:MM:SS] video.\n"
    shown = f"\nFrame from 00:02:{WHOLE}\nFrame from 01:00:{WHOLE}\nFrame from 61:05:{WHOLE}\n\n"
    video = part("video", [0, 0], (2.7, 9.0), (60.0, 61.0), (3665.9, 3675.5))
    assert family(folder).write(video) == told + shown
    bare = replace(video, records=(), times=(2.7, 60.0, 3665.9))  # the end is not known
    assert family(folder).write(bare) == told.replace("1:01:15", "1:01:05") + shown


def test_tiles_are_named(folder: Path) -> None:
    still = part("image", [2, 1], (0.0, 1.0), (1.0, 2.0))
    mark = "<fake_token_around_image>"
    tiles = f"{mark}<row_1_col_1><image>\n{mark}<row_2_col_1><image>\n\n{WHOLE}"
    assert family(folder).write(still) == tiles * 2
    runs = family(folder).runs(still)
    assert [run.starts for run in runs] == [(0.0,)] * 3 + [(1.0,)] * 3
    assert [run.rows[0, 0] for run in runs] == [0.0, 4.0, 8.0] * 2


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "one"),
        (19, "nineteen"),
        (20, "twenty"),
        (64, "sixty-four"),
        (100, "one hundred"),
        (115, "one hundred and fifteen"),
        (1000, "one thousand"),
        (1001, "one thousand and one"),
        (2340, "two thousand, three hundred and forty"),
        (900_017, "nine hundred thousand and seventeen"),
    ],
)
def test_numbers_in_words(number: int, words: str) -> None:
    assert in_words(number) == words
