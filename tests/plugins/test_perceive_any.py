"""What holds for every perceiver that is installed: it is a pure function of one window."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import BLUE, DARK, GREEN, RED, disc, perceiver, plain, square, windows
from speech import RATE, noise, silence, speech, tone

from videochat import Cue, Frame, Record, UnavailableError, Window
from videochat.registry import registry

SECONDS = 4.0
COUNT = 4


@pytest.fixture(scope="module", params=registry().names("perceive"))
def name(request: pytest.FixtureRequest) -> str:
    try:
        perceiver(request.param)
    except UnavailableError as error:
        pytest.skip(f"{request.param} cannot be loaded here: {error}")
    return str(request.param)


def scene(time: float) -> np.ndarray:
    """Two shots with moving things and drawn text; the cut lies inside a window."""
    if time < 1.5:
        image = square(disc(plain(), 40 + 50 * time, 120, 14, RED), 250, 140 - 30 * time, 15, BLUE)
        words = "OPENING NIGHT"
    else:
        image = disc(plain(DARK), 280 - 50 * (time - 1.5), 100, 14, GREEN)
        words = "PLATFORM 9"
    shade = (20, 20, 20) if time < 1.5 else (250, 250, 250)
    return cv2.putText(image, words, (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, shade, 2, cv2.LINE_AA)


@cache
def sound() -> np.ndarray:
    """A second each of silence, of somebody speaking, of a tone and of noise."""
    return np.concatenate([silence(1), speech()[round(0.85 * RATE) : round(1.85 * RATE)], tone(1), noise(1)])


CUES = (Cue(0.5, 2.5, "Mind the gap."), Cue(0.7, 0.7, "[music]"), Cue(3.0, 9.0, "Stand clear."))


@cache
def seen(name: str) -> tuple[Window, ...]:
    """The windows with the pictures, the sound and the subtitles that the perceiver asks for."""
    sampling = perceiver(name).sampling()
    found = windows(scene, perceiver(name), SECONDS)
    if sampling.audio_rate:
        assert sampling.audio_rate == RATE
        starts = [round(max(0.0, window.start - sampling.lead) * RATE) for window in found]
        found = [
            replace(window, audio=sound()[start : round(window.end * RATE)].copy(), rate=RATE)
            for window, start in zip(found, starts, strict=True)
        ]
    if sampling.subtitles:
        said = [tuple(cue for cue in CUES if window.start <= cue.start < window.end) for window in found]
        found = [replace(window, cues=cues) for window, cues in zip(found, said, strict=True)]
    return tuple(found)


@cache
def alone(name: str) -> tuple[tuple[Record, ...], ...]:
    """The records of each window, given by itself."""
    found = perceiver(name)
    return tuple(tuple(next(iter(found.perceive([window])))) for window in seen(name))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(order=st.permutations(range(COUNT)), kept=st.integers(1, COUNT), cuts=st.sets(st.integers(1, COUNT - 1)))
def test_any_subset_order_or_batching_gives_the_same_records(
    name: str, order: list[int], kept: int, cuts: set[int]
) -> None:
    order = order[:kept]
    for first, last in pairwise([0, *sorted(cut for cut in cuts if cut < kept), kept]):
        batch = order[first:last]
        found = [tuple(records) for records in perceiver(name).perceive([seen(name)[i] for i in batch])]
        assert found == [alone(name)[i] for i in batch]


def test_there_is_something_to_say(name: str) -> None:
    assert any(alone(name))


def test_records_keep_their_kind_and_their_window(name: str) -> None:
    for window, records in zip(seen(name), alone(name), strict=True):
        for record in records:
            assert record.kind in perceiver(name).emits
            assert window.start <= record.start <= record.end <= window.end
            assert Record.from_json(record.to_json()).to_json() == record.to_json()
            if record.box is not None:
                height, width = window.frames[0].image.shape[:2]
                assert 0 <= record.box.x1 < record.box.x2 <= width
                assert 0 <= record.box.y1 < record.box.y2 <= height


def test_a_window_without_frames_or_with_one_is_no_fault(name: str) -> None:
    whole = seen(name)[0]
    for frames in ((), whole.frames[:1]):
        window = Window(whole.start, whole.end, whole.video, frames)
        (records,) = perceiver(name).perceive([window])
        assert all(record.kind in perceiver(name).emits for record in records)
    assert list(perceiver(name).perceive([])) == []


@pytest.mark.parametrize("shift", [-5.0, 5.0, 0.0])
def test_frames_that_are_held_longer_than_the_window_are_no_fault(name: str, shift: float) -> None:
    whole = seen(name)[1]
    frames = tuple(Frame(frame.time * bool(shift) + shift, frame.image) for frame in whole.frames)
    (records,) = perceiver(name).perceive([Window(whole.start, whole.end, whole.video, frames)])
    assert all(record.kind in perceiver(name).emits for record in records)


def test_pictures_and_sound_are_left_as_they_were(name: str) -> None:
    def held() -> list[np.ndarray]:
        pictures = [frame.image for window in seen(name) for frame in window.frames]
        return pictures + [window.audio for window in seen(name) if window.audio is not None]

    before = [array.copy() for array in held()]
    list(perceiver(name).perceive(seen(name)))
    assert all(np.array_equal(a, b) for a, b in zip(before, held(), strict=True))
