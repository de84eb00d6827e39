"""Makes a model's input of frames, as the checkpoint's own image processor does, whole batches at a time."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from videochat import UnavailableError
from videochat_plugins.models.resample import FILTERS, Filter, resize

if TYPE_CHECKING:
    import torch

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize, crop, rescale and normalise, as a checkpoint's own image processor does.

    Equal to the processors of transformers that work with Pillow, for frames of one size: padding, which only evens out
    the sizes within a batch, is not done.
    """

    side: int  # the shorter side, in pixels, that frames should at least have
    size: Mapping[str, int] | None  # what to resize to, in the terms of `target`; None: frames keep their size
    filter: Filter
    crop: tuple[int, int] | None  # height and width cut from the middle; zeros around what is smaller
    factor: float  # that pixels are multiplied by
    mean: Rgb  # taken off after that
    std: Rgb  # that what is left is divided by

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what the processor's file in a checkpoint's folder asks for.

        That is preprocessor_config.json, or the entry for images in processor_config.json; where there are only such
        files for videos, those.

        Raises:
            UnavailableError: if the file is missing, is not JSON, or asks for what this class does not do.
        """
        path, found = _find(folder)
        try:
            return cls._of(_Settings.of(found))
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc'][:1]))}: {fault['msg']}" for fault in error.errors())
            raise UnavailableError(f"{path}: {'; '.join(faults)}{_MEND}") from error
        except ValueError as error:
            raise UnavailableError(f"{path}: {error}{_MEND}") from error

    @classmethod
    def _of(cls, settings: "_Settings") -> Self:
        size = _edges(settings.size, settings.default_to_square, settings.max_size)
        target(size, 1, 1)  # refuses what it does not know
        crop = None
        if settings.do_center_crop:
            box = _edges(settings.crop_size, square=True)
            if box.keys() != {"height", "width"}:
                raise ValueError(f"crop_size is {settings.crop_size}; there is: height and width")
            crop = box["height"], box["width"]
        return cls(
            side=max(edge for name, edge in size.items() if name != "longest_edge"),
            size=size if settings.do_resize else None,
            filter=FILTERS[settings.resample],
            crop=crop,
            factor=settings.rescale_factor if settings.do_rescale else 1.0,
            mean=_rgb(settings.image_mean if settings.do_normalize else 0.0, settings.offset and settings.do_rescale),
            std=_rgb(settings.image_std if settings.do_normalize else 1.0),
        )

    def __call__(self, images: "torch.Tensor", dtype: "torch.dtype | None" = None) -> "torch.Tensor":
        """Return the model's input.

        Args:
            images: (N, H, W, 3) uint8 RGB, on any device that has float64.
            dtype: of the result; default: float32, which is also what it is computed in.

        Returns:
            (N, 3, h, w) on the same device.
        """
        import torch

        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images must be (N, H, W, 3) uint8, got {tuple(images.shape)} {images.dtype}")
        planes = self._fit(images.permute(0, 3, 1, 2).contiguous().flatten(0, 1))  # (N * 3, h, w)
        pixels = planes.reshape(len(images), 3, *planes.shape[1:])
        mean, std = (_planes(rgb, images.device) for rgb in (self.mean, self.std))
        values = pixels.float().div_(1 / self.factor).sub_(mean).div_(std)  # 255 is a float32, 1 / 255 is not
        return values if dtype is None else values.to(dtype)

    def _fit(self, planes: "torch.Tensor") -> "torch.Tensor":
        """Return (P, H, W) pictures resized and cropped."""
        from torch.nn.functional import pad

        height, width = target(self.size, *planes.shape[1:]) if self.size else planes.shape[1:]
        rows, above, below = _middle(height, self.crop[0] if self.crop else height)
        columns, left, right = _middle(width, self.crop[1] if self.crop else width)
        planes = resize(planes, (height, width), self.filter, (rows, columns))
        return pad(planes, (left, right, above, below)) if left + right + above + below else planes


@lru_cache
def _planes(rgb: Rgb, device: "torch.device") -> "torch.Tensor":
    """Return a value for each colour as (3, 1, 1) on a device, where it is copied once."""
    import torch

    return torch.tensor(rgb, device=device)[:, None, None]


def target(size: Mapping[str, int], height: int, width: int) -> tuple[int, int]:
    """Return the height and width that a picture is resized to.

    Raises:
        ValueError: if the size is not given in terms that are known here.
    """
    short, long = sorted((height, width))
    match dict(size):
        case {"height": high, "width": wide, **rest} if not rest:
            return high, wide
        case {"shortest_edge": edge, **rest} if rest.keys() <= {"longest_edge"}:
            exact: float = edge
            if long / short * edge > rest.get("longest_edge", float("inf")):
                exact = rest["longest_edge"] * short / long
                edge = round(exact)
            other = long if edge == short else int(exact * long / short)
            return (edge, other) if height <= width else (other, edge)
        case {"max_height": high, "max_width": wide, **rest} if not rest:
            scale = min(high / height, wide / width)
            return int(height * scale), int(width * scale)
    raise ValueError(
        f"size is {dict(size)}; there are: height and width; shortest_edge; shortest_edge and longest_edge; "
        "max_height and max_width"
    )


def _middle(have: int, want: int) -> tuple[slice, int, int]:
    """Return the part of `have` pixels that lies in the middle `want`, and how many are missing before and after it."""
    start = (have - want) // 2
    kept = slice(max(start, 0), min(start + want, have))
    before = max(-start, 0)
    return kept, before, want - before - (kept.stop - kept.start)


_Size = PositiveInt | tuple[PositiveInt, PositiveInt] | dict[str, PositiveInt | None]


def _edges(size: _Size, square: bool, longest: int | None = None) -> dict[str, int]:
    """Return a size as named edges, from any of the forms that it has had in processors' files."""
    if isinstance(size, dict):
        return {name: edge for name, edge in size.items() if edge is not None}
    if isinstance(size, tuple):
        return {"height": size[0], "width": size[1]}
    if square:
        return {"height": size, "width": size}
    return {"shortest_edge": size} | ({"longest_edge": longest} if longest else {})


def _rgb(values: float | Rgb, more: float = 0.0) -> Rgb:
    red, green, blue = values if isinstance(values, tuple) else (values, values, values)
    return red + more, green + more, blue + more


class _Settings(BaseModel):
    """What a processor's file says, and where it says nothing, what its class takes that to mean."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    do_resize: bool = True
    size: _Size
    default_to_square: bool = True
    max_size: PositiveInt | None = None
    resample: Literal[0, 1, 2, 3, 4]
    do_center_crop: bool = False
    crop_size: _Size = {}
    do_rescale: bool = True
    rescale_factor: PositiveFloat = 1 / 255
    offset: bool = False  # whether 1 is taken off after that
    do_normalize: bool = True
    image_mean: float | Rgb
    image_std: float | Rgb
    do_pad: bool = False
    pad_size: Any = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return the settings, if they ask for nothing else.

        Raises:
            ValueError: if they do.
        """
        keys = ("image_processor_type", "feature_extractor_type", "video_processor_type")
        name = next((str(found[key]) for key in keys if found.get(key)), "")
        known = re.fullmatch(r"(\w+?)(ImageProcessor|FeatureExtractor|VideoProcessor)(Fast|Pil)?", name)
        if known is None or known[1] not in _CLASSES:
            classes = ", ".join(f"{known}ImageProcessor" for known in _CLASSES)
            raise ValueError(f"image_processor_type is {name or 'missing'}; there are: {classes}")
        said = {key: it or False if key.startswith("do_") else it for key, it in found.items()}  # null: left out
        said = {key: it for key, it in said.items() if it is not None or key == "resample"}
        settings = cls.model_validate(_CLASSES[known[1]] | said)
        steps = [key for key, it in (settings.model_extra or {}).items() if key.startswith("do_") and it]
        other = sorted(set(steps) - _NO_STEPS)
        if settings.do_pad and settings.pad_size:
            other.append("pad_size")
        if other:
            raise ValueError(f"{', '.join(other)}: no such step is done here")
        return settings


_MEND = "; take a checkpoint whose processor does no more than resize, crop, rescale and normalise"
# What changes labels, or which frames are seen, rather than pixels; pictures are RGB already.
_NO_STEPS = {"do_convert_rgb", "do_convert_annotations", "do_reduce_labels", "do_sample_frames"}

_HALF = {"image_mean": 0.5, "image_std": 0.5}
_IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
_OPENAI = {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)}
_BILINEAR, _BICUBIC = {"resample": FILTERS.index("bilinear")}, {"resample": FILTERS.index("bicubic")}
_CROPPED = {"size": 224, "default_to_square": False, "do_center_crop": True, "crop_size": 224}
_DETR = {"size": 800, "max_size": 1333, "default_to_square": False, **_BILINEAR, **_IMAGENET}
# The classes whose processors do no more than this, and their defaults.
_CLASSES: dict[str, dict[str, Any]] = {
    "Bit": {**_CROPPED, **_BICUBIC, **_OPENAI},
    "Blip": {"size": 384, **_BICUBIC, **_OPENAI},
    "CLIP": {**_CROPPED, **_BICUBIC, **_OPENAI},
    "ConditionalDetr": _DETR,
    "DeformableDetr": _DETR,
    "Detr": _DETR,
    "GroundingDino": _DETR,
    "RTDetr": {"size": (640, 640), "default_to_square": False, "do_normalize": False, **_BILINEAR, **_IMAGENET},
    "Siglip": {"size": (224, 224), "default_to_square": False, **_BICUBIC, **_HALF},
    "ViT": {"size": 224, **_BILINEAR, **_HALF},
    "VideoMAE": {**_CROPPED, **_BILINEAR, **_HALF},
    "Vivit": {**_CROPPED, "size": 256, **_BILINEAR, **_HALF, "rescale_factor": 1 / 127.5, "offset": True},
}


# Where transformers looks, in this order: the file, and the entry in it.
_FILES = (
    ("processor_config.json", "image_processor"),
    ("preprocessor_config.json", ""),
    ("processor_config.json", "video_processor"),
    ("video_preprocessor_config.json", ""),
)


def _find(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """Return the file that says how the checkpoint's frames are made ready, and what it says."""
    for name, entry in _FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnavailableError(f"{path}: no JSON can be read from it ({error}); download it again") from error
        if entry and isinstance(found, dict):
            if entry not in found:
                continue
            found = found[entry]
        if not isinstance(found, dict):
            raise UnavailableError(f"{path}: {entry or 'it'} is no JSON object; download it again")
        return path, found
    raise UnavailableError(
        f"{folder / 'preprocessor_config.json'} is missing, and nothing in its place; it belongs to the checkpoint: "
        "download it, or save the model's image processor there with save_pretrained"
    )
