"""Loudness, silence and clipping, against sounds of known level."""

import numpy as np
import pytest
from scenes import perceiver
from speech import RATE, Samples, hear, noise, silence, speech, tone, window

from videochat import Record


def one(sound: Samples, **options: object) -> Record:
    (record,) = hear(sound, "sound", **options)
    return record


@pytest.mark.parametrize("level", [1.0, 0.5, 0.1, 0.01, 0.001])
def test_loudness_is_that_of_the_root_mean_square(level: float) -> None:
    meta = one(tone(1, 441, level)).meta
    assert meta["loudness"] == pytest.approx(20 * np.log10(level) - 3.01, abs=0.1)
    assert meta["peak"] == pytest.approx(20 * np.log10(level), abs=0.1)
    assert one(noise(1, level / 10)).meta["loudness"] == pytest.approx(20 * np.log10(level / 10), abs=0.2)


@pytest.mark.parametrize(
    ("sound", "text"),
    [
        (silence(1), "silent"),
        (noise(1, 0.001), "silent"),
        (tone(1, level=0.01), "quiet"),
        (speech(), "normal"),
        (tone(1, level=0.6), "loud"),
        ((3 * tone(1, level=0.6)).clip(-1, 1), "loud, clipped"),
        (3 * tone(1, level=0.6), "loud, clipped"),
    ],
    ids=["zeros", "hiss", "faint", "speech", "loud", "cut off", "beyond full scale"],
)
def test_words(sound: Samples, text: str) -> None:
    assert one(sound).text == text


def test_the_share_of_silence() -> None:
    meta = one(np.concatenate([silence(3), tone(1)])).meta
    assert meta["silence"] == pytest.approx(0.75, abs=0.01)
    assert one(tone(1)).meta["silence"] == 0
    assert one(silence(1)).meta == {"loudness": -120.0, "peak": -120.0, "silence": 1.0, "clipping": 0.0}
    assert 0.05 < one(speech()).meta["silence"] < 0.5


def test_the_share_of_clipping() -> None:
    sound = tone(1, level=0.2)
    sound[:160] = 1.0
    assert one(sound).meta["clipping"] == pytest.approx(0.01)
    sound[1:160] = 0.2
    assert one(sound).text == "normal"  # one sample at full scale is a click


def test_options_move_the_words() -> None:
    assert one(tone(1, level=0.1), quiet=-20).text == "quiet"
    assert one(tone(1, level=0.1), loud=-25).text == "loud"
    assert one(tone(1, level=0.1), silence=-20).text == "silent"


def test_sound_that_ends_within_the_window_is_told_of_until_its_end() -> None:
    whole = window(np.concatenate([tone(1), silence(3)]))
    short = type(whole)(whole.start, whole.end, whole.video, audio=tone(1), rate=RATE)
    ((record,),) = perceiver("sound").perceive([short])
    assert (record.start, record.end) == (0, 1)
    assert hear(silence(0), "sound") == []


def test_numbers_that_are_no_sound_are_no_fault() -> None:
    sound = tone(1)
    sound[:4] = [np.nan, np.inf, -np.inf, 3e38]
    assert one(sound).meta["peak"] == 0
    assert one(np.full(RATE, np.nan, np.float32)).text == "silent"
