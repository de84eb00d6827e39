"""Hierarchical positions: a table of n rows stretched to n * n (Su, 2020; MovieChat, arXiv 2307.16449, section 3.3)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from videochat import UnavailableError

Table = npt.NDArray[np.floating[Any]]


def hierarchical(table: Table, n: int, alpha: float) -> Table:
    """Return n * n positions made of the first n rows of a table (rows, width); its own n rows stay as they are.

    With u_i = (p_i - alpha p_0) / (1 - alpha), position i * n + j is alpha u_i + (1 - alpha) u_j. Where alpha is small,
    positions n apart are nearly the same.
    """
    base = table[:n].astype(np.result_type(table.dtype, np.float32))
    base = (base - alpha * base[0]) / (1 - alpha)
    stretched: Table = alpha * base[:, None] + (1 - alpha) * base  # (n, n, width)
    return stretched.reshape(-1, base.shape[1])


def read_table(file: Path, n: int) -> Table:
    """Return the one table (rows, width) that a safetensors file holds.

    Raises:
        UnavailableError: if the file is not here or damaged, or holds anything else than one table of n rows or more.
    """
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise UnavailableError(f"there is no table of positions {file}: it must be a safetensors file")
    try:
        with safe_open(file, framework="numpy") as opened:
            tables = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # the last two: numpy has no such numbers
        raise UnavailableError(f"{file} cannot be read ({error}): it must be a safetensors file of floats") from None
    shapes = ", ".join(f"{name} {table.shape}" for name, table in tables.items()) or "nothing"
    found = next(iter(tables.values()), np.empty(0))
    if len(tables) != 1 or found.ndim != 2 or len(found) < n or not np.issubdtype(found.dtype, np.floating):
        raise UnavailableError(f"{file} holds {shapes}: it must hold one table (rows, width) of at least {n} rows")
    if not np.isfinite(found).all():
        raise UnavailableError(f"{file} holds numbers that are not finite")
    return found
