"""What the originals computed: every file in the folder that VIDEOCHAT_FIXTURES names, every case of it a test."""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

import reference_memory

FIXTURES = Path(os.environ.get("VIDEOCHAT_FIXTURES") or Path(__file__).parent / "fixtures")
ELSEWHERE = ("README*", "table1*.json", "table1*.txt")  # tests/plugins/test_format_table1.py reads the tables
VISION, MEMORY = "videochat_embed_vision*.safetensors", "moviechat_memory*.npz"


def cases(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file with each case in it; one whose kind is unknown with none."""
    for file in sorted(folder.iterdir()):
        if fnmatch(file.name, MEMORY):
            with np.load(file) as arrays:
                yield from ((file, case) for case in reference_memory.cases(arrays.files))
        elif not any(fnmatch(file.name, known) for known in ELSEWHERE):
            yield file, ""


def check(file: Path, case: str, scratch: Path) -> None:
    """Compare one case.

    Raises:
        AssertionError: if it differs, or no test knows it.
    """
    if fnmatch(file.name, VISION):
        import reference_embed

        reference_embed.check(file)
        return
    assert fnmatch(file.name, MEMORY), f"no test knows files like {file.name}"
    with np.load(file) as arrays:
        reference_memory.check_case(arrays, case, scratch)


@pytest.mark.parametrize(
    ("file", "case"), [pytest.param(*found, id=":".join((found[0].name, found[1]))) for found in cases(FIXTURES)]
)
def test_ours_gives_what_the_original_gave(file: Path, case: str, tmp_path: Path) -> None:
    check(file, case, tmp_path)


def test_there_is_something_to_compare() -> None:
    assert list(cases(FIXTURES))


def test_nothing_is_skipped_unseen(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("known")
    (tmp_path / "table1_long.json").write_text("{}")
    (tmp_path / "video_llava.npz").write_bytes(b"")
    one = np.ones((2, 1, 1))
    np.savez(tmp_path / "moviechat_memory_large.npz", consolidate_a_in=one, consolidate_a_out=one, training_in=one)
    found = [(file.name, case) for file, case in cases(tmp_path)]
    large = "moviechat_memory_large.npz"
    assert found == [(large, "consolidate_a"), (large, "training_in"), ("video_llava.npz", "")]
    check(tmp_path / large, "consolidate_a", tmp_path)
    with pytest.raises(AssertionError, match="no test knows a case 'training_in'"):
        check(tmp_path / large, "training_in", tmp_path)
    with pytest.raises(AssertionError, match=r"no test knows files like video_llava\.npz"):
        check(tmp_path / "video_llava.npz", "", tmp_path)
    np.savez(tmp_path / large, consolidate_a_in=one, consolidate_a_out=one + 1e-5)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(tmp_path / large, "consolidate_a", tmp_path)


@pytest.mark.parametrize("carried", [0, 2])
def test_the_port_keeps_two_slots_as_seeds(carried: int, tmp_path: Path) -> None:
    frames = np.random.default_rng(5).standard_normal((32 + carried, 3, 4))
    slots = [reference_memory.Plain(frame, i, i) for i, frame in enumerate(frames)]
    seeds, wanted = slots[:carried], []
    for i in (carried, carried + 16):
        seeds = reference_memory.consolidate([*seeds, *slots[i : i + 16]], 2, "dot", "plain")
        wanted += [slot.tokens for slot in seeds]
    arrays = {"lmms_in": frames, "lmms_out": np.stack(wanted)}
    reference_memory.check_case(arrays, "lmms", tmp_path)
    reference_memory.check_case({**arrays, "lmms_out": np.stack(wanted[-2:])}, "lmms", tmp_path)


@pytest.mark.parametrize("fragments", [1, 124, 127, 128, 131])
def test_a_moment_late_in_a_film_drops_the_recent_frames_first(fragments: int, tmp_path: Path) -> None:
    random = np.random.default_rng(fragments)
    given, current = random.standard_normal((fragments, 8, 2, 4)), random.standard_normal((1, 2, 4))
    table = random.standard_normal((32, 4))
    long = []
    for fragment in given:
        slots = [reference_memory.Plain(frame, 0, 0) for frame in fragment]
        long += [slot.tokens for slot in reference_memory.consolidate(slots, 2, "dot", "plain")]
    recent = list(given[-1])
    while len(long) + len(recent) + 1 > 256:
        del (recent or long)[0]
    first = (table[:16] - 0.01 * table[0]) / 0.99
    places = [0.01 * a + 0.99 * b for a in first for b in first]
    wanted = np.concatenate([slot + place for slot, place in zip([*long, *recent, *current], places, strict=False)])
    arrays = {"breakpoint_9_in": given, "breakpoint_9_cur": current, "breakpoint_9_out": wanted[None]}
    reference_memory.check_case({**arrays, "pos_table_in": table}, "breakpoint_9", tmp_path)
