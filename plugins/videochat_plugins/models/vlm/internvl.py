"""InternVL (arXiv 2504.10479): numbered frames of one tile each, and stills cut into several."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import Tokens
from videochat_plugins.models.vlm.family import Family, Media, media_of
from videochat_plugins.models.vlm.pictures import cut_tiles, read_sized

if TYPE_CHECKING:
    import torch

_TILES = 1, 12  # of a still, at least and at most, where a folder does not say


class InternVL(Family):
    """InternVL, in the folders that transformers itself reads: a tile of 448 x 448 pixels is 256 rows.

    A frame of a video is one tile, and the number written before it is all that tells of time. A still is stretched
    over the grid of tiles, at most 12, that is nearest to its shape, and shown once more as a whole: up to 3328 rows,
    which see details only where `side` is raised. The class takes frames of videos as images.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Read how frames are made ready."""
        super().__init__(folder, config)
        edges = (config.get("vision_config") or {}).get("image_size", 448)
        height, width = (edges, edges) if isinstance(edges, int) else edges
        size = {"height": height, "width": width}
        self._pictures = read_sized(folder, size)
        self._tile: tuple[int, int] = height, width

    @property
    def side(self) -> int:
        """The size of a tile."""
        return min(self._tile)

    def token(self, media: Media) -> str:
        """Return <IMG_CONTEXT>."""
        return "<IMG_CONTEXT>"

    def modality(self, media: Media) -> str:
        """Return "image", for videos too."""
        return "image"

    def layout(self, size: tuple[int, int], media: Media) -> Mapping[str, Any]:
        """Return the medium, and the grid of tiles: rows and columns."""
        return {"media": media, "tiles": list(self._grid(size, media))}

    def pixels(self, images: "torch.Tensor", media: Media) -> "torch.Tensor":
        """Return the tiles of each frame, row by row, and the whole after several: (T, tiles, 3, h, w)."""
        import torch

        rows, columns = self._grid((images.shape[1], images.shape[2]), media)
        height, width = self._tile
        pictures = self._pictures[media]
        canvas = pictures.prepare({"height": rows * height, "width": columns * width})(images)
        tiles = cut_tiles(canvas, height, width)
        if rows * columns == 1:
            return tiles
        whole = pictures.prepare({"height": height, "width": width})(images)  # (T, 3, h, w)
        return torch.cat([tiles, whole[:, None]], 1)

    def encode(self, model: Any, pixels: "torch.Tensor", layout: Mapping[str, Any]) -> "torch.Tensor":
        """Return the rows of each frame, tile by tile."""
        found = model.model.get_image_features(pixels.flatten(0, 1)).pooler_output  # (slots tiles, 256, width)
        made: torch.Tensor = found.reshape(len(pixels), -1, found.shape[-1])
        return made

    def write(self, part: Tokens) -> str:
        """Return a line for each image or frame; frames are numbered."""
        shown = f"<img>{self.token('image')}</img>\n"
        if media_of(part.layout) == "image":
            return shown * part.slots
        return "".join(f"Frame{number}: {shown}" for number in range(1, part.slots + 1))

    def _grid(self, size: tuple[int, int], media: Media) -> tuple[int, int]:
        """Return the rows and columns of the tiles that frames of a height and width are cut into."""
        if media == "video":
            return 1, 1
        said = self._pictures[media].said
        return fit_tiles(size, self._tile, int(said("min_patches", _TILES[0])), int(said("max_patches", _TILES[1])))


def fit_tiles(size: tuple[int, int], tile: tuple[int, int], least: int, most: int) -> tuple[int, int]:
    """Return the rows and columns, of `least` to `most` tiles in all, whose shape is nearest to a height and width.

    Of grids that are equally near, the largest of which less than twice the picture's pixels are tiles.
    """
    (height, width), (high, wide) = size, tile
    edges = range(1, most + 1)
    grids = [(rows, columns) for columns in edges for rows in edges if least <= rows * columns <= most]
    best, distance = (1, 1), float("inf")
    for rows, columns in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        off = abs(width / height - columns / rows)
        if off < distance or (off == distance and 2 * width * height > high * wide * rows * columns):
            best, distance = (rows, columns), off
    return best
