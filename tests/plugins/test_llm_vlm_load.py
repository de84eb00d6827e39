"""Loading the side that answers: one model for both sides, chat templates, adapters, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local_llm import user
from local_vlm import about, answerer, ask, embedder, film, generated, ids_of, look, plain, plain_ids, see
from tiny_llama import save_tiny_llama
from tiny_vlms import LISTS_ONLY, SAVED, save_qwen2_5_vl, save_video_llava
from videochat import Message, Pool, Text, Tokens, UnavailableError
from videochat_plugins.llm.transformers import Transformers
from videochat_plugins.llm.vlm import VideoLanguageModel
from videochat_plugins.perceive.embed_vlm import VlmEmbedder

# peft asks transformers by a name that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
FILM = film(4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save(tmp_path_factory.mktemp("models") / kind) for kind, save in SAVED.items()}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A Video-LLaVA to spoil."""
    return Path(shutil.copytree(folders["video_llava"], tmp_path / "copy"))


def check(folder: Path | str, **options: Any) -> None:
    VideoLanguageModel(VideoLanguageModel.Options(model=str(folder), **options)).check()


# One model.


@pytest.mark.parametrize("kind", SAVED)
def test_both_sides_share_one_model(folders: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    calls, load = [], transformers.AutoModelForImageTextToText.from_pretrained
    monkeypatch.setattr(
        transformers.AutoModelForImageTextToText,
        "from_pretrained",
        lambda *given, **how: (calls.append(given), load(*given, **how))[1],
    )
    pool = Pool("cpu")
    eye, llm = embedder(folders[kind], pool), answerer(folders[kind], pool)
    assert llm._decoder is not None
    assert eye.model is llm._decoder.model
    assert eye.space == llm.space
    assert eye.space.startswith("weights@")
    assert [weights.id for weights in eye.weights()] == [weights.id for weights in llm.weights()]
    assert (len(pool), len(calls)) == (1, 1)
    answerer(folders[kind], pool, precision="bfloat16")
    assert (len(pool), len(calls)) == (2, 2)


@pytest.mark.parametrize(("quantisation", "layer"), [("8bit", "Linear8bitLt"), ("4bit", "Linear4bit")])
def test_quantised_both_sides_share_one_and_it_is_that_of_transformers(
    tmp_path: Path, quantisation: Any, layer: str
) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")
    import torch
    import transformers as hf

    folder = save_video_llava(tmp_path / "wide", width=64)
    pool = Pool("cpu")
    eye, llm = (make(folder, pool, quantisation=quantisation) for make in (embedder, answerer))
    assert len(pool) == 1
    assert type(eye.model.model.language_model.layers[0].self_attn.q_proj).__name__ == layer
    ((record,),) = eye.perceive([look(FILM)])
    (tokens,) = Tokens.join([record])
    nf4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": torch.float32}
    how: dict[str, Any] = {"load_in_8bit": True} if quantisation == "8bit" else {"load_in_4bit": True, **nf4}
    model = hf.VideoLlavaForConditionalGeneration.from_pretrained(
        folder, quantization_config=hf.BitsAndBytesConfig(**how), device_map={"": "cpu"}
    )
    _, tokenizer, prepare = plain(folder)
    pixels = prepare(FILM, return_tensors="pt", return_legacy_image_output=False)["pixel_values"][None]
    text = f"<s>USER: {'<video>' * 17 * len(FILM)}\nWhat moves? ASSISTANT:"
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    expected = generated(model, {"input_ids": ids, "pixel_values_videos": pixels}, ids.shape[1], 16)
    assert ids_of(llm, about(tokens)) == expected


def test_an_adapter_makes_a_model_of_its_own(folders: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the extra lora is not installed")
    import torch
    import transformers as hf

    folder = folders["qwen2_5_vl"]
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules=r".*language_model.*(q|v)_proj", init_lora_weights=False)
    whole = hf.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    peft.get_peft_model(whole, config).save_pretrained(tmp_path / "lora")
    pool = Pool("cpu")
    bare, adapted = answerer(folder, pool), answerer(folder, pool, adapter=str(tmp_path / "lora"))
    messages = about(see(folder, FILM))
    before = ids_of(bare, messages)
    assert ids_of(adapted, messages) != before
    assert ids_of(bare, messages) == before
    assert len(pool) == 2


# Chat templates.


def test_a_template_that_takes_only_lists_of_parts(tmp_path: Path) -> None:
    folder = save_video_llava(tmp_path / "model", chat=LISTS_ONLY)
    talk = [Message("system", (Text("Watch."),)), user(see(folder, FILM), Text("What moves?", "question"))]
    # The template leaves <s> to the tokenizer, as those for processors do.
    expected = plain_ids(folder, "<s>SYSTEM: Watch. USER: <video>\nWhat moves? ASSISTANT:", FILM)
    assert ids_of(answerer(folder), talk) == expected


@pytest.mark.parametrize("name", ["chat_template.json", "chat_template.jinja", "tokenizer_config.json"])
def test_wherever_the_template_lies(copy: Path, name: str) -> None:
    template = LISTS_ONLY.replace(".upper()", "")
    text = template if name.endswith("jinja") else json.dumps({"chat_template": template})
    if name == "tokenizer_config.json":
        text = json.dumps({**json.loads((copy / name).read_text()), "chat_template": template})
    (copy / name).write_text(text)
    expected = plain_ids(copy, "<s>user: <video>\nWhat moves? ASSISTANT:", FILM)
    assert ids_of(answerer(copy), about(see(copy, FILM))) == expected
    other = ids_of(answerer(copy, template="vicuna"), about(see(copy, FILM), question="And?"))
    assert other == plain_ids(copy, "<s>USER: <video>\nAnd? ASSISTANT:", FILM)


def test_a_template_file_without_a_template(copy: Path) -> None:
    (copy / "chat_template.json").write_text("[]")
    with pytest.raises(UnavailableError, match=r"chat_template\.json holds no chat template: download it again"):
        check(copy)


def test_a_family_that_has_no_form_of_old_needs_a_template(tmp_path: Path) -> None:
    folder = save_qwen2_5_vl(tmp_path / "model", chat="")
    with pytest.raises(UnavailableError, match=r"has no chat template: set llm\.template"):
        check(folder)
    assert ask(answerer(folder, template="stablelm"), about(see(folder, FILM)))


# What is refused.


def retype(folder: Path, kind: str, **values: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind, **values}))
    return folder


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("qwen3_vl", r"is a qwen3_vl model, whose vision features also enter its inner layers \(deepstack\)"),
        ("mllama", r"is a mllama model, a family that is not known here; .* are: .*qwen2_5_vl.*video_llava"),
    ],
)
def test_models_that_are_not_carried_are_named(copy: Path, kind: str, said: str) -> None:
    retype(copy, kind)
    with pytest.raises(UnavailableError, match=said):
        check(copy)
    with pytest.raises(UnavailableError, match=said):
        VlmEmbedder(VlmEmbedder.Options(checkpoint=str(copy))).check()


def test_a_model_of_words_alone(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path)
    with pytest.raises(UnavailableError, match="is a llama model, which sees nothing; for its words alone use the llm"):
        check(folder)


@pytest.mark.parametrize("kind", SAVED)
def test_a_model_that_sees_given_to_the_llm_for_words(folders: dict[str, Path], kind: str) -> None:
    llm = Transformers(Transformers.Options(model=str(folders[kind]), template="vicuna"))
    with pytest.raises(UnavailableError, match=rf"is a {kind} model, which sees: use the llm `vlm`"):
        llm.check()


def test_a_missing_processor_file(copy: Path) -> None:
    (copy / "preprocessor_config.json").unlink()
    for build in (lambda: check(copy), lambda: embedder(copy)):
        with pytest.raises(UnavailableError, match=r"preprocessor_config\.json is missing, and nothing in its place"):
            build()


@pytest.mark.parametrize("kind", ["video_llava", "qwen2_5_vl"])
def test_the_tokenizer_of_another_model(folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders[kind], tmp_path / "copy"))
    for file in save_tiny_llama(tmp_path / "other").glob("tokenizer*"):
        shutil.copy(file, folder)
    llm = answerer(folder)
    with pytest.raises(UnavailableError, match=r"the tokenizer has no <.*image.*> and no <.*video.*>"):
        _ = llm.turn


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UnavailableError, match=f"has no {name}"):
        check(copy)


def test_weights_of_another_model(copy: Path, folders: dict[str, Path]) -> None:
    shutil.copy(folders["qwen2_5_vl"] / "model.safetensors", copy)
    with pytest.raises(UnavailableError, match=r"copy lacks .*model\."):
        answerer(copy)


def test_what_is_not_here_is_known_by_name_alone() -> None:
    llm, eye = VideoLanguageModel(), VlmEmbedder()
    assert llm.checkpoint == eye.checkpoint
    assert llm.space == eye.space == "LanguageBind/Video-LLaVA-7B-hf"
    assert llm.weights()[0].bytes > 14e9
    llm.check()
    eye.check()
    assert eye.sampling().frames == 8
    with pytest.raises(UnavailableError, match=r"Video-LLaVA-7B-hf \(14730 MB\) is not here"):
        llm.fetch()


def test_quantised_without_its_package(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videochat_plugins.models.vlm.load.find_spec", lambda name: None)
    eye = VlmEmbedder(VlmEmbedder.Options(checkpoint=str(copy), quantisation="4bit"))
    with pytest.raises(UnavailableError, match=r"quantisation needs bitsandbytes: pip install"):
        eye.check()
