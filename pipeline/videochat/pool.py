"""One copy of each model, shared by all components that need it."""

import threading
from collections.abc import Callable, Collection
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
    """Holds loaded models and the device that they belong on."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._models: dict[Key, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, build: Callable[[], T]) -> T:
        """Return the model of that key, built at the first call."""
        with self._lock:
            if key not in self._models:
                self._models[key] = build()
            return cast(T, self._models[key])

    def trim(self, keep: Collection[str] = ()) -> None:
        """Drop every model whose checkpoint is not among those that a later stage needs."""
        with self._lock:
            self._models = {key: model for key, model in self._models.items() if key.checkpoint in keep}

    def __len__(self) -> int:
        return len(self._models)
