"""Draw the example video: two shots, moving things, text on the screen and spoken words.

    python examples/render.py [OUT]

Writes OUT (default: examples/example.mp4) and, beside it, the truth about it as JSON. The pictures are the same in
every run; the bytes of the file depend on the encoders.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent
WIDTH, HEIGHT, FPS = 640, 360, 25
SEED = 1961
GRAIN = 1.5  # standard deviation of each frame's own noise, in grey levels
SPEECH = HERE / "speech.ogg"
SPEECH_START = 0.5  # seconds
WORDS = "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."

Picture = npt.NDArray[np.uint8]  # RGB (HEIGHT, WIDTH, 3)
Point = tuple[float, float]


@dataclass(frozen=True)
class Thing:
    """Something that moves in a straight line through its whole shot; `radius` is half its width, in pixels."""

    colour: str
    shape: str
    rgb: tuple[int, int, int]
    direction: str
    start: Point
    end: Point
    radius: float

    def centre(self, part: float) -> Point:
        """Return where its middle is when `part` (0 to 1) of the shot is over."""
        (x1, y1), (x2, y2) = self.start, self.end
        return x1 + part * (x2 - x1), y1 + part * (y2 - y1)

    def box(self, part: float) -> list[float]:
        """Return its left, top, right and bottom edge."""
        x, y = self.centre(part)
        return [round(edge, 1) for edge in (x - self.radius, y - self.radius, x + self.radius, y + self.radius)]

    def draw(self, picture: Picture, part: float) -> None:
        """Paint it, with soft edges, at a fraction of a pixel."""
        x, y = self.centre(part)
        r, bits = self.radius, 4
        if self.shape == "ball":
            middle = round(x * 2**bits), round(y * 2**bits)
            cv2.circle(picture, middle, round(r * 2**bits), self.rgb, cv2.FILLED, cv2.LINE_AA, bits)
            return
        corners = {
            "square": [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            "triangle": [(x, y - r), (x + r, y + r), (x - r, y + r)],
        }[self.shape]
        points = np.rint(np.array(corners) * 2**bits).astype(np.int32)
        cv2.fillPoly(picture, [points], self.rgb, cv2.LINE_AA, bits)


@dataclass(frozen=True)
class Words:
    """Text on the screen: `at` is the left end of its base line, times are seconds of the video."""

    text: str
    start: float
    end: float
    at: tuple[int, int]
    rgb: tuple[int, int, int]

    FONT, SCALE, THICKNESS = cv2.FONT_HERSHEY_DUPLEX, 1.3, 2

    def box(self) -> list[int]:
        """Return its left, top, right and bottom edge."""
        (width, height), _ = cv2.getTextSize(self.text, self.FONT, self.SCALE, self.THICKNESS)
        x, y = self.at
        return [x, y - height, x + width, y]

    def draw(self, picture: Picture) -> None:
        """Paint it."""
        cv2.putText(picture, self.text, self.at, self.FONT, self.SCALE, self.rgb, self.THICKNESS, cv2.LINE_AA)


@dataclass(frozen=True)
class Shot:
    """A stretch between two cuts; times are seconds of the video."""

    start: float
    end: float
    look: str
    top: tuple[int, int, int]  # the background's colour at its upper edge
    bottom: tuple[int, int, int]
    things: tuple[Thing, ...]
    words: Words

    def background(self, noise: np.random.Generator) -> npt.NDArray[np.float32]:
        """Return a soft slope of colour with a cloudy texture, as (HEIGHT, WIDTH, 3)."""
        slope = np.linspace(self.top, self.bottom, HEIGHT, dtype=np.float32)[:, None]  # (HEIGHT, 1, 3)
        clouds = noise.normal(0, 6, (HEIGHT // 24, WIDTH // 24)).astype(np.float32)
        return slope + cv2.resize(clouds, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., None]


RED, BLUE, GREEN = (214, 32, 36), (30, 70, 205), (40, 165, 60)
SHOTS = (
    Shot(
        0.0,
        6.0,
        "light",
        (236, 234, 226),
        (208, 212, 216),
        (
            Thing("red", "ball", RED, "right", (60, 240), (410, 240), 34),
            Thing("blue", "square", BLUE, "up", (550, 310), (550, 60), 32),
        ),
        Words("OPENING NIGHT", 1.0, 5.0, (60, 90), (34, 34, 40)),
    ),
    Shot(
        6.0,
        12.0,
        "dark",
        (26, 28, 36),
        (44, 42, 50),
        (
            Thing("red", "ball", RED, "left", (580, 240), (230, 240), 34),
            Thing("green", "triangle", GREEN, "down", (95, 55), (95, 305), 34),
        ),
        Words("PLATFORM 9", 7.0, 11.0, (280, 90), (238, 238, 230)),
    ),
)
DURATION = SHOTS[-1].end


def pictures() -> Iterator[Picture]:
    """Yield every frame of the video, in order."""
    noise = np.random.default_rng(SEED)
    for shot in SHOTS:
        background = shot.background(noise)
        grain = noise.normal(0, GRAIN, (HEIGHT, WIDTH, 1)).astype(np.float32)
        first, last = round(shot.start * FPS), round(shot.end * FPS)
        for number in range(first, last):
            moved = np.roll(grain, noise.integers(0, (HEIGHT, WIDTH)), axis=(0, 1))
            picture = np.clip(background + moved, 0, 255).astype(np.uint8)
            part = (number - first) / (last - first)
            for thing in shot.things:
                thing.draw(picture, part)
            if shot.words.start <= number / FPS < shot.words.end:
                shot.words.draw(picture)
            yield picture


def truth() -> dict[str, Any]:
    """Return what there is to see and to hear, as JSON values: seconds, and boxes in pixels."""
    things, texts = [], []
    for number, shot in enumerate(SHOTS, start=1):
        words = shot.words
        texts.append({"text": words.text, "start": words.start, "end": words.end, "box": words.box()})
        for thing in shot.things:
            times = [shot.start + step for step in (0.0, 2.0, 4.0)]
            boxes = [{"time": t, "box": thing.box((t - shot.start) / (shot.end - shot.start))} for t in times]
            said = {"shot": number, "colour": thing.colour, "shape": thing.shape, "direction": thing.direction}
            things.append({**said, "start": shot.start, "end": shot.end, "boxes": boxes})
    return {
        "video": {"duration": DURATION, "width": WIDTH, "height": HEIGHT, "fps": FPS},
        "shots": [{"start": shot.start, "end": shot.end, "look": shot.look} for shot in SHOTS],
        "things": things,
        "texts": texts,
        "speech": {"start": SPEECH_START, "words": WORDS},
    }


def sound(rate: int = 16000) -> npt.NDArray[np.float32]:
    """Return the recording at its place in a silence as long as the video: mono (n,)."""
    with av.open(str(SPEECH)) as source:
        resampler = av.AudioResampler("fltp", "mono", rate)
        frames = [piece for frame in source.decode(audio=0) for piece in resampler.resample(frame)]
        frames += resampler.resample(None)
    speech = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    whole = np.zeros(round(DURATION * rate), np.float32)
    at = round(SPEECH_START * rate)
    whole[at : at + len(speech)] = speech[: len(whole) - at]
    return whole


def write(path: Path, rate: int = 16000) -> None:
    """Encode pictures and sound as H.264 and AAC."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as target:
        video = target.add_stream("libx264", rate=FPS, options={"crf": "26", "g": "50", "sc_threshold": "0"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = target.add_stream("aac", rate=rate, layout="mono", bit_rate=40_000)
        for picture in pictures():
            target.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        target.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(sound(rate)[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        fifo = av.AudioFifo()
        fifo.write(frame)
        for piece in fifo.read_many(audio.codec_context.frame_size or 1024, partial=True):
            target.mux(audio.encode(piece))
        target.mux(audio.encode(None))


def main() -> None:
    """Write the video and the truth about it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "example.mp4"
    write(path)
    path.with_suffix(".json").write_text(json.dumps(truth(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
