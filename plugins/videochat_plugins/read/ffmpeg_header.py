"""What the program says about a file when it opens it: `ffmpeg -i`, read line by line."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from videochat import VideoError
from videochat_plugins.read.ffmpeg_process import Process
from videochat_plugins.read.ffmpeg_program import command, opened, written
from videochat_plugins.read.refusal import NO_STREAM, no_media

_INPUT = re.compile(r"Input #0, (\S+), from '")
_TIMES = re.compile(r"  Duration: (?:N/A|(\d+):(\d\d):(\d\d\.\d+))(?:, start: (-?\d+\.\d+))?")
_STREAM = re.compile(r"  Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\((\w*)\))?: (Video|Audio|Subtitle): (\w+)(.*)")
_MATRIX = re.compile(r"display ?matrix: rotation of (-?[\d.]+) degrees", re.IGNORECASE)
_TAG = re.compile(r"\s+DURATION\s*: (\d+):(\d\d):(\d\d(?:\.\d+)?)$")


@dataclass(slots=True)
class Track:
    """A stream of pictures, sound or subtitles."""

    index: int
    kind: str  # "video" "audio" "subtitle"
    codec: str
    language: str = ""
    facts: str = ""  # the rest of its line
    rotation: float = 0.0  # degrees counterclockwise in its display matrix
    stated_end: float | None = None  # seconds, from Matroska's tag DURATION

    @property
    def moving(self) -> bool:
        """Whether it is moving pictures: cover art and thumbnails are not."""
        return self.kind == "video" and not self.has("attached pic") and not self.has("timed thumbnails")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored; 0 where unknown."""
        found = re.search(r", (\d+)x(\d+)", self.facts)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    @property
    def pixel(self) -> Fraction | None:
        """The shape of a pixel, width to height: the container's, else the codec's."""
        found = re.search(r", SAR (\d+):(\d+)", self.facts) or re.search(r"\[SAR (\d+):(\d+)", self.facts)
        return Fraction(int(found[1]), int(found[2])) if found and int(found[2]) else None

    @property
    def interlaced(self) -> bool:
        """Whether the file says that its pictures are woven of two fields."""
        return re.search(r"[(, ](top|bottom) (coded )?first", self.facts) is not None

    @property
    def planar(self) -> bool:
        """Whether its pixels are stored in a form that can be deinterlaced as it is."""
        return re.search(r", (?:yuvj?4|gray)", self.facts) is not None

    @property
    def fps(self) -> float:
        """Average frames a second, to two decimals; 0 where none is stated that a video could have."""
        rates = (self._number(" fps"), self._number(" tbr"))
        return next((rate for rate in rates if 0 < rate <= 1000), 0.0)

    @property
    def rate(self) -> int:
        """Samples a second; 0 where unknown."""
        return int(self._number(" Hz"))

    @property
    def rank(self) -> tuple[bool, float]:
        """How much it is the main one of its kind, after FFmpeg's av_find_best_stream."""
        impaired = self.has("visual impaired") or self.has("hearing impaired")
        return self.has("default") and not impaired, self._number(" kb/s")

    def look_for_matrix(self, line: str) -> bool:
        """Take the display matrix's rotation from a line that tells of it; return whether it did."""
        found = _MATRIX.search(line)
        if found:
            self.rotation = float(found[1])
        return found is not None

    def has(self, disposition: str) -> bool:
        """Return whether the file marks it so."""
        return f"({disposition})" in self.facts

    def _number(self, unit: str) -> float:
        found = re.search(rf", ([\d.]+)(k?){unit}\b", self.facts)
        return float(found[1]) * (1000 if found[2] else 1) if found else 0.0


@dataclass(slots=True)
class Header:
    """What a file says of itself."""

    formats: tuple[str, ...] = ()
    duration: float | None = None  # seconds, to a hundredth
    start: Fraction | None = None  # seconds, to a millionth; None for a file without timestamps
    tracks: list[Track] = field(default_factory=list)

    @property
    def pictures(self) -> Track | None:
        """The main stream of pictures."""
        return self._best("video")

    @property
    def sound(self) -> Track | None:
        """The main stream of sound."""
        return self._best("audio")

    def hear(self, line: str) -> None:
        """Take in one line of what the program says."""
        if found := _INPUT.match(line):
            self.formats = tuple(found[1].split(","))
        elif found := _TIMES.match(line):
            hours, minutes, seconds, start = found.groups()
            self.duration = None if hours is None else int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            self.start = None if start is None else Fraction(start)
        elif found := _STREAM.match(line):
            index, language, kind, codec, facts = found.groups()
            self.tracks.append(Track(int(index), kind.lower(), codec, language or "", facts))
        elif self.tracks and not self.tracks[-1].look_for_matrix(line) and (found := _TAG.match(line)):
            self.tracks[-1].stated_end = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])

    def _best(self, kind: str) -> Track | None:
        able = [track for track in self.tracks if track.kind == kind and track.codec != "none"]
        able = [track for track in able if track.moving] if kind == "video" else able
        return max(able, key=lambda track: track.rank, default=None)


def read_header(path: Path, timeout: float) -> Header:
    """Open a file and return what it says of itself.

    Raises:
        VideoError: if it is no media file, or one with neither pictures nor sound.
    """
    header = Header()

    def build(_: object) -> list[str]:
        return command(path, [written(opened(t=0), "-", f="ffmetadata")])

    with Process(path, timeout, [], build, header.hear) as process:
        try:
            process.finish()
        except VideoError:
            if not header.formats and not process.crashed:
                raise VideoError(f"{path}: {no_media(path)}") from None
            raise
    if header.pictures is None and header.sound is None:
        raise VideoError(f"{path}: {NO_STREAM}")
    return header
