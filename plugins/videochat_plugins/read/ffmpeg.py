"""The second reader: the ffmpeg program, in a process of its own."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from videochat import Chunk, Component, Cue, Frame, Reader, Video, Want, hookimpl
from videochat.component import FASTER_ONLY

if TYPE_CHECKING:
    from videochat_plugins.read.ffmpeg_file import File

# Its parts are imported where they are used: every start of the program loads this module, few use this reader.
_KEPT = 4  # files that are remembered


class FFmpeg(Reader):
    """Read local files as the reader `pyav` does, but let the ffmpeg program decode them.

    A file that crashes or hangs a decoder then ends only that program. The program, 5.1 or newer, is the one on PATH,
    or that of the package imageio-ffmpeg. The price: before the first frame, the whole file is read once without
    decoding, and starting a program takes some hundredths of a second.

    What it cannot do: read subtitles but in this process, as `pyav` does, undo mirroring, follow playlists or
    addresses, read devices, undo HDR, or read files under copy protection. An average frame rate that is not steady is
    known to two decimals.
    """

    class Options(Reader.Options):
        """How frames are reached, and how long the program may be silent."""

        strategy: Literal["auto", "keyframes"] = "auto"
        """`auto` gives exact frames, by streaming or seeking, whichever is less work. `keyframes` decodes keyframes
        only and gives the nearest one with its true time: much faster, but often seconds away from what was asked."""

        threads: int = Field(default=0, ge=0, le=64, json_schema_extra=FASTER_ONLY)
        """Threads of the decoder; 0: as many as there are cores."""

        timeout: float = Field(default=60.0, gt=0, le=86_400)
        """Seconds without a sign of life after which the program counts as hung and is ended."""

    extra = "ffmpeg"
    options: Options

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._files: dict[tuple[Path, int, int], File] = {}

    def check(self) -> None:
        """Make sure that the program and ffmpeg-python are here.

        Raises:
            UnavailableError: if one is not.
        """
        from videochat_plugins.read.ffmpeg_program import require_program

        require_program()

    def probe(self, path: Path) -> Video:
        """Return the facts of a file.

        Reads the headers, one frame and the last packets, or all packets where the headers state no duration.

        Raises:
            VideoError: if the file cannot be read.
            UnavailableError: if there is no program to read it with.
        """
        return self._file(path).video

    def frames(self, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
        """Yield one frame for each want, in order; wants, taken some hundreds at a time, come in order of time.

        Raises:
            VideoError: if nothing can be decoded, or the program crashes, fails or hangs.
            UnavailableError: if there is no program to read it with.
        """
        from videochat_plugins.read.ffmpeg_frames import Walk

        walk = Walk(self._file(video.path), video, self.options.strategy == "keyframes", self.options.threads)
        return walk.frames(wanted)

    def audio(self, video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
        """Yield the sound from `start` seconds on, mono, in chunks of about a second without gaps between them.

        Every sample lies at a whole multiple of 1 / rate seconds of media time. Nothing comes if there is no sound.

        Raises:
            VideoError: if the file cannot be opened, or the program crashes, fails or hangs.
            UnavailableError: if there is no program to read it with.
        """
        from videochat_plugins.read.ffmpeg_audio import chunks

        return chunks(self._file(video.path), video, rate, start)

    def subtitles(self, path: Path) -> Iterator[Cue]:
        """Yield the text subtitles in a video or a .srt or .vtt file, in order of time; read in this process.

        Raises:
            VideoError: if the file cannot be read.
        """
        from videochat_plugins.read.pyav_subtitles import cues

        return cues(path)

    def _file(self, path: Path) -> "File":
        """Return what is known of a file, as long as it is the same."""
        from videochat_plugins.read.ffmpeg_file import File
        from videochat_plugins.read.refusal import check_file

        check_file(path)
        facts = path.stat()
        key = path.absolute(), facts.st_size, facts.st_mtime_ns
        file = self._files.pop(key, None)
        if file is None or file.path != path:
            file = File(path, self.options.timeout)
        self._files[key] = file
        while len(self._files) > _KEPT:
            del self._files[next(iter(self._files))]
        return file


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the reader."""
    register("read", "ffmpeg", FFmpeg)
