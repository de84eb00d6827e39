"""What the framework adds to reading, and what the cache saves."""

from collections.abc import Iterator

from benchmarks import media
from benchmarks.figure import Figure, seconds
from benchmarks.null import SIDE, empty_cache, null_stack
from benchmarks.reader import read


def figures() -> Iterator[Figure]:
    """Watch 10 minutes of 720p with the null stack, all in one warm process: nobody's start-up is in the numbers."""
    path, stack = media.hd(), null_stack()

    def watch() -> float:
        return seconds(lambda: list(stack.watch(path).records))

    with empty_cache():
        stack.watch(media.small(minutes=1))  # everything is imported and registered now
    plain, first, second = [], [], []
    for _ in range(5):
        plain.append(seconds(lambda: read(stack.reader, path, SIDE, first=0.5)))
        with empty_cache():
            first.append(watch())
            second.append(watch())
    yield Figure.of("overhead", "watch, null stack", "reader alone", [*zip(first, plain, strict=True)], 1.05)
    yield Figure.of("cache", "second watch", "first watch", [*zip(second, first, strict=True)], 0.02)
