"""How much memory a stretch of work takes at its highest."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc/self")


@dataclass(slots=True)
class Peak:
    """Bytes at the highest point of a stretch of work, of everything that is held then, not of the work alone."""

    process: int | None = None  # resident memory of the process; None where the system does not tell (only Linux does)
    gpu: int | None = None  # what torch has allocated on all GPUs together; None where it uses none


@contextmanager
def peak() -> Iterator[Peak]:
    """Measure what runs inside; the fields are set at its end. Stretches inside one another spoil the outer one."""
    found = Peak()
    told = _reset()
    if cuda := _cuda():
        for device in range(cuda.device_count()):
            cuda.reset_peak_memory_stats(device)
    try:
        yield found
    finally:
        found.process = _high_water() if told else None
        if cuda := _cuda():  # which may have been loaded in between
            found.gpu = sum(cuda.max_memory_allocated(device) for device in range(cuda.device_count()))


def _reset() -> bool:
    """Let the high-water mark start anew from what is resident now; return whether the system does that."""
    try:
        (_PROC / "clear_refs").write_text("5", encoding="ascii")  # see proc(5)
    except OSError:
        return False
    return True


def _high_water() -> int | None:
    try:
        lines = (_PROC / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _cuda() -> Any:
    """Return torch.cuda where it is at work already; measuring loads nothing."""
    torch: Any = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
