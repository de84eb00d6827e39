"""configs/video_llava.yaml with tiny random models in place of its own: from a file to an answer, by one model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import videochat
from local_vlm import film, plain_ids
from media import make
from tiny_vlms import SAVED
from videochat import Stack, StackError, Tokens
from videochat_plugins.llm.vlm_prompt import Vision

# Rows of a slot of frames of 64 x 48: two frames of Qwen2.5-VL, one of the others.
EACH = {"video_llava": 17, "qwen2_5_vl": 12, "internvl": 4, "llava_onevision": 4, "smolvlm": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save(tmp_path_factory.mktemp("models") / kind) for kind, save in SAVED.items()}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=100, size=(64, 48)).path


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that models were loaded from since the test began."""
    from transformers import AutoModelForImageTextToText as Auto

    found: list[str] = []
    load: Callable[..., Any] = Auto.from_pretrained

    def note(folder: Any, **how: Any) -> Any:
        found.append(Path(folder).name)
        return load(folder, **how)

    monkeypatch.setattr(Auto, "from_pretrained", note)
    return found


def stack_of(folder: Path, *settings: str) -> Stack:
    names = [f"perceive.video.checkpoint={folder}", f"llm.model={folder}"]
    return videochat.load("video_llava", [*names, "device=cpu", "llm.max_tokens=12", *settings])


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("residency", ["auto", "one_at_a_time", "together"])
def test_watch_and_talk_load_one_model_once(
    folders: dict[str, Path], clip: Path, loads: list[str], kind: str, residency: str
) -> None:
    with_it = stack_of(folders[kind], f"residency={residency}")
    context = with_it.watch(clip)
    assert context.faults == ()
    assert (loads, len(with_it.pool)) == ([kind], 1)
    chat = with_it.chat(context)
    answers, told = [], []
    for question in ("What is red?", "And what is blue?"):
        answers.append(chat.ask(question))
        told.append("".join(answers[-1]))
    assert all(told)
    assert (loads, len(with_it.pool)) == ([kind], 1)
    assert [answer.visual for answer in answers] == [EACH[kind] * (4 if kind == "qwen2_5_vl" else 8)] * 2
    again = stack_of(folders[kind])
    plan = again.plan(clip)
    assert not any(task.missing for task in plan.tasks)
    second = again.watch(clip)
    assert (loads, len(again.pool)) == ([kind], 0)
    assert [cost.windows for cost in second.ledger] == [0]
    chat = again.chat(second)
    assert ["".join(chat.ask(question)) for question in ("What is red?", "And what is blue?")] == told
    assert (loads, len(again.pool)) == ([kind, kind], 1)
    again.close()
    assert len(again.pool) == 0


def test_the_answer_to_a_file_is_that_of_the_plain_model(folders: dict[str, Path], clip: Path, tmp_path: Path) -> None:
    """The frames at the middles of eighths of the file, the last eighth included."""
    folder = folders["video_llava"]
    (tmp_path / "bare.txt").write_text("{video}{question}")
    with_it = stack_of(folder, f"prompt={tmp_path / 'bare.txt'}")
    context = with_it.watch(clip)
    frames = [*with_it.reader.frames(context.video, [videochat.Want(0.25 + i / 2, 336) for i in range(8)])]
    assert context.records[0].times == tuple(frame.time for frame in frames)
    assert frames[-1].time > 3.5
    ids = plain_ids(folder, "<s>USER: <video>\nWhat moves? ASSISTANT:", [f.image for f in frames], tokens=12)
    text = with_it.llm.writer.tokenizer.decode(ids, skip_special_tokens=True)  # type: ignore[attr-defined]
    assert "".join(with_it.chat(context).ask("What moves?")) == text.lstrip()


@pytest.mark.parametrize("kind", SAVED)
def test_an_image_and_two_videos_in_one_talk(
    folders: dict[str, Path], clip: Path, tmp_path: Path, kind: str, loads: list[str]
) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(film(1)[0]).save(picture)
    other = make(tmp_path / "upright.mp4", frames=30, size=(32, 64)).path
    with_it = stack_of(folders[kind])
    contexts = [with_it.watch(path) for path in (picture, clip, other)]
    chat = with_it.chat(*contexts)
    messages, _, _ = chat._messages("Which of them moves?")
    shown = [part for part in messages[-1].parts if isinstance(part, Tokens)]
    assert [part.layout["media"] for part in shown] == ["image", "video", "video"]
    prompt = with_it.llm.writer.write(messages)  # type: ignore[attr-defined]
    runs = [run.media for part in shown for run in with_it.llm._family.runs(part)]  # type: ignore[attr-defined]
    assert [piece.media for piece in prompt if isinstance(piece, Vision)] == runs
    assert "Video 2, clip.mp4: " in messages[-1].text
    for question in ("Which of them moves?", "And then?"):
        answer = chat.ask(question)
        assert "".join(answer)
        assert answer.usage.prompt < with_it.llm.window
    assert loads == [kind]


def test_a_video_in_windows_is_one_video(folders: dict[str, Path], clip: Path) -> None:
    with_it = stack_of(folders["qwen2_5_vl"], "perceive.video.over=1", "perceive.video.frames=3")
    context = with_it.watch(clip)
    assert [record.meta["slots"] for record in context.records] == [2, 2, 2, 2]  # the last frame of three is repeated
    chat = with_it.chat(context)
    messages, _, _ = chat._messages("What moves?")
    (part,) = [part for part in messages[-1].parts if isinstance(part, Tokens)]
    (video,) = [piece for piece in with_it.llm.writer.write(messages) if isinstance(piece, Vision)]  # type: ignore[attr-defined]
    assert (part.slots, len(video.starts)) == (8, 8)
    assert np.allclose(video.starts, [i + at for i in range(4) for at in (1 / 6, 5 / 6)], atol=0.03)
    assert "".join(chat.ask("What moves?"))


def test_a_video_too_long_for_the_window_says_what_helps(folders: dict[str, Path], clip: Path) -> None:
    with_it = stack_of(folders["video_llava"], "perceive.video.frames=64", "llm.window=600")
    with pytest.raises(StackError, match=r"the video itself takes 10\d\d .*: show fewer frames"):
        with_it.chat(with_it.watch(clip)).ask("What moves?")


def test_two_models_are_no_one(folders: dict[str, Path]) -> None:
    with pytest.raises(StackError, match=r"makes embeddings for 'weights@\w+', but the llm's space is 'weights@"):
        stack_of(folders["video_llava"], f"llm.model={folders['qwen2_5_vl']}")


def test_the_stack_as_shipped_names_one_model() -> None:
    shipped = videochat.load("video_llava")
    ids = [w.id for _, component in shipped.components() for w in component.weights()]
    assert ids == ["LanguageBind/Video-LLaVA-7B-hf"] * 2
    assert shipped.template.placeholders == {"video", "times", "question"}


@pytest.mark.parametrize("kind", SAVED)
def test_a_memory_keeps_whole_slots_with_times_of_their_own(folders: dict[str, Path], clip: Path, kind: str) -> None:
    memory = "refine.memory={use: moviechat, window: 4, short: 4, long: 5}"
    with_it = stack_of(folders[kind], memory, "perceive.video.over=1", "perceive.video.frames=8")
    context = with_it.watch(clip)
    assert context.faults == ()
    chat = with_it.chat(context)
    messages, _, _ = chat._messages("What moves?")
    runs = [piece for piece in with_it.llm.writer.write(messages) if isinstance(piece, Vision)]  # type: ignore[attr-defined]
    starts = [start for run in runs for start in run.starts]
    assert len(starts) == len(context.records) <= 5
    assert sum(len(run.rows) for run in runs) == EACH[kind] * len(starts)
    assert starts == [record.times[0] for record in context.records]
    assert starts == sorted(starts)
    assert starts[-1] > 2
    assert "".join(chat.ask("What moves?"))
