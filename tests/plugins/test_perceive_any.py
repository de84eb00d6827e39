"""What holds for every perceiver that is installed: it is a pure function of one window."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scenes import BLUE, DARK, GREEN, RED, disc, plain, square, windows
from scenes import perceiver as load
from speech import RATE, noise, silence, speech, tone
from tiny_perceivers import TINY

from videochat import Cue, Frame, Perceiver, Record, Window
from videochat.extras import missing
from videochat.registry import registry
from videochat_plugins.perceive.speech import Recogniser

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # openai-whisper reads its vocabulary so
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # and sorts tensors with numpy
]
SECONDS = 4.0
COUNT = 4
NAMES = registry().names("perceive")
ELSEWHERE = {"detect.yolo": "the library of detect.yolo has an environment of its own: tests/yolo tries it there"}
ABSENT = {name: lack for name in NAMES if (lack := missing(registry().find("perceive", name).cls))} | ELSEWHERE


@pytest.fixture(scope="module", params=[name for name in NAMES if name not in ABSENT])
def perceiver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Perceiver:
    """Each perceiver, loaded; one that needs a checkpoint and has no tiny one fails here."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEOCHAT_CACHE", str(folder / "cache"))
        return load(request.param, **(TINY[request.param](folder) if request.param in TINY else {}))


def test_all_that_would_be_downloaded_have_tiny_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where openai-whisper keeps its own
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    classes = {name: registry().find("perceive", name).cls for name in NAMES}
    free = {
        name for name, cls in classes.items() if not any(f.is_required() for f in cls.Options.model_fields.values())
    }
    away = {name for name in free if not all(weights.here for weights in classes[name]().weights())}
    away |= {*NAMES} - free  # whose checkpoint the user must name
    assert away == {*TINY, *ELSEWHERE}


@pytest.mark.parametrize("name", ABSENT)
def test_one_that_cannot_be_tried_here_is_named(name: str) -> None:
    pytest.skip(ABSENT[name])


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
    """Silence, somebody who speaks, a tone and noise, for a second each; the last three end in a pause."""
    spoken = speech()[round(0.85 * RATE) : round(1.5 * RATE)]
    return np.concatenate([silence(1), spoken, silence(0.35), tone(0.65), silence(0.35), noise(0.65), silence(0.35)])


CUES = (Cue(0.5, 2.5, "Mind the gap."), Cue(0.7, 0.7, "[music]"), Cue(3.0, 9.0, "Stand clear."))


@cache
def seen(perceiver: Perceiver) -> tuple[Window, ...]:
    """The windows with the pictures, the sound and the subtitles that the perceiver asks for."""
    sampling = perceiver.sampling()
    found = windows(scene, perceiver, SECONDS)
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
def alone(perceiver: Perceiver) -> tuple[tuple[Record, ...], ...]:
    """The records of each window, given by itself."""
    return tuple(tuple(next(iter(perceiver.perceive([window])))) for window in seen(perceiver))


def said(record: Record) -> tuple[Any, ...]:
    """Return what a record says, apart from when."""
    tokens = None if record.tokens is None else np.asarray(record.tokens).tobytes()
    return record.text, record.score, record.box, tokens


def is_random(perceiver: Perceiver) -> bool:
    return registry().name_of(type(perceiver)) in TINY


def like(value: Any, room: float = 2e-4) -> Any:
    """Return what JSON values must equal, when sums of a network were rounded in another order."""
    match value:
        case dict():
            return {key: like(part, 0.02 if key == "box" else room) for key, part in value.items()}
        case list():
            return [like(part, room) for part in value]
        case float():
            return pytest.approx(value, rel=1e-3, abs=room)
    return value


@settings(max_examples=6, deadline=None, derandomize=True)
@given(order=st.permutations(range(COUNT)), kept=st.integers(1, COUNT), cuts=st.sets(st.integers(1, COUNT - 1)))
@example(order=[3, 0, 2, 1], kept=COUNT, cuts=set())  # the drawn ones are mostly of few windows
def test_any_subset_order_or_batching_gives_the_same_records(
    perceiver: Perceiver, order: list[int], kept: int, cuts: set[int]
) -> None:
    order = order[:kept]
    for first, last in pairwise([0, *sorted(cut for cut in cuts if cut < kept), kept]):
        batch = order[first:last]
        found = [tuple(records) for records in perceiver.perceive([seen(perceiver)[i] for i in batch])]
        wanted = [alone(perceiver)[i] for i in batch]
        if not is_random(perceiver):
            assert found == wanted
        for one, other in zip(found, wanted, strict=True):
            assert [record.to_json() for record in one] == [like(record.to_json()) for record in other]


def test_there_is_something_to_say_and_not_the_same_of_all_windows(perceiver: Perceiver) -> None:
    assert any(alone(perceiver))
    assert len({tuple(map(said, part)) for part in alone(perceiver)}) > 1


def test_records_keep_their_kind_and_their_window(perceiver: Perceiver) -> None:
    back = perceiver.sampling().lead if isinstance(perceiver, Recogniser) else 0.0  # to the pause before the window
    for window, records in zip(seen(perceiver), alone(perceiver), strict=True):
        for record in records:
            assert record.kind in perceiver.emits
            assert window.start - back <= record.start <= record.end <= window.end
            assert Record.from_json(record.to_json()).to_json() == record.to_json()
            if record.box is not None:
                height, width = window.frames[0].image.shape[:2]
                x1, y1, x2, y2 = record.box
                assert 0 <= x1 <= x2 <= width
                assert 0 <= y1 <= y2 <= height
                assert is_random(perceiver) or (x1 < x2 and y1 < y2)


def test_a_window_without_frames_or_with_one_is_no_fault(perceiver: Perceiver) -> None:
    whole = seen(perceiver)[0]
    for frames in ((), whole.frames[:1]):
        window = Window(whole.start, whole.end, whole.video, frames)
        (records,) = perceiver.perceive([window])
        assert all(record.kind in perceiver.emits for record in records)
    assert list(perceiver.perceive([])) == []


@pytest.mark.parametrize("shift", [-5.0, 5.0, 0.0])
def test_frames_that_are_held_longer_than_the_window_are_no_fault(perceiver: Perceiver, shift: float) -> None:
    whole = seen(perceiver)[1]
    frames = tuple(Frame(frame.time * bool(shift) + shift, frame.image) for frame in whole.frames)
    (records,) = perceiver.perceive([Window(whole.start, whole.end, whole.video, frames)])
    assert all(record.kind in perceiver.emits for record in records)


def test_pictures_and_sound_are_left_as_they_were(perceiver: Perceiver) -> None:
    def held() -> list[np.ndarray]:
        pictures = [frame.image for window in seen(perceiver) for frame in window.frames]
        return pictures + [window.audio for window in seen(perceiver) if window.audio is not None]

    before = [array.copy() for array in held()]
    list(perceiver.perceive(seen(perceiver)))
    assert all(np.array_equal(a, b) for a, b in zip(before, held(), strict=True))
