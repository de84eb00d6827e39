"""Voices and sounds over time: neighbours that say the same are one, whatever the picture does."""

import numpy as np
from speech import hear, silence, tone
from test_refine_join import join

from videochat import Record


def voice(start: float, end: float, score: float = 0.9, source: str = "voice") -> Record:
    return Record("voice", start, end, "voice", score, source=source)


def sound(start: float, text: str, loudness: float) -> Record:
    return Record("sound", start, start + 1, text, source="sound", meta={"loudness": loudness})


def test_a_voice_that_a_windows_edge_parts_is_one() -> None:
    (joined,) = join([voice(2.5, 60.0), voice(60.0, 61.5, 0.95)])
    assert (joined.start, joined.end, joined.text, joined.score, joined.track) == (2.5, 61.5, "voice", 0.95, None)
    assert len(joined.parents) == 2
    assert len(join([voice(1, 2), voice(2.3, 3)])) == 2
    assert len(join([voice(1, 2), voice(2, 3, source="other")])) == 2


def test_a_sound_is_one_as_long_as_it_stays_as_loud() -> None:
    levels = [("normal", -20), ("loud", -13), ("normal", -17), ("quiet", -40), ("silent", -70), ("silent", -120)]
    joined = join(sound(i, *level) for i, level in enumerate(levels))
    assert [(record.start, record.end, record.text) for record in joined] == [
        (0, 1, "normal"),
        (1, 3, "loud"),
        (3, 4, "quiet"),
        (4, 6, "silent"),
    ]


def test_silence_and_clipping_are_never_part_of_another_sound() -> None:
    assert len(join([sound(0, "quiet", -54), sound(1, "silent", -56)])) == 2
    assert len(join([sound(0, "loud", -3), sound(1, "loud, clipped", -2)])) == 2
    assert len(join([sound(0, "normal", -20), sound(2, "normal", -20)])) == 2  # nothing is known between


def test_a_cut_of_the_picture_parts_no_sound() -> None:
    cut = Record("motion", 1, 2, "cut to another shot", source="motion", meta={"cut": 1.2})
    joined = join([voice(0, 1.5), voice(1.5, 2), sound(0, "loud", -10), sound(1, "loud", -10), cut])
    assert sorted(record.kind for record in joined) == ["motion", "sound", "voice"]


def test_from_sound_to_records() -> None:
    heard = hear(np.concatenate([silence(3), tone(4, level=0.1), silence(2)]), "sound", over=1.0)
    assert [(record.start, record.end, record.text) for record in join(heard)] == [
        (0, 3, "silent"),
        (3, 7, "normal"),
        (7, 9, "silent"),
    ]
