"""Find the records that a question is about: by time, event, kind, colour, direction and words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from videochat import Record, Span
from videochat.clock import stamp
from videochat.question import Question
from videochat.vocabulary import ORDER, SHAPES
from videochat.words import stem, terms, tokens
from videochat_plugins.llm.bm25 import scores
from videochat_plugins.llm.evidence import SLACK, Evidence, colours_of, cuts, quotes, stretches_of, words_of

CUT = frozenset({"cut", "shot", "transition"})  # stems
_SHOT = frozenset({"shot", "scen"})
_BEGINS = frozenset({"appear", "begin", "start", "com", "enter"})
_NEAR = 0.6  # a record this much less apt than the best is still quoted
_OPEN = Span(-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    records: tuple[Record, ...] = ()  # in time order
    window: Span = _OPEN  # seconds: where the question's event lets the answer lie
    unnamed: tuple[str, ...] = ()  # words of the question that none of the records has
    note: str = ""  # how the event was understood, where that is not plain


def find(question: Question, evidence: Evidence, earlier: Sequence[Record] = ()) -> Found:
    """Return the records that a question is about; none where a thing that it names is in no record.

    Args:
        question: read.
        evidence: of one video.
        earlier: what the answer before rested on, for "after that".
    """
    records: Sequence[Record] = [r for r in evidence.records if question.covers(r.start, r.end)]
    window, note = _OPEN, ""
    if question.side and (question.anchor or (question.refers and earlier)):
        event = _event(question, evidence, earlier)
        if event is None and question.side == "after" and question.anchor and CUT & set(question.anchor.words):
            window = _last_stretch(question, records)
            note = "no record tells of a cut, so this is the last steady stretch"
        elif event is None:
            return Found()
        else:
            window = _window(question.side, event)
            if question.anchor and CUT & set(question.anchor.words):
                note = f"the cut is taken to be at {stamp(event.start, evidence.hours)}"
        records = _inside(records, window, question)
    chosen, unnamed = _about(question, records)
    return Found(tuple(chosen), window, unnamed, note)


def in_shot(question: Question, evidence: Evidence) -> Question:
    """Return the question with "in the second shot" read as the time between two cuts."""
    if question.anchor and CUT & set(question.anchor.words):  # "after the first shot"
        return question
    said = [token.lower for token in tokens(question.text)]
    for before, word in pairwise(said):
        if stem(word) in _SHOT and before in ORDER:
            which, n = ORDER[before]
            times = [0.0, *cuts(evidence.records), math.inf]
            at = len(times) - 2 if which == "last" else n - 1
            shot = Span(times[at], times[at + 1]) if at < len(times) - 1 else Span(math.inf, math.inf)
            words = tuple(word for word in question.words if word not in _SHOT)
            return replace(question, spans=(shot,), words=words, order="", nth=1)
    return question


def _event(question: Question, evidence: Evidence, earlier: Sequence[Record]) -> Span | None:
    """Return when the event that a question names happens, or None if no record tells of it."""
    if question.anchor is None:
        return Span(min(r.start for r in earlier), max(r.end for r in earlier))
    named = question.anchor
    if CUT & set(named.words):
        times = cuts(evidence.records)
        if not times:
            return None
        time = times[-1] if named.order == "last" else times[min(named.nth, len(times)) - 1]
        return Span(time, time)
    found, _ = _about(replace(named, form=""), evidence.records)
    groups = quotes(found)
    if not groups:
        return None
    if question.side == "during":
        return Span(groups[0].span.start, max(group.span.end for group in groups))
    if named.directions:  # the event is the movement, not the thing's whole life
        for part in sorted(part for record in found for part in stretches_of(record)):
            if set(part.direction.split("-")) & set(named.directions):
                return Span(part.start, part.end)
    at = -named.nth if named.order == "last" else named.nth - 1
    if not -len(groups) <= at < len(groups):
        return None
    span = groups[at].span
    begins = _BEGINS & set(terms(named.text)) and question.side == "after"
    return Span(span.start, span.start) if begins else span


def _window(side: str, event: Span) -> Span:
    if side == "after":
        return Span(event.end, math.inf)
    return Span(-math.inf, event.start) if side == "before" else event


def _inside(records: Sequence[Record], window: Span, question: Question) -> Sequence[Record]:
    """Return the records in a window: those that begin (for "before": end) there, or for states those that meet it."""
    if question.side == "during":
        meets = [r for r in records if r.start <= window.end and r.end >= window.start]
        return [r for r in meets if min(r.end, window.end) - max(r.start, window.start) > 0] or meets
    if question.side == "before":
        return [r for r in records if r.end <= window.end + SLACK] or [
            r for r in records if r.start < window.end - SLACK
        ]
    new = [r for r in records if r.start >= window.start - SLACK]
    if question.topics & {"movement", "direction", "speed", "colour", "light", "camera"}:  # what goes on counts too
        return [r for r in records if r.start >= window.start - SLACK or r.end > window.start + 2 * SLACK]
    return new


def _last_stretch(question: Question, records: Sequence[Record]) -> Span:
    found, _ = _about(question, records)
    parts = [part for record in found for part in stretches_of(record)]
    start = max((part.start for part in parts), default=max((r.start for r in found), default=0.0))
    return Span(start, math.inf)


def _about(question: Question, records: Sequence[Record]) -> tuple[list[Record], tuple[str, ...]]:
    """Return the records of the kinds, colours, ways and words that a question names, and the words that none has."""
    kinds = question.kinds
    pool = [r for r in records if not kinds or r.kind in kinds]
    if question.colours:
        pool = [r for r in pool if colours_of(r) & set(question.colours)]
        if not kinds:  # a colour tells a thing before it tells a picture
            pool = [r for r in pool if r.kind != "look"] or pool
    if question.directions and question.form != "yes-no":
        pool = [r for r in pool if r.kind != "region" or _goes(r, question.directions)]
    if not question.words:
        return pool, ()
    if matched := _matched(question, pool):
        return matched
    if pool and not _blocks(question):
        return pool, question.words
    wide = [r for r in records if r.kind not in kinds] if kinds else []
    return _matched(question, wide) or ([], question.words)


def _goes(record: Record, directions: Sequence[str]) -> bool:
    return any(set(part.direction.split("-")) & set(directions) for part in stretches_of(record))


def _matched(question: Question, pool: Sequence[Record]) -> tuple[list[Record], tuple[str, ...]] | None:
    texts = [words_of(r) for r in pool]
    ranks = scores(question.words, texts)
    best = max(ranks, default=0.0)
    if best <= 0:
        return None
    # "Which comes first, A or B?" and "how many" need every record that has any of the words.
    least = 0.0 if question.order or question.form == "count" else _NEAR * best
    chosen = [(r, text) for r, text, rank in zip(pool, texts, ranks, strict=True) if rank > least]
    said = {word for _, text in chosen for word in text}
    unnamed = tuple(word for word in question.words if word not in said)
    if question.form == "yes-no" and 2 * len(unnamed) >= len(question.words):
        return None
    return [r for r, _ in chosen], unnamed


def _blocks(question: Question) -> bool:
    """Return whether words that no record has mean that the records cannot tell.

    A thing told by its colour or way is found all the same, and so is one of which only the shape is named ("ball").
    """
    if question.colours or question.directions:
        return False
    only_shapes = set(question.words) <= SHAPES
    if question.form == "yes-no":
        return not (only_shapes and question.topics - {"thing"})
    if question.form in ("when", "count", "duration", "why"):
        return not only_shapes
    return not (only_shapes or question.topics & {"text", "speech", "saying", "camera", "light"})
