"""A watch that was stopped is gone on with where it was: after Ctrl-C, a torn line, a damaged cache."""

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from components import LOG, Echo, Embedding, cached_lines, child, log_lines, logged_stack, make_logged_clip
from speakers import Talker
from videochat import Stack
from videochat.cache import root


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_logged_clip(tmp_path_factory.mktemp("clips"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    return root()


def test_ctrl_c_ends_it_at_once_and_the_next_run_goes_on(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = child(clip, stderr=subprocess.PIPE)
    while len(log_lines()) < 5 and process.poll() is None:
        time.sleep(0.005)
    sent = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert time.perf_counter() - sent < 3
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in said
    finished, kept = log_lines(), cached_lines(clip)
    assert len(kept) >= len(finished) - 2, "no more than the batch in hand and the one before are lost"
    assert kept.issubset(finished)
    (tmp_path / "log").unlink()
    records = logged_stack().watch(clip).records
    assert len(log_lines()) == 15 - len(kept)
    assert not kept.intersection(log_lines())
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "fresh"))
    assert list(logged_stack().watch(clip).records) == list(records)


@pytest.mark.parametrize("keep", [0, 1, 40, -1, -2, -40])
def test_a_torn_last_line_is_dropped(clip: Path, cache: Path, keep: int) -> None:
    """`keep` is how much is left of the last line, from its start or, below 0, up to so far from its end."""

    def watch() -> tuple[Echo, list[str]]:
        eye = Echo(fps=4, over=0.5)
        return eye, [r.text for r in Stack(perceive={"eye": eye}, device="cpu").watch(clip).records]

    _, whole = watch()
    (file,) = (path for path in cache.rglob("records.jsonl") if (path.parent / "key.json").exists())
    rows = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(rows[:-1]) + rows[-1][:keep])
    again, texts = watch()
    assert texts == whole
    assert len(again.spans) == 1
    assert file.read_bytes().splitlines(keepends=True) == rows
    silent, texts = watch()
    assert texts == whole
    assert silent.spans == []


def test_a_damaged_line_costs_its_window_only(clip: Path, cache: Path) -> None:
    first = Stack(perceive={"eye": Echo(fps=4, over=0.5)}, device="cpu").watch(clip)
    (file,) = (path for path in cache.rglob("records.jsonl") if (path.parent / "key.json").exists())
    rows = file.read_bytes().splitlines(keepends=True)
    rows[2] = b"\x00garbage\n"
    file.write_bytes(b"".join(rows))
    eye = Echo(fps=4, over=0.5)
    again = Stack(perceive={"eye": eye}, device="cpu").watch(clip)
    assert eye.spans == [(1.0, 1.5)]
    assert list(again.records) == list(first.records)


def test_embeddings_go_on_too(clip: Path) -> None:
    def stack() -> Stack:
        perceive = {"tokens": Embedding(fps=2, over=0.5)}
        return Stack(perceive=perceive, prompt="embed", llm=Talker(), device="cpu")

    stack().watch(clip, end=1.5)
    rest = stack()
    context = rest.watch(clip)
    assert [record.tokens is not None and record.tokens.shape for record in context.records] == [(3, 4)] * len(
        context.records
    )
    values = [float(np.asarray(record.tokens)[0, 0]) for record in context.records]
    assert values == [record.start for record in context.records]
