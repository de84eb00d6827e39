"""Measure everything side by side, print a table, and write benchmarks/results/bench.json.

    python -m benchmarks [startup] [reader] [framework] [memory] [gmhra] [moviechat] [second_question]
    python -m benchmarks models embed     on a GPU; only where they are named

Exits with 1 if a figure is over its limit.
"""

import json
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure, SkippedError

PARTS = ("startup", "reader", "framework", "memory", "gmhra", "moviechat", "second_question")
NAMED = (*PARTS, "models", "embed")
RESULTS = Path(__file__).parent / "results" / "bench.json"


def table(figures: Sequence[Figure]) -> Table:
    """Return the figures as a table."""
    out = Table("figure", "measured", "against", box=None, pad_edge=False)
    for heading in ("ratio", "limit", ""):
        out.add_column(heading, justify="right")
    for figure in figures:
        out.add_row(
            figure.name,
            f"{figure.measured}: {figure.value:.3g} {figure.unit}",
            f"{figure.baseline}: {figure.reference:.3g} {figure.unit}",
            f"{figure.ratio:.3f}",
            "" if figure.limit is None else f"{figure.limit:.3g}",
            "" if figure.limit is None else "[green]ok" if figure.ok else "[red]over",
        )
    return out


def main() -> int:
    """Run the parts that are named, or all that run anywhere."""
    parts = sys.argv[1:] or PARTS
    if strange := set(parts) - set(NAMED):
        print(f"no such part: {', '.join(sorted(strange))}; there are: {', '.join(NAMED)}", file=sys.stderr)
        return 2
    found: list[Figure] = []
    console = Console()
    for part in parts:
        try:
            with Console(stderr=True).status(f"measuring: {part}"):
                found.extend(import_module(f"benchmarks.{part}").figures())
        except SkippedError as reason:
            print(f"{part}: skipped: {reason}")
    if not found:
        return 0
    console.print(table(found))
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**machine, "figures": [figure.to_json() for figure in found]}, indent=2) + "\n")
    return 0 if all(figure.ok for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
