"""Perceivers that name the action of a window: a network sees all its frames at once and gives each class a score."""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from videochat import Frame, Perceiver, Record, Sampling, Window
from videochat_plugins.models.pretrained import ModelOptions, Pretrained, upload

if TYPE_CHECKING:
    import torch

    from videochat_plugins.models.preprocess import Preprocess


class ActionPerceiver(Pretrained, Perceiver):
    """A perceiver that classifies windows; a forward takes a batch of them.

    One record for each action named, the likeliest first; its score is the probability of the class, and
    meta["rank"] its place, from 1.
    """

    class Options(ModelOptions, Perceiver.Options):
        """Which actions are named."""

        top: int = Field(default=1, ge=1, le=1000)
        """Actions named in each window, the likeliest first."""
        threshold: float = Field(default=0.0, ge=0, le=1)
        """Probability that an action must have to be named."""
        side: int = Field(default=256, ge=16, le=4320)
        """Shorter side of the frames decoded for it, in pixels; more if the checkpoint takes larger ones."""

    options: Any
    model: Any = None  # set, like those below, by a subclass's load
    prepare: "Preprocess"
    labels: Sequence[str] = ()

    @property
    def emits(self) -> Collection[str]:
        """Actions."""
        return {"action"}

    @property
    def batch(self) -> int:  # type: ignore[override]
        """Windows that fill one forward."""
        return self.batches.size

    @property
    @abstractmethod
    def frames(self) -> int:
        """How many frames the network takes."""

    @abstractmethod
    def classify(self, clips: "torch.Tensor") -> "torch.Tensor":
        """Return the score of each class before the softmax: (N, T, 3, h, w) -> (N, classes)."""

    def sampling(self) -> Sampling:
        """Return the frames of each window."""
        return Sampling(frames=self.frames, side=max(self.options.side, self.taken), over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the actions of each window; none where it has no frames."""
        import torch

        with torch.inference_mode():
            found = iter(self.batches.map(self._name, [window for window in windows if window.frames]))
        return [next(found) if window.frames else () for window in windows]

    def close(self) -> None:
        """Let go of the model."""
        self.model = None

    def _name(self, windows: Sequence[Window]) -> list[list[Record]]:
        import torch

        images = [frame.image for window in windows for frame in _spread(window.frames, self.frames)]
        pixels = self.prepare(upload(images, self.device), next(self.model.parameters()).dtype)  # (N T, 3, h, w)
        scores = self.classify(pixels.reshape(len(windows), self.frames, *pixels.shape[1:]))
        best = scores.float().softmax(-1).topk(min(self.options.top, len(self.labels)))  # of (N, top)
        chances, classes = torch.stack([best.values, best.indices.float()]).tolist()  # one copy off the device
        return [self._records(*told) for told in zip(windows, chances, classes, strict=True)]

    def _records(self, window: Window, chances: Sequence[float], classes: Sequence[float]) -> list[Record]:
        return [
            Record("action", window.start, window.end, self.labels[int(label)], round(chance, 4), meta={"rank": rank})
            for rank, (chance, label) in enumerate(zip(chances, classes, strict=True), start=1)
            if chance >= self.options.threshold
        ]


def _spread(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Return so many frames; where there are fewer, as in a damaged file, some stand several times."""
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]
