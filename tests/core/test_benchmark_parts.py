"""The benchmarks that a machine without a GPU cannot run in earnest: they run, tiny, and are skipped with a reason."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import checkpoints, embed, media, models, second_question
from benchmarks.figure import Figure
from benchmarks.gpu import Resident, load_all
from benchmarks.original import Original

import videochat
from videochat import Key

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # openai-whisper reads its vocabulary so
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # and sorts tensors with numpy
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(autouse=True)
def own_place(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return where results go; models and videos are made once."""
    monkeypatch.setattr(media, "FOLDER", folder)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results" / "bench.json")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "results" / "bench.json"
    torch.set_num_threads(threads)


def test_the_models_run_tiny_on_a_cpu() -> None:
    found = {figure.name: figure for figure in models.figures("tiny", "cpu", pairs=1)}
    assert {name: figure.limit for name, figure in found.items()} == {
        "watch": None, "around models": 1.10, "loops": 1 / 3, "large batch": None,
    }  # fmt: skip
    assert all(figure.value > 0 and figure.reference > 0 for figure in found.values())


def test_the_embed_stack_runs_tiny_on_a_cpu() -> None:
    (found,) = embed.figures("tiny", "cpu", pairs=1)
    assert (found.name, found.unit) == ("embed, clips", "clips/s")
    assert found.value > 0
    assert found.reference > 0


def test_a_second_question_is_asked_of_a_long_prompt() -> None:
    (found,) = second_question.figures(width=32, layers=1, pairs=1)
    assert (found.name, found.limit) == ("second question", 0.1)
    assert found.value > 0
    assert found.reference > 0


def test_all_sides_do_the_same_work(folder: Path) -> None:
    places = checkpoints.save(folder / "same", "tiny")
    clip = media.sounding("160x120", seconds=10)
    work = {"action": 1, "tags": 10, "caption": 10, "dense": 2, "summary": 1, "speech": 1}

    original = Original(places, "tiny", "cpu")
    alone, together = (original.watch(clip, at_once) for at_once in (1, 1000))
    assert {name: len(texts) for name, texts in alone.items()} == work
    assert all(text for texts in alone.values() for text in texts)
    assert alone == together

    stack = videochat.load(str(checkpoints.write_stack(folder / "same" / "stack.yaml", places, "tiny", "cpu")))
    stack.pool = pool = Resident("cpu")
    load_all(stack)
    with models.recorded(pool.networks) as calls:
        context = stack.watch(clip)
    assert context.faults == ()
    assert {cost.name: cost.windows for cost in context.ledger} == {**work, "subtitles": 0}
    assert len(calls) == sum(work.values()) + 1  # one window a call on a CPU; sound is first heard for its language


class Speaker(torch.nn.Linear):
    """Calls itself, as networks that write do."""

    def generate(self, seen: torch.Tensor, times: int) -> torch.Tensor:
        for _ in range(times):
            seen = self(seen)
        return seen


def test_calls_are_kept_without_those_within_them() -> None:
    speaker, other = Speaker(3, 3), torch.nn.Linear(3, 2)
    given = torch.ones(3)
    with models.recorded({Key("one"): speaker, Key("two"): other}) as calls:
        said = speaker.generate(given, times=4)
        seen = other(said)
        with pytest.raises(TypeError):
            speaker.generate(given, "often")  # type: ignore[arg-type]
    speaker(given)  # is not kept any more
    assert len(calls) == 3
    assert [told.tolist() for told in (calls[0](), calls[1]())] == [said.tolist(), seen.tolist()]
    forwards: list[Any] = []
    speaker.register_forward_hook(lambda *told: forwards.append(told))
    models.replay(calls[:2])
    assert len(forwards) == 4


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def run(monkeypatch: pytest.MonkeyPatch, *parts: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *parts])
    return command.main()


def test_without_a_gpu_the_models_are_skipped(
    no_gpu: None, own_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "models") == 0
    assert capsys.readouterr().out == "models: skipped: torch sees no GPU here\n"
    assert not own_place.exists()  # what was measured before stays


def test_what_can_run_runs_beside_what_is_skipped(
    no_gpu: None, own_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [Figure.of("told", "a", "b", [(2.0, 1.0)], None), Figure.of("kept", "a", "b", [(2.0, 1.0)], 3)]
    monkeypatch.setattr("benchmarks.startup.figures", lambda: told)
    assert run(monkeypatch, "models", "startup") == 0
    out = capsys.readouterr().out
    assert out.startswith("models: skipped:")
    assert "kept" in out
    assert [figure["limit"] for figure in json.loads(own_place.read_text())["figures"]] == [None, 3]
    told.append(Figure.of("over", "a", "b", [(4.0, 1.0)], 3))
    assert run(monkeypatch, "startup") == 1


def test_the_models_run_only_where_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def part(name: str) -> Any:
        asked.append(name)
        return SimpleNamespace(figures=list)

    monkeypatch.setattr(command, "import_module", part)
    assert run(monkeypatch) == 0
    assert asked == [f"benchmarks.{name}" for name in command.PARTS]
    assert "models" not in command.PARTS
    asked.clear()
    assert run(monkeypatch, "models") == 0
    assert asked == ["benchmarks.models"]
    assert run(monkeypatch, "modles") == 2
