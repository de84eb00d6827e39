import cv2
import numpy as np
import pytest
from scenes import BLUE, DARK, RED, plain, square, texture, watch

from videochat_plugins.perceive.colour import NAMES, name_indices, shares, to_oklab


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((255, 0, 0), "red"),
        ((200, 30, 30), "red"),
        ((0, 255, 0), "green"),
        ((40, 160, 60), "green"),
        ((0, 0, 255), "blue"),
        ((15, 25, 80), "blue"),
        ((30, 140, 230), "blue"),
        ((255, 255, 0), "yellow"),
        ((255, 165, 0), "orange"),
        ((255, 105, 180), "pink"),
        ((128, 0, 128), "purple"),
        ((110, 60, 20), "brown"),
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((235, 235, 225), "white"),
    ],
)
def test_a_colour_has_the_name_that_people_give_it(rgb: tuple[int, int, int], name: str) -> None:
    assert NAMES[int(name_indices(np.array(rgb, np.uint8)))] == name


def test_greys_run_from_black_to_white() -> None:
    ramp = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    names = [NAMES[i] for i in name_indices(ramp)]
    assert list(dict.fromkeys(names)) == ["black", "grey", "white"]


def test_oklab_gives_the_values_of_css_color_4() -> None:
    assert np.allclose(to_oklab(np.array([255, 255, 255], np.uint8)), [1, 0, 0], atol=1e-3)
    assert np.allclose(to_oklab(np.array([255, 0, 0], np.uint8)), [0.628, 0.225, 0.126], atol=1e-3)


def test_shares_add_up_to_one() -> None:
    assert shares(name_indices(texture())).sum() == pytest.approx(1)
    assert shares(np.zeros(0, np.uint8)).sum() == 0


def test_one_record_for_each_window_with_its_colours() -> None:
    def scene(time: float) -> np.ndarray:
        image = plain((255, 255, 255))
        image[:, :96] = BLUE  # 30 %
        return image

    records = watch(scene, "look", 2.5)
    assert [(record.start, record.end) for record in records] == [(0, 1), (1, 2), (2, 2.5)]
    assert records[0].meta["colours"] == [["white", 0.7], ["blue", 0.3]]
    assert records[0].text.endswith("mostly white and blue")
    assert records[0].text.startswith("bright")


@pytest.mark.parametrize(
    ("level", "word"), [(5, "black"), (40, "dark"), (90, "dim"), (130, "normally lit"), (220, "bright")]
)
def test_brightness_in_words(level: int, word: str) -> None:
    record = watch(lambda time: plain((level,) * 3), "look", 1)[0]
    assert record.text.split(",")[0] == word
    assert record.meta["brightness"] == pytest.approx(level / 255, abs=0.01)


def test_blur_lowers_the_sharpness() -> None:
    sharp = texture()[:180, :320]
    values = [
        watch(lambda time, image=image: image, "look", 1)[0]
        for image in (sharp, cv2.GaussianBlur(sharp, None, 0.8), cv2.GaussianBlur(sharp, None, 3))
    ]
    assert [record.text.split(", ")[1].split(";")[0] for record in values] == ["sharp", "soft", "blurred"]


def test_little_detail_is_no_blur() -> None:
    (few,) = watch(lambda time: square(plain(DARK), 100, 90, 25, RED), "look", 1)
    (none,) = watch(lambda time: plain(DARK), "look", 1)
    assert few.text.startswith("dark, sharp")
    assert none.text.startswith("dark, plain")


def test_sharpness_does_not_depend_on_the_size() -> None:
    def picture(scale: int) -> np.ndarray:
        return texture()[:180, :320].repeat(scale, axis=0).repeat(scale, axis=1)

    one, two = (watch(lambda time, scale=scale: picture(scale), "look", 1)[0].meta["sharpness"] for scale in (1, 2))
    assert one == pytest.approx(two, rel=0.15)


def test_a_small_thing_is_in_the_numbers_but_not_in_the_words() -> None:
    record = watch(lambda time: square(plain(DARK), 100, 90, 25, RED), "look", 1)[0]
    assert record.text.endswith("mostly blue")
    assert "red" in dict(record.meta["colours"])
