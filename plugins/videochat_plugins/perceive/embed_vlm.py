"""A video as tokens of a video-language model, for the same model to answer from."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from videochat import Component, Perceiver, Pool, Record, Sampling, UnavailableError, Window, hookimpl
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.pretrained import ModelOptions, Pretrained, upload
from videochat_plugins.models.quantised import Quantisation
from videochat_plugins.models.space import space_of
from videochat_plugins.models.vlm.family import Family, Media, find_family
from videochat_plugins.models.vlm.load import DEFAULT, RELEASED, check_quantisation, files, load_vlm


class VlmEmbedder(Pretrained, Perceiver):
    """Turn a window into tokens by the vision side of a video-language model; the llm `vlm` answers from them.

    One embedding record a window, in equal slots in order of time: a frame each, or what the model makes one of, such
    as two frames. A picture, or a window with only one frame to see, is shown as an image. Where both sides name the
    same checkpoint, precision, quantisation and device, one model is loaded for both; a second run of a watched video
    loads it for the answers alone.

    Models are trained with so many frames: Video-LLaVA with 8. More run as well, as long as the language model's window
    holds their tokens, but beyond what it was trained with the answers get worse; `moviechat` under refine keeps a film
    of many frames in few slots.
    """

    class Options(ModelOptions, Perceiver.Options):
        """Which model, and what it sees."""

        checkpoint: str = DEFAULT
        """The model: a hub's `org/name` or `org/name@revision`, or a folder."""
        quantisation: Quantisation | None = None
        """Store the weights in 8bit (LLM.int8) or 4bit (NF4), a half or a quarter of the memory; null: as they are."""
        over: Literal["segment", "video"] | Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = "video"
        """What one window covers: a segment, the whole video, or so many seconds."""
        frames: int = Field(default=8, ge=1, le=4096)
        """Frames seen of a window, at the middles of equal parts of it."""
        side: int = Field(default=336, ge=16, le=4320)
        """Shorter side of the frames, in pixels, at least: for models that take any size, it decides their tokens."""

    released = RELEASED
    batch_sizes = {"cpu": 1, "cuda": 16}  # slots in one forward
    options: Any
    model: Any = None  # set, like the next, by load
    family: Family

    @property
    def checkpoint(self) -> Checkpoint:
        """Where its files are."""
        return files(self.options.checkpoint)

    @property
    def emits(self) -> Collection[str]:
        """Embeddings."""
        return {"embedding"}

    @property
    def space(self) -> str:  # type: ignore[override]
        """The id of the model's own space."""
        return space_of(self.checkpoint)

    @property
    def taken(self) -> int:
        """The shorter side of the frames that the checkpoint takes, in pixels; 0 as long as that is not known."""
        try:
            found = find_family(self.checkpoint)
        except UnavailableError:  # `check` tells of it
            return 0
        return found.side if found else 0

    def sampling(self) -> Sampling:
        """Return the frames of each window."""
        return Sampling(frames=self.options.frames, side=max(self.options.side, self.taken), over=self.options.over)

    def check(self) -> None:
        """Make sure that the checkpoint is whole and of a family that is known, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        super().check()
        find_family(self.checkpoint)
        if self.options.quantisation:
            check_quantisation("quantisation")

    def load(self, pool: Pool) -> None:
        """Load the model, or take it from whoever has loaded it.

        Raises:
            UnavailableError: if it cannot be had, or its files do not fit.
            StackError: if there is no such device.
        """
        super().load(pool)
        self.checkpoint.fetch()
        self.check()
        found = find_family(self.checkpoint)
        assert found is not None
        self.family = found
        precision, quantisation = self.precision(pool), self.options.quantisation
        self.model = load_vlm(pool, self.checkpoint, precision, self.device, quantisation)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the embedding of each window; none where it has no frames."""
        import torch

        space = self.space
        with torch.inference_mode():
            return [[self._embed(window, space)] if window.frames else [] for window in windows]

    def close(self) -> None:
        """Let go of the model."""
        self.model = None

    def _embed(self, window: Window, space: str) -> Record:
        import torch

        still = len({frame.time for frame in window.frames}) == 1
        frames, media = window.frames[:1] if still else window.frames, _MEDIA[still]
        images = upload([frame.image for frame in frames], self.device)  # (T, H, W, 3)
        layout = self.family.layout((images.shape[1], images.shape[2]), media)
        pixels = self.family.pixels(images, media).to(self.model.dtype)  # (slots, ...)

        def encode(slots: Sequence[torch.Tensor]) -> list[Any]:
            made = self.family.encode(self.model, torch.stack(list(slots)), layout)  # (slots, n, width)
            made = made.float() if made.dtype == torch.bfloat16 else made  # which numpy does not know
            return list(made.cpu().numpy())

        rows = self.batches.map(encode, list(pixels))
        tokens = np.concatenate(rows)
        if not np.isfinite(tokens).all():
            exact = self.model.dtype == torch.float32
            mend = "its weights are damaged, download them again" if exact else "set its precision to float32"
            raise ValueError(f"the model's numbers overflow in {self.model.dtype}: {mend}")
        times = tuple(frame.time for frame in frames)
        meta = {"slots": len(rows), "layout": dict(layout)}
        return Record("embedding", window.start, window.end, tokens=tokens, space=space, times=times, meta=meta)


_MEDIA: tuple[Media, Media] = ("video", "image")


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "embed.vlm", VlmEmbedder)
