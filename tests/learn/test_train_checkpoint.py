"""Checkpoints that were interrupted or damaged: a training goes on from one that is whole, or says which one is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_training import make_clips, save_network, write_captions, write_config

from command_line import complaint, run
from local_llm import save as save_llm
from videochat_plugins.learn import train_trainer
from videochat_plugins.learn.train_checkpoint import last_checkpoint, seal

FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "trained.safetensors", "digests.json")
DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "garbage": lambda file: file.write_bytes(b"\x80\x02[]" * 99),
}


def train(world: Path, out: Path, *more: str, **values: Any) -> Any:
    data: dict[str, Any] = {"model": world / "network", "llm": world / "llm", "data": world / "captions.json"}
    data |= {"out": out, "steps": 6, "save_every": 2, "keep": 3, "batch": {"video": 2}, "frames": 2}
    return run("train", "stage1", write_config(out.with_suffix(".json"), **data | values), "--json", "--quiet", *more)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a training needs, and one that was done: `trained`."""
    folder = tmp_path_factory.mktemp("world")
    write_captions(folder / "captions.json", make_clips(folder / "videos", 4))
    save_llm(folder / "llm", chat=False, hidden_size=64)
    save_network(folder / "network", folder / "llm")
    assert train(folder, folder / "trained").code == 0
    return folder


@pytest.fixture
def out(world: Path, tmp_path: Path) -> Path:
    """The training as it was when it had written its last checkpoint, and nothing else."""
    copy = Path(shutil.copytree(world / "trained", tmp_path / "out"))
    (copy / "trained.json").unlink()
    return copy


def at(out: Path, step: int) -> Path:
    return out / "checkpoints" / f"checkpoint-{step}"


def test_a_checkpoint_is_these_files(out: Path) -> None:
    assert {path.name for path in at(out, 6).iterdir()} == {*FILES}
    assert json.loads((at(out, 6) / "digests.json").read_text()).keys() == {*FILES[:-1]}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_with_what_is_whole(world: Path, out: Path, name: str, damage: str) -> None:
    DAMAGES[damage](file := at(out, 6) / name)
    said = complaint(train(world, out), 6)
    assert said.startswith(f"error: {file} is damaged: ")
    assert f"; delete {at(out, 6)} to go on from checkpoint-4, which is whole, or train anew with --force" in said
    assert len(said.splitlines()) == 1
    assert at(out, 6).is_dir()


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_file_that_was_removed_is_missed(world: Path, out: Path, name: str) -> None:
    """Trainer takes up a training without its optimizer or its chance, and says nothing."""
    (at(out, 6) / name).unlink()
    assert complaint(train(world, out), 6).startswith(f"error: {at(out, 6) / name} is missing; delete ")


def test_a_file_that_cannot_be_read_is_named(world: Path, out: Path) -> None:
    (file := at(out, 6) / "optimizer.pt").unlink()
    file.mkdir()
    assert complaint(train(world, out), 6).startswith(f"error: {file} cannot be read: ")


def test_as_it_was_told_the_training_goes_on_with_the_same_losses(world: Path, out: Path) -> None:
    (at(out, 6) / "optimizer.pt").write_bytes(b"")
    complaint(train(world, out), 6)
    shutil.rmtree(at(out, 6))
    done = train(world, out)
    assert done.code == 0, done.err
    assert done.json["resumed"] == 4
    assert losses(out) == losses(world / "trained")


def test_all_that_are_damaged_are_named_up_to_one_that_is_whole(world: Path, out: Path) -> None:
    (at(out, 6) / "optimizer.pt").write_bytes(b"")
    (at(out, 4) / "rng_state.pth").write_bytes(b"")
    said = complaint(train(world, out), 6)
    assert f"; delete {at(out, 6)} and {at(out, 4)} to go on from checkpoint-2, which is whole, or" in said


def test_where_none_is_whole_the_training_begins_anew_with_force(world: Path, out: Path) -> None:
    for step in (2, 4, 6):
        (at(out, step) / "scheduler.pt").write_bytes(b"")
    said = complaint(train(world, out), 6)
    assert said.startswith(f"error: {at(out, 6) / 'scheduler.pt'} is damaged")
    assert "there is no whole checkpoint before it: train anew with --force" in said
    done = train(world, out, "--force")
    assert done.code == 0, done.err
    assert done.json["resumed"] == 0
    assert losses(out) == losses(world / "trained")


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(world: Path, out: Path) -> None:
    (at(out, 6) / "digests.json").unlink()
    (at(out, 6) / "trainer_state.json").write_text("{")
    done = train(world, out)
    assert done.code == 0, done.err
    assert done.json["resumed"] == 4
    assert losses(out) == losses(world / "trained")


def test_what_somebody_put_beside_the_checkpoints_is_left_alone(tmp_path: Path) -> None:
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-12", "checkpoint-12.bak", "checkpoint-old"):
        (tmp_path / name).mkdir()
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-old"):
        seal(tmp_path / name)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint-2",
        "checkpoint-10",
        "checkpoint-12.bak",
        "checkpoint-old",
    }


def test_there_is_no_moment_without_a_whole_checkpoint(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []

    def watched(checkpoint: Path) -> None:
        found.append(sorted(path.parent.name for path in checkpoint.parent.glob("*/digests.json")))
        seal(checkpoint)

    monkeypatch.setattr(train_trainer, "seal", watched)
    assert train(world, tmp_path / "out", keep=1).code == 0
    assert found == [[], ["checkpoint-2"], ["checkpoint-4"]]
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["checkpoint-6"]
