"""LLaVA-OneVision (arXiv 2408.03326): frames of few rows each, and stills in tiles of full detail."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import Tokens
from videochat_plugins.models.vlm.family import Family, Media, Vision, media_of
from videochat_plugins.models.vlm.pictures import cut_tiles, read_sized

if TYPE_CHECKING:
    import torch

# Sizes that stills are brought to, in tiles of 384 x 384 pixels, where config.json does not say.
_GRIDS = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]


class LlavaOneVision(Family):
    """LLaVA-OneVision: a frame of a video is 196 rows; a learned newline after the last ends the video.

    It was trained with 32 frames; time is told by their order alone. A still is shown whole, 729 rows, and once more in
    the grid of tiles that fits its size best: without what lies beyond its edges, a newline after each line, and
    resampled where that is more than 9 tiles hold. Its tiles are more the larger it comes, which `side` decides.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Read how frames are made ready."""
        super().__init__(folder, config)
        self._tile: int = (config.get("vision_config") or {}).get("image_size", 384)
        self._grids = config.get("image_grid_pinpoints") or _GRIDS
        self._size = {"height": self._tile, "width": self._tile}
        self._pictures = read_sized(folder, self._size)

    @property
    def side(self) -> int:
        """The size of a tile."""
        return self._tile

    def token(self, media: Media) -> str:
        """Return <image> or <video>."""
        return f"<{media}>"

    def layout(self, size: tuple[int, int], media: Media) -> Mapping[str, Any]:
        """Return the medium, and an image's height and width, on which its rows depend."""
        return {"media": media} | ({"size": list(size)} if media == "image" else {})

    def pixels(self, images: "torch.Tensor", media: Media) -> "torch.Tensor":
        """Return videos' frames (T, 3, h, w), or the whole of each image before its tiles (T, tiles, 3, h, w)."""
        import torch
        from transformers.image_processing_utils import select_best_resolution

        pictures, tile = self._pictures[media], self._tile
        whole = pictures.prepare(self._size)(images)
        if media == "video":
            return whole
        count, height, width, _ = images.shape
        high, wide = select_best_resolution((height, width), self._grids)
        scale = min(high / height, wide / width)
        size = min(ceil(height * scale), high), min(ceil(width * scale), wide)
        above, left = (high - size[0]) // 2, (wide - size[1]) // 2
        canvas = pictures.prepare({})(images.new_zeros(count, high, wide, 3))  # black around the image
        fitted = pictures.prepare({"height": size[0], "width": size[1]})(images)
        canvas[:, :, above : above + size[0], left : left + size[1]] = fitted
        return torch.cat([whole[:, None], cut_tiles(canvas, tile, tile)], 1)

    def encode(self, model: Any, pixels: "torch.Tensor", layout: Mapping[str, Any]) -> "torch.Tensor":
        """Return the rows of each frame or image; those of an image hold its newlines."""
        import torch

        if media_of(layout) == "image":
            sizes = [layout["size"]] * len(pixels)
            return torch.stack([*model.model.get_image_features(pixels, image_sizes=sizes).pooler_output])
        found: torch.Tensor = model.model.get_video_features(pixels[:, None]).pooler_output  # (T, 196 + 1, width)
        return found[:, :-1]

    def write(self, part: Tokens) -> str:
        """Return a placeholder and the end of a line, as in its training; each image has its own."""
        media = media_of(part.layout)
        return f"{self.token(media)}\n" * (part.slots if media == "image" else 1)

    def more(self, part: Tokens) -> int:
        """Return 1 for a video: the newline."""
        return int(media_of(part.layout) == "video")

    def rows(self, model: Any, given: "torch.Tensor", shown: Vision) -> "torch.Tensor":
        """Return rows (n, width), a video's with the newline after them."""
        import torch

        newline = model.model.image_newline[None].to(given)
        return given if shown.media == "image" else torch.cat([given, newline])

    def pooled(self, rows: "torch.Tensor", modality: str) -> Any:
        """Return rows as the class reads them: a tensor (n, width) for each image, one (1, n, width) for videos."""
        return (rows,) if modality == "image" else rows[None]
