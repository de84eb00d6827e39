"""Shot boundaries in drawn frames: what is a cut, what is none, and that segments tile the video."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from videochat import Frame, Span, Stack, StackError, Stream, Video
from videochat_plugins.segment.shots import Shots

Image = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 160, 90


@cache
def texture(seed: int) -> Image:
    """A wide picture with detail everywhere."""
    coarse = np.random.default_rng(seed).integers(30, 230, (3, 22, 3), dtype=np.uint8)
    return coarse.repeat(30, axis=0).repeat(30, axis=1)


def view(seed: int, count: int, slide: int = 0) -> list[Image]:
    """So many pictures of one place; the camera moves `slide` pixels from each to the next."""
    return [texture(seed)[:, i * slide % 480 :][:, :WIDTH] for i in range(count)]


def film(duration: float, pictures: bool = True) -> Video:
    return Video(Path("film"), duration, WIDTH, HEIGHT, streams=(Stream("video" if pictures else "audio", "none"),))


def shots(
    images: Sequence[Image], fps: float = 25.0, offset: float = 0.0, tail: float = 0.0, **given: Any
) -> list[Span]:
    """The segments of pictures that start at `offset`; sound goes on for `tail` seconds after them."""
    frames = (Frame(offset + i / fps, image) for i, image in enumerate(images))
    duration = offset + len(images) / fps + tail
    return list(Shots(Shots.Options(**given)).segments(film(duration), frames))


def cuts(images: Sequence[Image], **given: Any) -> list[float]:
    return [span.start for span in shots(images, **given)][1:]


def white(image: Image, share: float) -> Image:
    return (image * (1 - share) + 255 * share).astype(np.uint8)


def dark(image: Image, share: float) -> Image:
    return (image * share).astype(np.uint8)


@pytest.mark.parametrize("detector", ["adaptive", "content"])
@pytest.mark.parametrize("fps", [10.0, 23.976, 25.0, 29.97, 60.0])
@pytest.mark.parametrize("offset", [0.0, 3.7])
def test_a_cut_is_the_time_of_the_first_frame_after_it(detector: str, fps: float, offset: float) -> None:
    images = view(1, 37) + view(2, 50) + view(3, 41)
    assert cuts(images, fps=fps, offset=offset, detector=detector) == [offset + 37 / fps, offset + 87 / fps]


def test_frames_that_come_twice_change_nothing() -> None:
    frames = [Frame(i / 12, image) for i, image in enumerate(view(1, 20, 5) + view(2, 20, 5))]
    twice = [frame for frame in frames for _ in range(2)]
    video, spans = film(40 / 12), [(0, 20 / 12), (20 / 12, 40 / 12)]
    assert list(Shots().segments(video, twice)) == list(Shots().segments(video, frames)) == spans


@pytest.mark.parametrize(
    "shares", [[1], [1, 1, 1], [1, 0.8, 0.4, 0.15], [0.2, 0.5, 0.8, 1], [1, 0, 1, 0, 1], [0.9] * 8]
)
@pytest.mark.parametrize("detector", ["adaptive", "content"])
def test_a_flash_is_no_cut(shares: list[float], detector: str) -> None:
    images = view(1, 75, 1)
    images[30 : 30 + len(shares)] = [white(image, share) for image, share in zip(images[30:], shares, strict=False)]
    assert cuts(images, detector=detector) == []
    assert cuts(images + view(2, 25), detector=detector) == [3.0]


def test_every_change_counts_where_flashes_are_not_looked_for() -> None:
    images = view(1, 25) + view(2, 8) + view(1, 25)
    assert cuts(images) == []
    assert cuts(images, flash=0) == [1.0, 33 / 25]


def test_a_cut_during_a_flash_is_one_cut() -> None:
    images = view(1, 30) + view(2, 30)
    images[29:32] = [white(image, 0.9) for image in images[29:32]]
    assert cuts(images) == [29 / 25]


def test_motion_is_no_cut() -> None:
    assert cuts(view(1, 100, 4)) == []
    assert cuts(view(1, 60, 20)) == []
    passing = view(1, 60)
    for i in range(8):
        passing[20 + i] = passing[20 + i].copy()
        passing[20 + i][:, max(0, 40 * i - 120) : 40 * i] = 20
    assert cuts(passing) == []


def test_the_content_detector_takes_every_large_change() -> None:
    images = view(1, 60, 20)
    assert len(cuts(images, detector="content", threshold=10, flash=0)) > 5
    assert cuts(images, detector="content", threshold=200) == []


@pytest.mark.parametrize("steps", [8, 25])
def test_after_a_fade_the_shot_starts_with_the_first_picture_that_is_not_black(steps: int) -> None:
    before, after = view(1, 50), view(2, 50)
    for k in range(steps):
        before[-1 - k], after[k] = dark(before[-1 - k], k / steps), dark(after[k], k / steps)
    for black in (1, 30):
        (cut,) = cuts(before + [dark(before[0], 0)] * black + after)
        start = (50 + black) / 25
        assert start < cut <= start + 3 / 25


def test_blinking_in_black_is_no_cut() -> None:
    images = view(1, 60)
    images[30:33] = [dark(image, 0) for image in images[30:33]]
    assert cuts(images) == []


def test_views_that_look_alike_need_a_lower_threshold() -> None:
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    bars = grey.copy()
    bars[::2] += 16
    assert cuts([grey] * 30 + [bars] * 30) == []
    assert cuts([grey] * 30 + [bars] * 30, threshold=2) == [30 / 25]


def test_shots_shorter_than_min_belong_to_their_neighbour() -> None:
    montage = [image for seed in range(6) for image in view(seed, 8)]
    assert cuts(montage) == [8 / 25, 16 / 25, 24 / 25, 32 / 25, 40 / 25]
    assert cuts(montage, min=0.5) == [16 / 25, 32 / 25]
    assert cuts(view(1, 3) + view(2, 30)) == []
    assert cuts(view(1, 30) + view(2, 3)) == []
    assert cuts(view(1, 30) + view(2, 3), min=0.1) == [30 / 25]


def test_long_shots_are_cut_in_equal_parts() -> None:
    found = shots(view(1, 70) + view(2, 25), fps=10, max=3)
    assert [span.start for span in found] == pytest.approx([0, 7 / 3, 14 / 3, 7])
    assert shots(view(1, 60), fps=10, max=3) == [(0, 3), (3, 6)]


@pytest.mark.parametrize(("count", "tail"), [(0, 8.0), (1, 0.0), (1, 7.0), (3, 0.0), (20, 50.0)])
def test_few_frames_and_an_early_end(count: int, tail: float) -> None:
    found = shots(view(1, count), tail=tail, max=10)
    duration = count / 25 + tail
    assert (found[0].start, found[-1].end) == (0, duration)
    assert len(found) == max(1, -(-duration // 10))


def test_a_file_without_pictures_is_not_looked_at() -> None:
    def refuse() -> Iterator[Frame]:
        raise AssertionError("there are no pictures to be asked for")
        yield

    assert list(Shots(Shots.Options(max=4)).segments(film(10.0, False), refuse())) == [
        (0, pytest.approx(10 / 3)), (pytest.approx(10 / 3), pytest.approx(20 / 3)), (pytest.approx(20 / 3), 10),
    ]  # fmt: skip


def test_shots_come_as_soon_as_they_are_sure_and_few_frames_are_held() -> None:
    alive, seen, most = 0, 0, 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[Frame]:
        nonlocal alive, seen, most
        for seen in range(1000):
            image = texture(seen // 100)[:, :WIDTH].copy()
            weakref.finalize(image, gone)
            alive += 1
            most = max(most, alive)
            yield Frame(seen / 25, image)

    gc.collect()
    for number, span in enumerate(Shots().segments(film(40.0), frames())):
        assert span == (number * 4, number * 4 + 4)
        assert seen <= min(999, (number + 1) * 100 + 13)
    assert number == 9
    assert most < 30


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(15, 60), min_size=1, max_size=6),
    fps=st.floats(10, 60),
    offset=st.sampled_from([0.0, 0.02, 1.3]),
    tail=st.sampled_from([0.0, 0.01, 2.0]),
    longest=st.floats(0.3, 5),
    detector=st.sampled_from(["adaptive", "content"]),
)
def test_segments_tile_the_video_and_end_at_its_cuts(
    lengths: Sequence[int], fps: float, offset: float, tail: float, longest: float, detector: str
) -> None:
    images = [image for seed, length in enumerate(lengths) for image in view(seed, length)]
    found = shots(images, fps, offset, tail, max=longest, detector=detector)
    assert found[0].start == 0
    assert found[-1].end == offset + len(images) / fps + tail
    assert all(before.end == after.start for before, after in pairwise(found))
    assert all(0 < span.end - span.start <= longest + 1e-6 for span in found)
    truth = {offset + number / fps for number in accumulate(lengths[:-1])}
    assert truth <= {span.start for span in found}
    bounds = [0.0, *sorted(truth), found[-1].end]
    assert len(found) == sum(int(np.ceil((end - start) / longest - 1e-9)) for start, end in pairwise(bounds))


@pytest.mark.parametrize(
    "given", [{"min": 2, "max": 1}, {"max": 0}, {"threshold": 0}, {"detector": "hash"}, {"fps": 0}]
)
def test_other_options_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Shots.Options(**given)


def test_contradicting_options_are_named() -> None:
    with pytest.raises(StackError, match=r"segment.*min \(2 s\) must not be above max \(1 s\)"):
        Stack(segment={"use": "shots", "min": 2, "max": 1})
