"""Voice activity: where somebody speaks, and only there."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech import RATE, TRUTH, Samples, hear, music, noise, silence, speech, tone

from videochat_plugins.perceive.voice_activity import STEP, Limits, clean, spans

STEP_SECONDS = STEP / RATE
LIMITS = Limits(threshold=0.5, speech=0.25, silence=0.3, padding=0.05)


def voiced(sound: Samples, over: float | None = None, **options: object) -> np.ndarray:
    """One for each 10 ms in which a record says that there is a voice."""
    mask = np.zeros(len(sound) * 100 // RATE)
    for record in hear(sound, "voice", over, **options):
        mask[round(record.start * 100) : round(record.end * 100)] = 1
    return mask


def test_the_example_has_a_voice_from_where_it_speaks() -> None:
    found = hear(speech(), "voice")
    assert {(record.kind, record.text) for record in found} == {("voice", "somebody speaks")}
    # The words begin a while after the recording of them does.
    assert TRUTH["start"] < found[0].start < TRUTH["start"] + 0.6
    assert found[-1].end > 10.5
    assert 0.55 < voiced(speech()).mean() < 0.75
    assert all(0.6 < (record.score or 0) <= 1 for record in found)
    assert any(later.start - earlier.end > 0.7 for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    "sound",
    [silence(5), noise(5), noise(5, 0.5), tone(5), tone(5, 150), music(5), silence(0), silence(0.01)],
    ids=["silence", "noise", "loud noise", "tone", "hum", "music", "nothing", "a moment"],
)
def test_what_is_no_voice_has_none(sound: Samples) -> None:
    assert hear(sound, "voice") == []


@pytest.mark.parametrize("over", [1.0, 4.5])
def test_windows_change_little_of_what_is_heard(over: float) -> None:
    assert (voiced(speech(), over) != voiced(speech())).mean() < 0.04


def test_a_quiet_voice_between_silences_is_found_where_it_is() -> None:
    sound = np.concatenate([silence(4), speech() * 0.1, noise(3, 0.001)])
    whole, moved = voiced(speech()), voiced(sound)
    assert (whole != moved[400 : 400 + len(whole)]).mean() < 0.05
    assert moved[:400].sum() == 0
    assert moved[-200:].sum() == 0


def test_options_part_and_join_stretches() -> None:
    part = speech()[: 6 * RATE]
    assert len(hear(part, "voice", silence=5.0)) == 1
    assert len(hear(part, "voice", silence=0.05)) > len(hear(part, "voice", silence=1.0))
    assert all(record.end - record.start > 1.3 for record in hear(part, "voice", speech=1.3))
    narrow, wide = voiced(part, padding=0.0), voiced(part, padding=0.15)
    assert ((wide - narrow) >= 0).all()
    assert wide.sum() > narrow.sum()


def test_numbers_that_are_no_sound_are_no_fault() -> None:
    sound = speech().copy()
    sound[20_000:20_050] = np.nan
    sound[30_000], sound[30_001], sound[30_002] = np.inf, -np.inf, 1e30
    assert np.isfinite(clean(sound)).all()
    assert (voiced(sound) != voiced(speech())).mean() < 0.1


def test_spans_begin_above_the_threshold_and_end_well_below_it() -> None:
    heard = [0.4] * 10 + [0.9] * 10 + [0.4] * 10 + [0.1] * 20
    (span,) = spans(np.array(heard), LIMITS._replace(padding=0))
    assert span.tolist() == pytest.approx([10 * STEP_SECONDS, 30 * STEP_SECONDS])


def test_a_short_stretch_counts_at_the_end_of_a_sound_that_goes_on() -> None:
    heard = np.array([0.9] * 2 + [0.0] * 30 + [0.9] * 2)
    assert len(spans(heard, LIMITS)) == 0
    (span,) = spans(heard, LIMITS, goes_on=True)
    assert span[1] == pytest.approx(34 * STEP_SECONDS)


@given(
    heard=st.lists(st.floats(0, 1), max_size=200),
    limits=st.builds(
        Limits,
        threshold=st.floats(0.2, 0.9),
        speech=st.floats(0, 1),
        silence=st.floats(0, 1),
        padding=st.floats(0, 1),
    ),
    goes_on=st.booleans(),
)
def test_spans_are_in_order_apart_and_inside(heard: list[float], limits: Limits, goes_on: bool) -> None:
    found = spans(np.array(heard), limits, goes_on)
    edges = found.ravel()
    assert (np.diff(edges) >= -1e-9).all()
    assert (found[:, 1] > found[:, 0]).all()
    if len(edges):
        assert edges[0] >= 0
        assert edges[-1] <= len(heard) * STEP_SECONDS + 1e-9
    # What is sure to be speech is in a span, unless it is too short.
    if limits.speech == 0:
        for i, value in enumerate(heard):
            middle = (i + 0.5) * STEP_SECONDS
            assert value < limits.threshold or ((found[:, 0] <= middle) & (middle <= found[:, 1])).any()
