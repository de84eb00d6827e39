"""Which models are held at once: each device has its own memory, asked for only where that decides."""

from collections.abc import Sequence

import pytest
from pydantic import Field

from components import Echo, Passing, Weighty
from videochat import Key, Pool, Stack, Weights
from videochat.residency import fit, free_bytes


class Placed(Echo):
    """Has a model of 60 bytes that goes where its option says."""

    class Options(Echo.Options):
        device: str = Field(default="")

    options: Options

    def weights(self) -> Sequence[Weights]:
        return [Weights(f"model-{self.options.word}", 60)]


class Asked:
    """Tells what is free, and remembers who was asked."""

    def __init__(self, **free: int) -> None:
        self.free, self.devices = free, list[str]()

    def __call__(self, device: str) -> int:
        self.devices.append(device)
        return self.free[device.replace(":", "")]


def placed(word: str, device: str = "") -> Placed:
    return Placed(word=word, device=device)


def test_a_model_goes_where_the_option_device_says_and_without_one_stays_on_the_cpu() -> None:
    pool = Pool("cuda")
    assert placed("it").place(pool) == "cuda:0"
    assert placed("it", "cuda:1").place(pool) == "cuda:1"
    assert placed("it", "cpu").place(pool) == "cpu"
    assert Weighty(60).place(pool) == Passing().place(pool) == "cpu"


@pytest.mark.parametrize(
    ("cpu", "cuda0", "cuda1", "fits"),
    [(60, 120, 60, True), (59, 120, 60, False), (60, 119, 60, False), (60, 120, 59, False)],
)
def test_models_share_the_memory_of_their_own_device_only(cpu: int, cuda0: int, cuda1: int, fits: bool) -> None:
    free = Asked(cpu=cpu, cuda0=cuda0, cuda1=cuda1)
    parts = [Weighty(60, word="a"), placed("b"), placed("c"), placed("c"), placed("d", "cuda:1")]
    assert fit(Stack(device="cuda"), parts, free) is fits


def test_only_devices_that_models_go_to_are_asked() -> None:
    free = Asked(cpu=60)
    assert fit(Stack(device="cuda"), [Echo(), placed("a", "cpu")], free)
    assert free.devices == ["cpu"]
    assert fit(Stack(device="cuda"), [Echo(), Passing()], free)
    assert free.devices == ["cpu"], "nothing needs a model"


def test_what_the_pool_holds_takes_no_more_room() -> None:
    stack = Stack(device="cpu")
    assert not fit(stack, [placed("a")], Asked(cpu=0))
    stack.pool.get(Key("Model", "model-a"), object)
    assert fit(stack, [placed("a")], Asked(cpu=0))


@pytest.mark.parametrize(("residency", "fits"), [("together", True), ("one_at_a_time", False)])
def test_where_the_stack_decides_nobody_is_asked(residency: str, fits: bool) -> None:
    free = Asked()
    assert fit(Stack(device="cuda", residency=residency), [placed("a")], free) is fits
    assert free.devices == []


def test_what_is_free() -> None:
    assert 2**20 < free_bytes("cpu") < 2**50
    pytest.importorskip("torch", reason="the extra models is not installed")
    assert free_bytes("cuda:99") == 0, "what loads a model there says that there is none"
