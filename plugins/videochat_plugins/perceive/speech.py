"""What the Whisper recognisers share: options, what they get to hear, and the record of what they say they heard."""

import math
from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from videochat import Perceiver, Record, Sampling, StackError, Window
from videochat.component import FASTER_ONLY
from videochat.errors import near
from videochat.window import Over
from videochat_plugins.models.pretrained import DEVICE
from videochat_plugins.perceive.speech_stretches import LEAD, parting, stretches
from videochat_plugins.perceive.voice_activity import RATE, Samples, clean

_LANGUAGE = 30 * RATE  # samples of sound, silence left out, by which the language is told: all that the encoder takes


class Word(NamedTuple):
    """A word that was recognised."""

    text: str
    start: float  # seconds from the first sample
    end: float
    probability: float


class Said(NamedTuple):
    """A segment as a recogniser gives it."""

    start: float  # seconds from the first sample
    end: float
    text: str
    avg_logprob: float  # of its tokens
    no_speech_prob: float
    compression_ratio: float  # of its text, by gzip
    words: Sequence[Word] = ()


class Recogniser(Perceiver):
    """A speech recogniser of the Whisper family (arXiv 2212.04356).

    Where windows meet, the sound is parted at a pause up to 5 s before the edge: what is said after it is the later
    window's, whose records so reach back before its start. With `over` in seconds, a window that --from or --to cuts
    short hears to the cut itself, in the middle of a word if need be; but where the cut falls on an edge, or `over` is
    "segment", what is said after the last pause before --to is left to a window that is not watched.
    """

    class Options(Perceiver.Options):
        """What is heard and what is kept."""

        over: Literal["segment", "video"] | Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = 300.0
        """What one window covers: a segment, the whole video, or so many seconds; the language is told for each."""
        model: str = Field(default="base", min_length=1)
        """Which model: the name of a released one, such as tiny, base, small, medium, large-v3 or turbo, or a path."""
        language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
        """What is spoken, as a code such as en or de; null: told from the first 30 s of sound of each window."""
        beside_subtitles: bool = False
        """Whether to listen even where the video has subtitles and the stack reads them."""
        device: str = Field(default="", pattern=DEVICE, json_schema_extra=FASTER_ONLY)
        """Where the model runs: cpu, cuda, cuda:1, ...; empty: where the stack's models run."""
        beams: int = Field(default=5, ge=1, le=32)
        """Hypotheses that the search keeps; 1 is greedy and quicker."""
        quiet: float = Field(default=-60.0, ge=-120, le=0)
        """Loudness in dBFS below which sound is silence; two seconds or more of it are never given to the model."""
        no_speech: float = Field(default=0.6, ge=0, le=1)
        """Pieces that are no speech with a higher probability, and improbable as text too, are dropped."""
        logprob: float = Field(default=-1.0, le=0)
        """Mean log probability of its words below which a piece is improbable."""
        compression: float = Field(default=2.4, gt=1)
        """Ratio by which gzip shrinks a text above which it is repetitive; what stays so is dropped."""

    options: Any  # of a class with these Options and `precision` and `word_times` beside them

    def __init__(self, options: Options | None = None) -> None:
        """Keep the options; with subtitles there is nothing left to do, unless they say otherwise."""
        super().__init__(options)
        self.yields = not self.options.beside_subtitles

    @property
    def emits(self) -> Collection[str]:
        """Speech records."""
        return {"speech"}

    def sampling(self) -> Sampling:
        """Return the sound, with a few seconds before it."""
        return Sampling(audio_rate=RATE, over=self.options.over, lead=LEAD)

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the segments of speech of each window."""
        return [self._window(window) for window in windows]

    @abstractmethod
    def detect(self, audio: Samples) -> tuple[str, float]:
        """Return the code of the language that is spoken, and its probability."""

    @abstractmethod
    def transcribe(self, audio: Samples, clips: Sequence[float], language: str) -> Iterable[Said]:
        """Return what is said in some stretches of a sound.

        The same sound always gives the same words, though they may be sampled.

        Args:
            audio: mono samples at RATE.
            clips: start, end, start, end, ... of the stretches, in seconds.
            language: its code.
        """

    def _window(self, window: Window) -> list[Record]:
        if window.audio is None:
            return []
        audio = clean(window.audio)
        # Numbers of samples in the whole sound.
        first = round(max(0.0, window.start - LEAD) * RATE)
        low, high = (
            parting(audio, first, round(edge * RATE)) if self._parts(edge, window) else round(edge * RATE)
            for edge in window.span
        )
        part = audio[low - first : max(low, high) - first]
        found = stretches(part, self.options.quiet)
        if not found:
            return []
        language, sure = self.options.language, None
        if language is None:
            language, sure = self.detect(np.concatenate([part[a:b] for a, b in found])[:_LANGUAGE])
        clips = [sample / RATE for stretch in found for sample in stretch]
        about = {"language": language} | ({} if sure is None else {"language_prob": round(sure, 3)})
        said = (_fitted(piece, clips) for piece in self.transcribe(part, clips, language))
        records = (
            _record(piece, low / RATE, window.end, about)
            for piece in said
            if piece is not None and piece.compression_ratio <= self.options.compression
        )
        return [record for record in records if record.text]

    def _parts(self, edge: float, window: Window) -> bool:
        """Return whether an edge of a window lies between two windows, rather than at the end of what is watched."""
        over: Over = self.options.over
        if over == "video" or not 0 < edge < window.video.duration - 1e-6:
            return False
        return isinstance(over, str) or abs(edge - round(edge / over) * over) < 1e-6


def _fitted(said: Said, clips: Sequence[float]) -> Said | None:
    """Return a segment with times inside the stretch that it starts in, or None where it starts in silence."""
    for start, end in zip(clips[::2], clips[1::2], strict=True):
        if start - 0.02 <= said.start < end:  # clips begin at a frame of the spectrogram
            begin = max(start, said.start)
            stop = min(max(said.end, begin), end)
            words = [
                word._replace(start=min(max(word.start, begin), end), end=min(max(word.end, begin), end))
                for word in said.words
            ]
            return said._replace(start=begin, end=stop, words=words)
    return None


def _record(said: Said, zero: float, last: float, about: dict[str, Any]) -> Record:
    def time(seconds: float) -> float:
        return min(round(zero + seconds, 3), last)

    meta = about | {
        "no_speech_prob": round(said.no_speech_prob, 3),
        "avg_logprob": round(said.avg_logprob, 3),
        "compression_ratio": round(said.compression_ratio, 2),
    }
    if said.words:
        meta["words"] = [[w.text.strip(), time(w.start), time(w.end), round(w.probability, 3)] for w in said.words]
    score = round(min(1.0, math.exp(said.avg_logprob)), 3)
    return Record("speech", time(said.start), time(said.end), said.text, score, meta=meta)


def check_language(use: str, language: str | None, allowed: Collection[str]) -> None:
    """Make sure that a model knows a language.

    Raises:
        StackError: if it does not.
    """
    if language is not None and language not in allowed:
        which = " (it knows no other language)" if len(allowed) == 1 else ""
        raise StackError(f"{use}: the model does not know the language {language!r}{near(language, allowed)}{which}")
