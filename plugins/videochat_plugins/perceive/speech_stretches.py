"""Which samples a speech recogniser gets: windows part at pauses, and silence is left out.

A recogniser that hears silence writes words that nobody said, and one that hears half a word at a window's edge writes
another. So the edge between two windows is moved back to a pause that both of them hear (the later one in its lead):
the parts that are recognised tile the sound, whatever the windows are.
"""

import numpy as np

from videochat_plugins.perceive.voice_activity import RATE, Floats, Samples

LEAD = 5.1  # seconds heard before a window: a little more than is searched, for edges between two samples
_SEARCH = 5 * RATE  # samples before an edge in which the pause is looked for
_PIECE = RATE // 10  # samples whose loudness is one number
_PAUSE = 3  # pieces
_STEP = 6.0  # dB that count as equally quiet
_GAP = 20  # silent pieces, at least, that part two stretches: shorter pauses are part of how people speak
_PADDING = 2  # pieces kept before and after a stretch: a word begins and ends softly
_SHORTEST = 2  # pieces that sound, at least: less is a click


def parting(audio: Samples, first: int, edge: int) -> int:
    """Return the sample at which the edge between two windows parts the sound: of the quietest pauses the last.

    The later an edge, the later or equal its parting; so no window's part begins before the last one's end.

    Args:
        audio: mono samples at RATE; after their end there is silence.
        first: number of the first of them in the whole sound.
        edge: number in the whole sound of the sample that the edge stands before.
    """
    low, high = -(-max(0, edge - _SEARCH) // _PIECE), edge // _PIECE
    if high - low < _PAUSE:
        return 0
    pieces = np.zeros((high - low) * _PIECE, np.float32)
    heard = audio[low * _PIECE - first : high * _PIECE - first]
    pieces[: len(heard)] = heard
    pauses = np.convolve(_power(pieces), np.full(_PAUSE, 1 / _PAUSE), "valid")
    level = np.floor(_decibel(pauses) / _STEP)
    last = len(level) - 1 - int(np.argmin(level[::-1]))
    return (low + last) * _PIECE + _PAUSE * _PIECE // 2


def stretches(audio: Samples, quiet: float) -> list[tuple[int, int]]:
    """Return the first and last + 1 sample of each stretch that is not silent, in order.

    Args:
        audio: mono samples at RATE.
        quiet: dBFS (root mean square over a tenth of a second) below which there is silence.
    """
    count = -(-len(audio) // _PIECE)
    pieces = np.zeros(count * _PIECE, np.float32)
    pieces[: len(audio)] = audio
    loud = np.flatnonzero(_decibel(_power(pieces)) >= quiet)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > _GAP) + 1)
    return [
        (max(0, int(group[0]) - _PADDING) * _PIECE, min(len(audio), (int(group[-1]) + 1 + _PADDING) * _PIECE))
        for group in groups
        # What reaches the end of the part may go on in the next one.
        if len(group) >= _SHORTEST or (len(group) and (group[0] == 0 or group[-1] == count - 1))
    ]


def _power(pieces: Samples) -> Floats:
    """Return the mean square of each piece, of full scale."""
    return np.asarray((pieces.reshape(-1, _PIECE).astype(np.float64) ** 2).mean(axis=1))


def _decibel(power: Floats) -> Floats:
    return 10 * np.log10(np.maximum(power, 1e-12))
