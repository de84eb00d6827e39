"""What the world's videos show is what happens in them."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from videochat_plugins.learn.world_encode import write_image, write_video
from videochat_plugins.learn.world_physics import Log, run
from videochat_plugins.learn.world_render import draw, word_box
from videochat_plugins.learn.world_story import write
from videochat_plugins.learn.world_things import COLOURS, FPS, FRAMES, HEIGHT, SHAPES, WIDTH, Clip, Scene, Thing
from videochat_plugins.perceive.colour import NAMES, name_indices

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Log, list[Image]]]:
    clips = [write(5, index) for index in range(12)]
    logs = [run(clip.scenes) for clip in clips]
    return [(log, draw(clip, log)) for clip, log in zip(clips, logs, strict=True)]


def named(pixels: Image) -> str:
    """Return the colour that most of the pixels have, as the perceivers name it."""
    return NAMES[int(np.bincount(name_indices(pixels).ravel()).argmax())]


def test_frames_are_of_one_size(drawn: list[tuple[Log, list[Image]]]) -> None:
    for log, frames in drawn:
        assert len(frames) == log.frames == FRAMES
        assert {frame.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
        assert {frame.dtype for frame in frames} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("background", ["dark", "light"])
def test_colours_are_those_that_perceivers_name(colour: str, background: str) -> None:
    for shape in SHAPES:
        for texture in ("plain", "striped"):
            thing = Thing(colour, shape, "large", texture, "rest", (96, 72))
            frames = look((thing,), background)
            box = frames[5][72 - 6 : 72 + 7, 96 - 9 : 96 + (0 if shape == "crescent" else 10)]
            assert named(box) == colour, (shape, texture)


def look(things: tuple[Thing, ...], background: str = "dark") -> list[Image]:
    clip = Clip(0, 0, (Scene(things, FRAMES, background),))
    return draw(clip, run(clip.scenes))


def test_things_are_drawn_where_they_are_and_only_while_they_are_there() -> None:
    spec = Thing("red", "circle", "large", "plain", "across", (40, 72), (20.0, 0.0), appears=10, vanishes=30)
    frames = look((spec,), "light")
    for number, frame in enumerate(frames):
        red = name_indices(frame) == NAMES.index("red")
        assert (red.sum() > 300) == (10 <= number < 30)
        if red.sum() > 300:
            y, x = (values.mean() for values in np.nonzero(red))
            assert (x, y) == pytest.approx((40 + 20 * number / FPS, 72), abs=0.8)


def test_size_swell_spin_and_flash_show() -> None:
    def area(thing: Thing, frame: int) -> int:
        return int((name_indices(look((thing,))[frame]) == NAMES.index("blue")).sum())

    small, large = (Thing("blue", "square", size, "plain", "rest", (96, 72)) for size in ("small", "large"))
    assert area(large, 0) > 2 * area(small, 0)
    grows = Thing("blue", "square", "small", "plain", "swell", (96, 72), swell=1.75)
    assert area(grows, FRAMES - 1) > 2.5 * area(grows, 0)
    spins = look((Thing("blue", "triangle", "large", "plain", "spin", (96, 72), spin=1.5),))
    assert np.abs(spins[0].astype(int) - spins[10])[58:86, 82:110].mean() > 15
    clockwise = look((Thing("blue", "crescent", "large", "plain", "spin", (96, 72), spin=np.pi / 2 * FPS / 10),))
    blue = [np.argwhere(name_indices(clockwise[i]) == NAMES.index("blue")).mean(axis=0) for i in (0, 10)]
    assert blue[0][1] < 95  # its back is on the left, and a quarter turn later at the top
    assert blue[1][0] < 71
    flashes = look((Thing("blue", "square", "large", "plain", "rest", (96, 72), flashes=(10,)),))
    assert [named(flashes[i][66:78, 90:102]) for i in (9, 10, 12, 13)] == ["blue", "white", "white", "blue"]


def test_words_stand_in_their_box(drawn: list[tuple[Log, list[Image]]]) -> None:
    found = 0
    for log, frames in drawn:
        for word in log.words:
            left, top, right, bottom = (round(edge) for edge in word_box(word))
            assert 0 <= left < right <= WIDTH
            assert 0 <= top < bottom <= HEIGHT
            dark = log.scenes[int(log.shots[word.start])].background == "dark"
            inked = [int((frame[top:bottom, left:right] > 200).all(axis=2).sum()) for frame in frames]
            inked = inked if dark else [int((frame[top:bottom, left:right] < 90).all(axis=2).sum()) for frame in frames]
            assert min(inked[word.start : word.end]) > 60
            found += 1
    assert found >= 3


def test_camera_slides_the_picture(drawn: list[tuple[Log, list[Image]]]) -> None:
    moving = 0
    for log, frames in drawn:
        shift = log.camera[10] - log.camera[0]
        if shift.any() and log.shots[10] == 0:
            x, y = shift.round().astype(int)  # what was at (x, y) in the first frame is at (0, 0)
            before, after = frames[0][10:100, 20:170].astype(int), frames[10].astype(int)
            slid = after[10 - y : 100 - y, 20 - x : 170 - x]
            assert np.abs(before - slid).mean() < 0.8 * np.abs(before - after[10:100, 20:170]).mean()
            moving += 1
    assert moving


def test_drawing_again_gives_the_same_pictures(drawn: list[tuple[Log, list[Image]]]) -> None:
    clip = write(5, 3)
    again = draw(clip, run(clip.scenes))
    assert all((a == b).all() for a, b in zip(again, drawn[3][1], strict=True))
    other = draw(write(6, 3), run(write(6, 3).scenes))
    assert not (again[0] == other[0]).all()


def test_file_holds_the_frames_at_their_times(tmp_path: Path, drawn: list[tuple[Log, list[Image]]]) -> None:
    _, frames = drawn[0]
    write_video(tmp_path / "one.mp4", frames)
    with av.open(str(tmp_path / "one.mp4")) as file:
        assert file.streams.video[0].codec_context.name == "h264"
        decoded = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert [time for time, _ in decoded] == pytest.approx([i / FPS for i in range(FRAMES)])
    for (_, shown), frame in zip(decoded, frames, strict=True):
        assert np.abs(shown.astype(int) - frame).mean() < 6
    assert (tmp_path / "one.mp4").stat().st_size < 80_000
    write_video(tmp_path / "two.mp4", frames)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.mp4", "two.mp4"]


def test_failed_writing_leaves_nothing(tmp_path: Path, drawn: list[tuple[Log, list[Image]]]) -> None:
    _, frames = drawn[0]
    with pytest.raises(ValueError, match="uint8"):
        write_video(tmp_path / "one.mp4", [*frames[:3], frames[0].astype(np.float64)])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_still_is_a_picture(tmp_path: Path, drawn: list[tuple[Log, list[Image]]]) -> None:
    import cv2

    write_image(tmp_path / "one.png", drawn[0][1][7])
    assert (cv2.imread(str(tmp_path / "one.png"))[..., ::-1] == drawn[0][1][7]).all()
