"""Times asked for in free text: "at 0:05", "between 3 and 6 s", "in the last 2 seconds"."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from videochat.window import Span
from videochat.words import Token

_UNITS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
}
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBER_WORDS = {word: float(i) for i, word in enumerate(_NUMBERS.split())} | {
    "half": 0.5, "couple": 2.0, "few": 3.0, "thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0
}  # fmt: skip
_FILL = frozenset({"the", "very", "a", "about", "around", "roughly", "exactly", "second", "minute"})
_AFTER = frozenset({"after", "since", "from", "past", "following"})
_BEFORE = frozenset({"before", "until", "till", "to", "within"})
_NEAR = frozenset({"around", "about", "near", "roughly"})
_PLACE = frozenset({"at", "in", "near", "toward", "towards", "by", "around", "during", "on"}) | _AFTER | _BEFORE
_LENGTH = frozenset({"for", "every", "than", "each", "least", "most", "lasts", "last"})  # a duration, not a time
_START = frozenset({"beginning", "start", "outset", "opening"})
_END = frozenset({"end", "ending", "finish", "close"})
_EDGE = 2.0  # seconds that "the beginning" means at least; a tenth of a longer video


class _Time(NamedTuple):
    seconds: float
    width: float  # what the writer's precision leaves open: "0:05" is any moment of that second
    stop: int  # index of the token after it
    bare: bool = False  # a number without a unit


class TimePhrases(NamedTuple):
    """What a text says of time."""

    spans: tuple[Span, ...]  # seconds; an open end is infinite
    used: frozenset[int]  # indices of the tokens that say it


def read_times(tokens: Sequence[Token], duration: float | None = None) -> TimePhrases:
    """Find the stretches of time that a text asks for.

    What counts from the end ("the last 2 seconds", "the second half") needs the duration in seconds and is passed over
    without it. An "after" and a "before" together make one stretch.
    """
    spans: list[Span] = []
    after: list[float] = []
    before: list[float] = []
    used: set[int] = set()
    i = 0
    while i < len(tokens):
        found = _range(tokens, i) or _part(tokens, i, duration) or _point(tokens, i, duration)
        if found is None:
            i += 1
            continue
        span, begin, stop = found
        used.update(range(begin, stop))
        if math.isinf(span.end):
            after.append(span.start)
        elif span.start == 0.0 and tokens[begin].lower in _BEFORE:
            before.append(span.end)
        else:
            spans.append(span)
        i = stop
    if after and before and max(after) < min(before):
        spans.append(Span(max(after), min(before)))
    else:
        spans += [Span(start, math.inf) for start in after] + [Span(0.0, end) for end in before]
    return TimePhrases(tuple(spans), frozenset(used))


_Found = tuple[Span, int, int]  # the span, the indices of its first token and of the one after its last


def _word(tokens: Sequence[Token], i: int) -> str:
    return tokens[i].lower if 0 <= i < len(tokens) else ""


def _number(tokens: Sequence[Token], i: int) -> float | None:
    if 0 <= i < len(tokens) and tokens[i].kind == "number":
        return float(tokens[i].text)
    return _NUMBER_WORDS.get(_word(tokens, i))


def _time(tokens: Sequence[Token], i: int) -> _Time | None:
    """Read a time at token i: 1:02:03, 5 s, 2 minutes and 5 seconds, second 5, or a bare number."""
    if i >= len(tokens):
        return None
    if tokens[i].kind == "clock":
        parts = [float(part) for part in tokens[i].text.split(":")]
        seconds = sum(part * 60**place for place, part in enumerate(reversed(parts)))
        return _Time(seconds, _width(tokens[i].text), i + 1)
    if _word(tokens, i) in ("second", "minute") and i + 1 < len(tokens) and tokens[i + 1].kind == "number":
        unit = _UNITS[_word(tokens, i)]
        return _Time(float(tokens[i + 1].text) * unit, unit, i + 2)
    total, width, at, finest = 0.0, 1.0, i, math.inf
    while (number := _number(tokens, at)) is not None:
        after = at + 1 + (_word(tokens, at + 1) in ("of", "th", "st", "nd", "rd"))
        unit = _UNITS.get(_word(tokens, after), 0.0)
        if not unit or unit >= finest:
            break
        total, width, finest = total + number * unit, unit * _width(tokens[at].text), unit
        at = after + 1
        if _word(tokens, at) in ("and", ",") and _number(tokens, at + 1) is not None and finest > 1:
            at += 1
    if finest < math.inf:
        return _Time(total, width, at - (_word(tokens, at - 1) in ("and", ",")))
    if tokens[i].kind == "number":
        return _Time(float(tokens[i].text), _width(tokens[i].text), i + 1, bare=True)
    return None


def _width(text: str) -> float:
    return float(10.0 ** -len(text.partition(".")[2]))


def _range(tokens: Sequence[Token], i: int) -> _Found | None:
    """Read "between 3 and 6 s", "from 0:03 to 0:06", "3-6 s" at token i."""
    opened = _word(tokens, i) in ("between", "from")
    at = i + opened
    at += _word(tokens, at) == "the"
    low = _time(tokens, at)
    if low is None or _word(tokens, low.stop) not in ("and", "to", "until", "till", "-", "–", "—"):
        return None
    joined = _word(tokens, low.stop)
    high = _time(tokens, low.stop + 1 + (_word(tokens, low.stop + 1) == "the"))
    if high is None or (not opened and (high.bare or joined == "and")):
        return None
    start = low.seconds
    if low.bare and not high.bare:  # the first number borrows the second's unit
        start *= _UNITS.get(_word(tokens, high.stop - 1), 1.0)
    if start > high.seconds:
        return None
    end = high.seconds if high.seconds > start else start + high.width
    return Span(start, end), i, high.stop


def _part(tokens: Sequence[Token], i: int, duration: float | None) -> _Found | None:
    """Read a named part of the video at token i: "first 3 seconds", "second half", "middle", "the end"."""
    word, begin = _word(tokens, i), i - (_word(tokens, i - 1) == "the")
    if word in ("first", "opening", "last", "final", "closing"):
        at = i + 1 + (_word(tokens, i + 1) in ("a", "of"))
        number = _number(tokens, at)
        at += (number is not None) + (_word(tokens, at + 1) == "of")
        unit = _UNITS.get(_word(tokens, at), 0.0)
        if unit and word in ("first", "opening"):
            return Span(0.0, (number or 1.0) * unit), begin, at + 1
        if unit and duration is not None:
            return Span(max(0.0, duration - (number or 1.0) * unit), duration), begin, at + 1
    if duration is not None and _word(tokens, i + 1) == "half" and word in ("first", "second", "last", "other"):
        return Span(0.0, duration / 2) if word == "first" else Span(duration / 2, duration), begin, i + 2
    if word == "initially":
        return Span(0.0, max(_EDGE, (duration or 0.0) / 10)), i, i + 1
    if word == "finally" and duration is not None:
        return Span(max(0.0, duration - max(_EDGE, duration / 10)), duration), i, i + 1
    if _word(tokens, i - 1) not in ("the", "very"):
        return None
    begin = i - 1 - (_word(tokens, i - 2) in ("the", "very"))
    if _word(tokens, begin - 1) not in _PLACE:
        return None
    # "at the end", "from the middle on": the word before says that the part is a time
    side, begin = _word(tokens, begin - 1), begin - 1
    if word in _START:
        edge = max(_EDGE, (duration or 0.0) / 10)
        return Span(edge if side in ("after", "following") else 0.0, math.inf if side in _AFTER else edge), begin, i + 1
    if word in _END and duration is not None:
        edge = max(0.0, duration - max(_EDGE, duration / 10))
        return (
            Span(0.0, duration if side != "before" else edge) if side in _BEFORE else Span(edge, duration),
            begin,
            i + 1,
        )
    if word == "middle" and duration is not None:
        return Span(duration / 3, math.inf if side in _AFTER else 2 * duration / 3), begin, i + 1
    return None


def _point(tokens: Sequence[Token], i: int, duration: float | None) -> _Found | None:
    """Read one time at token i, with the words before it that say on which side of it."""
    found = _time(tokens, i)
    if found is None:
        return None
    begin = i
    while begin > 0 and _word(tokens, begin - 1) in _FILL:
        begin -= 1
    side = _word(tokens, begin - 1)
    if found.bare:
        ends = found.stop >= len(tokens) or tokens[found.stop].kind == "mark"
        if not ends or side not in _AFTER | _BEFORE | {"at"}:
            return None
    if side in _LENGTH:
        return None
    stop = found.stop
    if _word(tokens, stop) in ("mark", "in", "into", "on", "onward", "onwards"):
        stop += 1
    start, end = found.seconds, found.seconds + found.width
    begin -= side in _PLACE
    if side in _AFTER:
        return Span(found.seconds, math.inf), begin, stop
    if side in _BEFORE:
        return Span(0.0, found.seconds), begin, stop
    if side in _NEAR or any(_word(tokens, k) in _NEAR for k in range(max(0, begin), i)):
        return Span(max(0.0, start - 1.0), end + 1.0), begin, stop
    if duration is not None and start >= duration and start - duration < 1.0:
        start, end = max(0.0, duration - found.width), duration
    return Span(start, end), begin, stop
