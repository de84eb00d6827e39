"""Rough speech recognition: how many words it gets right, when they are said, and that it invents none."""

import subprocess
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import perceiver
from speech import RATE, TRUTH, Samples, hear, music, noise, silence, speech, tone, window

from videochat import Record, Span
from videochat_plugins.perceive.asr_pocketsphinx import Word, phrases

NAME = "asr.pocketsphinx"


def words_of(text: str) -> list[str]:
    return "".join(c for c in text.lower() if c.isalpha() or c in " '").split()


def word_error(heard: list[str], said: list[str]) -> float:
    """Words to put in, take out or change, for each word that was said."""
    row = list(range(len(said) + 1))
    for i, word in enumerate(heard, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / len(said)


@cache
def example() -> tuple[Record, ...]:
    return tuple(hear(speech(), NAME))


@cache
def beginning() -> Record:
    """The first phrase, heard by itself."""
    (record,) = hear(speech()[: 3 * RATE], NAME)
    return record


def test_the_measure_of_words() -> None:
    said = ["ask", "not", "what", "your", "country"]
    assert word_error(said, said) == 0
    assert word_error([], said) == 1
    assert word_error(["ask", "not", "what", "you", "country", "can"], said) == pytest.approx(2 / 5)
    assert word_error(["ask", "what", "your", "country"], said) == pytest.approx(1 / 5)


def test_one_word_in_three_of_the_example_is_wrong_at_most() -> None:
    heard = words_of(" ".join(record.text for record in example()))
    assert word_error(heard, words_of(TRUTH["words"])) <= 0.35


def test_phrases_are_rough_speech_with_times_and_a_score() -> None:
    assert len(example()) >= 3
    for record in example():
        assert record.kind == "speech"
        assert record.text == record.text.lower()
        assert not set("()<>[]") & set(record.text)
        assert 0 < (record.score or 0) <= 1
        assert record.meta["rough"] is True
        assert 0.3 < record.end - record.start < 6
    starts, ends = [r.start for r in example()], [r.end for r in example()]
    assert all(start - end >= 0.4 - 1e-6 for start, end in zip(starts[1:], ends[:-1], strict=True))
    assert TRUTH["start"] <= starts[0] < TRUTH["start"] + 0.8
    assert 10.5 < ends[-1] < 11.8
    country = next(record for record in example() if "country" in record.text)
    assert 5.7 < country.start < 6.7


@pytest.mark.parametrize(
    "sound",
    [silence(20), noise(6), tone(6), music(6), silence(0), noise(0.005), np.full(RATE, np.nan, np.float32)],
    ids=["silence", "noise", "tone", "music", "nothing", "a moment", "no numbers"],
)
def test_where_nobody_speaks_nothing_is_written(sound: Samples) -> None:
    assert hear(sound, NAME) == []


def test_words_are_where_they_are_said_and_not_in_the_noise_beside_them() -> None:
    records = hear(np.concatenate([noise(2, 0.02), speech()[: 3 * RATE], silence(1)]), NAME)
    assert records
    assert records[0].start > 2.5
    assert records[-1].end < 5


def test_a_word_at_the_edge_of_two_windows_is_in_one_of_them() -> None:
    sound, whole = speech()[: 3 * RATE], beginning()
    edge = (whole.start + whole.end) / 2 + 0.3  # within "fellow"
    found = perceiver(NAME)
    first, second = found.perceive(
        [window(sound, Span(0, edge)), window(sound, Span(edge, 3.0), found.sampling().lead)]
    )
    assert all(record.end <= edge for record in first)
    assert all(record.start >= edge for record in second)
    words = [word for record in [*first, *second] for word in words_of(record.text)]
    assert abs(len(words) - len(words_of(whole.text))) <= 1


def test_what_was_heard_before_changes_nothing() -> None:
    other, part = speech()[6 * RATE : 8 * RATE], speech()[: 3 * RATE]
    _, after = perceiver(NAME).perceive([window(np.tanh(5 * other)), window(part)])
    assert list(after) == [beginning()]


def test_doubtful_phrases_can_be_dropped() -> None:
    assert hear(speech()[: 3 * RATE], NAME, score=round((beginning().score or 0) + 0.01, 3)) == []


def test_it_says_nothing_itself() -> None:
    script = """
import numpy as np
from pathlib import Path
from videochat import Pool, Video, Window
from videochat_plugins.perceive.asr_pocketsphinx import PocketSphinx
from speech import speech
found = PocketSphinx()
found.load(Pool())
sound = speech()[:32000]
video = Video(Path("x"), 2.0, 0, 0)
assert len(list(found.perceive([Window(0.0, 2.0, video, audio=sound, rate=16000)]))) == 1
found.close()
"""
    folder = str(__file__).rsplit("/", 1)[0]
    env_path = f"import sys; sys.path[:0] = [{folder!r}, {folder!r} + '/..']\n"
    done = subprocess.run([sys.executable, "-c", env_path + script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), max_size=20), st.floats(0.05, 1))
def test_phrases_hold_every_word_once_and_are_parted_at_pauses(parts: list[tuple[float, float]], pause: float) -> None:
    words, now = [], 0.0
    for gap, length in parts:
        words.append(Word(now + gap, now + gap + length, "word", 0.5))
        now = words[-1].end
    found = phrases(words, pause)
    assert [word for phrase in found for word in phrase] == words
    for phrase, after in pairwise(found):
        assert after[0].start - phrase[-1].end >= pause - 1e-6
    for phrase in found:
        assert all(b.start - a.end < pause for a, b in pairwise(phrase))
