"""Putting pictures together from the bytes of a pipe."""

import os
from collections import deque

import numpy as np
import numpy.typing as npt

_HELD = 32 << 20  # bytes of pictures that wait to be taken, if they are more than two


class Pictures:
    """Takes RGB pictures of one size (width, height) from a pipe; whole ones are in `ready`."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._shape = size[1], size[0], 3
        self._room = np.empty(size[0] * size[1] * 3, np.uint8)
        self._filled = 0
        self.ready: deque[npt.NDArray[np.uint8]] = deque()

    @property
    def full(self) -> bool:
        """Whether enough pictures wait to be taken."""
        return len(self.ready) > 2 and len(self.ready) * self._room.nbytes > _HELD

    def read(self, pipe: int) -> bool:
        """Read what is there, once; False if the pipe has ended."""
        count = os.readv(pipe, [self._room[self._filled :].data])
        self._filled += count
        if self._filled == self._room.nbytes:
            self.ready.append(self._room.reshape(self._shape))
            self._room, self._filled = np.empty_like(self._room), 0
        return count > 0
