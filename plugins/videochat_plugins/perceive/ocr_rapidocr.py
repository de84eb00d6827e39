"""Text on the screen, read by RapidOCR (PP-OCR models on ONNX Runtime), whose models come inside its wheel."""

from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from videochat import (
    Box,
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
from videochat.component import FASTER_ONLY

_SAME = 12  # of 255: the largest difference of an 8 x 8 block's mean between two frames that show the same


class RapidOCRReader(Perceiver):
    """Read the text on the screen: one record for each line of text in each frame looked at.

    The text is the reading, exactly; `score` is the recogniser's, `box` the smallest upright rectangle around the line.
    A record lasts from its frame to the next one looked at, so times are right to 1 / fps seconds. A frame in which no
    block of 8 x 8 pixels changed since the one before in its window is not read again.

    What it cannot know: who wrote the text, or whether it lies in the scene or over it. A letter or digit that stands
    alone is often missed, as are words under about 10 source pixels high, handwriting and steep slants; similar letters
    are taken for each other, so one caption may be read in several ways (`join` keeps the best). The models know
    Chinese and Latin script; of others they make wrong letters.
    """

    class Options(Perceiver.Options):
        """How closely to look."""

        fps: float = Field(default=1.0, gt=0, le=30)
        """Frames looked at in a second: the cost is in proportion."""
        side: int = Field(default=480, ge=64, le=2160)
        """Shorter side of those frames, in pixels, where the video has as many."""
        detect: int = Field(default=544, ge=64, le=2160)
        """Shorter side at which lines are looked for, in pixels; smaller frames are enlarged to it."""
        score: float = Field(default=0.6, ge=0, le=1)
        """Readings that the recogniser trusts less are dropped."""
        letters: int = Field(default=2, ge=1)
        """Readings with fewer letters and digits are dropped."""
        threads: int = Field(default=0, ge=0, json_schema_extra=FASTER_ONLY)
        """Threads of ONNX Runtime; 0: as many as there are cores."""

    extra = "offline"
    options: Options
    _engine: Any = None

    @property
    def emits(self) -> Collection[str]:
        """Text records."""
        return {"text"}

    def sampling(self) -> Sampling:
        """Return a steady, slow rate."""
        return Sampling(fps=self.options.fps, side=self.options.side, over=self.options.over)

    def weights(self) -> Sequence[Weights]:
        """Return the models, which are in the wheel."""
        models = _models()
        return [Weights(f"{path.stem}@{version('rapidocr')}", path.stat().st_size) for path in models] or [
            Weights("rapidocr", here=False)
        ]

    def load(self, pool: Pool) -> None:
        """Load detector and recogniser; the classifier of upside-down lines is left out.

        Raises:
            UnavailableError: if the extra is not installed or the models are not in the wheel.
        """
        threads = self.options.threads
        checkpoint = next(iter(self.weights())).id
        key = Key("RapidOCR", checkpoint, f"detect {self.options.detect}", f"{threads} threads", "cpu")
        self._engine = pool.get(key, lambda: _build(self.options.detect, threads))

    def close(self) -> None:
        """Let go of the engine."""
        self._engine = None

    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return the lines of each window's frames, from top to bottom."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> list[Record]:
        records: list[Record] = []
        lines: list[tuple[str, float, Box]] = []
        # A frame may be shown from before the window until after it, so only the inner borders are frames' times.
        inner = np.clip(window.times[1:], window.start, window.end).tolist()
        for i, (start, end) in enumerate(pairwise([window.start, *inner, window.end] if window.frames else [])):
            frame = window.frames[i]
            if i == 0 or not _same(window.frames[i - 1].image, frame.image):
                lines = self._read(frame.image)
            if end > start:
                records += [Record("text", start, end, *line, times=(frame.time,)) for line in lines]
        return records

    def _read(self, image: npt.NDArray[np.uint8]) -> list[tuple[str, float, Box]]:
        """Return each line's reading, score and box."""
        found = self._engine(np.ascontiguousarray(image[..., ::-1]))  # it wants BGR
        if found.boxes is None or found.txts is None:
            return []
        return [
            (text, round(float(score), 3), Box(*corners.min(axis=0), *corners.max(axis=0)))
            for text, score, corners in zip(found.txts, found.scores, np.asarray(found.boxes), strict=True)
            if score >= self.options.score and sum(map(str.isalnum, text)) >= self.options.letters
        ]


def _same(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> bool:
    """Return whether no block of 8 x 8 pixels differs."""
    import cv2

    if a.shape != b.shape:
        return False
    size = (max(a.shape[1] // 8, 1), max(a.shape[0] // 8, 1))
    return bool(cv2.resize(cv2.absdiff(a, b), size, interpolation=cv2.INTER_AREA).max() <= _SAME)


def _models() -> list[Path]:
    """Return the detector and the recogniser in the wheel, without importing it; nothing if they are not there."""
    spec = find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else Path()
    found = [next(iter(sorted(folder.glob(f"*_{part}_*.onnx"))), None) for part in ("det", "rec")]
    return [path for path in found if path] if all(found) else []


def _build(detect: int, threads: int) -> Any:
    models = _models()
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        install = "pip install 'videochat[offline]'"
        raise UnavailableError(f"ocr.rapidocr needs the extra 'offline' ({error}): {install}") from error
    if not models:
        raise UnavailableError(
            "ocr.rapidocr: this rapidocr has no models inside: pip install --force-reinstall rapidocr"
        )
    params = {
        "Global.log_level": "critical",  # it names each model that it opens and warns of each frame without text
        "Global.use_cls": False,
        "Global.text_score": 0.0,
        "Det.model_path": str(models[0]),  # given, or it would download what it misses
        "Rec.model_path": str(models[1]),
        "Det.limit_side_len": detect,
        "Det.limit_type": "min",
        "EngineConfig.onnxruntime.intra_op_num_threads": threads or -1,
    }
    try:
        engine = RapidOCR(params=params)
        engine(np.full((64, 64, 3), 255, np.uint8))  # models are opened at the first call
    except Exception as error:  # whatever the runtime raises over a broken model file
        raise UnavailableError(f"ocr.rapidocr: the models of rapidocr cannot be opened: {error}") from error
    return engine


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "ocr.rapidocr", RapidOCRReader)
