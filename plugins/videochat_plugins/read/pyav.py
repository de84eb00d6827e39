"""The default reader: FFmpeg's libraries in this process, through PyAV."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from videochat import Chunk, Component, Cue, Frame, Reader, Video, Want, hookimpl
from videochat.component import FASTER_ONLY
from videochat_plugins.read.pyav_audio import chunks
from videochat_plugins.read.pyav_decode import Decoder
from videochat_plugins.read.pyav_frames import walk
from videochat_plugins.read.pyav_probe import probe
from videochat_plugins.read.pyav_subtitles import cues
from videochat_plugins.read.timestamps import latest


class PyAV(Reader):
    """Read local files with exact source times; needs no program on the system.

    What it cannot do: follow playlists or addresses, read devices, undo HDR, or read files under copy protection.
    """

    class Options(Reader.Options):
        """How frames are reached."""

        strategy: Literal["auto", "keyframes"] = "auto"
        """`auto` gives exact frames, by streaming or seeking, whichever is less work. `keyframes` decodes keyframes
        only and gives the nearest one with its true time: much faster, but often seconds away from what was asked."""

        threads: int = Field(default=0, ge=0, le=64, json_schema_extra=FASTER_ONLY)
        """Threads of the decoder; 0: as many as there are cores."""

    options: Options

    def probe(self, path: Path) -> Video:
        """Return the facts of a file.

        Reads the headers and one frame, and the packets (without decoding) where the headers state no duration.

        Raises:
            VideoError: if the file cannot be read.
        """
        return probe(path)

    def frames(self, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
        """Yield one frame for each want, in order; wants, one taken at a time, come in order of time.

        Raises:
            VideoError: if nothing can be decoded.
        """
        keyframes = self.options.strategy == "keyframes"
        last = latest(video.duration)
        with Decoder(video.path, keyframes=keyframes, threads=self.options.threads, latest=last) as decoder:
            yield from walk(decoder, video, wanted)

    def audio(self, video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
        """Yield the sound from `start` seconds on, mono, in chunks of about a second without gaps between them.

        Every sample lies at a whole multiple of 1 / rate seconds of media time. Nothing comes if there is no sound.

        Raises:
            VideoError: if the file cannot be opened.
        """
        return chunks(video, rate, start)

    def subtitles(self, path: Path) -> Iterator[Cue]:
        """Yield the text subtitles in a video or a .srt or .vtt file, their styles taken off, in order of time.

        Raises:
            VideoError: if the file cannot be read.
        """
        return cues(path)


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the reader."""
    register("read", "pyav", PyAV)
