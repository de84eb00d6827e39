"""Which models are held in memory at once: what a stack's `residency` says, by what is free on each device."""

import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from videochat.component import Component

if TYPE_CHECKING:
    from videochat.stack import Stack

RESIDENCIES = ("together", "one_at_a_time", "auto")

Free = Callable[[str], int]  # the bytes that are free on a device


def fit(stack: "Stack", components: Iterable[Component], free: Free) -> bool:
    """Return whether the models of components may be held at once, beside those that the stack's pool holds.

    Devices are asked for what is free only where that decides, and only those that these models go to.
    """
    if stack.residency != "auto":
        return stack.residency == "together"
    needed: dict[str, dict[str, int]] = {}  # bytes of model files by device: those that two components share, once
    for component in components:
        for weights in component.weights():
            if weights.id not in stack.pool.checkpoints:
                needed.setdefault(component.place(stack.pool), {})[weights.id] = weights.bytes
    return all(sum(files.values()) <= free(device) for device, files in needed.items())


def free_bytes(device: str) -> int:
    """Return the bytes that are free on a device: for the CPU, in the machine's memory."""
    kind, _, index = device.partition(":")
    if kind == "cuda" and find_spec("torch") is not None:
        import torch

        there = int(index) < torch.cuda.device_count()  # if not, what loads a model says so
        return int(torch.cuda.mem_get_info(device)[0]) if there else 0
    try:  # on Linux: pages that only cache files count as free
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 8 * 2**30
