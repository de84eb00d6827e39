"""Peak memory of a watch, each in a process of its own: an hour against a minute.

`python -m benchmarks.memory STACK VIDEO` watches and prints the peak in bytes.
"""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import videochat
from benchmarks import media
from benchmarks.figure import Figure
from benchmarks.null import empty_cache, null_stack


def figures() -> Iterator[Figure]:
    """Watch an hour and a minute of the same small pictures."""
    hour, minute = media.small(minutes=60), media.small(minutes=1)
    for stack, pairs in (("null", 3), ("offline", 1)):
        runs = [(child(stack, hour), child(stack, minute)) for _ in range(pairs)]
        yield Figure.of(f"memory, {stack}", "60 minutes", "1 minute", runs, 1.1, unit="MB")


def child(stack: str, path: Path) -> float:
    """Return the peak of a fresh process that watches, in MB."""
    command = [sys.executable, "-m", "benchmarks.memory", stack, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return int(done.stdout) / 2**20


def build(name: str) -> videochat.Stack:
    """Return the null stack, or a named one without what reads text on the screen."""
    if name == "null":
        return null_stack()
    stack = videochat.load(name)
    readers = [key for key, perceiver in stack.perceivers.items() if "text" in perceiver.emits]
    return videochat.load(name, [f"perceive.{key}=null" for key in readers])


def peak() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    try:  # ru_maxrss counts the parent's size too, which this process held until it began its own program
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    with empty_cache():
        for _ in build(sys.argv[1]).watch(sys.argv[2]).records:
            pass
    print(peak())
