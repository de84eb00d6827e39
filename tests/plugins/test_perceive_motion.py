import cv2
import numpy as np
import pytest
from scenes import BLUE, DARK, HEIGHT, RED, WIDTH, disc, plain, square, texture, watch


def camera_at(x: float, y: float, zoom: float = 1.0) -> np.ndarray:
    """What a camera sees whose frame's centre is at x, y of the texture."""
    matrix = np.array([[zoom, 0, WIDTH / 2 - zoom * x], [0, zoom, HEIGHT / 2 - zoom * y]])
    return cv2.warpAffine(texture(), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


@pytest.mark.parametrize(
    ("dx", "dy", "word"),
    [
        (30, 0, "pan right"),
        (-30, 0, "pan left"),
        (0, 20, "tilt down"),
        (0, -20, "tilt up"),
        (12, 0, "pan right"),
        (0, 0, "still"),
    ],
)
def test_pans_and_tilts_are_named_by_where_the_camera_goes(dx: float, dy: float, word: str) -> None:
    records = watch(lambda time: camera_at(320 + dx * time, 180 + dy * time), "motion", 3)
    assert [record.meta["camera"] for record in records] == [word] * 3
    assert all(record.meta["moving"] < 0.05 for record in records)


@pytest.mark.parametrize(("rate", "word"), [(1.2, "zoom in"), (1 / 1.2, "zoom out")])
def test_zooms(rate: float, word: str) -> None:
    records = watch(lambda time: camera_at(320, 180, rate**time), "motion", 2)
    assert [record.meta["camera"] for record in records] == [word] * 2


def test_shake() -> None:
    def scene(time: float) -> np.ndarray:
        x, y = np.random.default_rng(round(time * 4)).uniform(-8, 8, 2)
        return camera_at(320 + x, 180 + y)

    assert [record.meta["camera"] for record in watch(scene, "motion", 3)] == ["shake"] * 3


def test_a_moving_thing_is_no_moving_camera() -> None:
    def scene(time: float) -> np.ndarray:
        return disc(camera_at(320, 180), 60 + 40 * time, 90, 25, RED)

    for record in watch(scene, "motion", 3):
        assert record.meta["camera"] == "still"
        assert 0.01 < record.meta["moving"] < 0.15


def test_a_thing_on_a_plain_ground_is_no_moving_camera() -> None:
    records = watch(lambda time: square(plain(), 60 + 40 * time, 90, 20, BLUE), "motion", 3)
    assert {record.text for record in records} == {"camera still; little moves"}


def test_what_moves_while_the_camera_pans_is_told_apart() -> None:
    def scene(time: float) -> np.ndarray:
        return disc(camera_at(300 + 20 * time, 180), 250 - 60 * time, 90, 30, RED)

    for record in watch(scene, "motion", 3):
        assert record.meta["camera"] == "pan right"
        assert record.meta["moving"] > 0.02


def test_a_cut_is_told_and_is_no_motion() -> None:
    def scene(time: float) -> np.ndarray:
        return plain() if time < 1.5 else camera_at(320, 180)

    cut, *motions = sorted(watch(scene, "motion", 3), key=lambda record: "cut" not in record.meta)
    assert (cut.start, cut.end, cut.text) == (1.5, 1.5, "cut to another shot")
    assert {record.text for record in motions} == {"camera still; hardly anything moves"}
    assert [record.start for record in motions] == [0, 1, 2]


def test_a_flash_is_neither_cut_nor_motion() -> None:
    def scene(time: float) -> np.ndarray:
        gain = 1.3 if time in (0.5, 1.75) else 1.0
        return (camera_at(320, 180) * gain).clip(0, 255).astype(np.uint8)

    assert {record.text for record in watch(scene, "motion", 2)} == {"camera still; hardly anything moves"}


def test_one_frame_says_nothing() -> None:
    assert watch(lambda time: plain(DARK), "motion", 0.2) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (12, 40), (40, 12), (63, 65)])
@pytest.mark.parametrize("name", ["motion", "regions", "look"])
def test_tiny_pictures_do_no_harm(name: str, shape: tuple[int, int]) -> None:
    watch(lambda time: np.full((*shape, 3), int(time * 20), np.uint8), name, 2)
