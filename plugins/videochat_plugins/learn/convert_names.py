"""Lists names of weights as people read them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence


def folded(names: Iterable[str]) -> list[str]:
    """Return names, those that differ only in the number of a layer as one: `blocks.{0-38}.norm1.bias`."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for name in names:
        found = re.search(r"(?<=\.)\d+(?=\.)", name)
        pattern = f"{name[: found.start()]}{{}}{name[found.end() :]}" if found else name
        numbers[pattern].extend([int(found[0])] if found else [])
    return sorted(pattern.replace("{}", _ranges(found), 1) for pattern, found in numbers.items())


def listed(lines: Sequence[str], shown: int | None) -> list[str]:
    """Return indented lines, no more than `shown` of them, and how many more there are."""
    more = len(lines) - shown if shown is not None else 0
    return [f"  {line}" for line in lines[:shown]] + ([f"  and {more} more: see --verbose"] if more > 0 else [])


def _ranges(numbers: Sequence[int]) -> str:
    """Return whole numbers with runs folded: `{0-2,5}`, or just the one."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    told = ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)
    return told if len(numbers) == 1 else f"{{{told}}}"
