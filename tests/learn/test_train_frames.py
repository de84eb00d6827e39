"""Frames for training: those of asking where nothing is varied, and one of each part of the clip where it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_training import save_network

import videochat
from local_llm import save as save_llm
from media import make, read_index
from videochat import Frame, VideoError
from videochat_plugins.learn.train_config import Augment
from videochat_plugins.learn.train_data import Item, Turn
from videochat_plugins.learn.train_frames import _box, read_frames, to_pixels
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.pretrained import load_model
from videochat_plugins.models.videochat_embed.network import VideoChatEmbed
from videochat_plugins.read.pyav import PyAV

COUNT, FPS = 100, 20
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=COUNT, fps=FPS).path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    llm = save_llm(folder / "llm", chat=False, hidden_size=64)
    return save_network(folder / "network", llm)


def item(path: Path, medium: Any = "video", **part: float) -> Item:
    return Item(medium, path, (Turn("", "x"),), "d.json: entry 0", **part)


def numbers(frames: list[Frame]) -> list[int]:
    return [read_index(frame.image) for frame in frames]


def test_unvaried_they_are_what_the_network_sees_when_asked(clip: Path, network: Path) -> None:
    llm = network.parent / "llm"
    settings = [f"perceive.embed.checkpoint={network}", f"llm.model={llm}", "device=cpu"]
    stack = videochat.load("embed", settings)
    (record,) = stack.watch(clip).records
    frames = read_frames(PyAV(), item(clip), 8, 56, None)
    assert tuple(frame.time for frame in frames) == record.times
    prepare = Preprocess.read(network)
    pixels = to_pixels(frames, prepare, Augment(), None)
    times = torch.tensor([record.times], dtype=torch.float64)
    model = load_model(VideoChatEmbed, Checkpoint(str(network)), "float32", "cpu")
    tokens = model(pixels[None], times)[0]
    assert record.tokens is not None
    assert np.array_equal(tokens.numpy(), np.asarray(record.tokens))


@pytest.mark.parametrize("seed", range(5))
def test_varied_each_is_of_its_own_part_of_the_clip(clip: Path, seed: int) -> None:
    chance = np.random.default_rng(seed)
    found = numbers(read_frames(PyAV(), item(clip), 4, 56, chance))
    for i, number in enumerate(found):
        assert i * COUNT / 4 - 0.5 <= number <= (i + 1) * COUNT / 4 + 0.5
    again = numbers(read_frames(PyAV(), item(clip), 4, 56, np.random.default_rng(seed)))
    assert found == again
    assert found != numbers(read_frames(PyAV(), item(clip), 4, 56, None))


def test_only_the_part_that_is_meant(clip: Path) -> None:
    assert numbers(read_frames(PyAV(), item(clip, start=1.0, end=2.0), 2, 56, None)) == [25, 35]
    with pytest.raises(VideoError, match="ends at 5 s, before the start, 7"):
        read_frames(PyAV(), item(clip, start=7.0), 2, 56, None)


def test_an_image_is_one_frame(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 60, 3), (10, 200, 30), np.uint8)).save(tmp_path / "one.png")
    (frame,) = read_frames(PyAV(), item(tmp_path / "one.png", "image"), 8, 56, np.random.default_rng(0))
    assert frame.time == 0
    assert (frame.image == (10, 200, 30)).all()


def test_a_clip_of_one_frame_is_seen_as_often_as_frames_are_wanted(tmp_path: Path) -> None:
    short = make(tmp_path / "short.mp4", frames=1, fps=10).path
    assert numbers(read_frames(PyAV(), item(short), 3, 56, None)) == [0, 0, 0]


def test_a_file_without_pictures_is_no_clip(tmp_path: Path) -> None:
    sound = make(tmp_path / "sound.m4a", frames=0, tone=300.0, audio_seconds=1.0).path
    with pytest.raises(VideoError, match="has no pictures"):
        read_frames(PyAV(), item(sound), 4, 56, None)


def test_colours_are_normalised_as_when_asked_which_is_clips_way(network: Path) -> None:
    grey = [Frame(0.0, np.full((56, 56, 3), 128, np.uint8))]
    pixels = to_pixels(grey, Preprocess.read(network), Augment(), np.random.default_rng(0))
    mean, std = (torch.tensor(values)[:, None, None] for values in CLIP)
    assert torch.allclose(pixels[0] * std + mean, torch.tensor(128 / 255), atol=1e-6)


def test_all_frames_of_a_clip_are_cropped_alike_and_clips_each_in_their_own_way(network: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    frames = [Frame(float(i), picture) for i in range(3)]
    prepare, chance = Preprocess.read(network), np.random.default_rng(0)
    one, two = (to_pixels(frames, prepare, Augment(), chance) for _ in range(2))
    assert one.shape == (3, 3, 56, 56)
    assert torch.equal(one[0], one[1])
    assert not torch.equal(one, two)
    whole = to_pixels(frames, prepare, Augment(crop=1), chance)
    assert torch.equal(whole, to_pixels(frames, prepare, Augment(), None))


def test_flipped_only_if_wanted_and_then_every_other(network: Path) -> None:
    picture = np.zeros((56, 56, 3), np.uint8)
    picture[:, :28] = 255
    frames, prepare, chance = [Frame(0.0, picture)], Preprocess.read(network), np.random.default_rng(0)
    assert not Augment().flip
    left = [bool(to_pixels(frames, prepare, Augment(crop=1, flip=True), chance)[0, 0, 0, 0] > 0) for _ in range(40)]
    assert 10 < sum(left) < 30


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.05, 1), st.integers(0, 2**31))
def test_a_crop_lies_in_the_picture_and_keeps_its_share(height: int, width: int, least: float, seed: int) -> None:
    top, left, high, wide = _box(height, width, least, np.random.default_rng(seed))
    assert 0 <= top <= top + high <= height
    assert 0 <= left <= left + wide <= width
    assert high > 0
    assert wide > 0
    assert (high + 0.5) * (wide + 0.5) >= least * height * width
