import numpy as np
import pytest
from scenes import BLUE, DARK, GREEN, HEIGHT, LIGHT, RED, WIDTH, disc, plain, square, texture, watch

from videochat_plugins.perceive.foreground import chain, rest_median
from videochat_plugins.perceive.regions import direction_of


def told(records: list) -> set[tuple[str, str]]:
    return {(record.meta["colour"], record.meta["direction"]) for record in records}


@pytest.mark.parametrize(
    ("x", "y", "direction"),
    [
        (35, 0, "right"),
        (-35, 0, "left"),
        (0, 20, "down"),
        (0, -20, "up"),
        (30, -25, "up-right"),
        (-30, 25, "down-left"),
        (150, 0, "right"),  # further between frames than it is wide
        (6, 0, "right"),  # slower than its width in five seconds
    ],
)
@pytest.mark.parametrize("noise", [0, 4])
def test_a_thing_has_its_colour_and_direction_in_every_window(x: float, y: float, direction: str, noise: float) -> None:
    seconds = 2.0

    def scene(time: float) -> np.ndarray:
        image = plain(LIGHT, noise, round(time * 100))
        return disc(image, WIDTH / 2 + x * (time - seconds / 2), HEIGHT / 2 + y * (time - seconds / 2), 14, RED)

    records = watch(scene, "regions", seconds)
    assert [record.start for record in records] == [0, 1]
    assert told(records) == {("red", direction)}
    for record in records:
        assert record.text == f"red thing moving {direction}"
        assert record.meta["speed"] == pytest.approx(np.hypot(x, y), rel=0.25)
        middle = record.start + 0.5
        centre = (record.box.x1 + record.box.x2) / 2, (record.box.y1 + record.box.y2) / 2
        away = np.subtract(centre, (WIDTH / 2 + x * (middle - 1), HEIGHT / 2 + y * (middle - 1)))
        assert np.hypot(*away) < 8
        assert 20 < record.box.x2 - record.box.x1 < 45


def test_several_things_at_once_over_a_detailed_ground() -> None:
    def scene(time: float) -> np.ndarray:
        image = texture()[:HEIGHT, :WIDTH].copy() // 2 + 100
        disc(image, 30 + 60 * time, 40, 14, RED)
        square(image, 250, 150 - 30 * time, 14, BLUE)
        return square(image, 150 - 35 * time, 130, 14, GREEN)

    for start in (0, 1, 2):
        records = [record for record in watch(scene, "regions", 3) if record.start == start]
        assert told(records) == {("red", "right"), ("blue", "up"), ("green", "left")}


def test_a_thing_seen_by_a_moving_camera_moves_as_in_the_scene() -> None:
    def scene(time: float) -> np.ndarray:
        x = round(100 + 16 * time)
        image = texture()[90 : 90 + HEIGHT, x : x + WIDTH].copy()
        return square(image, 250 - x + 90 - 40 * time, 90, 18, (250, 250, 0))

    assert told([record for record in watch(scene, "regions", 3) if record.start > 0]) == {("yellow", "left")}


@pytest.mark.parametrize("name", ["still", "noise", "light", "flash", "cut", "pan", "appears", "dissolve"])
def test_nothing_is_found_where_nothing_moves(name: str) -> None:
    ground = square(disc(texture()[:HEIGHT, :WIDTH].copy(), 80, 90, 20, RED), 220, 80, 20, BLUE)

    def scene(time: float) -> np.ndarray:
        if name == "noise":
            grain = np.random.default_rng(round(time * 100)).normal(0, 6, ground.shape)
            return (ground + grain).clip(0, 255).astype(np.uint8)
        if name == "light":
            return (ground * (0.6 + 0.15 * time)).astype(np.uint8)
        if name == "flash":
            return (ground * (1.2 if time == 1.25 else 1.0)).clip(0, 255).astype(np.uint8)
        if name == "cut":
            return ground if time < 1.25 else disc(plain(DARK), 240, 60, 20, RED)
        if name == "pan":
            x = round(100 + 20 * time)
            return texture()[90 : 90 + HEIGHT, x : x + WIDTH]
        if name == "dissolve":
            share = np.clip(time - 1, 0, 1)
            return (ground * (1 - share) + texture()[180:, 320:] * share).astype(np.uint8)
        if name == "appears":
            return ground if time < 1.4 else square(ground.copy(), 160, 140, 15, GREEN)
        return ground

    assert watch(scene, "regions", 3) == []


def test_a_cut_parts_the_things_and_says_since_when() -> None:
    def scene(time: float) -> np.ndarray:
        if time < 2:
            return disc(plain(LIGHT), 60 + 40 * time, 60, 14, RED)
        return disc(plain(DARK), 260 - 40 * (time - 2), 60, 14, RED)

    records = watch(scene, "regions", 4)
    assert [record.meta["direction"] for record in records] == ["right", "right", "left", "left"]
    assert [record.meta.get("since") for record in records] == [None, None, 2.0, None]


def test_boxes_are_in_the_frames_pixels_and_speeds_in_the_sources() -> None:
    from dataclasses import replace

    from scenes import perceiver, windows

    found = perceiver("regions")
    seen = windows(lambda time: disc(plain(), 100 + 40 * time, 90, 14, RED), found, 2)[1]
    (record,) = next(iter(found.perceive([seen])))
    double = replace(seen, video=replace(seen.video, width=2 * WIDTH, height=2 * HEIGHT))
    (other,) = next(iter(found.perceive([double])))
    assert other.box == record.box
    assert other.meta["speed"] == pytest.approx(2 * record.meta["speed"], rel=0.01)
    assert other.meta["last"][1] == pytest.approx(2 * record.meta["last"][1], abs=0.2)


def test_times_lie_in_the_window_and_end_when_the_thing_is_gone() -> None:
    def scene(time: float) -> np.ndarray:
        return disc(plain(), 100 + 60 * time, 90, 14, RED) if time < 1.5 else plain()

    first, second = watch(scene, "regions", 3)
    assert (first.start, first.end) == (0, 1)
    assert (second.start, second.end) == (1, 1.5)
    assert second.times == (1.0, 1.25)


def test_directions_are_the_eight_of_a_compass_with_y_downwards() -> None:
    turns = [direction_of(np.array([np.cos(a), np.sin(a)])) for a in np.arange(8) * np.pi / 4]
    assert turns == ["right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right"]


def test_rest_median_leaves_out_what_is_away() -> None:
    stack = np.array([10, 20, 30, 200], np.uint8)[:, None, None, None].repeat(3, axis=3)
    away = np.array([False, False, False, True])[:, None, None]
    value, seen = rest_median(stack, away)
    assert value.tolist() == [[[20, 20, 20]]]
    assert seen.all()
    assert not rest_median(stack, np.ones_like(away))[1].any()


def test_chain_brings_every_frame_to_the_reference() -> None:
    step = np.array([[1.0, 0, 5], [0, 1, -2]])  # the background goes 5 right and 2 up in each step
    assert [matrix[:, 2].tolist() for matrix in chain([step, step], 1)] == [[5, -2], [0, 0], [-5, 2]]
