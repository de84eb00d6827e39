"""Batches: each of one medium, media in proportion, alike on all processes; examples settled by their draw."""

import json
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_training import make_clips, make_images, save_network, write_captions

from local_llm import save as save_llm
from videochat import VideoError
from videochat_plugins.learn.train_batches import IGNORED, Batches, Collate, Draw, Examples, over_long
from videochat_plugins.learn.train_config import Stage1
from videochat_plugins.learn.train_data import Medium, read_data
from videochat_plugins.learn.train_prompt import scribe_for
from videochat_plugins.models.preprocess import Preprocess

Sizes = dict[Medium, int]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8), st.integers(1, 8), st.integers(1, 4))
def test_an_epoch_holds_everything_once_but_for_what_fills_the_last_batches(
    videos: int, images: int, video: int, image: int, world: int
) -> None:
    sizes: Sizes = {"video": videos, "image": images}
    each: Sizes = {"video": video, "image": image}
    count = Batches(sizes, each, 0, 0, 0, world).in_epoch
    ranks = [list(Batches(sizes, each, count, 0, rank, world)) for rank in range(world)]
    for parts in zip(*ranks, strict=True):
        (medium,) = {draw.medium for part in parts for draw in part}  # the same on all processes
        assert {len(part) for part in parts} == {each[medium]}
    for medium, size in sizes.items():
        seen = Counter(draw.number for rank in ranks for part in rank for draw in part if draw.medium == medium)
        assert {*seen} == {*range(size)}
        assert sum(seen.values()) - size < each[medium] * world
        assert max(seen.values()) - min(seen.values()) <= 1 or size < each[medium] * world


def test_all_processes_together_see_the_same_however_many_there_are() -> None:
    sizes: Sizes = {"video": 24, "image": 16}
    one = list(Batches(sizes, {"video": 4, "image": 4}, 20, 7, 0, 1))
    two = [list(Batches(sizes, {"video": 2, "image": 2}, 20, 7, rank, 2)) for rank in range(2)]
    for whole, *parts in zip(one, *two, strict=True):
        assert {*whole} == {draw for part in parts for draw in part}


def test_media_alternate_at_random_in_proportion_and_epochs_differ() -> None:
    batches = list(Batches({"video": 300, "image": 100}, {"video": 2, "image": 2}, 400, 0, 0, 1))
    media = [batch[0].medium for batch in batches]
    assert Counter(media) == {"video": 300, "image": 100}
    assert 100 < sum(a != b for a, b in pairwise(media)) < 200  # of 400; 150 if independent
    assert media[:200] != media[200:]
    assert [draw.epoch for batch in batches for draw in batch] == [0] * 400 + [1] * 400
    assert list(Batches({"video": 300, "image": 100}, {"video": 2, "image": 2}, 400, 1, 0, 1)) != batches


def test_both_media_are_trained_however_they_are_sorted() -> None:
    """The original returns after the first medium, so that its stage 1 sees images only."""
    for sizes in ({"image": 8, "video": 8}, {"video": 8, "image": 8}):
        seen = {draw.medium for batch in Batches(sizes, {"video": 4, "image": 4}, 4, 0, 0, 1) for draw in batch}  # type: ignore[arg-type]
        assert seen == {"image", "video"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    clips = make_clips(folder / "videos", 6)
    write_captions(folder / "captions.json", clips, make_images(folder / "images", clips[:3]))
    save_llm(folder / "llm", chat=False, hidden_size=64)
    save_network(folder / "network")
    return folder


def examples(world: Path, file: str = "captions.json", chance: bool = True, **options: Any) -> Examples:
    told = {"model": "m", "llm": str(world / "llm"), "data": (world / file,), "out": Path("out"), **options}
    config = Stage1(**told)
    data = read_data(config.data, "stage1", None, "refuse")
    return Examples(data, scribe_for(config, "stage1"), Preprocess.read(world / "network"), config, chance)


def test_an_example_is_settled_by_its_draw(world: Path) -> None:
    found = examples(world)
    one, again, later = (found[Draw("video", 2, epoch)] for epoch in (0, 0, 1))
    assert torch.equal(one.pixels, again.pixels)
    assert (one.times, one.script) == (again.times, again.script)
    assert one.times != later.times
    asked = {tuple(found[Draw("video", 2, epoch)].script.after) for epoch in range(12)}
    assert len(asked) > 4  # instructions vary


def test_what_is_held_out_does_not_vary(world: Path) -> None:
    found = examples(world, chance=False)
    one, two = (found[Draw("video", 2, epoch)] for epoch in (0, 1))
    assert torch.equal(one.pixels, two.pixels)
    assert one.times == two.times == [0.25, 0.75, 1.25, 1.75]


@pytest.mark.parametrize("medium", ["video", "image"])
def test_a_batch_is_laid_out_row_by_row(world: Path, medium: Any) -> None:
    found = examples(world)
    parts = [found[Draw(medium, number, 0)] for number in range(3)]
    batch = Collate(8, 3)(parts)
    frames = 4 if medium == "video" else 1
    assert batch["pixel_values"].shape == (3, frames, 3, 56, 56)
    assert batch["times"].shape == (3, frames)
    assert batch["visual"].sum(1).tolist() == [8, 8, 8]
    for row, part in enumerate(parts):
        before, after, learnt, _ = part.script
        length = len(before) + 8 + len(after)
        assert batch["attention_mask"][row].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
        ids = batch["input_ids"][row, :length][~batch["visual"][row, :length]]
        assert ids.tolist() == before + after
        assert batch["visual"][row, len(before) : len(before) + 8].all()
        labels = batch["labels"][row]
        assert labels[labels != IGNORED].tolist() == [id for id, yes in zip(after, learnt, strict=True) if yes]
        assert (labels[: len(before) + 8] == IGNORED).all()


@pytest.fixture
def broken(world: Path, tmp_path: Path) -> Path:
    """A world in which one of three clips is cut short."""
    for name in ("llm", "network"):
        shutil.copytree(world / name, tmp_path / name)
    clips = make_clips(tmp_path / "videos", 3)
    clips[1].path.write_bytes(clips[1].path.read_bytes()[:500])
    write_captions(tmp_path / "captions.json", clips)
    return tmp_path


def test_a_damaged_video_is_refused_by_file_and_entry(broken: Path) -> None:
    with pytest.raises(VideoError, match=r"captions\.json: entry 1: .*001\.mp4.*; leave such out with `bad: skip`"):
        examples(broken)[Draw("video", 1, 0)]


def test_or_the_next_takes_its_place_and_it_is_told(broken: Path) -> None:
    found = examples(broken, bad="skip")
    example = found[Draw("video", 1, 0)]
    (unread,) = example.unread
    assert unread.startswith(f"{broken / 'captions.json'}: entry 1: ")
    assert torch.equal(example.pixels, found[Draw("video", 2, 0)].pixels)
    assert Collate(8, 3)([example])["unread"] == [unread]


def test_texts_that_are_too_long_are_found_before_training_and_counted_in_it(world: Path) -> None:
    long = " ".join(["word"] * 40)
    rows = json.loads((world / "captions.json").read_text())
    rows[2]["caption"] = long
    (world / "long.json").write_text(json.dumps(rows))
    found = examples(world, "long.json")
    data = read_data([world / "long.json"], "stage1", None, "refuse")
    assert over_long(data, found._scribe) == [f"{world / 'long.json'}: entry 2"]
    assert Collate(8, 3)([found[Draw("video", number, 0)] for number in range(4)])["cut"] == 1
