"""Answers about things that move: how many, which way, when, which first, how fast."""

import math
from collections.abc import Sequence

from videochat import Record, Span
from videochat.question import Question
from videochat_plugins.llm.evidence import Answer, Evidence, Stretch, Thing, ordinal, things

_TOLD = 6  # things told of in one sentence; the quotes have the others
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
    if question.order in ("fastest", "slowest") or "speed" in question.topics:
        return _speed(question, chosen)
    if question.order:
        chosen = _nth(question, chosen)
        return _answer(f"{ordinal(question)}: {_phrases(evidence, chosen)}.", chosen) if chosen else None
    told = _phrases(evidence, chosen)
    if question.form == "count":
        told = f"{_count(len(chosen), moving)}{_ways(question.directions)}: {told}{_again(chosen)}"
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


def _nth(question: Question, chosen: Sequence[Moving]) -> list[Moving]:
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
    known.sort(key=lambda item: item[0], reverse=question.order != "slowest")
    if question.order in ("fastest", "slowest"):
        known = known[:1]
    told = "; ".join(f"{thing.name}: {speed:.0f} pixels/s" for speed, thing in known)
    lead = f"the {question.order}: {told}." if question.order else f"{told}."
    return Answer.of(lead, [record for _, thing in known for record in thing.records])


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
    return " (one that was lost and seen again counts again)" if twice else ""


def _answer(lead: str, chosen: Sequence[Moving]) -> Answer | None:
    return Answer.of(lead, [record for thing, _ in chosen for record in thing.records])
