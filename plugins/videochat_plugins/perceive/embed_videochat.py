"""A video as tokens of a language model, by VideoChat-Embed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from videochat import Component, Frame, Key, Perceiver, Pool, Record, Sampling, UnavailableError, Window, hookimpl
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.pretrained import ModelOptions, Pretrained, load_model, upload
from videochat_plugins.models.space import space_of

_MAKE = "`videochat convert` makes such a folder out of the released files"


class VideoChatEmbedder(Pretrained, Perceiver):
    """Turn a window into tokens for the language model that the network was trained with (arXiv 2305.06355, 3.2).

    One embedding record a window: with the released weights 96 tokens, however many frames it saw, and the frames'
    times. They are float32 whatever the network computed in, which holds its numbers exactly. An image, or a video that
    has only one, is seen once; where a window has fewer frames than are asked for, some are seen several times.

    What it cannot do: be read by any other language model than its own; tell much of the order of frames, which only
    one shows of all the tokens that its queries read; read small print at 224 pixels.
    """

    class Options(ModelOptions, Perceiver.Options):
        """Which network, for which language model, and what it sees."""

        checkpoint: str
        """The network: a folder that `videochat convert` wrote, or a hub's `org/name` that holds such a folder."""
        llm: str = ""
        """The language model that it was trained for, a folder or a hub's name; empty: as the checkpoint says."""
        over: Literal["segment", "video"] | Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = "video"
        """What one window covers: a segment, the whole video, or so many seconds."""
        frames: int = Field(default=8, ge=1, le=64)
        """Frames of a window, at the middles of equal parts of it; the original offers 8 to 64, trained with 8."""
        side: int = Field(default=448, ge=16, le=4320)
        """Shorter side of the frames decoded for it, in pixels; more if the checkpoint takes larger ones."""
        temporal_position: Literal["none", "sinusoidal"] | None = None
        """Ours: sinusoidal shows all tokens each frame's time; null: as the checkpoint was trained, as a rule none."""

    needs = ("config.json", "preprocessor_config.json|processor_config.json")
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 1, "cuda": 4}
    options: Any
    model: Any = None  # set, like the next, by load
    prepare: Preprocess

    @property
    def emits(self) -> Collection[str]:
        """Embeddings."""
        return {"embedding"}

    @property
    def batch(self) -> int:  # type: ignore[override]
        """Windows that fill one forward."""
        return self.batches.size

    @property
    def space(self) -> str:  # type: ignore[override]
        """The id of its language model's space: of the one that the options name, or else as the checkpoint says."""
        named = self.options.llm
        return space_of(Checkpoint(named)) if named else str(self._said("space") or "")

    @property
    def width(self) -> int:  # type: ignore[override]
        """Numbers in one token; 0 as long as that is not known."""
        said = self._said("llm_width")
        return said if isinstance(said, int) else 0

    def sampling(self) -> Sampling:
        """Return the frames of each window."""
        return Sampling(frames=self.options.frames, side=max(self.options.side, self.taken), over=self.options.over)

    def check(self) -> None:
        """Make sure that the checkpoint is one of VideoChat-Embed, whole, and that its language model is known.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        checkpoint = self.checkpoint
        try:
            if checkpoint.path is not None and (checkpoint.path / "config.json").is_file():
                _check_kind(checkpoint)
            super().check()
        except UnavailableError as error:
            raise UnavailableError(f"{error}; {_MAKE}") from None
        if checkpoint.path is not None:
            self._check_fit(checkpoint.path)

    def fetch(self) -> None:
        """Download the checkpoint if a hub has it.

        Raises:
            UnavailableError: if it cannot be had, or is another model's.
        """
        super().fetch()
        self.check()

    def load(self, pool: Pool) -> None:
        """Load the network.

        Raises:
            UnavailableError: if it cannot be had, or its weights are others.
            StackError: if there is no such device.
        """
        super().load(pool)
        checkpoint, precision = self.checkpoint, self.precision(pool)
        position = self.options.temporal_position or self._said("temporal_position") or "none"
        # In the key, since it is the network's own: two perceivers that differ in it have a network each.
        name = "VideoChatEmbed" if position == "none" else f"VideoChatEmbed, {position}"
        key = Key(name, checkpoint.weights().id, precision, "", self.device)
        self.model = pool.get(key, lambda: self._build(precision, position))
        self.prepare = Preprocess.read(checkpoint.fetch())

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the embedding of each window; none where it has no frames."""
        import torch

        seen = {i: _seen(window.frames, self.options.frames) for i, window in enumerate(windows) if window.frames}
        found: dict[int, Any] = {}
        with torch.inference_mode():
            for count in sorted({len(frames) for frames in seen.values()}):  # a forward takes clips of one length
                these = [i for i, frames in seen.items() if len(frames) == count]
                found |= zip(these, self.batches.map(self._embed, [seen[i] for i in these]), strict=True)
        space = self.space
        return [self._records(w, seen[i], found[i], space) if i in found else () for i, w in enumerate(windows)]

    def close(self) -> None:
        """Let go of the network."""
        self.model = None

    def _embed(self, clips: Sequence[Sequence[Frame]]) -> Sequence[Any]:
        """Return the tokens (n, width) of equally long clips, as float32 arrays."""
        import torch

        images = [frame.image for clip in clips for frame in clip]
        pixels = self.prepare(upload(images, self.device), self.model.dtype)  # (B T, 3, h, w)
        pixels = pixels.unflatten(0, (len(clips), -1))  # (B, T, 3, h, w)
        times = torch.tensor([[frame.time for frame in clip] for clip in clips], dtype=torch.float64)  # (B, T)
        tokens: torch.Tensor = self.model(pixels, times)  # (B, n, width)
        return list(tokens.float().cpu().numpy())

    def _records(self, window: Window, frames: Sequence[Frame], tokens: Any, space: str) -> list[Record]:
        import torch

        if not np.isfinite(tokens).all():
            exact = self.model.dtype == torch.float32
            mend = "its weights are damaged, convert them again" if exact else "set its precision to float32"
            raise ValueError(f"the network's numbers overflow in {self.model.dtype}: {mend}")
        times = tuple(frame.time for frame in frames)
        meta = {"media": "video" if len(frames) > 1 else "image"}
        return [Record("embedding", window.start, window.end, tokens=tokens, space=space, times=times, meta=meta)]

    def _build(self, precision: str, position: str) -> Any:
        from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

        return load_model(
            VideoChatEmbed, self.checkpoint, precision, self.device, whole=True, temporal_position=position
        )

    def _said(self, name: str) -> Any:
        """Return a value of the checkpoint's config.json, or nothing if there is none to read: `check` tells of it."""
        try:
            return self.checkpoint.config().get(name, "") if self.checkpoint.path else ""
        except UnavailableError:
            return ""

    def _check_fit(self, folder: Path) -> None:
        """Make sure that the language model is known, and that frames are made ready in the network's size."""
        name, config = self.checkpoint.name, self.checkpoint.config()
        if not self.space:
            raise UnavailableError(
                f"the checkpoint {name} does not say which language model it was trained for: set the option `llm` to "
                "that model's folder or name, or convert it again with --llm"
            )
        vision, crop = config.get("vision_config"), Preprocess.read(folder).crop
        side = vision.get("image_size", 224) if isinstance(vision, dict) else 224
        if crop != (side, side):
            made = f"{crop[1]}x{crop[0]}" if crop else "uncropped"
            raise UnavailableError(
                f"the checkpoint {name} sees pictures of {side}x{side}, and its preprocessor_config.json makes {made} "
                "ones; convert it again"
            )


def _check_kind(checkpoint: Checkpoint) -> None:
    """Make sure, before files are missed that another kind of model does not have, that it is of this kind."""
    found = checkpoint.config().get("model_type")
    if found != "videochat_embed":
        kind = f"a {found} model" if found else "no model of transformers"
        raise UnavailableError(f"the checkpoint {checkpoint.name} is {kind}, and this needs a VideoChat-Embed")


def _seen(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Return so many frames, some several times where there are fewer; one alone where all are the same."""
    if len({frame.time for frame in frames}) == 1:
        return [frames[0]]
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "embed.videochat", VideoChatEmbedder)
