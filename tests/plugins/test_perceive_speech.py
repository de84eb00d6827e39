"""What a recogniser of the Whisper family gets to hear, and what of its words is kept: a recogniser made of numpy."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from speech import RATE, Samples, noise, silence, speech, window

from videochat import Record, Span
from videochat.window import Over, windows_over
from videochat_plugins.perceive.speech import Recogniser, Said, Word
from videochat_plugins.perceive.speech_stretches import LEAD, parting, stretches


class Ears(Recogniser):
    """Says in each stretch what it is told to say there; keeps what it was given."""

    def __init__(self, **options: object) -> None:
        super().__init__(self.Options.model_validate(options))
        self.parts: list[Samples] = []
        self.clips: list[list[float]] = []
        self.told: list[Samples] = []
        self.says = lambda start, end: [Said(start, end, "yes", -0.5, 0.1, 1.0)]

    def detect(self, audio: Samples) -> tuple[str, float]:
        self.told.append(audio)
        return "fr", 0.75

    def transcribe(self, audio: Samples, clips: Sequence[float], language: str) -> Iterable[Said]:
        self.parts.append(audio)
        self.clips.append(list(clips))
        return [said for start, end in zip(clips[::2], clips[1::2], strict=True) for said in self.says(start, end)]

    def hear(self, sound: Samples, over: Over, start: float = 0.0, end: float = math.inf) -> list[Record]:
        """Return what is told from `start` to `end` of a sound, in the windows that a watch of it makes."""
        self.options = self.options.model_copy(update={"over": over})
        whole = len(sound) / RATE
        segments = [Span(at, min(at + 4.0, whole)) for at in np.arange(0, whole, 4.0).tolist()]
        spans = windows_over(over, Span(start, min(end, whole)), segments)
        found = self.perceive([window(sound, span, self.sampling().lead) for span in spans])
        return [record for part in found for record in part]


def babble(seconds: float, seed: int = 0) -> Samples:
    """Noise whose loudness swings as that of speech does, with a number in it that tells each sample from others."""
    time = np.arange(round(seconds * RATE)) / RATE
    loud = 0.02 + 0.2 * np.abs(np.sin(2.3 * time) * np.sin(0.31 * time))
    return (noise(seconds, 1.0, seed) * loud).clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("over", [30.0, 7.3, 1.0, 0.4])
def test_the_parts_of_all_windows_tile_a_long_sound(over: float) -> None:
    ears, sound = Ears(), babble(95)
    ears.hear(sound, over)
    assert sum(map(len, ears.parts)) == len(sound)  # 95 s: nothing lost and nothing twice
    assert np.array_equal(np.concatenate(ears.parts), sound)
    assert max(map(len, ears.parts)) <= (over + LEAD) * RATE + 1  # however long the sound is


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.floats(0.05, 14),
    over=st.floats(0.05, 9),
    quiet=st.lists(st.tuples(st.floats(0, 14), st.floats(0, 3)), max_size=4),
)
def test_no_sample_is_lost_or_heard_twice(seconds: float, over: float, quiet: list[tuple[float, float]]) -> None:
    ears, sound = Ears(quiet=-120), babble(seconds)
    for start, length in quiet:
        sound[round(start * RATE) : round((start + length) * RATE)] *= 0.01
    records = ears.hear(sound, over)
    found = np.concatenate([*ears.parts, silence(0)])
    assert np.array_equal(found, sound)
    for before, after in pairwise(records):  # so they come in order, though each may begin before its window does
        assert before.end <= after.start


@settings(max_examples=40, deadline=None)
@given(
    over=st.one_of(st.just("video"), st.floats(0.3, 9)),
    stretch=st.tuples(st.floats(0, 14), st.floats(0, 14)).map(sorted),
)
def test_a_watch_that_begins_and_ends_within_windows_hears_all_of_its_stretch(over: Over, stretch: list[float]) -> None:
    low, high = stretch
    assume(high - low > 0.01)
    assume(isinstance(over, str) or all(abs(cut - round(cut / over) * over) > 1e-4 for cut in stretch))
    ears, sound = Ears(quiet=-120), babble(14)
    records = ears.hear(sound, over, low, high)
    found, asked = np.concatenate(ears.parts), sound[round(low * RATE) : round(high * RATE)]
    assert np.array_equal(found[len(found) - len(asked) :], asked)
    edge = math.inf if isinstance(over, str) else math.ceil(low / over) * over
    if edge < high and edge - low < 5:  # the second window may begin at a pause before all this
        assert records[0].start > edge - LEAD
    else:
        assert len(found) == len(asked)
    assert records[-1].end == pytest.approx(high, abs=0.002)


@pytest.mark.parametrize(("over", "start", "end"), [(4.0, 4.0, 12.0), ("segment", 4.0, 12.0), ("segment", 5.0, 12.0)])
def test_a_watch_that_begins_or_ends_where_windows_may_meet_leaves_the_rest_to_them(
    over: Over, start: float, end: float
) -> None:
    ears, sound = Ears(quiet=-120), babble(14)
    ears.hear(sound, over, start, end)
    low, high = (parting(sound, 0, round(edge * RATE)) for edge in (start, end))
    assert np.array_equal(np.concatenate(ears.parts), sound[low:high])


def test_windows_part_at_the_last_pause_before_their_edge() -> None:
    sound = babble(20) + 0.05
    for start in (5.0, 7.0):
        sound[round(start * RATE) : round((start + 0.5) * RATE)] = 0.0
    edge = 9 * RATE
    assert 7.0 * RATE < parting(sound, 0, edge) < 7.5 * RATE
    assert parting(sound[4 * RATE :], 4 * RATE, edge) == parting(sound, 0, edge)  # as the next window hears it
    assert 5.0 * RATE < parting(sound, 0, 7 * RATE - 1) < 5.5 * RATE
    assert parting(sound, 0, 0) == 0


def test_silence_is_not_given_to_the_model() -> None:
    assert stretches(silence(10), -60) == []
    assert stretches(noise(10, 0.0005), -60) == []
    assert stretches(silence(0), -60) == []
    sound = np.concatenate([silence(3), babble(2), silence(5), babble(1), silence(1), babble(1), silence(2)])
    (a, b), (c, d) = stretches(sound, -60)
    assert (a / RATE, b / RATE, c / RATE, d / RATE) == pytest.approx((2.8, 5.2, 9.8, 13.2), abs=0.05)
    click = silence(5)
    click[2 * RATE] = 1.0
    assert stretches(click, -60) == []


def test_a_silent_window_is_not_heard_at_all() -> None:
    ears = Ears()
    assert ears.hear(np.concatenate([silence(20), noise(20, 0.0003)]), 10) == []
    assert ears.parts == []
    assert ears.told == []
    assert list(ears.perceive([window(silence(0))])) == [[]]


def test_the_language_is_told_from_sound_alone() -> None:
    ears, said = Ears(), babble(40)
    (record,) = ears.hear(np.concatenate([silence(50), said, silence(10)]), 100)
    (told,) = ears.told
    assert len(told) == 30 * RATE
    assert np.array_equal(told[RATE:], said[round(0.8 * RATE) :][: 29 * RATE])  # a fifth of a second before it
    assert (record.meta["language"], record.meta["language_prob"]) == ("fr", 0.75)
    ears = Ears(language="en")
    (record,) = ears.hear(said, 100)
    assert ears.told == []
    assert record.meta["language"] == "en"
    assert "language_prob" not in record.meta


def test_a_segment_is_a_record_with_its_words() -> None:
    ears = Ears(language="en")
    words = [Word(" Ask", 1.0, 1.25, 0.9), Word(" not", 1.25, 4.5, 0.8)]
    ears.says = lambda start, end: [Said(1.0, 4.5, " Ask\n not", -0.25, 0.02, 1.25, words)]
    (record,) = ears.hear(babble(4), 10)
    assert record == Record(
        "speech", 1.0, 4.0, "Ask not", 0.779,
        meta={"language": "en", "no_speech_prob": 0.02, "avg_logprob": -0.25, "compression_ratio": 1.25,
              "words": [["Ask", 1.0, 1.25, 0.9], ["not", 1.25, 4.0, 0.8]]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (Said(1.0, 2.0, "yes", -0.5, 0.1, 2.3), True),
        (Said(1.0, 2.0, "yes yes yes yes yes yes", -0.5, 0.1, 2.5), False),  # a loop
        (Said(1.0, 2.0, " \n", -0.5, 0.1, 1.0), False),
        (Said(8.0, 9.0, "thanks for watching", -0.5, 0.1, 1.0), False),  # after the sound
    ],
)
def test_what_was_not_said_is_dropped(said: Said, kept: bool) -> None:
    ears = Ears()
    ears.says = lambda start, end: [said]
    assert bool(ears.hear(np.concatenate([babble(5), silence(5)]), 10)) is kept


def test_a_phrase_across_an_edge_is_the_later_windows_at_its_own_time() -> None:
    sound = babble(16) + 0.05
    sound[8 * RATE : round(8.4 * RATE)] = 0.0
    ears = Ears()
    words = [Word(" so", 0.5, 1.0, 0.9)]
    ears.says = lambda start, end: [Said(0.5, 1.2, "so it goes", -0.5, 0.1, 1.0, words)]
    first, second = ears.hear(sound, 10)
    assert (first.start, first.end) == (0.5, 1.2)
    pause = parting(sound, 0, 10 * RATE) / RATE
    assert pause == pytest.approx(8.2, abs=0.11)
    assert (second.start, second.end) == pytest.approx((pause + 0.5, pause + 1.2), abs=1e-3)  # wholly before 10 s
    assert second.meta["words"] == [["so", round(pause + 0.5, 3), round(pause + 1.0, 3), 0.9]]
    (whole,) = ears.hear(sound, 10, end=9.9)
    assert whole == first


def test_records_keep_to_their_windows_and_do_not_depend_on_the_batch() -> None:
    ears, sound = Ears(over=6), np.concatenate([speech(), silence(4), speech()])
    windows = [window(sound, Span(start, min(start + 6.0, len(sound) / RATE)), LEAD) for start in np.arange(0, 26, 6)]
    together = [list(records) for records in ears.perceive(windows)]
    assert together == [list(next(iter(ears.perceive([one])))) for one in windows]
    for one, records in zip(windows, together, strict=True):
        assert all(max(0, one.start - 5) <= record.start <= record.end <= one.end for record in records)
    starts = [record.start for records in together for record in records]
    assert len(starts) > 3
    assert all(a <= b for a, b in pairwise(starts))


def test_it_leaves_its_work_to_subtitles_unless_told_otherwise() -> None:
    assert Ears().yields
    assert not Ears(beside_subtitles=True).yields


@pytest.mark.parametrize(
    "options",
    [{"language": "English"}, {"beams": 0}, {"over": 0}, {"quiet": 3}, {"no_speech": 2}, {"model": ""}],
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Ears(**options)
