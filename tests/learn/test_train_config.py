"""A training's YAML file: what is wrong is told by line, all at once; the defaults are the paper's."""

from pathlib import Path

import pytest

from videochat import StackError
from videochat.optiondocs import option_docs
from videochat_plugins.learn.train_config import Augment, Batch, LoRA, Stage1, Stage2, TalkBatch, read_config

NEEDED = "model: m\nllm: l\ndata: d.json\nout: o\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "train.yaml"
    path.write_text(text)
    return path


def refused(path: Path, stage: str = "stage1") -> list[str]:
    with pytest.raises(StackError) as error:
        read_config(path, "stage1" if stage == "stage1" else "stage2")
    return str(error.value).splitlines()


def test_the_defaults_are_those_of_the_papers_stages(tmp_path: Path) -> None:
    path = write(tmp_path, NEEDED)
    one, two = read_config(path, "stage1"), read_config(path, "stage2")
    names = ("frames", "length", "epochs", "lr", "warmup", "floor", "weight_decay", "clip", "seed")
    assert [getattr(one, name) for name in names] == [4, 32, 1, 1e-4, 0.2, 0.01, 0.02, 0, 42]
    assert [getattr(two, name) for name in names] == [8, 512, 3, 2e-5, 0.2, 0.25, 0.02, 0, 42]
    assert (one.batch.video, two.batch.video) == (32, 1)
    assert one.data == (Path("d.json"),)


def test_what_a_batch_does_not_say_is_the_stages_own(tmp_path: Path) -> None:
    path = write(tmp_path, f"{NEEDED}batch: {{video: 2}}\n")
    found = [read_config(path, "stage1").batch, read_config(path, "stage2").batch]
    assert [(batch.video, batch.image) for batch in found] == [(2, 32), (2, 1)]


def test_everything_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "model: m\ndata: d.json\nout: o\nlearning_rate: 1\nframe: 4\nlr: -1\nbatch:\n  vide: 3\n")
    assert refused(path) == [
        f"{path}:1: llm: is required",
        f"{path}:8: batch.vide: no such option; did you mean video?",
        f"{path}:6: lr: should be greater than 0, not -1",
        f"{path}:4: learning_rate: no such option; there are: {', '.join(sorted(Stage1.model_fields))}",
        f"{path}:5: frame: no such option; did you mean frames?",
    ]


def test_an_option_of_the_other_stage_is_told_as_such(tmp_path: Path) -> None:
    path = write(tmp_path, f"{NEEDED}lora: {{rank: 4}}\n")
    assert refused(path) == [f"{path}:5: lora: no such option in stage1: it is one of stage2"]
    path = write(tmp_path, f"{NEEDED}fresh: true\n")
    assert refused(path, "stage2") == [f"{path}:5: fresh: no such option in stage2: it is one of stage1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("- model\n", "a training is a mapping"), ("model: [\n", "not YAML"), (f"{NEEDED}model: n\n", "given twice")],
)
def test_a_file_that_is_no_training(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(write(tmp_path, text))[0]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "none.yaml")[0]


@pytest.mark.parametrize("options", [Stage1, Stage2, Batch, TalkBatch, Augment, LoRA])
def test_every_option_is_described(options: type) -> None:
    assert [name for name, text in option_docs(options).items() if not text] == []
