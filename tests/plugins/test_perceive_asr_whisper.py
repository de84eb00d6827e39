"""Whisper by its own package: a tiny network with random weights speaks noise, loaded and run as a real one is."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from speech import EXAMPLE, RATE, Samples, noise, silence, speech, window

import tiny_whisper
import videochat
from media import make
from videochat import Pool, Span, Stack, StackError, UnavailableError
from videochat.cache import identity
from videochat.context import Context
from videochat_plugins.perceive.asr_whisper import Whisper
from videochat_plugins.perceive.speech_stretches import LEAD

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # openai-whisper reads its vocabulary so
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # and sorts tensors with numpy
]
LOOSE = {**tiny_whisper.LOOSE, "temperatures": (0.0,)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper.save_whisper(tmp_path_factory.mktemp("whisper") / "tiny-random.pt")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool("cpu")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what the encoder was given."""
    from whisper.model import AudioEncoder

    shapes: list[tuple[int, ...]] = []
    forward = AudioEncoder.forward

    def counted(self: Any, mel: Any) -> Any:
        shapes.append(tuple(mel.shape))
        return forward(self, mel)

    monkeypatch.setattr(AudioEncoder, "forward", counted)
    return shapes


def recogniser(checkpoint: Path, pool: Pool, **options: Any) -> Whisper:
    found = Whisper(Whisper.Options.model_validate({"model": str(checkpoint), **LOOSE, **options}))
    found.load(pool)
    return found


def watch(checkpoint: Path, clip: Path, **options: Any) -> Context:
    speech = {"use": "asr.whisper", "model": str(checkpoint), **LOOSE, **options}
    return Stack(perceive={"speech": speech}, format="table1", device="cpu").watch(clip)


def test_a_clip_becomes_speech_with_times_and_scores(checkpoint: Path, heard: list[tuple[int, ...]]) -> None:
    context = watch(checkpoint, EXAMPLE)
    assert context.faults == ()
    assert list(context.records)
    for record in context.records:
        assert (record.kind, record.source) == ("speech", "speech")
        assert 0 <= record.start <= record.end <= context.video.duration
        assert 0 < (record.score or 0) <= 1
        assert set(record.meta) == {
            "language", "language_prob", "no_speech_prob", "avg_logprob", "compression_ratio"
        }  # fmt: skip
        assert record.score == pytest.approx(np.exp(record.meta["avg_logprob"]), abs=2e-3)
        assert 0 < record.meta["language_prob"] <= 1
        assert 0 <= record.meta["no_speech_prob"] <= 1
    assert set(heard) == {(1, 80, 3000)}


def test_a_stack_in_a_file_and_its_cache(checkpoint: Path, tmp_path: Path, heard: list[tuple[int, ...]]) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(
        f"perceive:\n  speech: {{use: asr.whisper, model: {checkpoint}, language: en, beams: 1, temperatures: [0],\n"
        "    compression: 100, logprob: -100}\ndevice: cpu\n"
    )
    records = list(videochat.load(str(file)).watch(EXAMPLE).records)
    assert {record.meta["language"] for record in records} == {"en"}
    forwards = len(heard)
    assert list(videochat.load(str(file)).watch(EXAMPLE).records) == records
    assert len(heard) == forwards > 0


def test_a_silent_clip_is_not_given_to_the_model(
    checkpoint: Path, tmp_path: Path, heard: list[tuple[int, ...]]
) -> None:
    clip = make(tmp_path / "silent.mp4", frames=75, tone=1e-9)
    context = watch(checkpoint, clip.path)
    assert context.video.has_audio
    assert (list(context.records), context.faults, heard) == ([], (), [])


@pytest.mark.parametrize("sound", [silence(8), noise(8, 0.0005), silence(0), np.full(RATE, np.nan, np.float32)])
def test_where_nothing_sounds_nothing_is_written(
    checkpoint: Path, pool: Pool, heard: list[tuple[int, ...]], sound: Samples
) -> None:
    assert list(recogniser(checkpoint, pool).perceive([window(sound)])) == [[]]
    assert heard == []


@pytest.mark.parametrize("options", [{"logprob": -0.001, "no_speech": 0.0}, {"compression": 1.0001}])
def test_what_is_no_speech_or_a_loop_is_dropped(checkpoint: Path, pool: Pool, options: dict[str, float]) -> None:
    assert next(iter(recogniser(checkpoint, pool).perceive([window(speech())])))
    assert list(recogniser(checkpoint, pool, **options).perceive([window(speech())])) == [[]]


def test_a_window_alone_is_as_in_a_batch_though_words_are_sampled(checkpoint: Path, pool: Pool) -> None:
    sound = np.concatenate([speech(), speech()])
    found = recogniser(checkpoint, pool, temperatures=(0.0, 0.7), logprob=-0.001, over=8)
    spans = [Span(0, 8), Span(8, 16), Span(16, 22)]
    windows = [window(sound, span, LEAD) for span in spans]
    together = [list(records) for records in found.perceive(windows)]
    assert [list(next(iter(found.perceive([one])))) for one in reversed(windows)] == together[::-1]
    assert any(together)
    for span, records in zip(spans, together, strict=True):
        assert all(max(0, span.start - LEAD) <= record.start <= record.end <= span.end for record in records)
        assert all(a.start <= b.start for a, b in pairwise(records))


def test_a_beam_search_and_a_fixed_language(checkpoint: Path, pool: Pool, heard: list[tuple[int, ...]]) -> None:
    records = next(iter(recogniser(checkpoint, pool, beams=3, language="de").perceive([window(speech())])))
    assert {record.meta["language"] for record in records} == {"de"}
    assert all("language_prob" not in record.meta for record in records)
    assert len(heard) == 1  # no look for the language


def test_words_have_times_within_their_phrase(checkpoint: Path, pool: Pool) -> None:
    records = next(iter(recogniser(checkpoint, pool, word_times=True).perceive([window(speech()[: 2 * RATE])])))
    assert records
    for record in records:
        words = record.meta["words"]
        assert " ".join(word for word, *_ in words) == record.text
        assert all(record.start <= start <= end <= record.end for _, start, end, _ in words)
        assert all(0 <= probability <= 1 for *_, probability in words)


def test_half_precision_changes_no_word(checkpoint: Path, pool: Pool) -> None:
    import torch
    import whisper

    whole = recogniser(checkpoint, pool)
    half = whole._build("float16")
    assert half.decoder.blocks[0].attn.query.weight.dtype == torch.float16
    assert half.decoder.ln.weight.dtype == torch.float32
    mel = whisper.log_mel_spectrogram(torch.from_numpy(whisper.pad_or_trim(speech())))
    # `transcribe` itself takes no half precision on a CPU.
    said = [
        whisper.decode(network, sound, whisper.DecodingOptions(language="en", fp16=network is half))
        for network, sound in ((whole._model, mel), (half, mel.half()))
    ]
    assert said[0].text == said[1].text
    assert said[0].avg_logprob == pytest.approx(said[1].avg_logprob, abs=0.02)
    language, probability = whole.detect(speech())
    whole._model = half
    assert whole.detect(speech()) == (language, pytest.approx(probability, abs=0.01))


def test_a_long_sound_is_heard_in_windows_that_tile_it(checkpoint: Path, pool: Pool) -> None:
    sound = np.concatenate([speech()] * 9)[: 95 * RATE]
    found = recogniser(checkpoint, pool, language="en", quiet=-120, over=30)
    given, transcribe = [], found._model.transcribe
    found._model.transcribe = lambda part, **how: given.append(len(part)) or transcribe(part, **how)
    try:
        spans = [Span(start, min(start + 30.0, 95.0)) for start in (0.0, 30.0, 60.0, 90.0)]
        records = [list(next(iter(found.perceive([window(sound, span, LEAD)])))) for span in spans]
    finally:
        del found._model.transcribe
    assert sum(given) == len(sound)
    assert max(given) <= (30 + LEAD) * RATE
    starts = [record.start for part in records for record in part]
    assert starts == sorted(starts)
    assert starts[-1] > 80


def test_the_work_is_done_with_its_own_gpu_as_the_current_one(
    checkpoint: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second GPU does not exist here: the model stays where it is, and only what would be set is watched."""
    import torch

    current: list[str] = []

    @contextmanager
    def device(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.append("left")

    found = recogniser(checkpoint, pool)
    monkeypatch.setattr(torch.cuda, "device", device)
    found.detect(speech())
    assert current == []
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "to", lambda self, where: self)
        patch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
        found.device = "cuda:1"
        found.detect(speech())
        list(found.transcribe(speech()[:RATE], [0.0, 1.0], "en"))
    assert current == ["cuda:1", "left"] * 2


def test_the_model_is_loaded_once(checkpoint: Path) -> None:
    pool = Pool("cpu")
    first, second = recogniser(checkpoint, pool), recogniser(checkpoint, pool, beams=2)
    assert first._model is second._model
    assert len(pool) == 1
    first.close()
    assert first._model is None


def test_an_english_model_knows_no_other_language(tmp_path: Path) -> None:
    checkpoint = tiny_whisper.save_whisper(tmp_path / "english.pt", vocabulary=51864)
    pool = Pool("cpu")
    records = next(iter(recogniser(checkpoint, pool).perceive([window(speech()[: 4 * RATE])])))
    assert {(record.meta["language"], record.meta["language_prob"]) for record in records} <= {("en", 1.0)}
    with pytest.raises(StackError, match=r"does not know the language 'de'.*no other"):
        recogniser(checkpoint, pool, language="de")


def test_what_it_cannot_do_is_said_before_it_hears(checkpoint: Path, pool: Pool) -> None:
    with pytest.raises(StackError, match="language 'xx'"):
        recogniser(checkpoint, pool, language="xx")
    with pytest.raises(StackError, match="float32 on a CPU"):
        recogniser(checkpoint, pool, precision="float16")
    with pytest.raises(StackError, match="no device cuda:9"):
        recogniser(checkpoint, pool, device="cuda:9")
    with pytest.raises(StackError, match=r"perceive\.speech\.device"):
        Stack(perceive={"speech": {"use": "asr.whisper", "device": "gpu"}})


def test_weights_and_precision_are_told_without_the_model(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = Whisper(Whisper.Options(model=str(checkpoint)))
    (weights,) = own.weights()
    assert weights.id.startswith("tiny-random.pt@")
    assert (weights.bytes, weights.here) == (checkpoint.stat().st_size, True)
    large = Whisper(Whisper.Options(model="turbo"))
    assert large.path == tmp_path / "whisper" / "large-v3-turbo.pt"
    (weights,) = large.weights()
    assert (weights.id, weights.here) == ("openai-whisper/large-v3-turbo", False)
    assert 1.5e9 < weights.bytes < 1.7e9
    assert own.precision(Pool("cpu")) == "float32"
    assert own.precision(Pool("cuda")) == "float16"
    gpu = Whisper(Whisper.Options(model=str(checkpoint), device="cuda", precision="float16"))
    assert identity(gpu, Pool("cpu")) == identity(own, Pool("cuda:1"))  # the cache knows them by what they come to
    assert identity(own, Pool("cpu")) != identity(own, Pool("cuda"))


def test_the_names_are_those_of_the_package() -> None:
    import whisper

    from videochat_plugins.perceive.asr_whisper import _OTHER_NAMES, _RELEASED

    assert {*_RELEASED, *_OTHER_NAMES} == set(whisper.available_models())
    for name in whisper.available_models():
        file = whisper._MODELS[name].rsplit("/", 1)[1]
        assert Whisper(Whisper.Options(model=name)).path.name == file


def test_a_plan_loads_nothing(checkpoint: Path) -> None:
    script = f"""
import sys
from videochat import Stack
own = {{"use": "asr.whisper", "model": {str(checkpoint)!r}}}
plan = Stack(perceive={{"a": own, "b": "asr.whisper"}}, device="cpu").plan({str(EXAMPLE)!r})
print(*(weights.id for place, weights in plan.weights if place in ("perceive.a", "perceive.b")))
assert not {{"torch", "whisper"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.split()
    assert first.startswith("tiny-random.pt@")
    assert second == "openai-whisper/base"


def test_a_model_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, words in (("bse", "did you mean base"), (str(tmp_path / "none.pt"), "must be a .pt file")):
        with pytest.raises(UnavailableError, match=words):
            Whisper(Whisper.Options(model=name)).check()
    found = Whisper(Whisper.Options(model="base"))
    found.check()  # may be asked for
    for ask in (found.fetch, lambda: found.load(Pool("cpu"))):
        with pytest.raises(UnavailableError, match=r"base \(145 MB\).*HF_HUB_OFFLINE.*`offline` needs none"):
            ask()


def test_a_download_is_checked_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: Pool) -> None:
    import whisper

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    # With the heads that the package knows to follow the words of its model "tiny".
    whole = tiny_whisper.save_whisper(tmp_path / "tiny.pt", n_text_layer=4, n_text_head=6, n_text_state=24).read_bytes()
    served = tmp_path / hashlib.sha256(whole).hexdigest() / "tiny.pt"
    served.parent.mkdir()
    monkeypatch.setitem(whisper._MODELS, "tiny", served.as_uri())
    found = Whisper(Whisper.Options.model_validate({"model": "tiny", "language": "en", **LOOSE}))
    for broken in (b"", whole[:5000]):
        if broken:
            served.write_bytes(broken)
        with pytest.raises(UnavailableError, match="could not be downloaded") as raised:
            found.fetch()
        assert "\n" not in str(raised.value)
        assert list((tmp_path / "cache" / "whisper").iterdir()) == []
    served.write_bytes(whole)
    found.fetch()
    assert found.weights()[0].here
    found.load(pool)
    assert found._model.alignment_heads.shape == (4, 6)
    found.path.write_bytes(whole[:-9])
    with pytest.raises(UnavailableError, match="damaged or cut short"):
        found.load(Pool("cpu"))


def test_a_file_that_is_no_checkpoint_is_refused_and_runs_no_code(tmp_path: Path, checkpoint: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(tmp_path / "evil"), "w")

    files = {name: tmp_path / f"{name}.pt" for name in ("cut", "text", "code", "other", "shape")}
    files["cut"].write_bytes(checkpoint.read_bytes()[:100_000])
    files["text"].write_text("no model")
    torch.save({"dims": Evil()}, files["code"])
    torch.save({"weights": torch.zeros(2)}, files["other"])
    wrong = torch.load(checkpoint, weights_only=True)
    wrong["dims"]["n_text_state"] = 64
    torch.save(wrong, files["shape"])
    for file in files.values():
        with pytest.raises(UnavailableError, match=file.name) as raised:
            recogniser(file, Pool("cpu"))
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("temperatures", [(), (-1.0,), (3.0,)])
def test_temperatures_that_make_no_sense(temperatures: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        Whisper.Options(temperatures=temperatures)
