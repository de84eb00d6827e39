"""Time and memory on a device, and models that stay on it from one run to the next."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from benchmarks.figure import SkippedError, seconds
from videochat import Key, Pool, Stack


class Resident(Pool):
    """Keeps its models from one watch to the next, as a server does."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.networks: dict[Key, Any] = {}

    def get(self, key: Key, build: Callable[[], Any]) -> Any:
        """Return a model, and remember it."""
        self.networks[key] = super().get(key, build)
        return self.networks[key]

    def trim(self, keep: object = ()) -> None:
        """Drop nothing."""


def load_all(stack: Stack) -> None:
    """Load all models that perceive and refine; no later watch loads or closes any."""
    for component in (*stack.perceivers.values(), *stack.refiners.values()):
        component.load(stack.pool)
        vars(component).update(load=lambda pool: None, close=lambda: None)


def check(device: str, *libraries: str) -> None:
    """Make sure that a device and libraries are here.

    Raises:
        SkippedError: naming what is not.
    """
    if lacking := [name for name in libraries if find_spec(name) is None]:
        raise SkippedError(f"{', '.join(lacking)} not installed: pip install 'videochat[models,whisper]'")
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SkippedError("torch sees no GPU here")


def timed(run: Callable[[], object], device: str) -> float:
    """Return how many seconds a run takes until the device has done it."""
    import torch

    def whole() -> None:
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    return seconds(whole)


def held(device: str) -> int:
    """Return the bytes that are taken on a GPU now."""
    import torch

    return torch.cuda.memory_allocated(device) if device.startswith("cuda") else 0


def peak(run: Callable[[], object], device: str) -> int:
    """Return the bytes that were taken on a GPU at most during a run."""
    import torch

    if not device.startswith("cuda"):
        run()
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    run()
    return torch.cuda.max_memory_allocated(device)
