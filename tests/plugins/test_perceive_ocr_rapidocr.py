import logging

import cv2
import numpy as np
import pytest
from scenes import perceiver, windows

from videochat import Pool, Record, UnavailableError
from videochat_plugins.perceive.ocr_rapidocr import RapidOCRReader


def page(*lines: tuple[str, int, int, float], ground: int = 235, ink: int = 20) -> np.ndarray:
    """A 640 x 360 picture with lines of text at x, y in a size."""
    image = np.full((360, 640, 3), ground, np.uint8)
    for text, x, y, size in lines:
        cv2.putText(
            image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (ink,) * 3, max(1, round(2 * size)), cv2.LINE_AA
        )
    return image


def read(scene, seconds: float = 1.0, **options) -> list[Record]:
    found = perceiver("ocr.rapidocr", **options)
    return [record for part in found.perceive(windows(scene, found, seconds)) for record in part]


def test_drawn_text_is_read_exactly_with_its_box() -> None:
    first, second = read(lambda time: page(("OPENING NIGHT", 40, 80, 1.3), ("Tickets from 12:45", 300, 320, 0.8)))
    assert [first.text, second.text] == ["OPENING NIGHT", "Tickets from 12:45"]
    (width, height), _ = cv2.getTextSize("OPENING NIGHT", cv2.FONT_HERSHEY_SIMPLEX, 1.3, 3)
    assert np.allclose(first.box, (40, 80 - height, 40 + width, 80), atol=12)
    assert first.kind == "text"
    assert 0.9 < first.score <= 1


def test_light_text_on_a_dark_ground() -> None:
    assert [record.text for record in read(lambda time: page(("PLATFORM 9", 330, 300, 1.2), ground=30, ink=250))] == [
        "PLATFORM 9"
    ]


def test_nothing_is_read_where_nothing_is_written() -> None:
    assert read(lambda time: page()) == []


def test_times_are_right_to_one_step() -> None:
    def scene(time: float) -> np.ndarray:
        return page(("PLATFORM 9", 100, 200, 1.2)) if 1 <= time < 2.5 else page()

    records = read(scene, 3.0, fps=2.0)
    assert [(record.start, record.end) for record in records] == [(1, 1.5), (1.5, 2), (2, 2.5)]
    assert {record.text for record in records} == {"PLATFORM 9"}


def test_a_frame_that_shows_the_same_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = RapidOCRReader(RapidOCRReader.Options(fps=4.0))
    found.load(Pool())
    read_one, seen = found._read, []
    monkeypatch.setattr(found, "_read", lambda image: seen.append(1) or read_one(image))

    def scene(time: float) -> np.ndarray:
        grain = np.random.default_rng(round(time * 100)).normal(0, 3, (360, 640, 3))
        text = "OPENING" if time < 0.6 else "CLOSING"
        return (page((text, 100, 200, 1.2)) + grain).clip(0, 255).astype(np.uint8)

    (records,) = found.perceive(windows(scene, found, 1))
    assert [record.text for record in records] == ["OPENING"] * 3 + ["CLOSING"]
    assert len(seen) == 2


def test_weak_readings_and_single_letters_are_dropped() -> None:
    assert read(lambda time: page(("OPENING NIGHT", 40, 80, 1.3)), score=1.0) == []
    assert read(lambda time: page(("OPENING NIGHT", 40, 80, 1.3)), letters=13) == []


def test_two_readers_share_one_engine_and_need_nothing_from_outside() -> None:
    pool = Pool()
    first, second = RapidOCRReader(), RapidOCRReader(RapidOCRReader.Options(score=0.9))
    first.load(pool)
    second.load(pool)
    assert len(pool) == 1
    assert all(weight.here for weight in first.weights())


def test_it_says_nothing_to_anybody(capfd: pytest.CaptureFixture[str]) -> None:
    found = RapidOCRReader(RapidOCRReader.Options(detect=320))
    found.load(Pool())
    list(found.perceive(windows(lambda time: page(), found, 1)))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("RapidOCR").level == logging.CRITICAL


def test_a_wheel_without_models_is_said_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videochat_plugins.perceive.ocr_rapidocr._models", list)
    found = RapidOCRReader()
    assert not any(weight.here for weight in found.weights())
    with pytest.raises(UnavailableError, match="no models inside"):
        found.load(Pool())
