"""When somebody speaks, found by the network Silero VAD; not what is said."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from videochat import Component, Perceiver, Pool, Record, Sampling, Weights, Window, hookimpl
from videochat_plugins.perceive import voice_activity
from videochat_plugins.perceive.voice_activity import RATE, STEP, Limits, clean, spans

SPOKEN = "somebody speaks"
_LEAD = 1.0  # seconds that the network hears before a window, so that speech there is no surprise to it


class Voice(Perceiver):
    """Mark when somebody speaks: one record for each stretch of speech; `score` is its mean probability.

    Speech that runs across the edge of two windows is a record in each; `join` makes one of them.

    What it cannot know: who speaks, how many, in which language or what is said. Singing may count as speech or not,
    whispers and speech under loud music are missed. Times are right to about a tenth of a second.
    """

    class Options(Perceiver.Options):
        """What counts as speech."""

        over: Literal["segment", "video"] | Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = 60.0
        """What one window covers: a segment, the whole video, or so many seconds."""
        threshold: float = Field(default=0.5, gt=0, lt=1)
        """Probability from which on a moment is speech."""
        speech: float = Field(default=0.25, ge=0, le=60)
        """Shorter stretches of speech, in seconds, are dropped."""
        silence: float = Field(default=0.3, ge=0, le=60)
        """Shorter pauses, in seconds, do not part two stretches."""
        padding: float = Field(default=0.05, ge=0, le=5)
        """Seconds added at both ends of a stretch."""

    extra = "offline"
    options: Options
    _network: Any = None

    @property
    def emits(self) -> Collection[str]:
        """Voice records."""
        return {"voice"}

    def sampling(self) -> Sampling:
        """Return the sound, with a second before it."""
        return Sampling(audio_rate=RATE, over=self.options.over, lead=_LEAD)

    def weights(self) -> Sequence[Weights]:
        """Return the network's weights, which are in its package."""
        return voice_activity.weights()

    def load(self, pool: Pool) -> None:
        """Load the network.

        Raises:
            UnavailableError: if the extra is not installed.
        """
        self._network = voice_activity.load(pool, "voice")

    def close(self) -> None:
        """Let go of the network."""
        self._network = None

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the stretches of speech of each window."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> list[Record]:
        if window.audio is None:
            return []
        zero = max(0.0, window.start - _LEAD)  # of the first sample
        probability = self._network.probabilities(clean(window.audio))
        o = self.options
        limits = Limits(o.threshold, o.speech, o.silence, o.padding)
        found = spans(probability, limits, goes_on=window.end < window.video.duration)
        times = (found + zero).round(3).clip(window.start, window.end)
        steps = ((times - zero) * RATE / STEP).round().astype(int)
        return [
            Record("voice", start, end, SPOKEN, round(float(np.mean(probability[low : max(high, low + 1)])), 3))
            for (start, end), (low, high) in zip(times.tolist(), steps.tolist(), strict=True)
            if end > start
        ]


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "voice", Voice)
