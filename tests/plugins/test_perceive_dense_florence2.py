"""Florence-2 built tiny, saved, loaded and watched with: what it says is read as transformers reads it."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import videochat
from media import make
from tiny_florence import SIDE, WORDS, save_tiny_florence
from videochat import Box, Pool, Stack, StackError, UnavailableError, Want
from videochat.context import Context
from videochat_plugins.perceive.dense_florence2 import BINS, TASKS, DenseFlorence2, picture_tokens, things
from videochat_plugins.read.pyav import PyAV

torch = pytest.importorskip("torch", reason="the extra models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra models is not installed")

NAMES = {"regions": "<DENSE_REGION_CAPTION>", "text": "<OCR_WITH_REGION>"}  # as transformers calls the tasks
BINS_FROM = len(WORDS) + 10  # ids in the tests of the parser: words, special tokens, then places
PLACES = {BINS_FROM + number: number for number in range(BINS)}
SPECIAL = range(len(WORDS), BINS_FROM)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "three.mp4", frames=30, fps=10, size=(160, 120)).path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_florence(tmp_path_factory.mktemp("models") / "florence", seed=1)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each forward of the vision tower had."""
    sizes: list[int] = []
    really: Callable[..., Any] = transformers.Florence2VisionBackbone.forward

    def counted(self: Any, pixels: Any, **more: Any) -> Any:
        sizes.append(len(pixels))
        return really(self, pixels, **more)

    monkeypatch.setattr(transformers.Florence2VisionBackbone, "forward", counted)
    return sizes


def watch(clip: Path, folder: Path, **options: Any) -> Context:
    dense = {"use": "dense.florence2", "checkpoint": str(folder), "max_tokens": 60, "beams": 1, **options}
    return Stack(perceive={"dense": dense}, device="cpu").watch(clip)


def processor(folder: Path) -> Any:
    """Return the composite processor, which works without torchvision once its parts are given."""
    prepare = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    prepare.image_seq_length = picture_tokens(transformers.Florence2VisionConfig(), SIDE, SIDE)
    rules = {"description_with_bboxes": {}, "ocr": {"PATTERN": None, "AREA_THRESHOLD": 0.0}}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.Florence2Processor(prepare, tokenizer, post_processor_config=rules)


def test_a_clip_is_described_as_by_transformers_own_processor(clip: Path, folder: Path) -> None:
    context = watch(clip, folder, tasks=["regions", "text"], beams=3, side=60)  # 64: the checkpoint takes so many
    assert context.faults == ()
    assert {record.kind for record in context.records} == {"region", "text"}
    for record in context.records:
        assert record.start == record.end == record.times[0]
        assert record.times[0] in (0.5, 1.5, 2.5)
        assert (record.score, record.source) == (None, "dense")

    ask, model = processor(folder), transformers.Florence2ForConditionalGeneration.from_pretrained(folder).eval()
    reader = PyAV()
    frames = list(reader.frames(reader.probe(clip), [Want(second + 0.5, 64) for second in range(3)]))
    height, width, _ = frames[0].image.shape
    assert height == 64
    found: dict[str, list[tuple[float, str, Box]]] = {"region": [], "text": []}
    for name, task in TASKS.items():
        images = [frame.image for frame in frames]
        inputs = ask(text=[NAMES[name]] * 3, images=images, return_tensors="pt")
        answers = ask.batch_decode(model.generate(**inputs, num_beams=3, max_new_tokens=60), skip_special_tokens=False)
        for frame, answer in zip(frames, answers, strict=True):
            parsed = ask.post_process_generation(text=answer, task=NAMES[name], image_size=(width, height))[NAMES[name]]
            for label, edges in zip(parsed["labels"], parsed.get("bboxes") or parsed["quad_boxes"], strict=True):
                box = Box(min(edges[::2]), min(edges[1::2]), max(edges[::2]), max(edges[1::2]))
                if label and "loc_" not in label:  # what it makes of places that are too few
                    found[task.kind].append((frame.time, label, box))
    for kind, wanted in found.items():
        ours = [record for record in context.records if record.kind == kind]
        assert len(ours) >= len(wanted) > 0
        for time, label, (x1, y1, x2, y2) in wanted:
            wide, high = 160 / width, 120 / height
            # It cuts off fractions.
            edges = (wide * (x1 + 0.5), high * (y1 + 0.5), wide * (x2 + 0.5), high * (y2 + 0.5))
            near = Box(*edges)
            assert any(
                record.times == (time,) and record.text == label and record.box == pytest.approx(near, abs=1.1)
                for record in ours
            ), (kind, time, label, near)


def test_a_stack_file(clip: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(
        f"device: cpu\nperceive:\n  dense: {{use: dense.florence2, checkpoint: {folder}, max_tokens: 40, over: 2}}\n"
    )
    stack = videochat.load(str(tmp_path / "stack.yaml"))
    assert stack.perceivers["dense"].emits == {"region"}
    assert {record.times for record in stack.watch(clip).records} <= {(1.0,), (2.5,)}


def test_windows_are_batched_and_say_the_same(clip: Path, folder: Path, batches: list[int]) -> None:
    one = watch(clip, folder, batch=1)
    assert batches == [1, 1, 1]
    batches.clear()
    two = watch(clip, folder, batch=2, over=1.0)  # `over` says the same and has its own cache
    assert batches == [2, 1]
    assert [record.to_json() for record in one.records] == [record.to_json() for record in two.records]
    assert one.records


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_runs(clip: Path, folder: Path, precision: str) -> None:
    context = watch(clip, folder, precision=precision)
    assert context.faults == ()
    assert context.records


def test_the_released_size_has_577_tokens_for_a_picture() -> None:
    assert picture_tokens(transformers.Florence2VisionConfig(), 768, 768) == 577


def test_prompts_are_those_of_the_processor(folder: Path) -> None:
    theirs = processor(folder).task_prompts_without_inputs
    assert {name: task.prompt for name, task in TASKS.items()} == {name: theirs[NAMES[name]] for name in TASKS}


def read(ids: Sequence[int], points: int, size: tuple[int, int]) -> list[tuple[str, Box]]:
    return list(things(ids, PLACES, spell, points, size))


def spell(ids: Sequence[int]) -> str:
    return " ".join(WORDS[id] for id in ids if id < len(WORDS))


def answer(found: Sequence[tuple[list[int], list[int]]]) -> tuple[list[int], str]:
    """Return the tokens of an answer, and the answer spelt out."""
    ids, text = [SPECIAL[0]], "</s><s>"
    for words, places in found:
        ids += [*words, *(BINS_FROM + place for place in places)]
        text += spell(words) + "".join(f"<loc_{place}>" for place in places)
    return [*ids, SPECIAL[1]], f"{text}</s><pad>"


words = st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=4)
sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def places(count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, BINS - 1), min_size=count, max_size=count)


@given(st.lists(st.tuples(words, st.integers(1, 3).flatmap(lambda boxes: places(4 * boxes)))), sizes)
def test_regions_are_read_as_the_processor_reads_them(
    found: list[tuple[list[int], list[int]]], size: tuple[int, int]
) -> None:
    ids, text = answer(found)
    theirs = reference("description_with_bboxes", text, size)
    ours = read(ids, 2, size)
    assert [label for label, _ in ours] == [one["cat_name"] for one in theirs]
    for (_, box), one in zip(ours, theirs, strict=True):
        assert same(box, one["bbox"])


@given(st.lists(st.tuples(words, places(8))), sizes)
def test_text_is_read_as_the_processor_reads_it(
    found: list[tuple[list[int], list[int]]], size: tuple[int, int]
) -> None:
    ids, text = answer(found)
    theirs = reference("ocr", text, size)
    ours = read(ids, 4, size)
    assert [label for label, _ in ours] == [one["text"] for one in theirs]
    for (_, box), one in zip(ours, theirs, strict=True):
        assert same(box, one["quad_box"])


def reference(task: str, text: str, size: tuple[int, int]) -> list[dict[str, Any]]:
    from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

    class Tokenizer:
        all_special_tokens = ("<s>", "</s>", "<pad>")

    post = Florence2PostProcessor({task: {}}, Tokenizer())
    found: list[dict[str, Any]] = post(text=text, image_size=size, parse_tasks=task)[task]
    return found


def same(box: Box, corners: Sequence[int]) -> bool:
    """Return whether a box is the one around their corners, from which they cut the fraction of a pixel."""
    xs, ys = corners[::2], corners[1::2]
    theirs = (min(xs), min(ys), max(xs), max(ys))
    return all(-1e-3 <= edge - other < 1.001 for edge, other in zip(box, theirs, strict=True))


@given(words, st.tuples(*[st.integers(0, BINS - 2)] * 2), st.tuples(*[st.integers(1, BINS - 1)] * 2), sizes)
def test_a_box_survives_the_way_into_tokens_and_back(
    label: list[int], low: tuple[int, int], high: tuple[int, int], size: tuple[int, int]
) -> None:
    x1, y1, x2, y2 = (min(low[0], high[0] - 1), min(low[1], high[1] - 1), *high)
    width, height = size
    box = Box(
        *((place + 0.25) / BINS * edge for place, edge in zip((x1, y1, x2, y2), (width, height) * 2, strict=True))
    )
    numbers = [int(edge / whole * BINS) for edge, whole in zip(box, (width, height) * 2, strict=True)]
    (found,) = read(answer([(label, numbers)])[0], 2, size)
    assert found[0] == spell(label)
    assert all(
        abs(edge - other) <= 0.5 / BINS * whole + 1e-6
        for edge, other, whole in zip(box, found[1], (width, height) * 2, strict=True)
    )


@given(st.lists(st.integers(0, BINS_FROM + BINS - 1)), st.sampled_from([2, 4]), sizes)
def test_any_tokens_at_all_give_texts_with_boxes_in_the_frame(
    ids: list[int], points: int, size: tuple[int, int]
) -> None:
    for text, (x1, y1, x2, y2) in read(ids, points, size):
        assert text
        assert 0 < x1 <= x2 < size[0]
        assert 0 < y1 <= y2 < size[1]


@pytest.mark.parametrize(
    ("ids", "count"),
    [
        ([], 0),
        ([BINS_FROM] * 4, 0),  # nobody says what is there
        ([0, *[BINS_FROM] * 3], 0),  # a place is missing
        ([0, *[BINS_FROM] * 7], 1),
        ([0, *[BINS_FROM] * 3, 1, *[BINS_FROM] * 4], 1),
        ([SPECIAL[2], *[BINS_FROM] * 4], 0),
        ([0, SPECIAL[2], *[BINS_FROM] * 4], 1),
    ],
)
def test_what_is_not_whole_is_left_out(ids: list[int], count: int) -> None:
    assert len(read(ids, 2, (100, 100))) == count


def change(source: Path, target: Path, **values: Any) -> Path:
    """Copy a checkpoint with other entries in its config.json."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | values))
    return target


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("model.safetensors", "has no model.safetensors"),
        ("preprocessor_config.json", "has no preprocessor_config.json or processor_config.json"),
        ("tokenizer.json", "has no tokenizer.json or vocab.json"),
    ],
)
def test_a_missing_file_is_named(clip: Path, folder: Path, tmp_path: Path, missing: str, told: str) -> None:
    part = change(folder, tmp_path / "part")
    (part / missing).unlink()
    with pytest.raises(UnavailableError, match=told):
        watch(clip, part)


def test_another_kind_of_model_is_refused(clip: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="is a vit model, and this needs florence2"):
        watch(clip, change(folder, tmp_path / "other", model_type="vit"))


def test_a_tokenizer_without_places_is_refused(folder: Path, tmp_path: Path) -> None:
    other = change(folder, tmp_path / "other")
    text = (other / "tokenizer.json").read_text().replace("<loc_999>", "<gone>")
    (other / "tokenizer.json").write_text(text)
    (other / "tokenizer_config.json").write_text(
        (other / "tokenizer_config.json").read_text().replace("<loc_999>", "<gone>")
    )
    perceiver = DenseFlorence2(DenseFlorence2.Options(checkpoint=str(other)))
    with pytest.raises(UnavailableError, match=r"has no '<loc_999>' for places"):
        perceiver.load(Pool("cpu"))


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"tasks": []}, "tasks"),
        ({"tasks": ["caption"]}, "tasks"),
        ({"beams": 0}, "beams"),
        ({"max_tokens": 4000}, "max_tokens"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(option: dict[str, Any], told: str) -> None:
    with pytest.raises(StackError, match=rf"perceive\.dense\.{told}"):
        Stack(perceive={"dense": {"use": "dense.florence2"} | option})
