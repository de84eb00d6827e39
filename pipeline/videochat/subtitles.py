"""Records as subtitles, for players: SubRip (.srt) and WebVTT (.vtt).

Both writers yield pieces of the file, one cue a piece, so that a long video needs no more memory than a short one.
Which records become cues is the caller's choice; those without text give none. They come in time order, as
WebVTT wants.
"""

from collections.abc import Iterable, Iterator

from videochat.clock import srt_stamp, vtt_stamp
from videochat.record import Record

_LEAST = 0.001  # seconds; WebVTT forbids a cue that ends when it starts

# SubRip has no escapes: players take <b> and {\an8} for markup, and --> for a time. Look-alikes stand in for them.
_SRT = str.maketrans("<>{}", "‹›()")
_VTT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def write_srt(records: Iterable[Record]) -> Iterator[str]:
    """Yield the pieces of a SubRip file; angle and curly brackets in the text are replaced by look-alikes."""
    for number, (start, end, text) in enumerate(_cues(records), start=1):
        yield f"{number}\n{srt_stamp(start)} --> {srt_stamp(end)}\n{text.translate(_SRT)}\n\n"


def write_vtt(records: Iterable[Record]) -> Iterator[str]:
    """Yield the pieces of a WebVTT file; `&`, `<` and `>` in the text are escaped, and with them `-->`."""
    yield "WEBVTT\n\n"
    for start, end, text in _cues(records):
        yield f"{vtt_stamp(start)} --> {vtt_stamp(end)}\n{text.translate(_VTT)}\n\n"


def _cues(records: Iterable[Record]) -> Iterator[tuple[float, float, str]]:
    for record in records:
        if record.text:
            start = max(0.0, record.start)
            yield start, max(record.end, start + _LEAST), record.text
