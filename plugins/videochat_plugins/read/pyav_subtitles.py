"""The text subtitles of a video or a subtitle file."""

import re
from collections.abc import Iterator
from pathlib import Path

from videochat import Cue
from videochat.record import fold
from videochat.sidecar import TEXT_CODECS
from videochat_plugins.read.pyav_source import open_subtitles

# FFmpeg turns every kind of subtitle into lines of ASS: eight fields and the words, in which braces hold styles, `\N`,
# `\n` and `\h` are a line's end and a space, and a brace and a backslash of the words themselves are written as here.
_OWN = {"\\{{}": "{", "\\\u2060": "\\"}
_MARK = re.compile("|".join([*map(re.escape, _OWN), r"\\[Nnh]", r"\{[^{}]*\}"]))
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9]")  # what follows are not words but the outline of a shape


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
        context = able[0].codec_context
        context.options = {"sub_charenc_mode": "ignore"}  # else words that are not UTF-8 would be an error
        for packet in source.packets(able[0]):
            if packet.pts is None:
                continue
            try:
                lines = [line.ass for line in packet.decode() if hasattr(line, "ass")]
            except av.error.FFmpegError:
                continue
            text = fold(" ".join(_words(line, styled=context.name in ("ass", "ssa")) for line in lines))
            start, end = (clock.seconds(packet.pts + after) for after in (0, packet.duration or 0))
            if text and end >= 0:
                yield Cue(max(0.0, start), max(0.0, start, end), text)


def _words(line: bytes, styled: bool) -> str:
    """Return the words of a line of ASS; `styled` says that it was one in the file too, not SubRip or the like."""
    words = line.split(b",", 8)[-1]
    try:
        text = words.decode()
    except UnicodeDecodeError:
        text = words.decode("cp1252", "replace")  # in which most old subtitle files are written

    def plain(mark: re.Match[str]) -> str:
        found = mark[0]
        if found in _OWN:
            return _OWN[found]
        if found.startswith("{"):
            return "" if styled or found.startswith("{\\") else found
        return " " if styled or found != "\\n" else found

    return "" if styled and _DRAWING.search(text) else _MARK.sub(plain, text)
