"""The stack `text` with its models at full size, on a GPU: against the models alone, and against the original's loops.

Weights are random (see checkpoints.py), so all sides write until they may write no more: as much on each of them.
Models are loaded before anything is timed, here as there.

The original's loops are timed in two ways. With one picture a call, as it goes about dense captions, and a decode for
each model: that has a limit. And with all pictures in one call of tagger and captioner and one decode, as it goes about
those: fast for a clip, but its memory grows with the video.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import videochat
from benchmarks import media
from benchmarks.checkpoints import save, write_stack
from benchmarks.figure import Figure
from benchmarks.gpu import Resident, check, held, load_all, peak, timed
from benchmarks.null import empty_cache
from benchmarks.original import Original
from benchmarks.sizes import SIZES
from videochat import Key, Stack
from videochat.cache import digest, root

PAPER = 2.0  # seconds that ten seconds of video take on an A10, about: arXiv 2305.06355, section 3.1
CALLS = ("forward", "generate", "get_image_features", "detect_language", "transcribe")  # how networks are entered


def figures(size: str = "full", device: str = "cuda", pairs: int = 5) -> Iterator[Figure]:
    """Watch ten seconds of video with sound, once a second.

    Args:
        size: of the networks, "full" or "tiny", which shows that this runs and is no measurement.
        device: where they run.
        pairs: how often each side is timed, in turns.

    Raises:
        SkippedError: if the device or a library is not here.
    """
    check(device, "torch", "transformers", "whisper")
    clip = media.sounding("1280x720" if size == "full" else "160x120", seconds=10)
    folder = media.FOLDER / f"models-{size}-{digest(SIZES[size])[:8]}"
    places = save(folder, size)
    stack = videochat.load(str(write_stack(folder / "stack.yaml", places, size, device)))
    stack.pool = pool = Resident(device)
    with empty_cache():
        load_all(stack)
        ours = held(device)
        original = Original(places, size, device)
        theirs = held(device) - ours
        kept = root() / stack.plan(clip).video.hash[:32]
        with recorded(pool.networks) as calls:
            most = peak(lambda: watch(stack, clip, kept), device) - theirs
        runs: dict[str, Callable[[], object]] = {
            "watch": lambda: watch(stack, clip, kept),
            "models": lambda: replay(calls),
            "loops": lambda: original.watch(clip, at_once=1, decode_each=True),
            "batch": lambda: original.watch(clip, at_once=1000),
        }
        peaks = {name: peak(run, device) - ours for name, run in runs.items()}  # and all are warm now
        times = [{name: timed(run, device) for name, run in runs.items()} for _ in range(pairs)]

    def against(name: str) -> list[tuple[float, float]]:
        return [(time["watch"], time[name]) for time in times]

    yield Figure.of("watch", "10 s of video", "paper, on an A10", [(time["watch"], PAPER) for time in times], None)
    yield Figure.of("around models", "watch", "the same calls alone", against("models"), 1.10)
    yield Figure.of("loops", "watch", "float32, a decode a model, one picture a call", against("loops"), 1 / 3)
    yield Figure.of("large batch", "watch", "float32, all pictures a call", against("batch"), None)
    if device.startswith("cuda"):
        for name, words in (("loops", "one picture a call"), ("batch", "all pictures a call")):
            pair = most / 2**20, peaks[name] / 2**20
            yield Figure.of(f"GPU memory, {name}", "watch, peak", f"float32, {words}", [pair], None, "MB")


def watch(stack: Stack, clip: Path, kept: Path) -> None:
    """Watch a video as if for the first time.

    Args:
        stack: what watches.
        clip: the video.
        kept: the folder of its records, which is deleted first.

    Raises:
        RuntimeError: if a part of the stack faulted, and so took less time than it should.
    """
    shutil.rmtree(kept, ignore_errors=True)
    context = stack.watch(clip)
    notes = [note for cost in context.ledger for note in cost.notes]
    if context.faults or notes:
        raise RuntimeError(f"not a clean run: {context.faults} {notes}")


@contextmanager
def recorded(networks: Mapping[Key, Any]) -> Iterator[list[Callable[[], Any]]]:
    """Keep each call into the networks with what it was given, so that it can be made again by itself.

    Of calls within calls, as `generate` makes them, only the outermost is kept.
    """
    calls: list[Callable[[], Any]] = []
    inside: list[str] = []

    def keep(network: Any, name: str) -> None:
        call = getattr(network, name)

        @wraps(call)
        def kept(*args: Any, **named: Any) -> Any:
            if not inside:
                calls.append(lambda: call(*args, **named))
            inside.append(name)
            try:
                return call(*args, **named)
            finally:
                inside.pop()

        setattr(network, name, kept)

    entries = [(network, name) for network in networks.values() for name in CALLS if hasattr(network, name)]
    for network, name in entries:
        keep(network, name)
    try:
        yield calls
    finally:
        for network, name in entries:
            delattr(network, name)


def replay(calls: Sequence[Callable[[], Any]]) -> None:
    """Make calls into networks again, one after the other."""
    import torch

    with torch.inference_mode():
        for call in calls:
            call()
