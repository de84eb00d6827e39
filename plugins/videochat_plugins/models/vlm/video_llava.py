"""Video-LLaVA (arXiv 2311.10122): frames one by one through a ViT, all their patches as rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import Tokens, UnavailableError
from videochat_plugins.models.vlm.family import Family, Media, media_of
from videochat_plugins.models.vlm.pictures import Pictures

if TYPE_CHECKING:
    import torch


class VideoLlava(Family):
    """Video-LLaVA: a frame of a video is 257 rows, an image 256; time is told by their order alone.

    It was trained with 8 frames. The video tower sees each frame by itself, so other numbers run as well, but beyond 8
    the answers get worse. Frames of a video keep the row of the tower's class token, images do not. The original
    mirrors frames at random even when it answers; here nothing is mirrored.
    """

    form = "vicuna"

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Read how frames are made ready."""
        super().__init__(folder, config)
        tower = (config.get("vision_config") or {}).get("image_size", 224)
        self._prepare = {}
        media: Media
        for media in ("image", "video"):
            found = Pictures.read(folder, media, size=224, crop_size=224)
            crop = found.edges(crop=True) if found.said("do_center_crop", True) else {}
            if crop != {"height": tower, "width": tower}:
                raise UnavailableError(
                    f"the checkpoint {folder.name} sees pictures of {tower}x{tower}, and its preprocessor_config.json "
                    f"crops them to {crop}"
                )
            self._prepare[media] = found.prepare(found.edges(), (tower, tower))
        self._side: int = tower

    @property
    def side(self) -> int:
        """The size of the pictures that its towers take."""
        return self._side

    def token(self, media: Media) -> str:
        """Return <image> or <video>."""
        return f"<{media}>"

    def layout(self, size: tuple[int, int], media: Media) -> Mapping[str, Any]:
        """Return the medium: the rest is the same for all."""
        return {"media": media}

    def pixels(self, images: "torch.Tensor", media: Media) -> "torch.Tensor":
        """Return each frame, resized and cropped: (T, 3, h, w)."""
        return self._prepare[media](images)

    def encode(self, model: Any, pixels: "torch.Tensor", layout: Mapping[str, Any]) -> "torch.Tensor":
        """Return the patches of each frame, in the language model's width."""
        if media_of(layout) == "image":
            found: torch.Tensor = model.model.get_image_features(pixels).pooler_output  # (T, 256, width)
        else:
            found = model.model.get_video_features(pixels[None]).pooler_output  # (T, 257, width)
        return found

    def write(self, part: Tokens) -> str:
        """Return a placeholder and the end of a line, as in its training; each image has its own."""
        media = media_of(part.layout)
        return f"{self.token(media)}\n" * (part.slots if media == "image" else 1)
