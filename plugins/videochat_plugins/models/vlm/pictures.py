"""How a family's frames are made ready, as the processor's file in a checkpoint's folder has it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from videochat import UnavailableError
from videochat_plugins.models.preprocess import Preprocess, Rgb
from videochat_plugins.models.resample import FILTERS
from videochat_plugins.models.vlm.family import MEDIA, Media, settings

if TYPE_CHECKING:
    import torch

OPENAI_MEAN: Rgb = (0.48145466, 0.4578275, 0.40821073)  # that CLIP was trained with
OPENAI_STD: Rgb = (0.26862954, 0.26130258, 0.27577711)
_STEPS = ("do_resize", "do_rescale", "do_normalize")
_Edges = PositiveInt | dict[str, PositiveInt | None]


class Pictures(BaseModel):
    """What a processor's file says; a family's own defaults stand for what it leaves out."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    size: _Edges | None = None
    crop_size: _Edges | None = None
    resample: Literal[0, 1, 2, 3, 4] = 3
    rescale_factor: PositiveFloat = 1 / 255
    image_mean: Rgb = OPENAI_MEAN
    image_std: Rgb = OPENAI_STD

    @classmethod
    def read(cls, folder: Path, media: Media, **defaults: Any) -> Self:
        """Read a folder's file.

        Raises:
            UnavailableError: if it is missing, cannot be understood, or leaves out what every family does.
        """
        path, found = settings(folder, media)
        if left := [step for step in _STEPS if found.get(step) is False]:
            raise UnavailableError(
                f"{path}: {', '.join(left)}: false, which cannot be done here; take another checkpoint"
            )
        try:
            return cls.model_validate(defaults | {name: value for name, value in found.items() if value is not None})
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc'][:1]))}: {fault['msg']}" for fault in error.errors())
            raise UnavailableError(f"{path}: {faults}") from None

    def said(self, name: str, default: Any) -> Any:
        """Return a value that only some families' files have."""
        return (self.model_extra or {}).get(name, default)

    def edges(self, crop: bool = False) -> dict[str, int]:
        """Return the size to resize to, or that to crop to, as named edges."""
        size = self.crop_size if crop else self.size
        if isinstance(size, dict):
            return {name: edge for name, edge in size.items() if edge is not None}
        if size is None:
            return {}
        return {"height": size, "width": size} if crop else {"shortest_edge": size}

    def prepare(self, size: dict[str, int], crop: tuple[int, int] | None = None) -> Preprocess:
        """Return what makes frames ready in a size."""
        kernel = FILTERS[self.resample]
        return Preprocess(0, size, kernel, crop, self.rescale_factor, self.image_mean, self.image_std)


def cut_tiles(pictures: "torch.Tensor", height: int, width: int) -> "torch.Tensor":
    """Return the tiles of pictures, row by row: (T, 3, rows h, columns w) -> (T, rows columns, 3, h, w)."""
    grid = pictures.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (T, 3, rows, h, columns, w)
    tiles: torch.Tensor = grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    return tiles


def read_sized(folder: Path, size: dict[str, int]) -> dict[Media, Pictures]:
    """Return how images and videos are made ready for a model that sees pictures of one height and width.

    Raises:
        UnavailableError: if a processor's file is missing, or resizes to another size.
    """
    read = {media: Pictures.read(folder, media, size=size) for media in MEDIA}
    for media, found in read.items():
        if found.edges() != size:
            raise UnavailableError(
                f"the checkpoint {folder.name} sees pictures of {size['width']}x{size['height']}, and its "
                f"preprocessor_config.json resizes each {media} to {found.edges()}"
            )
    return read
