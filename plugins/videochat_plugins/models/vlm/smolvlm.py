"""SmolVLM2 (arXiv 2504.05299): frames of one small tile each, told with their times, and stills in many tiles."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from videochat import Tokens
from videochat_plugins.models.resample import FILTERS, resize
from videochat_plugins.models.vlm.family import MEDIA, Family, Media, Vision, media_of, starts_of
from videochat_plugins.models.vlm.pictures import Pictures, cut_tiles

if TYPE_CHECKING:
    import torch

_Size = tuple[int, int]  # height and width
_EDGE, _TILE = 4 * 364, 364  # the longer edge that pictures are brought to, and a tile's, where a folder does not say
_HALF = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5), "resample": FILTERS.index("lanczos")}
_AROUND = "<fake_token_around_image>"
_WHOLE = f"{_AROUND}<global-img><image>{_AROUND}"


class SmolVLM(Family):
    """SmolVLM2: a tile is 81 rows of 384 x 384 pixels, in the smaller models 64 rows of 512 x 512.

    A frame of a video is one tile; words before it tell when it was seen, and those before the first how many there are
    and when the last ends. A still is enlarged to four tiles along its longer edge, cut, and shown once more as a
    whole; one tile where the folder's file says do_image_splitting: false. It sees details only where `side` is raised.
    The class takes frames of videos as images.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Read how frames are made ready."""
        super().__init__(folder, config)
        self._pictures = {media: Pictures.read(folder, media, **_HALF) for media in MEDIA}

    @property
    def side(self) -> int:
        """The size of a video's tile."""
        return self._tile("video")

    def token(self, media: Media) -> str:
        """Return <image>."""
        return "<image>"

    def modality(self, media: Media) -> str:
        """Return "image", for videos too."""
        return "image"

    def layout(self, size: _Size, media: Media) -> Mapping[str, Any]:
        """Return the medium, and the grid of tiles besides the whole: rows and columns, 0 where there is only that."""
        (height, width), tile = self._sizes(size, media)[-1], self._tile(media)
        cut = self._is_cut(media) and max(height, width) > tile
        return {"media": media, "tiles": [height // tile, width // tile] if cut else [0, 0]}

    def pixels(self, images: "torch.Tensor", media: Media) -> "torch.Tensor":
        """Return the tiles of each frame, row by row, and the whole after them: (T, tiles, 3, h, w)."""
        import torch

        size, pictures, tile = (images.shape[1], images.shape[2]), self._pictures[media], self._tile(media)
        is_cut = any(self.layout(size, media)["tiles"])
        planes = images.permute(0, 3, 1, 2).flatten(0, 1)  # (3 T, H, W)
        for each in self._sizes(size, media):
            planes = resize(planes, each, FILTERS[pictures.resample])
        canvas = planes.unflatten(0, (-1, 3)).permute(0, 2, 3, 1)  # (T, rows h, columns w, 3)
        whole = pictures.prepare({"height": tile, "width": tile})(canvas)[:, None]
        if not is_cut:
            return whole
        return torch.cat([cut_tiles(pictures.prepare({})(canvas), tile, tile), whole], 1)

    def encode(self, model: Any, pixels: "torch.Tensor", layout: Mapping[str, Any]) -> "torch.Tensor":
        """Return the rows of each frame, tile by tile."""
        import torch

        return torch.stack([*model.model.get_image_features(pixels).pooler_output])

    def write(self, part: Tokens) -> str:
        """Return a placeholder for each tile, named by its row and column, or for each frame, dated."""
        if media_of(part.layout) == "image":
            rows, columns = (range(1, count + 1) for count in part.layout["tiles"])
            lines = ["".join(f"{_AROUND}<row_{r}_col_{c}><image>" for c in columns) for r in rows]
            return "\n".join([*lines, "", _WHOLE] if lines else [_WHOLE]) * part.slots
        starts = starts_of(part)
        end = timedelta(seconds=int(part.records[-1].end if part.records else starts[-1]))
        told = f"the following series of {in_words(part.slots)} frames from a {end} [H:MM:SS] video"
        dated = (f"\nFrame from {int(start // 60):02}:{int(start % 60):02}:{_WHOLE}" for start in starts)
        return f"You are provided {told}.\n{''.join(dated)}\n\n"

    def runs(self, part: Tokens) -> list[Vision]:
        """Return the rows of each tile."""
        rows, columns = part.layout["tiles"]
        tiles, media = rows * columns + 1, media_of(part.layout)
        each = np.split(np.asarray(part.tokens), part.slots * tiles)
        starts = np.repeat(starts_of(part), tiles).tolist()
        return [Vision(found, media, part.layout, (start,)) for found, start in zip(each, starts, strict=True)]

    def _tile(self, media: Media) -> int:
        return int(self._pictures[media].said("max_image_size", {}).get("longest_edge", _TILE))

    def _is_cut(self, media: Media) -> bool:
        return media == "image" and bool(self._pictures[media].said("do_image_splitting", True))

    def _sizes(self, size: _Size, media: Media) -> list[_Size]:
        """Return the sizes that frames are brought to, one after the other, before they are cut."""
        found, tile = self._pictures[media], self._tile(media)
        said = found.edges() or (found.said("video_sampling", {}).get("video_size", {}) if media == "video" else {})
        enlarged = fit_edge(size, said.get("longest_edge", _EDGE), 2)
        longer = -(-max(enlarged) // tile) * tile
        return [enlarged, fit_edge(enlarged, longer, tile)] if self._is_cut(media) else [enlarged]


def fit_edge(size: _Size, edge: int, unit: int) -> _Size:
    """Return a height and width of nearly the same shape, the longer `edge` and the other a multiple of `unit`."""
    height, width = size
    shape = width / height
    other = int(edge / shape) if width >= height else int(edge * shape)
    other = max(1, -(-other // unit) * unit)
    return (other, edge) if width >= height else (edge, other)


def in_words(number: int) -> str:
    """Return a whole number from 1 to 999,999 in English words."""
    if number < 20:
        return _SMALL[number - 1]
    if number < 100:
        return "-".join([_TENS[number // 10 - 2], *([in_words(number % 10)] if number % 10 else [])])
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = number % unit
    join = ", " if rest >= 100 else " and "
    return f"{in_words(number // unit)} {name}" + (join + in_words(rest) if rest else "")


_SMALL = str.split(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = str.split("twenty thirty forty fifty sixty seventy eighty ninety")
