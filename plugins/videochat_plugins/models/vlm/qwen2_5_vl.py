"""Qwen2.5-VL (arXiv 2502.13923): frames of any size, two to a slot, with places in time, height and width."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from videochat import Tokens
from videochat_plugins.models.vlm.family import MEDIA, Family, Media, Vision, media_of
from videochat_plugins.models.vlm.pictures import Pictures

if TYPE_CHECKING:
    import torch

_IMAGE_TOKENS = 4, 1280  # at least and at most, where a folder does not say
_FRAME_TOKENS = 768  # at most, of a slot of a video: as the makers' own code has it (github.com/QwenLM/Qwen2.5-VL)
_EVEN = 0.1  # of a step, by which frames may miss their times: a video has frames only at some


class Qwen25VL(Family):
    """Qwen2.5-VL: a slot is two frames in one patch, cut into a grid of tokens of 28 x 28 pixels.

    Sizes are those of the frames, rounded to the grid and brought between the least and the most pixels that the folder
    asks for. A token of a video stands at the slot's time, counted in `tokens_per_second` from the video's first: as
    the model itself has it where slots are equally far apart, and at each slot's own start where they are not. The
    language model is fed whole slots only, so that the places stay those of a grid.
    """

    frames_in_slot = 2

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Read how frames are made ready."""
        super().__init__(folder, config)
        eye = config.get("vision_config") or {}
        self.frames_in_slot = int(eye.get("temporal_patch_size", 2))
        self._patch, self._merge = int(eye.get("patch_size", 14)), int(eye.get("spatial_merge_size", 2))
        self._pictures = {media: Pictures.read(folder, media) for media in MEDIA}

    def token(self, media: Media) -> str:
        """Return <|image_pad|> or <|video_pad|>."""
        return f"<|{media}_pad|>"

    def layout(self, size: tuple[int, int], media: Media) -> Mapping[str, Any]:
        """Return the medium, and the grid of patches (rows, columns), of which a token merges 2 x 2."""
        height, width = self._size(size, media)
        return {"media": media, "grid": [height // self._patch, width // self._patch]}

    def pixels(self, images: "torch.Tensor", media: Media) -> "torch.Tensor":
        """Return the patches of each slot, those that a token merges side by side: (slots, patches, 3 t p p)."""
        import torch

        height, width = self._size((images.shape[1], images.shape[2]), media)
        frames = self._pictures[media].prepare({"height": height, "width": width})(images)  # (T, 3, h, w)
        missing = -len(frames) % self.frames_in_slot
        frames = torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)])
        patch, merge = self._patch, self._merge
        rows, columns = height // (patch * merge), width // (patch * merge)
        cut = frames.reshape(-1, self.frames_in_slot, 3, rows, merge, patch, columns, merge, patch)
        cut = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)  # (slots, rows, columns, merge, merge, 3, t, patch, patch)
        return cut.reshape(len(cut), rows * columns * merge**2, -1)

    def encode(self, model: Any, pixels: "torch.Tensor", layout: Mapping[str, Any]) -> "torch.Tensor":
        """Return the tokens of each slot: attention does not reach from one to another."""
        import torch

        slots = len(pixels)
        grid = torch.tensor([[slots, *layout["grid"]]], device=pixels.device)
        (found,) = model.model.get_video_features(pixels.flatten(0, 1), grid).pooler_output  # (slots n, width)
        made: torch.Tensor = found.reshape(slots, -1, found.shape[-1])
        return made

    def write(self, part: Tokens) -> str:
        """Return a placeholder between the tokens that mark what is seen; each image has its own."""
        media = media_of(part.layout)
        return f"<|vision_start|>{self.token(media)}<|vision_end|>" * (part.slots if media == "image" else 1)

    def pooled(self, rows: "torch.Tensor", modality: str) -> Any:
        """Return rows as the class reads them: one tensor (n, width) for each video or image."""
        return (rows,)

    def places(self, model: Any, ids: "torch.Tensor", shown: Sequence[Vision]) -> "torch.Tensor":
        """Return the class's own index of a prompt (3, 1, n), with slots that are unequally far apart at theirs."""
        import torch

        kinds = torch.zeros_like(ids)
        grids: dict[str, torch.Tensor] = {}
        for number, media in enumerate(MEDIA, start=1):
            these = [run for run in shown if run.media == media]
            for token in {run.token for run in these}:
                kinds[ids == token] = number
            if these:
                grid = [[len(run.starts), *run.layout["grid"]] for run in these]
                grids[f"{media}_grid_thw"] = torch.tensor(grid, device=ids.device)
        videos = [run for run in shown if run.media == "video"]
        steps = torch.tensor([_step(run.starts) for run in videos])
        found, _ = model.model.get_rope_index(ids, kinds, **grids, second_per_grid_ts=steps)
        places: torch.Tensor = found  # (3, 1, n)
        first = (kinds[0] == 2).nonzero()[:, 0]  # where rows of videos stand
        at = 0
        for run in videos:
            if not _even(run.starts):
                second = model.config.vision_config.tokens_per_second
                ticks = [floor(second * max(0.0, start - run.starts[0]) + 1e-6) for start in run.starts]
                here = first[at : at + len(run)]
                later = torch.tensor(ticks, device=ids.device).repeat_interleave(len(run) // len(ticks))
                places[0, 0, here] = places[0, 0, here[0]] + later
            at += len(run)
        return places

    def _size(self, size: tuple[int, int], media: Media) -> tuple[int, int]:
        """Return the height and width that frames are resized to."""
        asked, unit = self._pictures[media], self._patch * self._merge
        edges = asked.edges()
        least, most = (tokens * unit**2 for tokens in _IMAGE_TOKENS)
        low = int(asked.said("min_pixels", edges.get("shortest_edge", least)))
        high = int(asked.said("max_pixels", edges.get("longest_edge", most)))
        return fit_grid(size, unit, low, min(high, _FRAME_TOKENS * unit**2) if media == "video" else high)


def fit_grid(size: tuple[int, int], unit: int, least: int, most: int) -> tuple[int, int]:
    """Return a height and width in multiples of `unit` pixels, of nearly the same shape, of `least` to `most` pixels.

    Raises:
        ValueError: if the shape is longer than 200 times its width.
    """
    height, width = size
    if max(size) > 200 * min(size):
        raise ValueError(f"frames of {width}x{height} are too long and thin: at most 200 times as long as wide")
    rows, columns = round(height / unit), round(width / unit)
    if rows * columns * unit**2 > most:
        shrink = sqrt(height * width / most)
        rows, columns = (max(1, floor(edge / shrink / unit)) for edge in size)
    elif rows * columns * unit**2 < least:
        grow = sqrt(least / (height * width))
        rows, columns = (ceil(edge * grow / unit) for edge in size)
    return rows * unit, columns * unit


def _step(starts: Sequence[float]) -> float:
    """Return the seconds from slot to slot, on average."""
    return (starts[-1] - starts[0]) / (len(starts) - 1) if len(starts) > 1 else 1.0


def _even(starts: Sequence[float]) -> bool:
    """Return whether slots are equally far apart, but for the frames that a video happens to have."""
    step = _step(starts)
    grid = starts[0] + step * np.arange(len(starts))
    return bool(np.abs(np.asarray(starts) - grid).max() <= _EVEN * abs(step))
