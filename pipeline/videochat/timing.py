"""How often a stack says something, in words for a prompt: Table 2 of the paper promises it to the model."""

from collections.abc import Collection, Sequence
from statistics import median
from typing import TYPE_CHECKING

from videochat.window import Span

if TYPE_CHECKING:
    from videochat.stack import Stack


def step(stack: "Stack", kinds: Collection[str], segments: Sequence[Span]) -> float:
    """Return the seconds from one look of a stack's perceivers at the video to the next.

    Args:
        stack: whose perceivers.
        kinds: those that emit one of these kinds count, the most frequent of them; where none does, a segment does.
        segments: of the watched video; where they differ in length, their median counts.
    """
    usual = median(span.end - span.start for span in segments) if segments else 0.0
    steps = [usual]
    for perceiver in stack.perceivers.values():
        if not set(kinds).isdisjoint(perceiver.emits):
            sampling = perceiver.sampling()
            over = {"segment": usual, "video": sum(span.end - span.start for span in segments)}
            length = over[sampling.over] if isinstance(sampling.over, str) else sampling.over
            steps.append(1 / sampling.fps if sampling.fps else length / (sampling.frames or 1))
    return min(steps[1:] or steps)


def in_words(seconds: float) -> str:
    """Return a length of time as it stands after `every`: `second`, `0.5 seconds`, `5 seconds`."""
    rounded = f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"
    return "second" if rounded == "1" else f"{rounded} seconds"
