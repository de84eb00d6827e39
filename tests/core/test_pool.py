import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from videochat import Key, Pool


class Model:
    pass


def test_a_key_is_built_once() -> None:
    pool = Pool("cpu")
    first = pool.get(Key("Blip", "base"), Model)
    assert pool.get(Key("Blip", "base"), Model) is first
    assert pool.get(Key("Blip", "large"), Model) is not first
    assert pool.get(Key("Blip", "base", precision="fp16"), Model) is not first
    assert len(pool) == 3


def test_threads_that_ask_at_once_get_one_model() -> None:
    pool, together = Pool("cpu"), threading.Barrier(8)

    def build() -> Model:
        time.sleep(0.01)
        return Model()

    def ask(_: int) -> Model:
        together.wait(timeout=10)
        return pool.get(Key("Blip"), build)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(map(id, threads.map(ask, range(8))))) == 1


@pytest.mark.timeout(20)
def test_what_builds_a_model_may_get_its_parts_from_the_pool() -> None:
    pool = Pool("cpu")
    whole = pool.get(Key("VLM"), lambda: [pool.get(Key("Vision"), Model)])
    assert whole == [pool.get(Key("Vision"), Model)]


def test_a_model_that_fails_to_build_can_be_tried_again() -> None:
    pool = Pool("cpu")

    def fail() -> Model:
        raise OSError("no such checkpoint")

    with pytest.raises(OSError, match="checkpoint"):
        pool.get(Key("Blip"), fail)
    assert len(pool) == 0
    assert isinstance(pool.get(Key("Blip"), Model), Model)


def test_a_built_none_counts_as_built() -> None:
    built: list[int] = []
    pool = Pool("cpu")
    for _ in range(2):
        pool.get(Key("nothing"), lambda: built.append(1))
    assert built == [1]


def test_trim_keeps_what_a_later_stage_needs() -> None:
    pool = Pool("cpu")
    kept, _ = pool.get(Key("VLM", "qwen"), Model), pool.get(Key("Blip", "base"), Model)
    pool.trim(keep=["qwen"])
    assert len(pool) == 1
    assert pool.get(Key("VLM", "qwen"), Model) is kept
    pool.trim()
    assert len(pool) == 0


def test_device() -> None:
    assert Pool("cuda:1").device == "cuda:1"
    assert Pool().device in ("cpu", "cuda:0")


def test_a_device_has_one_name() -> None:
    pool = Pool("cuda")
    assert pool.device == pool.place("") == pool.place("cuda") == pool.place("cuda:0") == "cuda:0"
    assert (pool.place("cpu"), pool.place("cuda:1")) == ("cpu", "cuda:1")


def test_a_pool_knows_what_it_holds() -> None:
    pool = Pool("cpu")
    for name in ("base", "large"):
        pool.get(Key("Blip", name), Model)
    assert pool.checkpoints == {"base", "large"}
    pool.trim(["large"])
    assert pool.checkpoints == {"large"}
