"""How the sound is as a whole: loudness, silence and clipping, without a model."""

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
from pydantic import Field

from videochat import Component, Perceiver, Record, Sampling, Window, hookimpl

RATE = 16_000  # Hz: what voices need; the loudness of music is in it too
_PIECE = RATE // 50  # samples in a piece that is silent or not: 20 ms
_FLOOR = -120.0  # dB: stands for a silence without any noise
_FULL = 0.999  # of full scale: a sample that was most likely cut off
_CLIPPED = 0.001  # share of such samples from which on they are told of


class Sound(Perceiver):
    """Say how loud it is: "silent", "quiet", "normal" or "loud", with "clipped" where the sound is cut off.

    One record for each window, as far as there is sound. meta["loudness"]: root mean square in dBFS, where a sine of
    full scale has -3; meta["peak"]: the largest sample, in dBFS; meta["silence"]: share of its time, in pieces of
    20 ms, below the option `silence`; meta["clipping"]: share of the samples at full scale.

    What it cannot know: what sounds; how loud it was before it was recorded. All channels are mixed into one, so what
    is opposite in two of them goes missing, and what lies above 8 kHz is not heard.
    """

    class Options(Perceiver.Options):
        """Where one word ends and the next begins."""

        silence: float = Field(default=-55.0, ge=-100, le=0)
        """Loudness in dBFS below which there is silence."""
        quiet: float = Field(default=-35.0, ge=-100, le=0)
        """Loudness in dBFS below which it is quiet."""
        loud: float = Field(default=-14.0, ge=-100, le=0)
        """Loudness in dBFS from which on it is loud."""

    options: Options

    @property
    def emits(self) -> Collection[str]:
        """Sound records."""
        return {"sound"}

    def sampling(self) -> Sampling:
        """Return the sound."""
        return Sampling(audio_rate=RATE, over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return one record for each window that has sound."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> list[Record]:
        if window.audio is None or not window.audio.size:
            return []
        # A file with float samples may hold any number.
        level = np.abs(np.nan_to_num(window.audio, nan=0.0, posinf=1.0).astype(np.float64)).clip(0, 1)
        starts = np.arange(0, len(level), _PIECE)
        power = np.add.reduceat(level**2, starts)  # (pieces,)
        silent = power < np.diff(starts, append=len(level)) * 10 ** (self.options.silence / 10)
        loudness, peak = _decibel(np.sqrt(power.sum() / len(level))), _decibel(level.max())
        clipping = float((level >= _FULL).mean())
        meta = {
            "loudness": loudness,
            "peak": peak,
            "silence": round(float(silent.mean()), 3),
            "clipping": round(clipping, 4),
        }
        end = min(window.end, window.start + len(level) / window.rate)
        text = self._word(loudness) + (", clipped" if clipping >= _CLIPPED else "")
        return [Record("sound", window.start, end, text, meta=meta)]

    def _word(self, loudness: float) -> str:
        options = self.options
        if loudness < options.silence:
            return "silent"
        return "quiet" if loudness < options.quiet else "normal" if loudness < options.loud else "loud"


def _decibel(level: float) -> float:
    """Return a level of 0 to 1 in dBFS, to a tenth."""
    return round(max(_FLOOR, 20 * float(np.log10(max(level, 1e-9)))), 1)


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "sound", Sound)
