"""Many things are asked of one model: as many at once as there are copies, each of which is one thread's at a time."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speakers import Talker
from videochat import LLM, LLMError, Stack, Weights
from videochat_plugins.learn.asking import alone, ask_all, loaded


class Here(Talker):
    def weights(self) -> list[Weights]:
        return [Weights("talker")]


class Broken(Talker):
    def load(self, pool: object) -> None:
        raise RuntimeError("no memory")


def test_who_is_alone() -> None:
    assert alone(Here())
    assert alone(Stack(llm="extractive").llm)
    assert not alone(Talker())


def test_copies_have_the_same_options() -> None:
    stack = Stack(llm=Talker(says=("blue",)))
    with loaded(stack, 3) as models:
        assert len({id(model) for model in (stack.llm, *models)}) == 4
        assert {model.options.says for model in models if isinstance(model, Talker)} == {("blue",)}
    stack = Stack(llm=Here())
    with loaded(stack, 3) as models:
        assert models == [stack.llm]


def test_a_model_that_does_not_load() -> None:
    with (
        pytest.raises(LLMError, match="the language model failed: RuntimeError: no memory"),
        loaded(Stack(llm=Broken()), 2),
    ):
        pass


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 12))
@settings(deadline=None, max_examples=30)
def test_all_are_asked_each_once_and_no_more_at_once_than_allowed(models: int, ahead: int, tasks: int) -> None:
    busy: dict[int, int] = {}
    told: list[tuple[int, int]] = []
    drawn = 0
    lock = threading.Lock()

    def wanted() -> Iterator[int]:
        nonlocal drawn
        for task in range(tasks):
            drawn += 1
            assert drawn - len(told) <= ahead * models
            yield task

    def ask(model: LLM, task: int) -> int:
        with lock:
            busy[id(model)] = busy.get(id(model), 0) + 1
            assert busy[id(model)] == 1
        time.sleep(0.0005 * (task % 3))
        with lock:
            busy[id(model)] -= 1
        return task * task

    ask_all([Talker() for _ in range(models)], wanted(), ask, lambda task, found: told.append((task, found)), ahead)
    assert sorted(told) == [(task, task * task) for task in range(tasks)]
    if models == 1:
        assert told == sorted(told)


def test_who_stops_waits_for_what_is_under_way_and_asks_no_more() -> None:
    begun: list[int] = []
    ended: list[int] = []
    both = threading.Barrier(2)

    def ask(model: LLM, task: int) -> int:
        begun.append(task)
        if task < 2:
            both.wait(10)
        if task == 1:
            time.sleep(0.1)
        ended.append(task)
        return task

    def tell(task: int, found: int) -> None:
        raise LLMError("enough")

    with pytest.raises(LLMError, match="enough"):
        ask_all([Talker(), Talker()], range(9), ask, tell)
    assert sorted(begun) == sorted(ended) == [0, 1]
