"""Runs a model over many inputs in batches; out of memory halves the batch and goes on."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Batches:
    """A batch size that gives way where memory is short.

    Args:
        size: how many inputs one forward takes at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.notes: list[str] = []  # what the ledger tells

    def map(self, run: Callable[[Sequence[T]], Sequence[U]], items: Sequence[T]) -> list[U]:
        """Return what `run` makes of each item, called ceil(n / size) times where memory suffices.

        Raises:
            RuntimeError: if even one input alone does not fit in memory.
        """
        found: list[U] = []
        while len(found) < len(items):
            part = items[len(found) : len(found) + self.size]
            made = self._try(run, part)
            if made is None:
                self._halve(len(part))
                continue
            if len(made) != len(part):
                raise ValueError(f"a batch of {len(part)} gave {len(made)} results")
            found += made
        return found

    def _try(self, run: Callable[[Sequence[T]], Sequence[U]], part: Sequence[T]) -> Sequence[U] | None:
        """Return the results of one batch, or None if it did not fit in memory and a smaller one may."""
        try:
            return run(part)
        except (RuntimeError, MemoryError) as error:
            if len(part) == 1 or not out_of_memory(error):
                raise
            return None  # outside of `except` the failed forward's tensors are free

    def _halve(self, size: int) -> None:
        import torch

        self.size = size // 2
        self.notes.append(f"out of memory: batch {size} to {self.size}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, on a GPU or on the host."""
    import torch

    signs = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")  # the last: cuBLAS, cuDNN
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in signs)
