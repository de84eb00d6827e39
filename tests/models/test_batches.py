"""Batches: how many forwards, in which order, and what gives way when memory runs out."""

from collections.abc import Sequence
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat_plugins.models.batches import Batches

torch = pytest.importorskip("torch", reason="the extra models is not installed")


class Model:
    """Doubles numbers; has memory for so many at once."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.sizes: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.sizes.append(len(items))
        if len(items) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * item for item in items]


@given(items=st.lists(st.integers()), size=st.integers(1, 12))
def test_each_item_once_in_order_in_as_few_forwards_as_there_can_be(items: list[int], size: int) -> None:
    model, batches = Model(), Batches(size)
    assert batches.map(model, items) == [2 * item for item in items]
    assert len(model.sizes) == ceil(len(items) / size)
    assert batches.notes == []


@given(items=st.lists(st.integers(), max_size=40), size=st.integers(1, 32), room=st.integers(1, 8))
def test_out_of_memory_changes_nothing_but_the_batches(items: list[int], size: int, room: int) -> None:
    model, batches = Model(room), Batches(size)
    assert batches.map(model, items) == [2 * item for item in items]
    failed = [tried for tried in model.sizes if tried > room]
    assert len(batches.notes) == len(failed)
    assert sum(tried for tried in model.sizes if tried <= room) == len(items)
    if failed:
        assert batches.size <= room


def test_the_ledger_is_told_once_and_the_smaller_batch_stays() -> None:
    model, batches = Model(room=2), Batches(8)
    batches.map(model, range(6))
    batches.map(model, range(6))
    assert batches.notes == ["out of memory: batch 6 to 3", "out of memory: batch 3 to 1"]
    assert model.sizes == [6, 3, *[1] * 12]


def test_one_input_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Batches(4).map(Model(room=0), range(4))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def fails(items: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes do not match")

    batches = Batches(4)
    with pytest.raises(RuntimeError, match="shapes"):
        batches.map(fails, range(4))
    assert batches.notes == []


def test_a_result_for_each_input_is_asked_for() -> None:
    with pytest.raises(ValueError, match="a batch of 3 gave 2 results"):
        Batches(3).map(lambda items: [1, 2], [1, 2, 3])
