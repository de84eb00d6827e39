"""Answer a read question from the records of one video: the right way for what is asked."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from videochat import Record
from videochat.clock import stamp
from videochat.question import Question
from videochat.vocabulary import CAMERA_MOVES, SHAPES
from videochat.words import stem, terms, tokens
from videochat_plugins.llm.evidence import SLACK, Answer, Evidence, Quote, cuts, ordinal, quotes, stretches_of
from videochat_plugins.llm.moves import moves
from videochat_plugins.llm.pictures import camera, colour, light
from videochat_plugins.llm.selection import CUT, Found, find, in_shot

EVENTS = ("summary", "action", "caption", "text", "speech", "region")  # the kinds that tell what happens, best first
MOVING = frozenset({"movement", "direction", "speed"})
SPOKEN_OR_WRITTEN = frozenset({"text", "speech", "saying"})
_TIE = 0.05  # seconds; what begins within so little begins together
_TOLD = 6  # quotes told of in one sentence
_OVERVIEW = 12  # quotes that give an overview
_NAMES = {"text": "text on screen", "speech": "speech", "saying": "what is said or written"}


def answer(question: Question, evidence: Evidence, earlier: Sequence[Record] = ()) -> Answer | None:
    """Return the answer that the records of one video give, or None if they do not tell.

    Args:
        question: read.
        evidence: of one video.
        earlier: the records that the answer before rested on.
    """
    if question.form == "why" or ("text" in question.topics and "colour" in terms(question.text)):
        return None  # no record tells a reason, nor the colour of letters
    if question.placed and not question.topics & (SPOKEN_OR_WRITTEN | {"direction"}):
        return None  # no record tells on which side of what a thing is
    if question.negated or (question.anchor and question.anchor.negated):
        return _unmoving(question, evidence, earlier)
    if not question.anchor and (told := _cuts(question, evidence)):
        return told
    if question.form == "duration" and not (question.topics or question.words or question.colours):
        return _whole(evidence)
    if told := _against_cut(question, evidence):
        return told
    asked = question = in_shot(question, evidence)
    if question.order in ("fastest", "slowest"):  # what is fastest is told with its colour
        asked = question = replace(question, topics=question.topics - {"colour"})
    if question.topics & {"camera", "colour"}:  # the answer says yes or no to a move or a colour of the whole picture
        asked = replace(asked, words=tuple(word for word in asked.words if word not in CAMERA_MOVES))
    if "camera" in question.topics:
        asked = replace(asked, directions=())
    if "colour" in question.topics and question.form == "yes-no":
        asked = replace(asked, colours=())
    found = find(asked, evidence, earlier)
    if not found.records:
        return _otherwise(asked, evidence) if question.form == "yes-no" else None
    shaped = set(found.unnamed) <= SHAPES and (not found.unnamed or question.topics & MOVING)  # "does the ball move?"
    unsure = question.form == "yes-no" and not shaped
    told = _tell(replace(question, form="") if unsure else question, evidence, found)
    if told is None:
        return None
    notes = [found.note] if found.note else []
    if found.unnamed:
        notes.append(f"the records do not name: {', '.join(_as_written(question, found.unnamed))}")
    inside = "".join(f" ({note})" for note in notes)
    lead = f"not told{inside}; the closest:" if unsure else f"{told.lead}{inside}"
    return replace(told, lead=lead, boxes="where" in question.text.lower())


def _unmoving(question: Question, evidence: Evidence, earlier: Sequence[Record]) -> Answer | None:
    """Answer "what does not move?" by what stands still; no other negation is understood."""
    simple = not (question.form or question.directions or question.words or question.order or question.anchor)
    if not simple or not question.topics <= {"movement", "thing"} or "movement" not in question.topics:
        return None
    resting = replace(evidence, records=tuple(record for record in evidence.records if _rests(record)))
    return answer(replace(question, directions=("still",), negated=False), resting, earlier)


def _tell(question: Question, evidence: Evidence, found: Found) -> Answer | None:
    topics, kinds = question.topics, {record.kind for record in found.records}
    if topics & SPOKEN_OR_WRITTEN:
        return _list(question, evidence, found, next(_NAMES[topic] for topic in _NAMES if topic in topics))
    if "camera" in topics:
        return camera(question, evidence, found.records)
    if "light" in topics:
        return light(question, evidence, found.records)
    if "colour" in topics:
        return colour(question, evidence, found.records)
    if topics & (MOVING | {"thing"}) and kinds <= {"region", "motion", "tag"}:
        tags = [record for record in found.records if record.kind == "tag"]
        return moves(question, evidence, found.records, found.window) or (
            Answer.of("the tags:", tags) if tags else None
        )
    nothing_asked = not (topics or question.words or question.colours) and question.form in ("when", "count")
    if question.form == "describe" or nothing_asked:
        return _describe(question, evidence, found)
    kind = "speech" if "speech" in kinds else "text"
    return _list(question, evidence, found, _NAMES[kind] if {kind} == kinds else "what fits best")


def _list(question: Question, evidence: Evidence, found: Found, what: str) -> Answer | None:
    """Quote what was found: all of it, the one that is first or last, how many, how long."""
    listed = quotes(found.records)
    lead = f"{what}:"
    if question.form == "count":
        texts = {quote.records[0].text.casefold() for quote in listed}
        asked = set(terms(question.text))
        lead = (
            f"{len(listed)} time{'s' if len(listed) > 1 else ''}"
            if stem("time") in asked
            else f"{len(texts)} different"
        )
        if "word" in asked:
            lead = f"{sum(len(terms(text)) for text in texts)} words"
        lead = f"{lead}, counted over {what}: {_told(evidence, listed)}."
    elif question.form == "duration":
        seconds = sum(quote.span.end - quote.span.start for quote in listed)
        lead = f"{seconds:.1f} s in all, {what}: {_told(evidence, listed)}."
    elif question.order:
        at = -question.nth if question.order == "last" else question.nth - 1
        if not -len(listed) <= at < len(listed):
            return None
        first = listed[at]
        together = [quote for quote in listed if abs(quote.span.start - first.span.start) <= _TIE]
        listed = together if question.nth == 1 else [first]
        lead = f"{ordinal(question)} is {_told(evidence, listed)}."
    elif question.form == "yes-no":
        lead = f"yes, {_told(evidence, listed)}."
    elif listed[0].records[0].kind in _NAMES or question.form == "when":
        lead = f"{what}: {_told(evidence, listed)}."
    return Answer(lead, tuple(listed))


def _told(evidence: Evidence, listed: Sequence[Quote]) -> str:
    """Return quotes in one sentence: `"NIGHT" (00:03-00:06), ...`."""
    told = [f'"{quote.records[0].text}" ({evidence.stamp(*quote.span)})' for quote in listed[:_TOLD]]
    return ", ".join(told) + (f" and {len(listed) - _TOLD} more" if len(listed) > _TOLD else "")


def _describe(question: Question, evidence: Evidence, found: Found) -> Answer | None:
    """Quote what tells most of what happens, each kind in its turn and spread over the time."""
    records = list(found.records)
    if question.order or question.side:
        records = [record for record in records if record.kind in EVENTS and not _rests(record)] or records
    if question.order:
        return _list(question, evidence, replace(found, records=tuple(records)), "what the records tell of")
    by_kind: defaultdict[str, list[Quote]] = defaultdict(list)
    for quote in quotes(records):
        by_kind[quote.records[0].kind].append(quote)
    chosen: list[Quote] = []
    for share in range(1, _OVERVIEW + 1):  # as many of each kind as there is room for
        more = [quote for group in by_kind.values() for quote in _spread(group, share)]
        if chosen and len(more) > _OVERVIEW:
            break
        chosen = more
    rank = {kind: i for i, kind in enumerate(EVENTS)}
    chosen.sort(key=lambda quote: (quote.span.start, rank.get(quote.records[0].kind, len(rank))))
    return Answer("in that time:" if question.spans or question.side else "an overview:", tuple(chosen))


def _rests(record: Record) -> bool:
    """Return whether a record tells only of a thing that stands still."""
    parts = stretches_of(record)
    return bool(parts) and all(part.direction == "still" for part in parts)


def _cuts(question: Question, evidence: Evidence) -> Answer | None:
    """Tell how many cuts there are and when, where that is asked."""
    if question.topics or not CUT & set(question.words) or question.form not in ("count", "when", "yes-no"):
        return None
    times = [time for time in cuts(evidence.records) if question.covers(time, time)]
    if not times:
        return None
    around = [record for record in evidence.records if any(0 <= record.start - time <= SLACK for time in times)]
    at = ", ".join(stamp(time, evidence.hours) for time in times[:_OVERVIEW])
    n = f"{len(times)} cut{'s' if len(times) > 1 else ''}, {len(times) + 1} shots"
    return Answer.of(f"{'yes, ' if question.form == 'yes-no' else ''}{n}, cut at about {at}.", around)


def _against_cut(question: Question, evidence: Evidence) -> Answer | None:
    """Tell whether a cut or something else is first or last, where that is asked."""
    named = CUT & set(question.words)
    others = replace(question, words=tuple(word for word in question.words if word not in named), order="", form="")
    if not named or question.order not in ("first", "last") or question.anchor or "or" not in terms(question.text):
        return None
    times = cuts(evidence.records)
    listed = quotes(find(others, evidence).records) if others.topics or others.words or others.colours else []
    if not times or not listed:
        return None
    at = 0 if question.order == "first" else -1
    time, quote = times[at], listed[at]
    cut = f"the cut at about {stamp(time, evidence.hours)}"
    if abs(time - quote.span.start) <= _TIE:
        lead = f"together: {cut} and {_told(evidence, [quote])}."
    elif (time < quote.span.start) == (question.order == "first"):
        lead = f"{ordinal(question)} is {cut}, and not {_told(evidence, [quote])}."
    else:
        lead = f"{ordinal(question)} is {_told(evidence, [quote])}, and not {cut}."
    return Answer.of(lead, quote.records)


def _whole(evidence: Evidence) -> Answer | None:
    """Tell what time the records cover."""
    last = [record for record in evidence.records if record.end == evidence.duration]
    return Answer.of(f"they reach to {evidence.duration:.1f} s, where the last one ends:", last[-1:])


def _spread(group: Sequence[Quote], n: int) -> list[Quote]:
    if len(group) <= n:
        return list(group)
    return [group[round(i * (len(group) - 1) / max(1, n - 1))] for i in range(n)]


def _otherwise(question: Question, evidence: Evidence) -> Answer | None:
    """Say no where what is asked about is there, but at another time: "does A come before B?", "is A there at 5 s?"."""
    plain = find(replace(question, side="", anchor=None, spans=()), evidence).records
    if question.anchor:
        event = find(replace(question.anchor, form=""), evidence).records
        return Answer.of(f"no, not {question.side} that:", {*plain, *event}) if plain and event else None
    return Answer.of("no, not then:", plain) if question.spans else None


def _as_written(question: Question, stems: Sequence[str]) -> list[str]:
    """Return the words of the question that have these stems."""
    written = {stem(token.lower): token.lower for token in tokens(question.text)}
    return [written.get(word, word) for word in stems]
