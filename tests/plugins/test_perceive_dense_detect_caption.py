"""A tiny detector and a tiny captioner with random weights describe the regions of real clips."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videochat
from media import make
from tiny_captioners import CAPTIONERS
from tiny_detectors import LABELS, save_detector
from videochat import Pool, Stack, StackError, UnavailableError, Want
from videochat.context import Context
from videochat_plugins.perceive.dense_detect_caption import DenseDetectCaption
from videochat_plugins.read.pyav import PyAV

torch = pytest.importorskip("torch", reason="the extra models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra models is not installed")

SIZE = (160, 120)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "three.mp4", frames=30, fps=10, size=SIZE).path


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_detector("rt_detr", tmp_path_factory.mktemp("models") / "detector")


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CAPTIONERS["blip"](tmp_path_factory.mktemp("models") / "captioner", 1)


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pieces (K, 3, h, w) that each forward of the captioner's vision tower had."""
    pieces: list[Any] = []
    really: Callable[..., Any] = transformers.BlipVisionModel.forward

    def counted(self: Any, pixel_values: Any, **more: Any) -> Any:
        pieces.append(pixel_values)
        return really(self, pixel_values, **more)

    monkeypatch.setattr(transformers.BlipVisionModel, "forward", counted)
    return pieces


@pytest.fixture
def detected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each forward of the detector had."""
    sizes: list[int] = []
    really: Callable[..., Any] = transformers.RTDetrForObjectDetection.forward

    def counted(self: Any, pixel_values: Any, **more: Any) -> Any:
        sizes.append(len(pixel_values))
        return really(self, pixel_values, **more)

    monkeypatch.setattr(transformers.RTDetrForObjectDetection, "forward", counted)
    return sizes


def watch(clip: Path, detector: Path, captioner: Path, **options: Any) -> Context:
    chosen = {"threshold": 0.5, "most": 5, "max_tokens": 6, "side": 120} | options
    dense = {"use": "dense.detect_caption", "checkpoint": str(detector), "captioner": str(captioner), **chosen}
    return Stack(perceive={"dense": dense}, device="cpu").watch(clip)


def test_each_region_has_the_caption_of_its_piece_of_the_frame(
    clip: Path, detector: Path, captioner: Path, described: list[Any]
) -> None:
    from PIL import Image

    context = watch(clip, detector, captioner, threshold=0.0, most=300, margin=0.25, crops=4)
    plain = {"use": "detect.rtdetr", "checkpoint": str(detector), "threshold": 0, "most": 300, "side": 120}
    places = {
        (record.times, record.box, record.score)
        for record in Stack(perceive={"found": plain}, device="cpu").watch(clip).records
    }
    assert context.faults == ()
    assert context.records
    reader = PyAV()
    frames = reader.frames(reader.probe(clip), [Want(second + 0.5) for second in range(3)])
    pictures = {(frame.time,): Image.fromarray(frame.image) for frame in frames}
    prepare = transformers.BlipImageProcessorPil.from_pretrained(captioner)
    model = transformers.BlipForConditionalGeneration.from_pretrained(captioner).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(captioner)
    prompt = torch.tensor([tokenizer("a picture of").input_ids])
    seen = torch.cat(described)
    for record in context.records:
        assert (record.kind, record.source, record.start) == ("region", "dense", record.end)
        assert (record.times, record.box, record.score) in places
        assert record.meta["label"] in LABELS
        assert record.box is not None
        x1, y1, x2, y2 = record.box
        across, down = (x2 - x1) / 4, (y2 - y1) / 4
        corners = np.array([np.floor(x1 - across), np.floor(y1 - down), np.ceil(x2 + across), np.ceil(y2 + down)])
        piece = pictures[record.times].crop(tuple(corners.clip(0, SIZE * 2)))
        far = (seen - prepare(piece, return_tensors="pt").pixel_values).abs().mean(dim=(1, 2, 3))
        assert far.min() < 0.02
        ids = model.generate(pixel_values=seen[[int(far.argmin())]], input_ids=prompt.clone(), max_new_tokens=6)
        text = tokenizer.batch_decode(ids, skip_special_tokens=True)[0].removeprefix("a picture of").strip()
        assert record.text == (text or record.meta["label"])
    assert len({record.text for record in context.records}) > 1


def test_the_surest_regions_are_kept_and_come_first(clip: Path, detector: Path, captioner: Path) -> None:
    every, some = (watch(clip, detector, captioner, threshold=0.0, most=most).records for most in (300, 3))
    for time in (0.5, 1.5, 2.5):
        sure = sorted((record.score or 0 for record in every if record.start == time), reverse=True)
        assert [record.score for record in some if record.start == time] == pytest.approx(sure[:3])


def test_one_place_under_two_names_is_described_once(clip: Path, detector: Path, captioner: Path) -> None:
    records = watch(clip, detector, captioner, threshold=0.0, most=300).records
    places = [(record.times, record.box) for record in records]
    assert len(places) == len(set(places)) < 3 * 12 + 1


def test_the_pieces_of_all_frames_share_forwards(
    clip: Path, detector: Path, captioner: Path, detected: list[int], described: list[Any]
) -> None:
    one = watch(clip, detector, captioner, threshold=0.0, batch=1, crops=1, most=4)
    assert (detected, list(map(len, described))) == ([1] * 3, [1] * 12)
    detected.clear()
    described.clear()
    two = watch(clip, detector, captioner, threshold=0.0, batch=3, crops=5, most=4, over=1.0)  # a cache of its own
    assert (detected, list(map(len, described))) == ([3], [5, 5, 2])
    for alone, among in zip(one.records, two.records, strict=True):
        assert (alone.text, alone.times, alone.meta) == (among.text, among.times, among.meta)
        assert alone.score == pytest.approx(among.score, abs=1e-5)
        assert alone.box == pytest.approx(among.box, abs=0.02)


def test_memory_that_runs_out_halves_the_pieces_alone(
    clip: Path, detector: Path, captioner: Path, detected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = watch(clip, detector, captioner, threshold=0.0, batch=3, crops=12, most=4)
    really: Callable[..., Any] = transformers.BlipVisionModel.forward

    def narrow(self: Any, pixel_values: Any, **more: Any) -> Any:
        if len(pixel_values) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return really(self, pixel_values, **more)

    monkeypatch.setattr(transformers.BlipVisionModel, "forward", narrow)
    detected.clear()
    short = watch(clip, detector, captioner, threshold=0.0, batch=3, crops=12, most=4, over=1.0)
    assert detected == [3]
    assert [record.text for record in short.records] == [record.text for record in whole.records]
    notes = [note for cost in short.ledger for note in cost.notes]
    assert notes == ["regions: out of memory: batch 12 to 6", "regions: out of memory: batch 6 to 3"]


def test_a_frame_without_regions_has_no_records(
    clip: Path, detector: Path, captioner: Path, described: list[Any]
) -> None:
    context = watch(clip, detector, captioner, threshold=0.999999)
    assert (list(context.records), context.faults, described) == ([], (), [])


def test_a_region_about_which_nothing_is_said_keeps_its_name(
    clip: Path, detector: Path, captioner: Path, tmp_path: Path
) -> None:
    mute = Path(shutil.copytree(captioner, tmp_path / "mute"))
    model = transformers.BlipForConditionalGeneration.from_pretrained(mute)
    model.text_decoder.cls.predictions.bias.data[3] = 1000  # [SEP], which ends a caption
    model.save_pretrained(mute)
    records = watch(clip, detector, mute, threshold=0.0).records
    assert records
    assert [record.text for record in records] == [record.meta["label"] for record in records]


def test_a_stack_file_shares_the_captioner_with_its_neighbour(
    clip: Path, detector: Path, captioner: Path, tmp_path: Path
) -> None:
    (tmp_path / "stack.yaml").write_text(
        "device: cpu\n"
        "perceive:\n"
        f"  caption: {{use: caption.blip, checkpoint: {captioner}}}\n"
        f"  dense: {{use: dense.detect_caption, checkpoint: {detector}, captioner: {captioner}, threshold: 0}}\n"
    )
    stack = videochat.load(str(tmp_path / "stack.yaml"))
    dense, caption = stack.perceivers["dense"], stack.perceivers["caption"]
    assert [weights.here for weights in dense.weights()] == [True, True]
    assert dense.weights()[1] == caption.weights()[0]
    pool = Pool("cpu")
    for part in (dense, caption):
        part.load(pool)
    assert len(pool) == 2
    for part in (dense, caption):
        part.close()
    context = stack.watch(clip)
    assert context.faults == ()
    assert {record.kind for record in context.records} == {"caption", "region"}


@pytest.mark.parametrize("which", ["checkpoint", "captioner"])
def test_a_missing_file_of_either_model_is_named(
    clip: Path, detector: Path, captioner: Path, tmp_path: Path, which: str
) -> None:
    models = {"checkpoint": detector, "captioner": captioner}
    models[which] = Path(shutil.copytree(models[which], tmp_path / "part"))
    (models[which] / "preprocessor_config.json").unlink()
    with pytest.raises(UnavailableError, match=r"part has no preprocessor_config.json"):
        watch(clip, *models.values())


def test_models_of_other_kinds_are_refused(clip: Path, detector: Path, captioner: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="is a blip model, and this needs rt_detr"):
        watch(clip, captioner, captioner)
    other = Path(shutil.copytree(captioner, tmp_path / "other"))
    (other / "config.json").write_text((detector / "config.json").read_text())
    with pytest.raises(UnavailableError, match="is a rt_detr model, and this needs blip"):
        watch(clip, detector, other)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"margin": -1}, "margin"),
        ({"threshold": 1}, "threshold"),
        ({"most": 0}, "most"),
        ({"captioner": ""}, "captioner"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(option: dict[str, Any], told: str) -> None:
    with pytest.raises(StackError, match=rf"perceive\.dense\.{told}"):
        Stack(perceive={"dense": {"use": "dense.detect_caption"} | option})


def test_the_defaults_are_known_by_size() -> None:
    found = [(weights.id, weights.bytes, weights.here) for weights in DenseDetectCaption().weights()]
    assert found == [
        ("PekingU/rtdetr_r50vd", 172_000_000, False),
        ("Salesforce/blip-image-captioning-base", 989_000_000, False),
    ]
