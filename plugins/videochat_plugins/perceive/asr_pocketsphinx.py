"""Rough speech recognition with PocketSphinx, whose English model comes inside its package."""

from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from videochat import (
    Component,
    Key,
    Perceiver,
    Pool,
    Record,
    Sampling,
    UnavailableError,
    Weights,
    Window,
    hookimpl,
)
from videochat_plugins.perceive import voice_activity
from videochat_plugins.perceive.voice_activity import RATE, Floats, Limits, Samples, clean, spans

_LEAD = 3.0  # seconds heard before a window: a word across its start is then heard whole
_FRAME = 0.01  # seconds of sound in a frame of the decoder
_SLICE = RATE  # samples given to the decoder at once: it lets no other thread run meanwhile
_MEAN = "mean"  # the name of the decoder's other search


class Word(NamedTuple):
    """A word that was recognised."""

    start: float  # seconds
    end: float
    text: str
    score: float  # its posterior probability


class PocketSphinx(Perceiver):
    """Write down English speech, ROUGHLY: about one word in three is wrong in clear speech, more in other.

    One record for each phrase, which is the words between two pauses; `score` is the mean of the words' posterior
    probabilities, which are low even where the words are right; meta["rough"] is true. The decoder hears the whole of a
    window with a voice in it, and the network Silero VAD decides which of its words are kept.

    What it cannot know: names, numbers and terms outside its dictionary of 134,000 English words, for which it writes
    what sounds alike; any other language; who speaks; punctuation. Far, accented or quick speech, and speech under
    music or noise, come out as other words. Where no voice is heard, nothing is written.
    """

    class Options(Perceiver.Options):
        """What is heard and kept."""

        over: Literal["segment", "video"] | Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = 60.0
        """What one window covers: a segment, the whole video, or so many seconds."""
        beside_subtitles: bool = False
        """Whether to listen even where the video has subtitles and the stack reads them."""
        threshold: float = Field(default=0.5, gt=0, lt=1)
        """Probability from which on a moment is speech."""
        pause: float = Field(default=0.4, gt=0, le=60)
        """Seconds without words that part two phrases."""
        score: float = Field(default=0.0, ge=0, le=1)
        """Phrases that the decoder trusts less are dropped."""

    extra = "offline"
    options: Options
    _network: Any = None
    _decoder: Any = None

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
        return Sampling(audio_rate=RATE, over=self.options.over, lead=_LEAD)

    def weights(self) -> Sequence[Weights]:
        """Return the models, which are in their packages."""
        folder = _models()
        if folder is None:
            return [Weights("pocketsphinx", here=False), *voice_activity.weights()]
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return [Weights(f"en-us@pocketsphinx-{version('pocketsphinx')}", size), *voice_activity.weights()]

    def load(self, pool: Pool) -> None:
        """Load the decoder and the network of voice activity.

        Raises:
            UnavailableError: if the extra is not installed or a model cannot be opened.
        """
        self._network = voice_activity.load(pool, "asr.pocketsphinx")
        try:
            self._decoder = pool.get(Key("PocketSphinx", self.weights()[0].id, device="cpu"), Ear)
        except (ImportError, OSError, RuntimeError) as error:
            install = "pip install 'videochat[offline]'"
            message = f"asr.pocketsphinx needs pocketsphinx of the extra 'offline' ({error}): {install}"
            raise UnavailableError(message) from error

    def close(self) -> None:
        """Let go of the models."""
        self._network = self._decoder = None

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the phrases of each window."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> list[Record]:
        if window.audio is None:
            return []
        audio = clean(window.audio)
        probability = self._network.probabilities(audio)
        voiced = spans(probability, Limits(self.options.threshold, speech=0.25, silence=0.1, padding=0.1))
        zero, length = max(0.0, window.start - _LEAD), len(audio) / RATE
        if not len(voiced) or zero + voiced[-1, 1] <= window.start:
            return []
        cut_off = length - 2 * _FRAME if window.end < window.video.duration else np.inf
        words = [
            word._replace(
                start=max(round(word.start + zero, 3), window.start), end=min(round(word.end + zero, 3), window.end)
            )
            for word in self._decoder.words(audio, voiced)
            # A word that the window's end cuts off is the next window's, as one that ends before it was the last one's.
            if _share(word, voiced) >= 0.5 and zero + word.end > window.start and word.end < cut_off
        ]
        records = [_record(phrase) for phrase in phrases(words, self.options.pause)]
        return [record for record in records if (record.score or 0.0) >= self.options.score]


class Ear:
    """The decoder, with what it has to be told for every sound."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        folder = _models()
        if folder is None:
            raise OSError("this pocketsphinx has no model inside")
        files = {"hmm": folder / "en-us", "lm": folder / "en-us.lm.bin", "dict": folder / "cmudict-en-us.dict"}
        paths = {key: str(path) for key, path in files.items()}  # else a variable of the environment may name others
        self._decoder = Decoder(**paths, samprate=float(RATE), loglevel="FATAL")  # it talks to stderr otherwise
        # The removal of noise spoils speech that was recorded in a room; the model's own settings turn it on, whatever
        # the arguments say. It is off from the next `reinit_feat` on.
        self._decoder.config["remove_noise"] = False
        # Spotting one word costs little, and gives the features' mean.
        self._decoder.add_keyphrase(_MEAN, "hippopotamus")
        self._lock = Lock()  # it hears one sound at a time

    def words(self, audio: Samples, voiced: Floats) -> list[Word]:
        """Return the words that a sound may hold, at their times in it; fillers are left out.

        The features are normalised by their mean over the voice alone: the model was trained on utterances without
        long pauses, and a mean that holds silence too makes the words of a sound with pauses wrong.

        Args:
            audio: mono samples at RATE.
            voiced: start and end in seconds (spans, 2) of the speech in it.
        """
        parts = [audio[low:high] for low, high in (voiced * RATE).astype(int).tolist()]
        with self._lock:
            self._hear(_MEAN, np.concatenate(parts))
            self._hear("_default", audio, str(self._decoder.get_cmn()))
            found = [
                Word(heard.start_frame * _FRAME, (heard.end_frame + 1) * _FRAME, heard.word, heard.prob)
                for heard in self._decoder.seg() or ()
            ]
        # Words with a second pronunciation read "can(2)"; fillers "<sil>" or "[NOISE]".
        return [word._replace(text=word.text.partition("(")[0]) for word in found if word.text[0] not in "<[+"]

    def _hear(self, search: str, audio: Samples, mean: str = "") -> None:
        """Let one of the searches hear a sound; without a mean of its features, they are normalised by their own."""
        decoder = self._decoder
        decoder.activate_search(search)
        decoder.reinit_feat()  # or what is left of the last sound would change the words
        decoder.start_utt()
        try:
            if not mean:
                decoder.process_raw(_pcm(audio), full_utt=True)
            for at in range(0, len(audio) if mean else 0, _SLICE):
                decoder.set_cmn(mean)  # again for each slice, or it would wander off
                decoder.process_raw(_pcm(audio[at : at + _SLICE]))
        finally:
            decoder.end_utt()


def _models() -> Path | None:
    """Return the folder of the model in the package, without importing it."""
    spec = find_spec("pocketsphinx")
    folder = Path(spec.origin).parent / "model" / "en-us" if spec and spec.origin else Path()
    return folder if (folder / "en-us" / "mdef").is_file() else None


def phrases(words: Iterable[Word], pause: float) -> list[list[Word]]:
    """Return words in groups, parted where none is said for `pause` seconds."""
    groups: list[list[Word]] = []
    for word in words:
        if groups and word.start - groups[-1][-1].end < pause - 1e-9:
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _record(phrase: Sequence[Word]) -> Record:
    text = " ".join(word.text for word in phrase)
    score = round(min(1.0, sum(word.score for word in phrase) / len(phrase)), 3)
    return Record("speech", phrase[0].start, phrase[-1].end, text, score, meta={"rough": True, "language": "en"})


def _share(word: Word, voiced: Floats) -> float:
    """Return the part of a word in which somebody speaks."""
    both = np.minimum(voiced[:, 1], word.end) - np.maximum(voiced[:, 0], word.start)
    return float(both.clip(0).sum()) / (word.end - word.start)


def _pcm(audio: Samples) -> bytes:
    """Return samples as the decoder wants them: 16 bits, signed."""
    return (audio * 32767).astype(np.int16).tobytes()


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "asr.pocketsphinx", PocketSphinx)
