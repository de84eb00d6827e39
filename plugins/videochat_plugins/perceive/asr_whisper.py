"""Speech recognition with OpenAI's Whisper (arXiv 2212.04356), by its own package."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from pydantic import Field

from videochat import Component, Key, Pool, StackError, UnavailableError, Weights, hookimpl
from videochat.cache import file_hash
from videochat.component import FASTER_ONLY
from videochat.errors import near
from videochat_plugins.models.checkpoint import offline, unavailable
from videochat_plugins.models.pretrained import check_device
from videochat_plugins.perceive.speech import Recogniser, Said, Word, check_language
from videochat_plugins.perceive.voice_activity import Samples

_SIZES = {"tiny": 75_572_083, "base": 145_262_807, "small": 483_617_219, "medium": 1_528_008_539}  # bytes, as published
_RELEASED = {
    **_SIZES,
    **{f"{name}.en": size for name, size in _SIZES.items()},
    **dict.fromkeys(("large-v1", "large-v2", "large-v3"), 3_087_000_000),
    "large-v3-turbo": 1_618_000_000,
}
_OTHER_NAMES = {"large": "large-v3", "turbo": "large-v3-turbo"}
_SEED = 0


class Whisper(Recogniser):
    """Write down what is said, in the language in which it is said: one record for each phrase.

    `score` is the geometric mean of the tokens' probabilities. meta: "language", with "language_prob" where it was told
    from the sound; "avg_logprob" and "compression_ratio" of the phrase's 30 s, and "no_speech_prob"; with `word_times`,
    "words": [[word, start, end, probability], ...].

    The model hears 30 s at a time and is not told its text so far: a loop in one piece would go on in the next. It gets
    no silence, for it writes words into it; what is at once improbable and likely no speech is dropped.

    What it cannot know: who speaks; the language where two are mixed; names that it never read. Under music, noise or
    crosstalk it may still write what nobody said: the larger models do so less. Times are right to about half a second.
    """

    class Options(Recogniser.Options):
        """Which model, what is heard and what is kept."""

        # The cache goes by what it comes to.
        precision: Literal["auto", "float32", "float16"] = Field(default="auto", json_schema_extra=FASTER_ONLY)
        """Numbers that the model computes in; auto: float16 on a GPU, float32 on a CPU, which knows no other."""
        temperatures: tuple[Annotated[float, Field(ge=0, le=2)], ...] = Field(
            default=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0), min_length=1
        )
        """Tried one after the other until a piece is neither improbable nor repetitive; above 0 words are sampled."""
        word_times: bool = False
        """Whether to look for the time of each word: half as much work again."""

    extra = "whisper"
    options: Options
    _model: Any = None

    @property
    def path(self) -> Path:
        """Where the checkpoint is, or will be."""
        name = self._released
        if name is None:
            return Path(self.options.model).expanduser()
        cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        return Path(cache) / "whisper" / f"{name}.pt"

    @property
    def _released(self) -> str | None:
        """The full name of a released model; None for a checkpoint of the user's own."""
        name = _OTHER_NAMES.get(self.options.model, self.options.model)
        return name if name in _RELEASED else None

    def weights(self) -> Sequence[Weights]:
        """Return the checkpoint, without loading it and without network."""
        path, name = self.path, self._released
        if name is not None:
            return [Weights(f"openai-whisper/{name}", _RELEASED[name], path.is_file())]
        if not path.is_file():
            return [Weights(self.options.model, here=False)]
        return [Weights(f"{path.name}@{file_hash(path)[:12]}", path.stat().st_size)]

    def precision(self, pool: Pool) -> str:
        """Return the numbers that it computes in: "float32" or "float16"."""
        if self.options.precision != "auto":
            return self.options.precision
        return "float16" if pool.place(self.options.device).startswith("cuda") else "float32"

    def check(self) -> None:
        """Make sure that the checkpoint is here, or one that is published.

        Raises:
            UnavailableError: naming what is missing.
        """
        if not self.path.is_file() and self._released is None:
            names = near(self.options.model, (*_RELEASED, *_OTHER_NAMES))
            raise UnavailableError(f"there is no Whisper checkpoint {self.options.model}: it must be a .pt file{names}")

    def fetch(self) -> None:
        """Download the checkpoint if it is not here; its sha256 is checked.

        Raises:
            UnavailableError: if it cannot be had.
        """
        self.check()
        path, name = self.path, self._released
        if path.is_file() or name is None:
            return
        if why := offline():
            raise self._unavailable(why)
        import whisper

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".part-", dir=path.parent) as part:  # a broken download leaves nothing
                Path(whisper._download(whisper._MODELS[name], part, False)).replace(path)
        except Exception as error:  # the HTTP library's and the system's are of a dozen kinds
            raise self._unavailable(type(error).__name__) from None

    def load(self, pool: Pool) -> None:
        """Load the model.

        Raises:
            UnavailableError: if the checkpoint is not here or no Whisper's.
            StackError: if there is no such device, the device cannot compute so, or the model lacks the language.
        """
        self.fetch()
        self.device, precision = pool.place(self.options.device), self.precision(pool)
        check_device(self.device)
        if precision == "float16" and self.device == "cpu":
            raise StackError("asr.whisper computes in float32 on a CPU: set its precision to float32 or auto")
        from whisper.tokenizer import LANGUAGES

        key = Key("Whisper", self.weights()[0].id, precision, "", self.device)
        self._model = pool.get(key, lambda: self._build(precision))
        known = list(LANGUAGES)[: self._model.num_languages] if self._model.is_multilingual else ["en"]
        check_language("asr.whisper", self.options.language, known)

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

    def detect(self, audio: Samples) -> tuple[str, float]:
        """Return the code of the language that is spoken, and its probability."""
        import torch
        import whisper

        if not self._model.is_multilingual:
            return "en", 1.0
        sound = torch.from_numpy(whisper.pad_or_trim(audio)).to(self.device)
        with self._current():
            mel = whisper.log_mel_spectrogram(sound, self._model.dims.n_mels)  # (mels, 3000)
            _, told = self._model.detect_language(mel.half() if self._half else mel)
        language = max(told, key=told.__getitem__)
        return str(language), float(told[language])

    def transcribe(self, audio: Samples, clips: Sequence[float], language: str) -> Iterator[Said]:
        """Yield the segments of some stretches of a sound."""
        import torch

        o = self.options
        sound = torch.from_numpy(audio).to(self.device)
        with self._current(), torch.random.fork_rng([self.device] if self.device.startswith("cuda") else []):
            torch.manual_seed(_SEED)
            found = self._model.transcribe(
                sound,
                language=language,
                clip_timestamps=list(clips),
                condition_on_previous_text=False,
                temperature=o.temperatures,
                beam_size=o.beams if o.beams > 1 else None,
                no_speech_threshold=o.no_speech,
                logprob_threshold=o.logprob,
                compression_ratio_threshold=o.compression,
                word_timestamps=o.word_times,
                fp16=self._half,
            )
        for part in found["segments"]:
            words = [Word(w["word"], w["start"], w["end"], w["probability"]) for w in part.get("words", ())]
            log, silent, ratio = part["avg_logprob"], part["no_speech_prob"], part["compression_ratio"]
            yield Said(part["start"], part["end"], part["text"], log, silent, ratio, words)

    @property
    def _half(self) -> bool:
        import torch

        return bool(self._model.encoder.conv1.weight.dtype == torch.float16)

    def _current(self) -> AbstractContextManager[object]:
        """Make its GPU the current one: the package's own kernels run there, wherever their numbers are."""
        import torch

        return torch.cuda.device(self.device) if self.device.startswith("cuda") else nullcontext()

    def _unavailable(self, why: str) -> UnavailableError:
        name = self._released or self.options.model
        command = f"python -c \"import whisper; whisper.load_model('{name}')\""
        return unavailable(f"model {name}", _RELEASED.get(name, 0), why, command, "set `model` to a .pt file")

    def _build(self, precision: str) -> Any:
        import torch
        import whisper

        path, name = self.path, self._released
        if name is not None and file_hash(path) != whisper._MODELS[name].split("/")[-2]:
            raise UnavailableError(f"{path} is damaged or cut short: delete it, and it is downloaded again")
        try:
            model = whisper.load_model(str(path), device=self.device)  # reads tensors only, no pickled code
        except (OSError, RuntimeError, EOFError, UnpicklingError, LookupError, TypeError, ValueError) as error:
            what = str(error).partition("\n")[0]
            raise UnavailableError(f"{path} is not a checkpoint of openai-whisper: {what}") from None
        if name is not None:
            model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])  # which the file does not name
        if precision == "float16":
            for module in model.modules():  # all but the norms, which compute in float32
                if isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Embedding):
                    module.half()
        return model.eval().requires_grad_(False)


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "asr.whisper", Whisper)
