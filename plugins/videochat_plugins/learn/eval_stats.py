"""How sure an accuracy is: bootstrap intervals that draw groups of questions, since those of one video err together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
DRAWS = 4000
_CELLS = 1 << 24  # numbers held at once


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval."""

    count: int  # of questions
    groups: int  # of them
    mean: float
    low: float | None = None  # ends of the interval; None where a single group tells nothing of how they vary
    high: float | None = None


def estimate(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Estimate:
    """Return the mean of values, and the percentile interval of it under drawing whole groups with replacement.

    For the difference of two systems give the difference of each question, so that what makes a question hard for both
    does not count (a paired comparison).

    Args:
        values: one for each question.
        groups: what each question belongs to: a video, or a video and its twin.
        seed: of the draws; the same questions and seed give the same interval.

    Raises:
        ValueError: if there is no value.
    """
    if not values:
        raise ValueError("no mean of nothing")
    numbers = np.asarray(values, np.float64)
    _, index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)  # in one order, whatever theirs was
    sums, counts = (np.bincount(index, weights).astype(np.float64) for weights in (numbers, None))  # (G,)
    mean = float(numbers.mean())
    if len(sums) < 2:
        return Estimate(len(values), len(sums), mean)
    means = _draw(sums, counts, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(len(values), len(sums), mean, float(low), float(high))


def _draw(
    sums: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return the mean of each draw of as many groups as there are."""
    size = len(sums)
    means = []
    for left in range(DRAWS, 0, -(step := max(1, _CELLS // size))):
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=min(step, left)).astype(np.float64)  # (D, G)
        means.append(drawn @ sums / (drawn @ counts))
    return np.concatenate(means)
