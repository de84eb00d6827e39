"""Captioners built tiny, saved, loaded and asked: each kind against transformers' own way of asking it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_captioners import CAPTIONERS, SIDE
from videochat import Pool, UnavailableError
from videochat_plugins.models.captioner import Captioner, CaptionOptions
from videochat_plugins.models.checkpoint import Checkpoint

torch = pytest.importorskip("torch", reason="the extra models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra models is not installed")

PICTURES = np.random.default_rng(3).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=CAPTIONERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CAPTIONERS[request.param](tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CAPTIONERS["blip"](tmp_path_factory.mktemp("models") / "blip")


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `generate` was called with."""
    calls: list[dict[str, Any]] = []
    for name in set(Captioner.classes.values()):
        cls = getattr(transformers, name)

        def counted(self: Any, really: Callable[..., Any] = cls.generate, **given: Any) -> Any:
            calls.append(given)
            return really(self, **given)

        monkeypatch.setattr(cls, "generate", counted)
    return calls


def load(folder: Path, pool: Pool | None = None, precision: str = "float32", **options: Any) -> Captioner:
    return Captioner.load(
        Checkpoint(str(folder)), Pool("cpu") if pool is None else pool, precision, "cpu", CaptionOptions(**options)
    )


def theirs(folder: Path) -> tuple[Any, Any, Any]:
    """The model, its tokenizer and its input for the pictures, all by transformers."""
    kind = Captioner.classes[json.loads((folder / "config.json").read_text())["model_type"]]
    model = getattr(transformers, kind).from_pretrained(folder).eval()
    prepare = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = prepare(list(PICTURES), return_tensors="pt").pixel_values
    return model, transformers.AutoTokenizer.from_pretrained(folder), pixels


def test_without_a_prompt_it_says_what_the_model_alone_says(folder: Path, asked: list[dict[str, Any]]) -> None:
    found = load(folder, prompt="", beams=2, max_tokens=8).describe(torch.from_numpy(PICTURES))
    model, tokenizer, pixels = theirs(folder)
    ids = model.generate(pixel_values=pixels, num_beams=2, max_new_tokens=8)
    assert found == [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert any(found)
    assert len(set(found)) > 1 or "t5" in folder.name  # each picture has its own, where weights allow
    assert torch.allclose(asked[0]["pixel_values"], pixels, atol=1e-5)


def test_what_the_prompt_says_is_not_in_the_caption(folder: Path) -> None:
    found = load(folder, prompt="a photo of", beams=1, max_tokens=8).describe(torch.from_numpy(PICTURES))
    model, tokenizer, pixels = theirs(folder)
    words = tokenizer("a photo of", add_special_tokens=False).input_ids
    match model.config.model_type, "t5" in folder.name:
        case "blip", _:  # which puts its own first token in the place of [CLS], and drops [SEP]
            ids = [tokenizer.cls_token_id, *words, tokenizer.sep_token_id]
        case "git", _:
            ids = [tokenizer.cls_token_id, *words]
        case _, is_t5:
            pictures = [model.config.image_token_index] * model.config.num_query_tokens
            ids = [*pictures, *words, tokenizer.eos_token_id] if is_t5 else [*pictures, tokenizer.bos_token_id, *words]
    given = torch.tensor([ids] * len(PICTURES))
    whole = tokenizer.batch_decode(
        model.generate(pixel_values=pixels, input_ids=given, num_beams=1, max_new_tokens=8), skip_special_tokens=True
    )
    assert [text.strip().startswith("a photo of") for text in whole] == ["t5" not in folder.name] * 3
    assert found == [text.strip().removeprefix("a photo of").strip() for text in whole]


def test_a_picture_alone_has_the_caption_that_it_has_among_others(folder: Path, asked: list[dict[str, Any]]) -> None:
    captioner = load(folder)
    together = captioner.describe(torch.from_numpy(PICTURES))
    assert len(asked) == 1
    assert together == [captioner.describe(torch.from_numpy(PICTURES[i : i + 1]))[0] for i in range(3)]


def test_no_caption_is_longer_than_asked(folder: Path) -> None:
    assert all(len(text.split()) <= 2 for text in load(folder, max_tokens=2).describe(torch.from_numpy(PICTURES)))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_runs(folder: Path, precision: str) -> None:
    texts = load(folder, precision=precision, max_tokens=4).describe(torch.from_numpy(PICTURES))
    assert len(texts) == 3
    assert any(texts)


def test_only_blip_goes_on_from_words_that_nobody_gave(folder: Path) -> None:
    pictures = torch.from_numpy(PICTURES)
    prompt = "a picture of" if folder.name == "blip" else ""
    assert load(folder).describe(pictures) == load(folder, prompt=prompt).describe(pictures)


def test_the_model_is_shared_and_the_wording_is_not(blip: Path) -> None:
    pool, pictures = Pool("cpu"), torch.from_numpy(PICTURES)
    short, long = load(blip, pool, max_tokens=1), load(blip, pool, max_tokens=9)
    assert len(pool) == 1
    assert long.side == SIDE
    assert max(len(text.split()) for text in short.describe(pictures)) == 1
    assert max(len(text.split()) for text in long.describe(pictures)) > 1


def change(source: Path, target: Path, **values: Any) -> Path:
    """Copy a checkpoint with other entries in its config.json."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | values))
    return target


def test_another_kind_of_model_is_refused(blip: Path, tmp_path: Path) -> None:
    other = change(blip, tmp_path / "other", model_type="vit")
    for refuse in (lambda: Captioner.check(Checkpoint(str(other))), lambda: load(other)):
        with pytest.raises(UnavailableError, match=r"is a vit model, and this needs blip or blip-2 or git"):
            refuse()


def test_a_tokenizer_that_cannot_be_read_is_named(blip: Path, tmp_path: Path) -> None:
    broken = change(blip, tmp_path / "broken")
    (broken / "tokenizer.json").write_text("{")
    with pytest.raises(UnavailableError, match=r"the tokenizer of .*broken cannot be loaded"):
        load(broken)


def test_a_blip2_of_before_picture_tokens_is_refused(tmp_path: Path) -> None:
    old = CAPTIONERS["blip2-opt"](tmp_path / "new")
    old = change(old, tmp_path / "old", image_token_index=None)
    with pytest.raises(UnavailableError, match="old has no image_token_index"):
        load(old)
