"""One measured figure: what was compared with what, and how the ratio stands to its limit."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any, Self


class SkippedError(Exception):
    """A part cannot be measured on this machine; says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio and where it comes from; both values are in `unit`."""

    name: str
    measured: str
    value: float
    baseline: str
    reference: float
    ratio: float
    limit: float | None  # of the ratio; None: it is told, and binds nobody
    unit: str
    pairs: int

    @classmethod
    def of(
        cls,
        name: str,
        measured: str,
        baseline: str,
        pairs: Sequence[tuple[float, float]],
        limit: float | None,
        unit: str = "s",
    ) -> Self:
        """Make the figure of pairs that were measured in turns, A B A B: medians of each side and of the ratios.

        What else the machine did in the meantime then weighs on both sides alike.
        """
        values, references = zip(*pairs, strict=True)
        ratio = median(value / reference for value, reference in pairs)
        return cls(name, measured, median(values), baseline, median(references), ratio, limit, unit, len(pairs))

    @property
    def ok(self) -> bool:
        """Whether the ratio keeps its limit."""
        return self.limit is None or self.ratio <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "ok": self.ok}


def seconds(run: Callable[[], object]) -> float:
    """Return how long a run takes."""
    began = perf_counter()
    run()
    return perf_counter() - began
