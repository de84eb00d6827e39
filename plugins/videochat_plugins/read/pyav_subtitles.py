"""The text subtitles of a video or a subtitle file."""

import re
from collections.abc import Iterator
from pathlib import Path

from videochat import Cue
from videochat.record import fold
from videochat.sidecar import TEXT_CODECS
from videochat_plugins.read.pyav_source import open_subtitles

# FFmpeg turns every kind of subtitle into ASS: styles stand in braces, `\\N` and `\\h` are a line's end and a space.
_STYLE = re.compile(r"\{[^}]*\}|\\[Nnh]")


def cues(path: Path) -> Iterator[Cue]:
    """Yield the cues of the first stream of subtitles that are words, in order of time; damaged ones are passed over.

    Raises:
        VideoError: if the file cannot be read.
    """
    yield from sorted(_read(path))


def _read(path: Path) -> Iterator[Cue]:
    import av

    with open_subtitles(path) as source:
        able = [stream for stream in source.container.streams.subtitles if stream.codec_context.name in TEXT_CODECS]
        if not able:
            return
        clock = source.clock(able[0])
        for packet in source.packets(able[0]):
            if packet.pts is None:
                continue
            try:
                lines = [line.dialogue for line in packet.decode() if hasattr(line, "dialogue")]
            except av.error.FFmpegError:
                continue
            text = fold(" ".join(map(_words, lines)))
            start, end = (clock.seconds(packet.pts + after) for after in (0, packet.duration or 0))
            if text and end >= 0:
                yield Cue(max(0.0, start), max(0.0, start, end), text)


def _words(dialogue: bytes) -> str:
    try:
        text = dialogue.decode()
    except UnicodeDecodeError:
        text = dialogue.decode("cp1252", "replace")  # in which most old subtitle files are written
    return _STYLE.sub(" ", text)
