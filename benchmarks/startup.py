"""Imports, each in a fresh process, timed inside it: the interpreter's own start is in neither side."""

import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figure import Figure

BASE = "import pydantic, numpy, pluggy, yaml"
HELP = """
sys.argv = ["videochat", "--help"]
from videochat.cli import main
try:
    main()
except SystemExit as done:
    assert not done.code
"""


def figures() -> Iterator[Figure]:
    """Import the library, and show the help of its commands."""
    terminal = f"{BASE}, typer, rich"
    runs = [(fresh("import videochat"), fresh(BASE)) for _ in range(15)]
    yield Figure.of("import", "import videochat", BASE, runs, 1.5)
    runs = [(fresh(HELP), fresh(terminal)) for _ in range(15)]
    yield Figure.of("help", "videochat --help", terminal, runs, 2.0)


def fresh(code: str) -> float:
    """Return how many seconds code takes in a fresh process."""
    before = "import sys, time; began = time.perf_counter()"
    after = "print(time.perf_counter() - began, file=sys.stderr)"
    command = [sys.executable, "-c", "\n".join((before, code, after))]
    # As an installed package runs: with its bytecode kept.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
    return float(done.stderr.splitlines()[-1])
