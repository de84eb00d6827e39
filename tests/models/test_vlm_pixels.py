"""The families' own preprocessing beside the image processors of transformers that work with Pillow."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from local_vlm import processor
from tiny_vlms import save_internvl, save_qwen2_5_vl, save_video_llava
from videochat_plugins.models.vlm.internvl import InternVL, fit_tiles
from videochat_plugins.models.vlm.qwen2_5_vl import Qwen25VL, fit_grid
from videochat_plugins.models.vlm.video_llava import VideoLlava

SIZES = [(64, 48), (48, 64), (33, 70), (9, 9), (200, 30)]  # width and height


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_video_llava(tmp_path_factory.mktemp("video_llava"))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_internvl(tmp_path_factory.mktemp("internvl"))


def family(cls: Any, folder: Path) -> Any:
    return cls(folder, json.loads((folder / "config.json").read_text()))


def frames(count: int, size: tuple[int, int]) -> torch.Tensor:
    """Return (T, H, W, 3) of noise."""
    noise = np.random.default_rng(sum(size))
    return torch.from_numpy(noise.integers(0, 256, (count, size[1], size[0], 3), np.uint8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("media", ["image", "video"])
def test_frames_of_video_llava(llava: Path, size: tuple[int, int], media: Any) -> None:
    images = frames(3, size)
    prepare = processor(llava)
    expected = prepare([*images.numpy()], return_tensors="pt", return_legacy_image_output=False)["pixel_values"]
    found = family(VideoLlava, llava).pixels(images, media)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("media", ["image", "video"])
def test_tiles_of_internvl(internvl: Path, size: tuple[int, int], media: Any) -> None:
    images = frames(2, size)
    expected = processor(internvl)([*images.numpy()], crop_to_patches=media == "image", return_tensors="pt")
    found = family(InternVL, internvl)
    pixels = found.pixels(images, media)
    assert [pixels.shape[1]] * 2 == expected["num_patches"].tolist()
    torch.testing.assert_close(pixels.flatten(0, 1), expected["pixel_values"], rtol=0, atol=1e-5)
    rows, columns = found.layout((size[1], size[0]), media)["tiles"]
    assert rows * columns + (rows * columns > 1) == pixels.shape[1]


@pytest.mark.parametrize(("said", "tiles"), [({}, [3, 4]), ({"max_patches": 6}, [2, 3]), ({"max_patches": 1}, [1, 1])])
def test_how_many_tiles_internvl_has(internvl: Path, tmp_path: Path, said: Any, tiles: list[int]) -> None:
    (tmp_path / "config.json").write_bytes((internvl / "config.json").read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    assert family(InternVL, tmp_path).layout((36, 48), "image") == {"media": "image", "tiles": tiles}


@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    tile=st.tuples(st.sampled_from([32, 448]), st.sampled_from([32, 448])),
    tiles=st.tuples(st.integers(1, 4), st.integers(4, 12)),
)
@example(size=(448, 448), tile=(448, 448), tiles=(1, 12))
@example(size=(1344, 1344), tile=(448, 448), tiles=(1, 12))
@example(size=(640, 427), tile=(448, 448), tiles=(1, 12))
@example(size=(400, 500), tile=(448, 448), tiles=(2, 2))
def test_the_grid_of_tiles_is_that_of_the_class(
    size: tuple[int, int], tile: tuple[int, int], tiles: tuple[int, int]
) -> None:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    assert fit_tiles(size, tile, *tiles)[::-1] == get_optimal_tiled_canvas(size, tile, *tiles)


@pytest.mark.parametrize("size", SIZES)
def test_an_image_of_qwen(qwen: Path, size: tuple[int, int]) -> None:
    images = frames(1, size)
    expected = processor(qwen)([images[0].numpy()], return_tensors="pt")
    found = family(Qwen25VL, qwen)
    torch.testing.assert_close(found.pixels(images, "image")[0], expected["pixel_values"], rtol=0, atol=1e-5)
    layout = found.layout((size[1], size[0]), "image")
    assert [1, *layout["grid"]] == expected["image_grid_thw"][0].tolist()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_video_of_qwen_patch_by_patch(qwen: Path, count: int) -> None:
    """Each patch is two frames' 8 x 8 pixels; those that become one token stand together, row by row."""
    found = family(Qwen25VL, qwen)
    images = frames(count, (64, 48))  # a size that is kept
    pixels = found.pixels(images, "video")
    mean, std = (torch.tensor(getattr(processor(qwen), name))[:, None, None] for name in ("image_mean", "image_std"))
    planes = (images.permute(0, 3, 1, 2).float() / 255 - mean) / std
    planes = torch.cat([planes, planes[-1:]]) if count % 2 else planes
    expected = []
    for slot in range(len(planes) // 2):
        for row in range(0, 48, 16):
            for column in range(0, 64, 16):
                for y, x in ((row, column), (row, column + 8), (row + 8, column), (row + 8, column + 8)):
                    both = planes[2 * slot : 2 * slot + 2, :, y : y + 8, x : x + 8]
                    expected.append(both.transpose(0, 1).flatten())
    torch.testing.assert_close(pixels.flatten(0, 1), torch.stack(expected), rtol=0, atol=1e-5)
    assert found.layout((48, 64), "video") == {"media": "video", "grid": [6, 8]}


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)).filter(lambda s: max(s) <= 200 * min(s)),
    unit=st.sampled_from([16, 28, 32]),
    tokens=st.tuples(st.integers(1, 64), st.integers(64, 4096)),
)
def test_the_size_of_frames_is_that_of_the_class(size: tuple[int, int], unit: int, tokens: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    least, most = (count * unit**2 for count in tokens)
    assert fit_grid(size, unit, least, most) == smart_resize(*size, unit, least, most)


def test_frames_that_are_hardly_any() -> None:
    with pytest.raises(ValueError, match="frames of 1x201 are too long and thin"):
        fit_grid((201, 1), 28, 3136, 10000)


@pytest.mark.parametrize(("said", "tokens"), [({}, 1280), ({"max_pixels": 20 * 16 * 16}, 20)])
def test_frames_of_a_video_have_a_limit_of_their_own(qwen: Path, tmp_path: Path, said: Any, tokens: int) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((qwen / name).read_bytes())
    values = json.loads((tmp_path / "preprocessor_config.json").read_text())
    del values["size"]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values | said))
    found = family(Qwen25VL, tmp_path)

    def count(grid: Sequence[int]) -> float:
        return grid[0] * grid[1] / 4

    image, video = (count(found.layout((2000, 2000), media)["grid"]) for media in ("image", "video"))
    assert 0.8 * tokens <= image <= tokens
    assert 0.8 * min(tokens, 768) <= video <= min(tokens, 768)
