"""Where tokens of Qwen2.5-VL stand in time, height and width."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from local_vlm import about, answerer, film, see
from tiny_vlms import save_qwen2_5_vl
from videochat import Tokens
from videochat_plugins.llm.vlm_generate import GridPlaces
from videochat_plugins.models.vlm.family import Vision

Starts = tuple[float, ...]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))


def places(folder: Path, *shown: Tokens | str) -> tuple[Any, list[Vision | list[int]]]:
    """Return the positions (3, n) of a prompt, and the prompt."""
    llm = answerer(folder)
    prompt = llm.writer.write(about(*shown))
    decoder: Any = llm._decoder
    given = decoder._places(prompt).given(0, sum(map(len, prompt)))
    return given["position_ids"][:, 0], prompt


def slots(folder: Path, starts: Starts) -> Tokens:
    """Return slots of 3 x 4 tokens that begin at some times."""
    one = see(folder, film(2))
    rows = np.concatenate([np.asarray(one.tokens)] * len(starts))
    return replace(one, tokens=rows, times=starts, slots=len(starts), records=())


def in_time(folder: Path, starts: Starts) -> list[int]:
    """Return how far each slot stands from the first in time."""
    found, prompt = places(folder, slots(folder, starts))
    at = len(prompt[0])
    video = found[:, at : at + 12 * len(starts)].reshape(3, -1, 3, 4)
    first = video[0, 0, 0, 0]
    assert (video[0] == video[0, :, :1, :1]).all()
    assert (video[1] == first + torch.arange(3)[:, None]).all()
    assert (video[2] == first + torch.arange(4)).all()
    return [int(tick) for tick in video[0, :, 0, 0] - first]


@pytest.mark.parametrize(
    ("starts", "ticks"),  # two a second
    [
        ((3.0,), [0]),
        ((3.0, 4.0, 5.0, 6.0), [0, 2, 4, 6]),
        ((0.5, 1.1, 1.7, 2.3), [0, 1, 2, 3]),  # rounded down
        ((0.52, 1.5, 2.48, 3.52), [0, 2, 4, 6]),  # frames nearest to even times
        ((1.0, 1.5, 4.0, 10.0), [0, 1, 6, 18]),  # merged
        ((1.0, 61.0, 62.0), [0, 120, 122]),
        ((2.0, 2.0, 2.0), [0, 0, 0]),
    ],
)
def test_slots_stand_at_their_times(folder: Path, starts: Starts, ticks: list[int]) -> None:
    assert in_time(folder, starts) == ticks


@given(step=st.floats(0.05, 60.0), count=st.integers(2, 40))
def test_even_slots_stand_where_the_class_puts_them(folder: Path, step: float, count: int) -> None:
    starts = tuple(7.0 + i * step for i in range(count))
    found = torch.tensor(in_time(folder, starts))
    expected = (torch.arange(count) * (2 * torch.tensor((starts[-1] - starts[0]) / (count - 1)))).long()
    assert torch.equal(found, expected)


def test_what_comes_after_a_video_does_not_depend_on_its_times(folder: Path) -> None:
    near, far = (places(folder, slots(folder, starts)) for starts in ((0.0, 1.0, 2.0), (0.0, 1.0, 500.0)))
    at = len(near[1][0]) + len(near[1][1])
    assert torch.equal(near[0][:, at:], far[0][:, at:])


def test_the_whole_of_a_prompt_is_the_index_of_the_class(folder: Path) -> None:
    shown = see(folder, film(1)), see(folder, film(6)), see(folder, film(4), step=3.0)
    found, prompt = places(folder, shown[0], " and ", shown[1], shown[2])
    model: Any = answerer(folder)._decoder.model  # type: ignore[union-attr]
    ids = [id for p in prompt for id in ([p.token] * len(p) if isinstance(p, Vision) else p)]
    kinds = [k for p in prompt for k in [{"image": 1, "video": 2}[p.media] if isinstance(p, Vision) else 0] * len(p)]
    expected, _ = model.model.get_rope_index(
        torch.tensor([ids]),
        torch.tensor([kinds]),
        image_grid_thw=torch.tensor([[1, 6, 8]]),
        video_grid_thw=torch.tensor([[3, 6, 8], [2, 6, 8]]),
        second_per_grid_ts=torch.tensor([2.0, 6.0]),
    )
    assert torch.equal(found, expected[:, 0])
    assert model.model.rope_deltas is None


def test_an_answer_goes_on_from_the_prompt() -> None:
    given = GridPlaces(torch.tensor([[[0, 5, 9, 3]], [[0, 1, 1, 3]], [[0, 1, 2, 3]]])).given
    assert given(4, 5)["position_ids"].tolist() == [[[4]], [[4]], [[4]]]
    assert given(2, 6)["position_ids"].tolist() == [[[9, 3, 4, 5]], [[1, 3, 4, 5]], [[2, 3, 4, 5]]]
    assert given(1, 3)["position_ids"].tolist() == [[[5, 9]], [[1, 1]], [[1, 2]]]
