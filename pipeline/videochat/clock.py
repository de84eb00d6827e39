"""Media time as text: the stamps of prompts, subtitles and the command line."""

import math
import re

NOISE = 1e-6  # seconds; what is nearer to a whole second than this counts as that second
HOUR = 3600.0  # seconds

_TIME = re.compile(
    r"(?:(?:(?P<hours>[0-9]{1,6}):(?=[0-5][0-9]:))?(?P<minutes>[0-9]{1,6}):(?=[0-5][0-9](?:\.|\Z)))?"
    r"(?P<seconds>[0-9]{1,9}(?:\.[0-9]+)?)"
)


def needs_hours(duration: float) -> bool:
    """Return whether the stamps of a video of so many seconds have hours; all of one video's do, or none."""
    return duration >= HOUR


def stamp(seconds: float, hours: bool = False, up: bool = False) -> str:
    """Return a time as MM:SS, or H:MM:SS with `hours`: the second it is in, or with `up` the next whole one.

    Float noise does not move it to another second. Without `hours` the minutes count on past 59; times below 0 give 0.
    """
    whole = max(0, math.ceil(seconds - NOISE) if up else math.floor(seconds + NOISE))
    minutes, rest = divmod(whole, 60)
    if hours:
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
    return f"{minutes:02}:{rest:02}"


def span_stamp(start: float, end: float, hours: bool = False) -> str:
    """Return MM:SS-MM:SS (with `hours` H:MM:SS-H:MM:SS): the whole seconds that hold the span."""
    return f"{stamp(start, hours)}-{stamp(end, hours, up=True)}"


def parse(text: str) -> float:
    """Return the seconds that a time means: `90`, `90.5`, `01:30`, `0:01:30` or `1:02:03.25`.

    Raises:
        ValueError: if it is none of these.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is not a time: give seconds (90 or 90.5), MM:SS (01:30) or H:MM:SS (1:02:03), "
            "with two digits below 60 after each colon"
        )
    hours, minutes = (int(found[name] or 0) for name in ("hours", "minutes"))
    return hours * HOUR + minutes * 60 + float(found["seconds"])


def srt_stamp(seconds: float) -> str:
    """Return a time as SubRip writes it, to the nearest millisecond: HH:MM:SS,mmm."""
    return _milliseconds(seconds, ",")


def vtt_stamp(seconds: float) -> str:
    """Return a time as WebVTT writes it, to the nearest millisecond: HH:MM:SS.mmm."""
    return _milliseconds(seconds, ".")


def _milliseconds(seconds: float, point: str) -> str:
    whole, rest = divmod(max(0, round(seconds * 1000)), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{rest:03}"
