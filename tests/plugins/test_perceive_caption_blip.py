"""Captions of real clips by tiny BLIP, BLIP-2 and GIT models, saved and loaded as real ones are."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import videochat
from media import make
from tiny_captioners import CAPTIONERS, SIDE
from videochat import Stack, StackError, UnavailableError, Want
from videochat.context import Context
from videochat_plugins.models.captioner import Captioner
from videochat_plugins.perceive.caption_blip import CaptionBlip
from videochat_plugins.read.pyav import PyAV

torch = pytest.importorskip("torch", reason="the extra models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra models is not installed")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "five.mp4", frames=50, fps=10, size=(80, 60)).path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: CAPTIONERS[name](folder / name) for name in ("blip", "blip2-opt", "git")}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each forward of the vision tower of BLIP had."""
    sizes: list[int] = []
    really: Callable[..., Any] = transformers.BlipVisionModel.forward

    def counted(self: Any, pixel_values: Any, **more: Any) -> Any:
        sizes.append(len(pixel_values))
        return really(self, pixel_values, **more)

    monkeypatch.setattr(transformers.BlipVisionModel, "forward", counted)
    return sizes


def watch(clip: Path, folder: Path, **options: Any) -> Context:
    caption = {"use": "caption.blip", "checkpoint": str(folder), "max_tokens": 6, **options}
    return Stack(perceive={"caption": caption}, device="cpu").watch(clip)


def notes(context: Context) -> list[str]:
    return [note for cost in context.ledger for note in cost.notes]


@pytest.mark.parametrize("name", ["blip", "blip2-opt", "git"])
def test_a_clip_is_described_as_transformers_describes_its_frames(
    clip: Path, folders: dict[str, Path], name: str
) -> None:
    context = watch(clip, folders[name], prompt="", beams=2)
    assert context.faults == ()
    assert [(record.kind, record.start, record.end) for record in context.records] == [
        ("caption", second, second + 1) for second in range(5)
    ]
    assert [record.times for record in context.records] == [(second + 0.5,) for second in range(5)]
    assert {(record.score, record.box, record.source) for record in context.records} == {(None, None, "caption")}

    reader = PyAV()
    frames = list(reader.frames(reader.probe(clip), [Want(second + 0.5) for second in range(5)]))
    kind = "Blip2ForConditionalGeneration" if name == "blip2-opt" else Captioner.classes[name]
    prepare = transformers.AutoImageProcessor.from_pretrained(folders[name], backend="pil")
    pixels = prepare([frame.image for frame in frames], return_tensors="pt").pixel_values
    model = getattr(transformers, kind).from_pretrained(folders[name]).eval()
    ids = model.generate(pixel_values=pixels, num_beams=2, max_new_tokens=6)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[name])
    wanted = [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert [record.text for record in context.records] == wanted


def test_a_stack_file_with_two_frames_a_window(clip: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(
        "device: cpu\n"
        "segment: {use: fixed, seconds: 2}\n"
        f"perceive:\n  caption: {{use: caption.blip, checkpoint: {folders['blip']}, frames: 2, side: {SIDE}}}\n"
    )
    records = videochat.load(str(tmp_path / "stack.yaml")).watch(clip).records
    assert [(record.start, record.end) for record in records] == [*((0, 1), (1, 2), (2, 3), (3, 4), (4, 4.5), (4.5, 5))]
    middles = [(record.start + record.end) / 2 for record in records]
    assert [record.times[0] for record in records] == pytest.approx(middles, abs=0.051)  # half a frame


def test_windows_are_batched_and_say_the_same(clip: Path, folders: dict[str, Path], batches: list[int]) -> None:
    one = watch(clip, folders["blip"], batch=1, max_tokens=7)
    assert batches == [1] * 5
    batches.clear()
    two = watch(clip, folders["blip"], batch=2, max_tokens=7, over=1.0)  # `over` says the same and has its own cache
    assert sorted(batches, reverse=True) == [2, 2, 1]
    assert [record.text for record in one.records] == [record.text for record in two.records]


def test_memory_that_runs_out_halves_the_batch(
    clip: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = watch(clip, folders["blip"], batch=5)
    really: Callable[..., Any] = transformers.BlipVisionModel.forward

    def narrow(self: Any, pixel_values: Any, **more: Any) -> Any:
        if len(pixel_values) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return really(self, pixel_values, **more)

    monkeypatch.setattr(transformers.BlipVisionModel, "forward", narrow)
    short = watch(clip, folders["blip"], batch=5, over=1.0)
    assert [record.text for record in short.records] == [record.text for record in whole.records]
    assert short.faults == ()
    assert notes(short) == ["out of memory: batch 5 to 2"]


def test_nothing_said_makes_no_record(clip: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    mute = Path(shutil.copytree(folders["blip"], tmp_path / "mute"))
    model = transformers.BlipForConditionalGeneration.from_pretrained(mute)
    model.text_decoder.cls.predictions.bias.data[3] = 1000  # [SEP], which ends a caption
    model.save_pretrained(mute)
    context = watch(clip, mute)
    assert (list(context.records), context.faults) == ([], ())


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("model.safetensors", "has no model.safetensors"),
        ("config.json", "has no config.json"),
        ("preprocessor_config.json", "has no preprocessor_config.json or processor_config.json"),
        ("tokenizer.json", "has no tokenizer.json or vocab.txt"),
    ],
)
def test_a_missing_file_is_named_before_anything_is_decoded(
    clip: Path, folders: dict[str, Path], tmp_path: Path, missing: str, told: str
) -> None:
    folder = Path(shutil.copytree(folders["blip"], tmp_path / "part"))
    (folder / missing).unlink()
    with pytest.raises(UnavailableError, match=told):
        watch(clip, folder)


def test_weights_that_are_cut_short_are_named(clip: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["git"], tmp_path / "short"))
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnavailableError, match=r"model.safetensors is damaged or cut short"):
        watch(clip, folder)


def test_another_kind_of_model_is_refused(clip: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["blip"], tmp_path / "other"))
    (folder / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UnavailableError, match="is a vit model, and this needs blip or blip-2 or git"):
        watch(clip, folder)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"beams": 0}, "beams"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"min_tokens": 3}, "min_tokens"),
        ({"checkpoint": ""}, "checkpoint"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(option: dict[str, Any], told: str) -> None:
    with pytest.raises(StackError, match=rf"perceive\.caption\.{told}"):
        Stack(perceive={"caption": {"use": "caption.blip"} | option})


def test_the_default_needs_a_download_and_says_so(clip: Path) -> None:
    (weights,) = CaptionBlip().weights()
    assert (weights.id, weights.bytes, weights.here) == ("Salesforce/blip-image-captioning-base", 989_000_000, False)
    with pytest.raises(UnavailableError, match="hf download Salesforce/blip-image-captioning-base"):
        Stack(perceive={"caption": "caption.blip"}, device="cpu").watch(clip)
