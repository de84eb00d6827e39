"""A stack that does no work: what the framework itself costs."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from videochat import Perceiver, Record, Sampling, Stack, Window

SIDE = 224  # pixels, the shorter side of what it asks to see


class Null(Perceiver):
    """Give one record for each window, whatever is in it."""

    batch = 8

    @property
    def emits(self) -> Sequence[str]:
        """Return the one kind."""
        return ("tag",)

    def sampling(self) -> Sampling:
        """Ask for one frame of each window."""
        return Sampling(frames=1, side=SIDE, over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the same record for every window."""
        return [[Record("tag", window.start, window.end, "seen")] for window in windows]


def null_stack() -> Stack:
    """Return one perceiver that sees one frame a second and does nothing with it."""
    return Stack(segment={"use": "fixed", "seconds": 1.0}, perceive={"null": Null()})


@contextmanager
def empty_cache() -> Iterator[Path]:
    """Let videochat cache in a folder of its own, which is deleted at the end."""
    before = os.environ.get("VIDEOCHAT_CACHE")
    with tempfile.TemporaryDirectory(prefix="videochat-") as folder:
        os.environ["VIDEOCHAT_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["VIDEOCHAT_CACHE"]
            else:
                os.environ["VIDEOCHAT_CACHE"] = before
