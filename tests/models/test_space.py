"""The name of a language model's embedding space: of its weights, and of nothing that lies beside them."""

import shutil
from pathlib import Path

import pytest

from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.space import space_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "model"
    found.mkdir()
    for name, text in {"config.json": "{}", "model.safetensors": "weights", "pytorch_model.bin": "older"}.items():
        (found / name).write_text(text)
    return found


def space(folder: Path) -> str:
    return space_of(Checkpoint(str(folder)))


@pytest.mark.parametrize("name", ["model.fp16.safetensors", "adapter_model.safetensors", "chat_template.jinja"])
def test_what_lies_beside_the_weights_does_not_count(folder: Path, name: str) -> None:
    before = space(folder)
    assert before.startswith("weights@")
    (folder / name).write_text("other")
    assert space(Path(shutil.copytree(folder, folder.with_name("copy")))) == before


@pytest.mark.parametrize("name", ["model.safetensors", "model-00002-of-00002.safetensors"])
def test_all_weights_count(folder: Path, name: str) -> None:
    before = space(folder)
    (folder / name).write_text("other")
    assert space(folder) != before


def test_the_older_form_counts_where_it_is_alone(folder: Path) -> None:
    before = space(folder)
    (folder / "model.safetensors").unlink()
    alone = space(folder)
    assert alone.startswith("weights@")
    assert alone != before
    (folder / "pytorch_model.bin").unlink()
    assert space(folder) == str(folder)


def test_a_link_to_weights_that_are_gone_is_none(folder: Path) -> None:
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "gone")
    assert space(folder) == str(folder)
