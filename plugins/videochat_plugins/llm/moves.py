"""Answers about things that move: how many, which way, when, which first, how fast."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

from videochat import Box, Record, Span
from videochat.question import Question
from videochat.words import terms
from videochat_plugins.llm.evidence import SLACK, Answer, Evidence, Stretch, Thing, known_cuts, ordinal, things

_TOLD = 6  # things told of in one sentence; the quotes have the others
_BRIEF = 1.05  # seconds; what is followed for less may be a piece of a larger thing
_TIE = 0.05  # seconds; what begins within so little begins together

Moving = tuple[Thing, tuple[Stretch, ...]]  # a thing, and the stretches that are asked for


def moves(question: Question, evidence: Evidence, records: Sequence[Record], window: Span) -> Answer | None:
    """Tell of the things among the records and how they move inside the window."""
    if question.spans:
        window = Span(
            max(window.start, min(span.start for span in question.spans)),
            min(window.end, max(span.end for span in question.spans)),
        )
    followed = things(records)
    moving = bool(question.topics & {"movement", "direction", "speed"})
    chosen = [(thing, thing.towards(question.directions, window)) for thing in followed]
    every = set(question.directions if question.form == "yes-no" else ())  # "does it move left and then down?"
    chosen = [(thing, parts) for thing, parts in chosen if parts and every <= _directions(parts)]
    resting = [(thing, thing.towards(("still",), window)) for thing in followed]
    if not moving:
        chosen = [(thing, _all(thing, window)) for thing in followed]
    if not followed:
        whole = moving and not (question.colours or question.directions)
        overall = [record for record in records if record.kind == "motion" and whole]
        return Answer.of("no single thing was followed; of the whole picture the records say:", overall)
    if not chosen:
        others = [(thing, thing.towards((), window)) for thing in followed]
        others = [(thing, parts) for thing, parts in others if parts] or [item for item in resting if item[1]]
        if question.form not in ("yes-no", "count", "") or not others:
            return None
        verb = "stay" if "still" in question.directions else "move"
        none = f"0 things {verb}" if question.form == "count" else f"{'no, ' if question.form else ''}none {verb}s"
        return _answer(f"{none}{_ways(question.directions)}: {_phrases(evidence, others)}.", others)
    chosen.sort(key=lambda item: (_start(item), item[0].name))
    chosen, pieced = _whole(chosen, known_cuts(evidence.records)) if moving else (chosen, False)
    if question.order in ("fastest", "slowest") or "speed" in question.topics:
        return _speed(question, chosen)
    if question.order:
        chosen = nth(question, chosen)
        return _answer(f"{ordinal(question)}: {_phrases(evidence, chosen)}.", chosen) if chosen else None
    told = _phrases(evidence, chosen)
    if question.form == "count":
        told = f"{_number(question, chosen, moving, pieced)}: {told}{'' if pieced else _again(chosen)}"
    elif question.form == "yes-no":
        told = f"yes, {told}"
    return _answer(f"{told}.", chosen)


def _all(thing: Thing, window: Span) -> tuple[Stretch, ...]:
    return tuple(sorted({*thing.towards((), window), *thing.towards(("still",), window)}))


def _directions(parts: Sequence[Stretch]) -> set[str]:
    return {way for part in parts for way in part.direction.split("-")}


def _start(item: Moving) -> float:
    thing, parts = item
    return parts[0].start if parts else thing.records[0].start


def _whole(chosen: Sequence[Moving], cut_at: Sequence[float]) -> tuple[list[Moving], bool]:
    """Return the things without short pieces of larger ones, and whether a thing may be among them in pieces."""
    shots: defaultdict[int, list[Thing]] = defaultdict(list)
    for thing, _ in chosen:
        shots[_shot(thing, cut_at)].append(thing)
    kept = [item for item in chosen if not any(_piece_of(item[0], other) for other in shots[_shot(item[0], cut_at)])]
    return kept, len(kept) < len(chosen) or (len(kept) > 1 and any(_seconds(thing) <= _BRIEF for thing, _ in kept))


def _shot(thing: Thing, cut_at: Sequence[float]) -> int:
    return bisect_right(cut_at, (thing.records[0].start + thing.records[-1].end) / 2)


def _piece_of(one: Thing, other: Thing) -> bool:
    """Return whether a thing is seen for a moment, beside or on a larger one that was seen then."""
    first, second = one.records[0], other.records[0]
    if _seconds(one) > _BRIEF or first.box is None or second.box is None or _area(first.box) >= _area(second.box):
        return False
    margin = max(first.box.x2 - first.box.x1, first.box.y2 - first.box.y1) / 2
    apart = max(
        first.box.x1 - second.box.x2,
        second.box.x1 - first.box.x2,
        first.box.y1 - second.box.y2,
        second.box.y1 - first.box.y2,
    )
    return apart <= margin and max(first.start, second.start) <= min(one.records[-1].end, other.records[-1].end) + SLACK


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _seconds(thing: Thing) -> float:
    return thing.records[-1].end - thing.records[0].start


def nth(question: Question, chosen: Sequence[Moving]) -> list[Moving]:
    """Return the first, second ... or last to begin, with those that begin together with it."""
    starts = sorted(map(_start, chosen), reverse=question.order == "last")
    if question.nth > len(starts):
        return []
    return [item for item in chosen if abs(_start(item) - starts[question.nth - 1]) <= _TIE]


def _speed(question: Question, chosen: Sequence[Moving]) -> Answer | None:
    known = []
    for thing, _ in chosen:
        speeds = [speed for record in thing.records if isinstance(speed := record.meta.get("speed"), int | float)]
        if speeds:
            known.append((float(max(speeds)), thing))
    slow = question.order == "slowest" or "slower" in terms(question.text)
    known.sort(key=lambda item: item[0], reverse=not slow)
    if question.order in ("fastest", "slowest"):
        known = known[:1]
    told = "; ".join(f"{thing.name}: {speed:.0f} pixels/s" for speed, thing in known)
    which = f"the {question.order}: " if question.order else ""
    if len(known) > 1:
        which = "slowest first: " if slow else "fastest first: "
    lead = f"{which}{told}."
    return Answer.of(lead, [record for _, thing in known for record in thing.records])


def _number(question: Question, chosen: Sequence[Moving], moving: bool, pieced: bool) -> str:
    """Return how many things there are, or where they are seen in pieces how many there are at the most at once."""
    ways = _ways(question.directions)
    if not pieced:
        return f"{_count(len(chosen), moving)}{ways}"
    tracks = f"{len(chosen)} track{'s' if len(chosen) > 1 else ''}"
    return f"at most {_count(_at_once(chosen), moving)}{ways} at once; {tracks}, one thing may count several times"


def _at_once(chosen: Sequence[Moving]) -> int:
    """Return how many of the things are followed at one time, at the most."""
    begins = [(thing.records[0].start, 1) for thing, _ in chosen]
    ends = [(max(record.end for record in thing.records), -1) for thing, _ in chosen]
    return max(accumulate(step for _, step in sorted(begins + ends)), default=0)


def _count(n: int, moving: bool) -> str:
    noun = "thing" if n == 1 else "things"
    verb = ("moves" if n == 1 else "move") if moving else ("was followed" if n == 1 else "were followed")
    return f"{n} {noun} {verb}"


def _ways(directions: Sequence[str]) -> str:
    return f" {' or '.join(directions)}" if directions else ""


def _phrases(evidence: Evidence, chosen: Sequence[Moving]) -> str:
    told = []
    for thing, parts in chosen[:_TOLD]:
        verb = "" if not parts else " stays " if parts[0].direction == "still" else " moves "
        told.append(f"{thing.name}{verb}{evidence.phrase(parts)}")
    return "; ".join(told) + (f"; and {len(chosen) - _TOLD} more" if len(chosen) > _TOLD else "")


def _again(chosen: Sequence[Moving]) -> str:
    """Warn where a thing may have been counted twice: the same name at different times."""
    ended: dict[str, float] = {}  # when the first of each name was lost
    twice = False
    for thing, _ in sorted(chosen, key=lambda item: item[0].records[0].start):
        twice = twice or thing.records[0].start >= ended.get(thing.name, math.inf)
        ended[thing.name] = min(thing.records[-1].end, ended.get(thing.name, math.inf))
    if not twice:
        return ""
    return f" (at most {_at_once(chosen)} at once; one that was lost and seen again counts again)"


def _answer(lead: str, chosen: Sequence[Moving]) -> Answer | None:
    return Answer.of(lead, [record for thing, _ in chosen for record in thing.records])
