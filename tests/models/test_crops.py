"""Pieces of pictures against Pillow's crop and resize."""

import numpy as np
import pytest

from videochat import Box
from videochat_plugins.models.crops import cut

torch = pytest.importorskip("torch", reason="the extra models is not installed")

EDGE = 400


def picture() -> np.ndarray:
    """Smooth colours with a hard edge and fine lines."""
    across, down = np.meshgrid(np.linspace(0, 7, EDGE), np.linspace(0, 5, EDGE // 2))
    image = np.stack([np.sin(across), np.cos(down), np.sin(across * down)], axis=-1) * 100 + 120
    image[40:90, 100:300] = 30
    image[:, ::9] = 200
    return image.astype(np.uint8)


def theirs(image: np.ndarray, corners: tuple[int, int, int, int], side: int) -> np.ndarray:
    from PIL import Image

    size = (side, side)
    return np.asarray(Image.fromarray(image).crop(corners).resize(size, Image.Resampling.BICUBIC)).astype(int)


@pytest.mark.parametrize("side", [16, 64, 384])
def test_pieces_are_what_pillow_makes_of_them(side: int) -> None:
    image = picture()
    corners = [(0, 0, EDGE, 200), (10, 20, 90, 60), (150, 30, 161, 190), (399, 199, 400, 200), (7, 100, 300, 103)]
    found = cut(torch.from_numpy(image), [Box(*one) for one in corners], side)
    assert (found.shape, found.dtype) == ((5, side, side, 3), torch.uint8)
    for piece, one in zip(found.numpy().astype(int), corners, strict=True):
        far = np.abs(piece - theirs(image, one, side))
        assert far.max() <= 8  # Pillow rounds and clips between width and height, which tells at lines and edges
        assert far.mean() < 0.3


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        (Box(10.2, 20.9, 49.1, 59.5), (10, 20, 50, 60)),
        (Box(-30.0, -5.5, 20.0, 30.0), (0, 0, 20, 30)),
        (Box(380.0, 190.0, 500.0, 300.0), (380, 190, 400, 200)),
        (Box(50.0, 50.0, 50.0, 50.0), (50, 50, 51, 51)),
        (Box(400.0, 200.0, 400.0, 200.0), (399, 199, 400, 200)),
    ],
)
def test_boxes_are_widened_to_whole_pixels_within_the_picture(box: Box, corners: tuple[int, int, int, int]) -> None:
    image = picture()
    (piece,) = cut(torch.from_numpy(image), [box], 32).numpy().astype(int)
    assert np.abs(piece - theirs(image, corners, 32)).mean() < 0.3


def test_no_boxes_give_no_pieces() -> None:
    assert cut(torch.from_numpy(picture()), [], 32).shape == (0, 32, 32, 3)
