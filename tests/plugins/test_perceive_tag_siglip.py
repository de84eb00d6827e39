"""Tags by SigLIP and CLIP: real towers with random weights, saved and loaded from disk."""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from taggers import WORDS, save

import videochat
from media import make
from videochat import Frame, Perceiver, Pool, Record, Span, Stack, StackError, UnavailableError, Video, Window
from videochat_plugins.perceive.tag_clip import ClipTagger
from videochat_plugins.perceive.tag_siglip import SiglipTagger
from videochat_plugins.perceive.tags import SHIPPED, read_tags

torch = pytest.importorskip("torch", reason="the extra models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra models is not installed")

TOWERS = {"siglip": SiglipTagger, "clip": ClipTagger}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("taggers")
    (root / "words.txt").write_text("# of mine\n" + "\n".join([*WORDS, "cat", "", "tree  # again"]))
    return {"words": root / "words.txt", **{kind: save(root / kind, kind) for kind in TOWERS}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=100, size=(96, 64)).path


def tagger(folders: dict[str, Path], kind: str, **options: Any) -> Any:
    given = {"checkpoint": str(folders[kind]), "vocabulary": str(folders["words"]), "threshold": 0, **options}
    return TOWERS[kind](TOWERS[kind].Options(**given))


@pytest.fixture(params=list(TOWERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def windows(count: int, frames: int = 1) -> list[Window]:
    video, noise = Video(Path("clip.mp4"), float(count), 48, 40), np.random.default_rng(0)
    images = noise.integers(0, 256, (count, frames, 40, 48, 3), np.uint8)
    return [
        Window(i, i + 1, video, tuple(Frame(i + (k + 0.5) / frames, image) for k, image in enumerate(part)))
        for i, part in enumerate(images)
    ]


def loaded(perceiver: Any) -> Any:
    perceiver.load(Pool("cpu"))
    return perceiver


def told(found: Any) -> Iterator[list[tuple[str, float]]]:
    for records in found:
        yield [(record.text, record.score) for record in records]


def test_a_video_gets_tags_of_the_vocabulary(folders: dict[str, Path], clip: Path, kind: str) -> None:
    options = {"checkpoint": str(folders[kind]), "vocabulary": str(folders["words"]), "threshold": 0, "top": 2}
    stack = Stack(perceive={"tags": {"use": f"tag.{kind}", **options}}, device="cpu")
    context = stack.watch(clip)
    assert context.faults == ()
    assert {r.kind for r in context.records} == {"tag"}
    assert [(r.start, r.end) for r in context.records] == [(i, i + 1) for i in range(4) for _ in range(2)]
    assert {r.text for r in context.records} <= set(WORDS)
    assert all(0 <= r.score <= 1 and len(r.times) == 1 and r.start < r.times[0] < r.end for r in context.records)


def test_scores_are_the_models_own(folders: dict[str, Path], kind: str) -> None:
    """As the whole model of transformers has them, from pixels of its own PIL processor."""
    perceiver, seen = loaded(tagger(folders, kind, top=5)), windows(3)
    processor = transformers.AutoImageProcessor.from_pretrained(folders[kind], backend="pil")
    pixels = processor([window.frames[0].image for window in seen], return_tensors="pt")["pixel_values"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    padding = {"siglip": {"padding": "max_length", "max_length": 8}, "clip": {"padding": True}}[kind]
    tokens = tokenizer([f"a photo of {word}" for word in WORDS], return_tensors="pt", **padding)
    if kind == "siglip":
        tokens.pop("attention_mask")
    tokens.pop("token_type_ids", None)
    model = {"siglip": transformers.SiglipModel, "clip": transformers.CLIPModel}[kind].from_pretrained(folders[kind])
    with torch.inference_mode():
        logits = model(pixel_values=pixels, **tokens).logits_per_image
    wanted = logits.sigmoid() if kind == "siglip" else logits.softmax(-1)
    for row, records in zip(wanted, perceiver.perceive(seen), strict=True):
        scores = dict(zip(WORDS, row.tolist(), strict=True))
        assert {r.text: r.score for r in records} == pytest.approx(scores, abs=1e-4)
        assert [r.score for r in records] == sorted((r.score for r in records), reverse=True)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_window_alone_is_as_in_a_batch(folders: dict[str, Path], kind: str, frames: int) -> None:
    seen = windows(5, frames)
    together = list(told(loaded(tagger(folders, kind, frames=frames, batch=4)).perceive(seen)))
    alone = [next(told(loaded(tagger(folders, kind, frames=frames)).perceive([window]))) for window in seen]
    for one, other in zip(together, alone, strict=True):
        for i in range(0, len(one), len(WORDS)):  # frame by frame: near ties may change places
            assert dict(one[i : i + len(WORDS)]) == pytest.approx(dict(other[i : i + len(WORDS)]), abs=2e-4)


@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (4, 1), (4, 3), (99, 2)])
def test_as_few_forwards_and_copies_as_there_can_be(
    folders: dict[str, Path], kind: str, batch: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    perceiver, seen, copies = loaded(tagger(folders, kind, batch=batch, frames=frames)), windows(5, frames), []
    from videochat_plugins.perceive import tags

    really = tags.upload
    monkeypatch.setattr(tags, "upload", lambda *given: copies.append(1) or really(*given))
    forwards = []
    perceiver._model.vision_model.register_forward_hook(lambda *_: forwards.append(1))
    list(perceiver.perceive(seen))
    assert len(forwards) == len(copies) == ceil(5 * frames / batch)


def test_out_of_memory_halves_the_batch_and_the_ledger_says_so(
    folders: dict[str, Path], clip: Path, kind: str
) -> None:
    class Small(TOWERS[kind]):  # type: ignore[misc]
        def load(self, pool: Pool) -> None:
            super().load(pool)
            self._model.vision_model.register_forward_pre_hook(self.full, with_kwargs=True)

        @staticmethod
        def full(_: Any, args: Any, given: Any) -> None:
            if len(given["pixel_values"]) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")

    options = tagger(folders, kind, batch=4).options
    plain = Stack(perceive={"tags": TOWERS[kind](options)}, device="cpu").watch(clip)
    context = Stack(perceive={"tags": Small(options)}, device="cpu").watch(clip)
    assert context.faults == ()
    first, second = (sorted((r.start, r.text) for r in found.records) for found in (plain, context))
    assert first == second
    assert context.ledger[0].notes == ["out of memory: batch 4 to 2", "out of memory: batch 2 to 1"]


def test_the_text_side_is_computed_once_for_all_videos(
    folders: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    really = TOWERS[kind]._encode
    monkeypatch.setattr(TOWERS[kind], "_encode", lambda self, tags: runs.append(len(tags)) or really(self, tags))
    first, again = (list(told(loaded(tagger(folders, kind)).perceive(windows(2)))) for _ in range(2))
    assert first == again
    assert runs == [len(WORDS)]
    loaded(tagger(folders, kind, template="a picture of {}"))
    assert len(runs) == 2


def test_another_vocabulary_is_another_result(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("boat\n")
    before = tagger(folders, kind, vocabulary=str(mine)).weights()
    mine.write_text("boat\nplane\n")
    assert tagger(folders, kind, vocabulary=str(mine)).weights() != before


def test_the_threshold_may_leave_nothing(folders: dict[str, Path], kind: str) -> None:
    assert list(told(loaded(tagger(folders, kind, threshold=1.0)).perceive(windows(1)))) == [[]]


def test_through_a_stack_of_yaml(folders: dict[str, Path], clip: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(
        f"device: cpu\nperceive:\n  tags: {{use: tag.{kind}, checkpoint: '{folders[kind]}', over: video, frames: 2,\n"
        f"    vocabulary: '{folders['words']}', threshold: 0, top: 1}}\nformat: table1\nllm: echo\n"
    )
    context = videochat.load(str(file)).watch(clip)
    assert [(r.start, r.end) for r in context.records] == [(0, 2), (2, 4)]
    assert {line.text for line in list(context.lines())[1::2]} <= set(WORDS)  # a line of time, a line of tags, ...


def test_wrong_files_and_options(folders: dict[str, Path], tmp_path: Path, kind: str, clip: Path) -> None:
    other = {"siglip": "clip", "clip": "siglip"}[kind]
    with pytest.raises(UnavailableError, match=f"is a {other} model, and this needs {kind}"):
        tagger({**folders, kind: folders[other]}, kind).check()
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for name, said in (("empty.txt", "holds no tag"), ("none.txt", "cannot be read")):
        with pytest.raises(UnavailableError, match=said):
            tagger(folders, kind, vocabulary=str(tmp_path / name)).check()
    with pytest.raises(StackError, match=r"perceive.tags.template: must hold \{\} once"):
        Stack(perceive={"tags": {"use": f"tag.{kind}", "template": "a photo"}})


def test_the_shipped_vocabulary_is_clean() -> None:
    tags = read_tags(SHIPPED)
    assert len(tags) == 2324
    assert all(tag == tag.strip().lower() or tag == "t-shirt" for tag in tags)
    assert {"person", "dog", "bicycle", "pizza", "running", "screwdriver"} <= set(tags)
    words = SHIPPED.read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in words


def test_perceivers_are_perceivers() -> None:
    made: list[Perceiver] = [SiglipTagger(), ClipTagger()]
    assert [set(perceiver.emits) for perceiver in made] == [{"tag"}, {"tag"}]
    assert Record("tag", 0, 1, "cat").kind in made[0].emits
    assert [perceiver.weights()[0].here for perceiver in made] == [False, False]
    assert Span(0, 1)


def test_in_half_precision_tags_are_still_told_apart(folders: dict[str, Path], kind: str) -> None:
    """Only the towers compute in bfloat16: the likeness of a frame and a tag is in float32."""
    perceiver = loaded(tagger(folders, kind, precision="bfloat16", top=5))
    for records in perceiver.perceive(windows(3)):
        scores = [record.score for record in records]
        assert scores == sorted(scores, reverse=True)
        halves = {float(torch.tensor(score).bfloat16()) for score in scores}
        assert not halves >= set(scores), "as fine as bfloat16 has it"
