"""Whisper on CTranslate2: a tiny network with random weights, converted as a real one is, which speaks noise."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from speech import EXAMPLE, RATE, noise, silence, speech, window

import videochat
from media import make
from tiny_whisper import LOOSE, save_faster_whisper
from videochat import Pool, Record, Span, Stack, StackError, UnavailableError, Weights
from videochat_plugins.perceive.asr_faster_whisper import FasterWhisper
from videochat_plugins.perceive.speech_stretches import LEAD

# openai-whisper, whose vocabulary this is, reads it so.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

REPOSITORY = "Systran/faster-whisper-base"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_faster_whisper(tmp_path_factory.mktemp("whisper") / "tiny-random")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool("cpu")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what the encoder was given."""
    from faster_whisper import WhisperModel

    shapes: list[tuple[int, ...]] = []
    encode = WhisperModel.encode

    def counted(self: Any, features: Any) -> Any:
        shapes.append(tuple(features.shape))
        return encode(self, features)

    monkeypatch.setattr(WhisperModel, "encode", counted)
    return shapes


def recogniser(model: Path | str, pool: Pool, **options: Any) -> FasterWhisper:
    found = FasterWhisper(FasterWhisper.Options.model_validate({"model": str(model), **LOOSE, **options}))
    found.load(pool)
    return found


def hear(found: FasterWhisper, seconds: float) -> list[Record]:
    return list(next(iter(found.perceive([window(speech()[: round(seconds * RATE)])]))))


def test_a_clip_becomes_speech_with_words(model: Path, heard: list[tuple[int, ...]]) -> None:
    use = {"use": "asr.faster_whisper", "model": str(model), **LOOSE}
    context = Stack(perceive={"speech": use}, format="table1", device="cpu").watch(EXAMPLE)
    assert context.faults == ()
    records = list(context.records)
    assert records
    assert set(heard) == {(80, 3000)}
    assert [record.start for record in records] == sorted(record.start for record in records)
    for record in records:
        assert (record.kind, record.source) == ("speech", "speech")
        assert 0 <= record.start <= record.end <= context.video.duration
        assert 0 <= (record.score or 0) <= 1
        assert {"language", "language_prob", "no_speech_prob", "avg_logprob", "compression_ratio"} <= set(record.meta)
        for word, start, end, probability in record.meta.get("words", ()):
            assert word == word.strip()
            assert record.start <= start <= end <= record.end
            assert 0 <= probability <= 1
    assert any("words" in record.meta for record in records)


def test_a_stack_in_a_file_and_its_cache(model: Path, tmp_path: Path, heard: list[tuple[int, ...]]) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(
        f"perceive:\n  speech: {{use: asr.faster_whisper, model: {model}, language: en, beams: 1, compression: 100,\n"
        "    logprob: -100, word_times: false}\ndevice: cpu\n"
    )
    records = list(videochat.load(str(file)).watch(EXAMPLE).records)
    assert {record.meta["language"] for record in records} == {"en"}
    assert all("words" not in record.meta for record in records)
    forwards = len(heard)
    assert list(videochat.load(str(file)).watch(EXAMPLE).records) == records
    assert len(heard) == forwards > 0


def test_a_silent_clip_is_not_given_to_the_model(model: Path, tmp_path: Path, heard: list[tuple[int, ...]]) -> None:
    clip = make(tmp_path / "silent.mp4", frames=75, tone=1e-9)
    use = {"use": "asr.faster_whisper", "model": str(model), **LOOSE}
    context = Stack(perceive={"speech": use}, device="cpu").watch(clip.path)
    assert context.video.has_audio
    assert (list(context.records), context.faults, heard) == ([], (), [])


def test_where_nothing_sounds_nothing_is_written(model: Path, pool: Pool, heard: list[tuple[int, ...]]) -> None:
    found = recogniser(model, pool)
    sounds = [silence(8), noise(8, 0.0005), silence(0)]
    assert list(found.perceive([window(sound) for sound in sounds])) == [[], [], []]
    assert heard == []


@pytest.mark.parametrize("options", [{"logprob": -0.001, "no_speech": 0.0}, {"compression": 1.0001}])
def test_what_is_no_speech_or_a_loop_is_dropped(model: Path, pool: Pool, options: dict[str, float]) -> None:
    assert hear(recogniser(model, pool, language="en"), 6)
    assert hear(recogniser(model, pool, language="en", **options), 6) == []


def test_a_window_alone_is_as_in_a_batch(model: Path, pool: Pool) -> None:
    found = recogniser(model, pool, beams=2, over=4)
    spans = [Span(0, 4), Span(4, 8), Span(8, 11)]
    windows = [window(speech(), span, LEAD) for span in spans]
    together = [list(records) for records in found.perceive(windows)]
    assert [list(next(iter(found.perceive([one])))) for one in reversed(windows)] == together[::-1]
    assert any(together)
    for span, records in zip(spans, together, strict=True):
        assert all(max(0, span.start - LEAD) <= record.start <= record.end <= span.end for record in records)
        assert all(a.start <= b.start for a, b in pairwise(records))


def test_precisions_and_their_weights_are_kept_apart(model: Path) -> None:
    pool = Pool("cpu")
    one, two = recogniser(model, pool), recogniser(model, pool, language="en")
    assert one._model is two._model
    assert one._model.model.compute_type.startswith("int8")
    assert recogniser(model, pool, precision="float32")._model.model.compute_type == "float32"
    assert len(pool) == 2
    one.close()
    assert one._model is None
    assert FasterWhisper().precision(Pool("cuda")) == "float16"


def test_what_it_cannot_do_is_said_before_it_hears(model: Path, pool: Pool) -> None:
    with pytest.raises(StackError, match="language 'xx'"):
        recogniser(model, pool, language="xx")
    with pytest.raises(StackError, match="no device cuda:9"):
        recogniser(model, pool, device="cuda:9")
    with pytest.raises(StackError, match=r"perceive\.speech\.device"):
        Stack(perceive={"speech": {"use": "asr.faster_whisper", "device": "cuda:x"}})
    with pytest.raises(StackError, match=r"cannot compute in float16 on cpu: set its precision to .*float32"):
        recogniser(model, pool, precision="float16")


def test_a_plan_loads_nothing(model: Path) -> None:
    script = f"""
import sys
from videochat import Stack
own = {{"use": "asr.faster_whisper", "model": {str(model)!r}}}
plan = Stack(perceive={{"a": own, "b": "asr.faster_whisper"}}, device="cpu").plan({str(EXAMPLE)!r})
print(*(weights.id for place, weights in plan.weights if place in ("perceive.a", "perceive.b")))
assert not {{"torch", "faster_whisper", "ctranslate2"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.split()
    assert first.startswith("tiny-random@")
    assert second == REPOSITORY


def test_a_plan_tells_of_a_model_that_is_nowhere() -> None:
    plan = Stack(perceive={"speech": {"use": "asr.faster_whisper", "model": "./nope"}}, device="cpu").plan(EXAMPLE)
    assert ("perceive.speech", Weights("./nope", here=False)) in plan.weights


def test_the_names_are_those_of_the_package() -> None:
    from faster_whisper.utils import _MODELS

    from videochat_plugins.perceive.asr_faster_whisper import _RELEASED

    assert {name: repository for name, (repository, _) in _RELEASED.items()} == _MODELS
    assert all(size > 7e7 for _, size in _RELEASED.values())


def test_a_model_of_the_hub_is_taken_from_its_cache(
    model: Path, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = FasterWhisper(FasterWhisper.Options(model="base"))
    (weights,) = found.weights()
    assert (weights.id, weights.here) == (REPOSITORY, False)
    found.check()  # may be asked for
    for ask in (found.fetch, lambda: found.load(pool)):
        with pytest.raises(
            UnavailableError, match=r"base \(148 MB\).*`hf download Systran/faster-whisper-base`.*`offline`"
        ):
            ask()
    commit = "0123456789abcdef0123456789abcdef01234567"

    def download(repository: str, allow_patterns: list[str], **how: Any) -> None:
        cached = tmp_path / f"models--{repository.replace('/', '--')}"
        wanted = [file for file in model.iterdir() if any(file.match(pattern) for pattern in allow_patterns)]
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text(commit)
        (cached / "snapshots" / commit).mkdir(parents=True)
        for file in wanted:
            shutil.copy(file, cached / "snapshots" / commit)

    listed = SimpleNamespace(siblings=[SimpleNamespace(rfilename=file.name) for file in model.iterdir()])
    monkeypatch.setattr("huggingface_hub.model_info", lambda repository, **how: listed)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    found.fetch()
    (weights,) = found.weights()
    assert (weights.id, weights.here) == (f"{REPOSITORY}@{commit[:12]}", True)
    assert hear(recogniser("base", pool, language="en"), 4)


def test_a_folder_that_is_not_whole_is_refused(model: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "model.bin", "config.json", "vocabulary.json"):
        folder = tmp_path / name.partition(".")[0]
        shutil.copytree(model, folder)
        (folder / name).unlink()
        with pytest.raises(UnavailableError, match=name):
            FasterWhisper(FasterWhisper.Options(model=str(folder))).check()
    shutil.copytree(model, tmp_path / "cut")
    whole = (model / "model.bin").read_bytes()
    (tmp_path / "cut" / "model.bin").write_bytes(whole[:1000])
    with pytest.raises(UnavailableError, match=r"cut is not a Whisper model of CTranslate2") as raised:
        recogniser(tmp_path / "cut", Pool("cpu"))
    assert "\n" not in str(raised.value)
    for name, words in (("mediun", "did you mean medium"), ("./nope", "there is no Whisper model ./nope")):
        found = FasterWhisper(FasterWhisper.Options(model=name))
        assert not found.weights()[0].here
        with pytest.raises(UnavailableError, match=words):
            found.check()


def test_the_converted_vocabulary_is_whispers_own(model: Path) -> None:
    words = json.loads((model / "vocabulary.json").read_text(encoding="utf-8"))
    assert len(words) == 51865
    assert words[50257:50260] == ["<|endoftext|>", "<|startoftranscript|>", "<|en|>"]
