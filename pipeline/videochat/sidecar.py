"""Where a video's subtitles are: in a file beside it, or in itself."""

from pathlib import Path

from videochat.video import Video

SUFFIXES = (".srt", ".vtt")
# Subtitles that are words; others (DVD, Blu-ray, DVB) are pictures.
TEXT_CODECS = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})


def subtitle_file(video: Video) -> Path | None:
    """Return the file that a video's text subtitles are to be read from, or None if it has none.

    A file beside it comes first: `clip.srt` or `clip.vtt`, else with a language, `clip.en.srt`, the first by name.
    """
    stem = video.path.stem
    exact = [video.path.with_name(stem + suffix) for suffix in SUFFIXES]
    try:
        beside = sorted(path for path in video.path.parent.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError:
        beside = []
    tagged = [path for path in beside if path.stem.rpartition(".")[0] == stem]
    for path in (*exact, *tagged):
        if path.is_file() and path != video.path:
            return path
    own = any(stream.kind == "subtitle" and stream.codec in TEXT_CODECS for stream in video.streams)
    return video.path if own else None
