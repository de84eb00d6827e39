"""What differs from one family of video-language models to the next, and the choice of a checkpoint's family."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from videochat import Tokens, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch

Media = Literal["image", "video"]
MEDIA: tuple[Media, Media] = ("image", "video")

# By model_type of config.json: the module beside this one, and the class in it.
FAMILIES = {
    "internvl": "internvl:InternVL",
    "llava_onevision": "llava_onevision:LlavaOneVision",
    "qwen2_5_vl": "qwen2_5_vl:Qwen25VL",
    "smolvlm": "smolvlm:SmolVLM",
    "video_llava": "video_llava:VideoLlava",
}
_DEEP = ("qwen3_vl", "qwen3_vl_moe")


@dataclass(frozen=True, eq=False)
class Vision:
    """Rows of embeddings that stand side by side in a prompt."""

    rows: npt.NDArray[np.floating[Any]]  # (n, width): whole slots
    media: Media
    layout: Mapping[str, Any]  # of a slot
    starts: tuple[float, ...]  # of its slots, seconds
    more: int = 0  # rows that the family adds to them
    token: int = -1  # the id of its placeholder

    def __len__(self) -> int:
        return len(self.rows) + self.more


class Family(ABC):
    """A family of models; a new one is a file beside this with a subclass, and a row in FAMILIES.

    Seeing and answering are done by one loaded model, in two components: `embed.vlm` asks for `pixels` and `encode` and
    keeps what comes as a record; the language model `vlm` asks for the rest, maybe days later and in another process.
    Between them lies only the record: its rows, in equal slots in order of time, the times of its frames, and the
    `layout` of a slot. A refiner may have merged slots, so that there are fewer, each with a time span of its own.

    What a family must say:

    * `media` of a window: a window in which one frame only is to be seen is an image, all others are videos.
    * `pixels`: frames to the model's input, one row for each slot, all of one shape; `frames_in_slot` frames make a
      slot, and the last is repeated where they do not come out even. What is random in training is left out.
    * `encode`: some slots' input to their rows. Slots must not depend on each other: they are batched across windows,
      and run again in smaller batches where memory is short. Where the class's own `get_video_features` works on whole
      videos, check that it treats each slot by itself; if it does not, the family cannot be batched so.
    * `layout`: JSON values that describe one slot, `media` among them, and whatever `places` needs; nothing that
      differs from one window of a video to the next, since records of unequal layout are not joined.
    * `write`: the text that shows a part of a prompt, with the placeholder `token(media)` once for each run of rows.
      The rows fall equally on the runs: one run for the whole (a video in one piece), or one for each slot (a still, or
      frames that are numbered or dated in words; `starts_of(part)` gives their times). What stands there is tokenised
      together with the text around it, as the class's own processor does. It is the only way that the placeholders come
      into a prompt: in what was perceived, asked or answered they stay letters, in a prompt file they are refused.

    And where the defaults do not fit:

    * `modality`: under which name the features go into the class's `mm_encoder_outputs`, whose placeholder is looked
      for (classes without a placeholder for videos take them as images); `pooled`: in which shape they go in there. A
      class that takes no `mm_encoder_outputs` gets `inputs_embeds`; nothing needs to be said for that.
    * `more` and `rows`: how many rows the family adds to a run, and the run with them (such as a learned newline).
    * `places`: where each token stands, for models whose positions are not 0, 1, 2, ...
    * `form`: the chat form for folders that come without a chat template.

    An instance is cheap: it reads JSON files, and imports torch only in the methods that compute.

    Args:
        folder: the checkpoint's.
        config: its config.json.

    Raises:
        UnavailableError: if a processor's file is missing, or asks for what the family does not do.
    """

    form: ClassVar[str] = ""
    frames_in_slot: int = 1

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder, config

    @property
    def side(self) -> int:
        """The shorter side, in pixels, that frames should at least have; 0: any."""
        return 0

    @abstractmethod
    def token(self, media: Media) -> str:
        """Return the placeholder that stands for rows in the text of a prompt: a token of the tokenizer's own."""

    def modality(self, media: Media) -> str:
        """Return the key of `mm_encoder_outputs` that a medium's features have."""
        return media

    @abstractmethod
    def layout(self, size: tuple[int, int], media: Media) -> Mapping[str, Any]:
        """Return what describes a slot of frames of a height and width."""

    @abstractmethod
    def pixels(self, images: "torch.Tensor", media: Media) -> "torch.Tensor":
        """Return the model's input for frames (T, H, W, 3) of uint8: (slots, ...) in float32."""

    @abstractmethod
    def encode(self, model: Any, pixels: "torch.Tensor", layout: Mapping[str, Any]) -> "torch.Tensor":
        """Return the rows of slots: (slots, ...) -> (slots, n, width)."""

    @abstractmethod
    def write(self, part: Tokens) -> str:
        """Return the text that shows a part, with a placeholder for each run of its rows."""

    def more(self, part: Tokens) -> int:
        """Return how many rows `rows` adds to each run of a part."""
        return 0

    def rows(self, model: Any, given: "torch.Tensor", shown: Vision) -> "torch.Tensor":
        """Return a run of rows (n, width) with those that the model itself adds."""
        return given

    def pooled(self, rows: "torch.Tensor", modality: str) -> Any:
        """Return the rows (n, width) of a modality as the class reads them off `mm_encoder_outputs`."""
        return rows[None]

    def places(self, model: Any, ids: "torch.Tensor", shown: Sequence[Vision]) -> "torch.Tensor | None":
        """Return where each token of a prompt (1, n) stands: (axes, 1, n). None: at 0, 1, 2, ..."""
        return None

    def runs(self, part: Tokens) -> list[Vision]:
        """Return a part as it falls on the placeholders of `write`."""
        media = media_of(part.layout)
        count = self.write(part).count(self.token(media))
        rows, starts = np.asarray(part.tokens), starts_of(part)
        if not count or part.slots % count or len(rows) % part.slots:
            raise ValueError(f"{len(rows)} rows in {part.slots} slots do not fall equally on {count} placeholders")
        size, each = len(rows) // count, part.slots // count
        return [
            Vision(rows[i * size :][:size], media, part.layout, starts[i * each :][:each], self.more(part))
            for i in range(count)
        ]


def media_of(layout: Mapping[str, Any]) -> Media:
    """Return what a slot's layout says that it shows."""
    return "image" if layout.get("media") == "image" else "video"


def starts_of(part: Tokens) -> tuple[float, ...]:
    """Return when each slot of a part begins: at its first frame; seconds."""
    if not part.records:
        return _starts(part.times, part.slots, 0.0, float(part.slots))
    found: list[float] = []
    for record in part.records:
        found += _starts(record.times, int(record.meta.get("slots", 1)), record.start, record.end)
    return tuple(found)


def _starts(times: Sequence[float], slots: int, start: float, end: float) -> tuple[float, ...]:
    each = ceil(len(times) / slots)
    if not each or len(times) <= each * (slots - 1):  # times that do not tell of every slot
        return tuple(start + (end - start) * i / slots for i in range(slots))
    return tuple(times[i * each] for i in range(slots))


def find_family(checkpoint: Checkpoint) -> Family | None:
    """Return the family of a checkpoint, or None if it is not here.

    Raises:
        UnavailableError: if it is of no family that is known here, or lacks a file of its processor.
    """
    folder = checkpoint.path
    if folder is None or not folder.is_dir():
        return None
    config = checkpoint.config()
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise UnavailableError(f"the checkpoint {checkpoint.name} is a {kind} model, {_why_not(kind, config)}")
    module, _, name = FAMILIES[kind].partition(":")
    build = getattr(import_module(f"{__package__}.{module}"), name)
    try:
        family: Family = build(folder, config)
        for media in MEDIA:
            family.layout((family.side or 64, 64), media)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"hold what a {kind} model cannot use ({error})"
        raise UnavailableError(f"{folder}: config.json and its processor's files {what}; download them again") from None
    return family


def _why_not(kind: str, config: Mapping[str, Any]) -> str:
    known = f"those that can be used are: {', '.join(sorted(FAMILIES))}"
    if kind in _DEEP:
        return f"whose vision features also enter its inner layers (deepstack), which is not carried over; {known}"
    if "vision_config" not in config:
        return f"which sees nothing; for its words alone use the llm `transformers`; {known}"
    return f"a family that is not known here; {known}"


def settings(folder: Path, media: Media) -> tuple[Path, dict[str, Any]]:
    """Return the file that says how a folder's images or videos are made ready, and what it says.

    Videos are made ready as images are where nothing is said of them.

    Raises:
        UnavailableError: if there is none, or it is no JSON.
    """
    of_images = [("preprocessor_config.json", ""), ("processor_config.json", "image_processor")]
    of_videos = [("video_preprocessor_config.json", ""), ("processor_config.json", "video_processor")]
    for name, entry in of_images if media == "image" else [*of_videos, *of_images]:
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnavailableError(f"{path}: no JSON can be read from it ({error}); download it again") from None
        found = found.get(entry) if entry and isinstance(found, dict) else found
        if isinstance(found, dict):
            return path, found
    raise UnavailableError(
        f"{folder / 'preprocessor_config.json'} is missing, and nothing in its place; it belongs to the checkpoint and "
        "says how frames are made ready: download it"
    )
