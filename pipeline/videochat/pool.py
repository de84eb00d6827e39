"""One copy of each model, shared by all components that need it."""

import threading
from collections.abc import Callable, Collection
from functools import cached_property
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar, cast

T = TypeVar("T")


class Key(NamedTuple):
    """What makes two models the same."""

    model: str  # the class
    checkpoint: str = ""  # the id of its weights
    precision: str = ""
    quantisation: str = ""
    device: str = ""


class Pool:
    """Holds loaded models and the device that they belong on.

    Args:
        device: "cpu", "cuda", "cuda:1", ..., or "auto": the GPU if there is one that torch can use.
    """

    def __init__(self, device: str = "auto") -> None:
        self.wanted = device
        self._models: dict[Key, Any] = {}
        self._lock = threading.RLock()  # what builds a model may get its parts here

    @cached_property
    def device(self) -> str:
        """Where models go: "cpu", "cuda:0", ...; looked for at the first use, since that may load torch."""
        if self.wanted != "auto":
            return self.place(self.wanted)
        if find_spec("torch") is None:
            return "cpu"
        import torch

        return "cuda:0" if torch.cuda.is_available() else "cpu"

    def place(self, device: str) -> str:
        """Return the one name of a device, "cuda:0" for "cuda"; the pool's own where it is empty."""
        return "cuda:0" if device == "cuda" else device or self.device

    @property
    def checkpoints(self) -> set[str]:
        """The checkpoints of the models that it holds."""
        return {key.checkpoint for key in self._models}

    def get(self, key: Key, build: Callable[[], T]) -> T:
        """Return the model of that key, built at the first call."""
        with self._lock:
            if key not in self._models:
                self._models[key] = build()
            return cast(T, self._models[key])

    def trim(self, keep: Collection[str] = ()) -> None:
        """Drop every model whose checkpoint is not among those that a later stage needs."""
        with self._lock:
            dropped = [key for key in self._models if key.checkpoint not in keep]
            for key in dropped:
                del self._models[key]
        if any(key.device.startswith("cuda") for key in dropped):
            import torch

            torch.cuda.empty_cache()  # else this process keeps what it has freed

    def __len__(self) -> int:
        return len(self._models)
