"""Speech recognition with Whisper (arXiv 2212.04356) on CTranslate2, by faster-whisper: quick without a GPU."""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from videochat import Component, Key, Pool, StackError, UnavailableError, Weights, hookimpl
from videochat.component import FASTER_ONLY
from videochat.errors import near
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.perceive.speech import Recogniser, Said, Word, check_language
from videochat_plugins.perceive.voice_activity import Samples

_SIZES = {"tiny": 78_000_000, "base": 148_000_000, "small": 486_000_000, "medium": 1_531_000_000}  # bytes, in float16
_LARGE = 3_090_000_000
# Repositories of converted models, as faster-whisper names them, and the bytes of a download.
_RELEASED = {
    **{name: (f"Systran/faster-whisper-{name}", size) for name, size in _SIZES.items()},
    **{f"{name}.en": (f"Systran/faster-whisper-{name}.en", size) for name, size in _SIZES.items()},
    **{f"large-v{i}": (f"Systran/faster-whisper-large-v{i}", _LARGE) for i in (1, 2, 3)},
    "large": ("Systran/faster-whisper-large-v3", _LARGE),
    "large-v3-turbo": ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_621_000_000),
    "turbo": ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_621_000_000),
    "distil-small.en": ("Systran/faster-distil-whisper-small.en", 336_000_000),
    "distil-medium.en": ("Systran/faster-distil-whisper-medium.en", 792_000_000),
    "distil-large-v2": ("Systran/faster-distil-whisper-large-v2", 1_516_000_000),
    "distil-large-v3": ("Systran/faster-distil-whisper-large-v3", 1_516_000_000),
    "distil-large-v3.5": ("distil-whisper/distil-large-v3.5-ct2", 1_516_000_000),
}
_NEEDED = ("config.json", "model.bin", "tokenizer.json", "vocabulary.json|vocabulary.txt")
Precision = Literal["auto", "int8", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32"]


class _Converted(Checkpoint):
    """A model that ct2-transformers-converter wrote, with `--copy_files tokenizer.json`."""

    __slots__ = ()

    @property
    def _whole(self) -> tuple[str, str]:
        return "model.safetensors", "model.bin"  # there is no safer form yet


class FasterWhisper(Recogniser):
    """Write down what is said, with the time of each word: Whisper in 8 bits, several times as quick on a CPU.

    One record for each phrase. `score` is the geometric mean of the tokens' probabilities. meta: "words", [[word,
    start, end, probability], ...]; "language", with "language_prob" where it was told from the sound; "avg_logprob" and
    "compression_ratio" of the phrase's 30 s, and "no_speech_prob".

    It hears and keeps the same as `asr.whisper`, by the same options: 30 s at a time, without its text so far, and no
    silence. But it never samples words: a piece that it wrote badly is not tried again.

    What it cannot know: who speaks; the language where two are mixed; names that it never read. Under music, noise or
    crosstalk it may still write what nobody said.
    """

    class Options(Recogniser.Options):
        """Which model, what is heard and what is kept."""

        # The cache goes by what it comes to.
        precision: Precision = Field(default="auto", json_schema_extra=FASTER_ONLY)
        """Numbers of the weights, and those that it computes in; auto: int8 on a CPU, float16 on a GPU."""
        word_times: bool = True
        """Whether to look for the time of each word."""

    extra = "faster-whisper"
    options: Options
    _model: Any = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Where its files are."""
        name, size = _RELEASED.get(self.options.model, (self.options.model, 0))
        return _Converted(name, size, _NEEDED)

    def weights(self) -> Sequence[Weights]:
        """Return the model, without loading it and without network."""
        return (self.checkpoint.weights(),)

    def precision(self, pool: Pool) -> str:
        """Return the numbers of its weights, as CTranslate2 names them."""
        if self.options.precision != "auto":
            return self.options.precision
        return "float16" if pool.place(self.options.device).startswith("cuda") else "int8"

    def check(self) -> None:
        """Make sure that the model is here and whole, or can be asked for.

        Raises:
            UnavailableError: naming what is missing.
        """
        checkpoint = self.checkpoint
        if checkpoint.is_local and checkpoint.path is None:
            how = "it must be a folder with a model converted by ct2-transformers-converter, or a hub's org/name"
            names = near(self.options.model, _RELEASED)
            raise UnavailableError(f"there is no Whisper model {self.options.model}: {how}{names}")
        checkpoint.check()

    def fetch(self) -> None:
        """Download the model if it is not here.

        Raises:
            UnavailableError: if it cannot be had.
        """
        self.check()
        self.checkpoint.fetch()

    def load(self, pool: Pool) -> None:
        """Load the model.

        Raises:
            UnavailableError: if it is not here or no converted Whisper.
            StackError: if there is no such device, the device cannot compute so, or the model lacks the language.
        """
        self.check()
        folder = self.checkpoint.fetch()
        self.device, precision = pool.place(self.options.device), self.precision(pool)
        self._check_device(precision)
        key = Key("FasterWhisper", self.weights()[0].id, precision, "", self.device)
        self._model = pool.get(key, lambda: self._build(folder, precision))
        check_language("asr.faster_whisper", self.options.language, self._model.supported_languages)

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

    def detect(self, audio: Samples) -> tuple[str, float]:
        """Return the code of the language that is spoken, and its probability."""
        if not self._model.model.is_multilingual:
            return "en", 1.0
        language, probability, _ = self._model.detect_language(audio)
        return str(language), float(probability)

    def transcribe(self, audio: Samples, clips: Sequence[float], language: str) -> Iterator[Said]:
        """Yield the segments of some stretches of a sound."""
        o = self.options
        segments, _ = self._model.transcribe(
            audio,
            language=language,
            clip_timestamps=list(clips),
            condition_on_previous_text=False,
            temperature=0.0,  # above it words would be sampled, and CTranslate2 has no seed for each call
            beam_size=o.beams,
            no_speech_threshold=o.no_speech,
            log_prob_threshold=o.logprob,
            compression_ratio_threshold=o.compression,
            word_timestamps=o.word_times,
        )
        for part in segments:
            words = [Word(w.word, float(w.start), float(w.end), float(w.probability)) for w in part.words or ()]
            log, silent, ratio = part.avg_logprob, part.no_speech_prob, part.compression_ratio
            yield Said(part.start, part.end, part.text, log, silent, ratio, words)

    def _check_device(self, precision: str) -> None:
        ctranslate2 = import_module("ctranslate2")
        kind, _, index = self.device.partition(":")
        if kind == "cuda" and int(index or 0) >= ctranslate2.get_cuda_device_count():
            raise StackError(f"there is no device {self.device}: CTranslate2 sees no such CUDA GPU here")
        known = ctranslate2.get_supported_compute_types(kind)
        if precision not in known:
            allowed = " or ".join(sorted(known.intersection(get_args(Precision))))
            raise StackError(
                f"asr.faster_whisper cannot compute in {precision} on {self.device}: set its precision to {allowed}"
            )

    def _build(self, folder: Path, precision: str) -> Any:
        from faster_whisper import WhisperModel

        kind, _, index = self.device.partition(":")
        where = {"device": kind, "device_index": int(index or 0), "compute_type": precision}
        try:
            return WhisperModel(str(folder), local_files_only=True, **where)
        except Exception as error:  # CTranslate2's and those of the tokenizer's library are of several kinds
            what = str(error).partition("\n")[0]
            raise UnavailableError(f"{folder} is not a Whisper model of CTranslate2: {what}") from None


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "asr.faster_whisper", FasterWhisper)
