"""What MovieChat's memory costs: a merge against the plain loop, and a film of 10,000 frames against one of 1,000.

`python -m benchmarks.moviechat VIDEO` watches, and prints the peak of its memory and the size of its cache, in bytes.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from timeit import timeit
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks import media
from benchmarks.figure import Figure, SkippedError
from benchmarks.memory import peak
from benchmarks.null import empty_cache
from videochat import LLM, Perceiver, Record, Reply, Sampling, Stack, Text, Tokens, Window
from videochat.prompt import Generation, Message, Part
from videochat_plugins.refine.memory import consolidate

if TYPE_CHECKING:
    from torch import Tensor

Frames = npt.NDArray[np.float32]
ROWS, WIDTH = 32, 768  # of a frame, as MovieChat's Q-Former gives it
LEFT = 2  # slots that are left
MERGE_LIMIT, PEAK_LIMIT = 1 / 20, 1.05
LONG, SHORT = 10_000, 1_000  # frames of the films
CLAIM = 21.3  # KB a frame, in the paper's abstract
SLOTS = 128  # four frames to a slot fill it in half of the shorter film


def figures() -> Iterator[Figure]:
    """Merge in turns, ours and plainly; then watch both films, each in a process of its own."""
    if find_spec("torch") is None:
        raise SkippedError("torch is not installed: pip install 'videochat[models]'")
    # The short-term memory of the paper has 18 frames; the released code fills it with 8.
    for count, limit in ((18, MERGE_LIMIT), (8, None)):
        yield Figure.of(f"moviechat, {count} frames to {LEFT}", "ours", "plain loop", list(merges(count)), limit)
    runs = [(child(LONG), child(SHORT)) for _ in range(3)]
    peaks = [(long[0] / 2**20, short[0] / 2**20) for long, short in runs]
    yield Figure.of("moviechat, peak memory", f"{LONG} frames", f"{SHORT} frames", peaks, PEAK_LIMIT, unit="MB")
    for i, name, what in ((0, "memory", "once it is full"), (1, "disk", "with all that is cached")):
        grown = [((long[i] - short[i]) / (LONG - SHORT) / 1024, CLAIM) for long, short in runs]
        yield Figure.of(f"moviechat, {name} a frame", what, "the paper's claim", grown, None, unit="KB")


def merges(count: int) -> Iterator[tuple[float, float]]:
    """Yield how long so many frames take, by our default and by the plain loop; both were made sure to work."""
    import torch

    frames = np.random.default_rng(0).standard_normal((count, ROWS, WIDTH), np.float32)
    tensors = torch.from_numpy(frames)
    np.testing.assert_allclose(consolidate(frames, LEFT, "dot", "plain"), plain(tensors), rtol=1e-4, atol=1e-5)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # what is so small gains nothing by more, and loses much where other programs run
    for _ in range(15):
        ours = timeit(lambda: consolidate(frames, LEFT), number=20)
        yield ours, timeit(lambda: plain(tensors), number=20)
    torch.set_num_threads(before)


def plain(frames: "Tensor") -> "list[Tensor]":
    """Merge as the original does: all tokens of each two neighbours multiplied, all of it anew after each merge."""
    slots = list(frames)
    while len(slots) > LEFT:
        scores = [(a @ b.T).mean() for a, b in pairwise(slots)]
        i = scores.index(max(scores))
        slots[i : i + 2] = [(slots[i] + slots[i + 1]) / 2]
    return slots


class Projected(Perceiver):
    """Make tokens of a frame's pixels by a fixed projection."""

    batch = 8
    space = "benchmark"
    _projection: Frames | None = None

    @property
    def emits(self) -> Sequence[str]:
        """Return the one kind."""
        return ("embedding",)

    def sampling(self) -> Sampling:
        """Ask for one frame of each window."""
        return Sampling(frames=1, side=32, over=self.options.over)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return one frame's tokens for each window."""
        return [[Record("embedding", w.start, w.end, tokens=self._tokens(w), space=self.space)] for w in windows]

    def _tokens(self, window: Window) -> npt.NDArray[np.float16]:
        pixels = window.images[0, :ROWS].reshape(-1, 3 * window.images.shape[2]).astype(np.float32) / 255
        if self._projection is None:
            self._projection = np.random.default_rng(0).standard_normal((pixels.shape[1], WIDTH), np.float32)
        return (pixels @ self._projection).astype(np.float16)  # (32, 3 W) @ (3 W, 768)


class Silent(LLM):
    """Take the tokens, and never be asked."""

    accepts = (Text, Tokens)
    space = Projected.space
    window = 1_000_000

    def count(self, part: Part) -> int:
        """Count rows."""
        return len(np.asarray(part.tokens)) if isinstance(part, Tokens) else 0

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        """Say nothing."""
        return Reply(iter(()))


def stack() -> Stack:
    """Return one perceiver that sees every frame, and the memory."""
    return Stack(
        segment={"use": "fixed", "seconds": 1.0},
        perceive={"eye": Projected(Projected.Options(over=1 / 5))},
        refine={"memory": {"use": "moviechat", "long": SLOTS}},
        prompt="embed",
        llm=Silent(),
        device="cpu",
    )


def film(frames: int) -> Path:
    """Return a film of so many small frames, 5 a second."""
    path = media.FOLDER / f"film-{frames}.mp4"
    if not path.exists():
        source = ["-f", "lavfi", "-i", f"testsrc2=size=48x32:rate=5:duration={frames / 5}"]
        media.write(path, [*source, "-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-pix_fmt", "yuv420p"])
    return path


def child(frames: int) -> tuple[int, int]:
    """Return the peak of a fresh process that watches a film, and the size of what it cached, in bytes."""
    command = [sys.executable, "-m", "benchmarks.moviechat", str(film(frames))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    size, disk = map(int, done.stdout.split())
    return size, disk


if __name__ == "__main__":
    with empty_cache() as cache:
        context = stack().watch(sys.argv[1])
        weights = [record.meta["weight"] for record in context.records]
        assert not context.faults, context.faults
        assert len(weights) == SLOTS, "the memory must be full"
        assert sum(weights) == round(context.video.duration * 5), "every frame counts"
        print(peak(), sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()))
