"""YOLO networks of the library ultralytics, loaded without running code from their files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from videochat import Box, UnavailableError
from videochat.cache import root

if TYPE_CHECKING:
    import torch

_GREY = 114  # of 255: what the networks saw beside pictures as they were trained


class Letterbox(NamedTuple):
    """How pictures of one size are scaled, and padded to whole strides of a network."""

    source: tuple[int, int]  # height and width of the pictures
    scaled: tuple[int, int]  # after scaling
    padding: tuple[int, int, int, int]  # left, right, above, below

    @classmethod
    def of(cls, shape: Sequence[int], size: int, stride: int) -> "Letterbox":
        """Return the one for pictures (N, H, W, 3) that makes their longer side `size` pixels long."""
        _, height, width, _ = shape
        scale = size / max(height, width)
        high, wide = max(round(height * scale), 1), max(round(width * scale), 1)
        rows, columns = (size - high) % stride, (size - wide) % stride
        sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return cls((height, width), (high, wide), sides)

    def __call__(self, images: "torch.Tensor", dtype: "torch.dtype") -> "torch.Tensor":
        """Return (N, 3, h, w), 0 to 1, of (N, H, W, 3) uint8."""
        from torch.nn.functional import interpolate, pad

        planes = images.permute(0, 3, 1, 2).float()  # (N, 3, H, W)
        scaled = interpolate(planes, self.scaled, mode="bilinear", align_corners=False).round_()
        return (pad(scaled, self.padding, value=_GREY) / 255).to(dtype)

    def undo(self, x1: float, y1: float, x2: float, y2: float) -> Box:
        """Return where a box in the padded picture is in the source."""
        (height, width), (high, wide) = self.source, self.scaled
        left, _, above, _ = self.padding
        x1, x2 = (min(max((x - left) * width / wide, 0.0), width) for x in (x1, x2))
        y1, y2 = (min(max((y - above) * height / high, 0.0), height) for y in (y1, y2))
        return Box(x1, y1, x2, y2)


def load_yolo(path: Path, precision: str, device: str) -> Any:
    """Return the network of a checkpoint of ultralytics, built of known classes only, in evaluation mode.

    Raises:
        UnavailableError: if the file cannot be read so, or holds something else.
    """
    configure()
    import torch
    from ultralytics.nn.tasks import DetectionModel, torch_safe_load

    try:
        stored, _ = torch_safe_load(str(path), safe_only=True)
    except Exception as error:  # what a damaged or strange pickle raises is anybody's guess
        why = str(error.__cause__ or error).partition("\n")[0]
        raise UnavailableError(
            f"the checkpoint {path} cannot be loaded without running code from it ({type(error).__name__}: {why}); "
            "a .pt file that `ultralytics` saved can be"
        ) from None
    model: Any = (stored.get("ema") or stored.get("model")) if isinstance(stored, dict) else None
    if type(model) is not DetectionModel:  # its subclasses segment, pose, read prompts or want other input
        what = type(model).__name__
        raise UnavailableError(f"the checkpoint {path} holds a {what}, and this needs a DetectionModel of ultralytics")
    model = model.float().fuse(verbose=False)
    return model.to(device, getattr(torch, precision)).eval().requires_grad_(False)


def configure() -> None:
    """Let ultralytics, as it is imported, ask no network and write nothing but into the cache's folder."""
    for name, value in (
        ("YOLO_OFFLINE", "true"),  # it would look up two hosts
        ("YOLO_AUTOINSTALL", "false"),  # it would call pip
        ("YOLO_VERBOSE", "false"),
        ("YOLO_CONFIG_DIR", str(root() / "ultralytics")),  # for its settings
    ):
        os.environ.setdefault(name, value)
