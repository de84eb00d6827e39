"""Peak memory."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from videochat.peak import peak

LINUX = Path("/proc/self/clear_refs").exists()
SIZE = 96 * 2**20


@pytest.mark.skipif(not LINUX, reason="only Linux tells")
def test_what_was_held_for_a_moment_counts_and_is_forgotten_after() -> None:
    with peak() as before:
        pass
    with peak() as during:
        np.ones(SIZE, np.uint8)
    with peak() as after:
        pass
    assert before.process is not None
    assert during.process is not None
    assert after.process is not None
    assert during.process - before.process > 0.9 * SIZE
    assert during.process - after.process > 0.9 * SIZE


@pytest.mark.skipif(not LINUX, reason="only Linux tells")
def test_work_that_fails_is_measured_too() -> None:
    with pytest.raises(RuntimeError, match="broken"), peak() as found:
        raise RuntimeError("broken")
    assert found.process


def test_unknown_where_the_system_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videochat.peak._PROC", tmp_path / "none")
    with peak() as found:
        pass
    assert (found.process, found.gpu) == (None, None)


def test_measuring_loads_no_torch() -> None:
    code = """
import sys
from videochat.peak import peak
with peak() as found:
    pass
assert found.gpu is None
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_on_a_gpu_what_torch_allocated() -> None:
    import torch

    if not torch.cuda.is_available():
        with peak() as found:
            torch.zeros(10)
        assert found.gpu is None  # torch is there, and no GPU is used
        return
    torch.zeros(1, device="cuda")
    with peak() as during:
        torch.zeros(SIZE, dtype=torch.uint8, device="cuda")
    with peak() as after:
        pass
    assert during.gpu is not None
    assert after.gpu is not None
    assert during.gpu - after.gpu >= SIZE
