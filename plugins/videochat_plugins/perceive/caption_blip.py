"""A sentence about each frame, by BLIP, BLIP-2 or GIT."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from videochat import Component, Pool, Record, hookimpl
from videochat_plugins.models.captioner import Captioner, CaptionOptions
from videochat_plugins.models.pretrained import upload
from videochat_plugins.models.views import FramePerceiver, View


class CaptionBlip(FramePerceiver):
    """Say in a sentence what a frame shows.

    One caption record for each frame. The checkpoint decides which captioner it is: BLIP (arXiv 2201.12086; the
    default, BSD-3-Clause), BLIP-2 (2301.12597), whose language model is larger by far, or GIT (2205.14100).

    What it cannot know: what happens between frames, who somebody is, or whether it is wrong: captioners name likely
    things that are not there, and give no score.
    """

    class Options(FramePerceiver.Options, CaptionOptions):
        """How frames are described."""

        checkpoint: str = "Salesforce/blip-image-captioning-base"
        """The captioner, of BLIP, BLIP-2 or GIT: a hub's `org/name` or `org/name@revision`, or a folder."""
        side: int = Field(default=384, ge=16, le=4320)
        """Shorter side of the frames decoded for it, in pixels; more if the checkpoint takes larger ones."""

    released = Captioner.released
    needs = Captioner.needs
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 1, "cuda": 32}
    options: Options
    _captioner: Captioner | None = None

    @property
    def emits(self) -> Collection[str]:
        """Caption records."""
        return {"caption"}

    def check(self) -> None:
        """Make sure that the checkpoint is a captioner that this can use, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        Captioner.check(self.checkpoint)

    def load(self, pool: Pool) -> None:
        """Load the captioner.

        Raises:
            UnavailableError: if it cannot be had.
        """
        super().load(pool)
        self._captioner = Captioner.load(self.checkpoint, pool, self.precision(pool), self.device, self.options)

    def look(self, views: Sequence[View]) -> Sequence[Sequence[Record]]:
        """Return the caption of each frame, over its part of the window."""
        assert self._captioner is not None  # loaded
        texts = self._captioner.describe(upload([view.image for view in views], self.device))
        return [
            [Record("caption", *view.span, text, times=(view.time,))] if text else []
            for view, text in zip(views, texts, strict=True)
        ]

    def close(self) -> None:
        """Let go of the captioner."""
        self._captioner = None


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "caption.blip", CaptionBlip)
