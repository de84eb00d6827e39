"""A video file, probed once."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a container, as the reader found it."""

    kind: str  # "video" "audio" "subtitle"
    codec: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Video:
    """The facts of one file.

    Times everywhere in videochat are seconds of media time: the source's PTS less `offset`, which is what players show.
    """

    path: Path
    duration: float  # seconds; of the last frame's end, found by reading the packets where the file does not say
    width: int  # pixels as shown: after rotation and sample aspect ratio; 0 for a file without pictures
    height: int
    fps: float = 0.0  # average; 0 where unknown
    rotation: int = 0  # degrees clockwise that the picture was turned to be shown: 0, 90, 180 or 270
    offset: float = 0.0  # seconds; the file's own time of media time 0
    streams: tuple[Stream, ...] = ()
    subtitles: Path | None = None  # the file that its subtitles are in: one beside it, or itself
    hash: str = field(default="", compare=False)  # sha256 of the bytes; "" until asked for

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        beside = None if self.subtitles is None else str(self.subtitles)
        return {**asdict(self), "path": str(self.path), "subtitles": beside}

    @property
    def has_audio(self) -> bool:
        """Whether there is sound."""
        return any(stream.kind == "audio" for stream in self.streams)

    @property
    def has_pictures(self) -> bool:
        """Whether there is a picture stream."""
        return any(stream.kind == "video" for stream in self.streams)
