"""Answers about the whole picture: what the camera does, how light it is, which colours it has."""

from collections import defaultdict
from collections.abc import Sequence

from videochat import Record
from videochat.question import Question
from videochat.vocabulary import CAMERA_MOVES
from videochat.words import stem, terms
from videochat_plugins.llm.evidence import (
    Answer,
    Evidence,
    Stretch,
    colours_of,
    joined,
    ordinal,
    shares_of,
    things,
    words_of,
)
from videochat_plugins.llm.moves import nth

DARK, BRIGHT = 0.35, 0.65  # mean brightness below and above which a picture is called so, where its text does not say
_LIGHT = {  # stem asked: the state it asks for
    **dict.fromkeys(("dark", "darkness", "dim"), "dark"),
    **dict.fromkeys(("bright", "brightness", "lit", "light", "luminou"), "bright"),
    **dict.fromkeys(("blurry", "blur", "blurr"), "blurred"),
    **dict.fromkeys(("sharp", "sharpness"), "sharp"),
}


def camera(question: Question, evidence: Evidence, records: Sequence[Record]) -> Answer | None:
    """Tell what the camera does, and whether or when it does what is asked."""
    states = [(record, _camera(record)) for record in records if record.kind == "motion"]
    states = [(record, state) for record, state in states if state]
    asked = (CAMERA_MOVES & set(question.words)) | set(question.directions)
    if not asked:
        hits = [(record, state) for record, state in states if state not in ("still", "unclear")]
    else:
        hits = [(record, state) for record, state in states if _does(state, asked)]
    if question.form not in ("yes-no", "when", "count", "duration") and not asked:
        return Answer.of(f"the camera: {_states(evidence, states)}.", [record for record, _ in states])
    yes = bool(hits) and ("still" not in asked or len(hits) == len(states))
    shown = hits if yes else states
    return Answer.of(
        f"{'yes' if yes else 'no'}, the camera: {_states(evidence, shown)}.", [record for record, _ in shown]
    )


def light(question: Question, evidence: Evidence, records: Sequence[Record]) -> Answer | None:
    """Tell how bright or sharp the picture is, and whether it is as asked."""
    looks = [record for record in records if record.kind == "look"]
    asked = [_LIGHT[word] for word in terms(question.text) if word in _LIGHT]
    if len(set(asked)) > 1 and "or" in terms(question.text):  # "is it dark or bright?"
        which = [
            (record, " and ".join([state for state in _light(record) if state in asked] or _light(record)))
            for record in looks
        ]
        return Answer.of(f"the picture is {_states(evidence, which)}.", looks)
    hits = [record for record in looks if asked and asked[0] in _light(record)]
    states = [(record, " and ".join(_light(record))) for record in looks]
    if question.form in ("yes-no", "when"):
        word = "" if question.form == "when" and hits else "yes, " if hits else "no, "
        shown = [(record, asked[0]) for record in hits] or states
        return Answer.of(f"{word}the picture is {_states(evidence, shown)}.", hits or looks)
    return Answer.of(f"the picture: {_states(evidence, states)}.", looks)


def colour(question: Question, evidence: Evidence, records: Sequence[Record]) -> Answer | None:
    """Tell the colours of the things asked for, or of the picture as a whole."""
    regions = [record for record in records if record.kind == "region"]
    if regions and (question.topics & {"thing", "movement", "speed", "direction"} or question.words):
        followed = things(regions)
        what = "the things asked for"
        if question.order in ("first", "last"):
            followed = [thing for thing, _ in nth(question, [(thing, thing.stretches) for thing in followed])]
            what = ordinal(question)
        lead = "; ".join(
            f"{' and '.join(sorted(colours_of(thing.records[0]))) or 'no colour named'}"
            f" ({evidence.stamp(thing.records[0].start, thing.records[-1].end)})"
            for thing in followed
        )
        return Answer.of(f"{what}: {lead}.", [record for thing in followed for record in thing.records])
    looks = [record for record in records if record.kind == "look"]
    total: defaultdict[str, float] = defaultdict(float)
    seconds = sum(look.end - look.start for look in looks) or 1.0
    for look in looks:
        for name, share in shares_of(look):
            total[name] += share * (look.end - look.start) / seconds
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{name} {share:.0%}" for name, share in ranked[:4])
    if question.form == "yes-no" and question.colours and ranked:
        most = [(look, max(shares_of(look), key=lambda pair: pair[1])[0]) for look in looks if shares_of(look)]
        yes = any(name in question.colours for _, name in most)
        return Answer.of(f"{'yes' if yes else 'no'}, the colour that fills most is {_states(evidence, most)}.", looks)
    background = " (no record tells background from things)" if "background" in terms(question.text) else ""
    return Answer.of(f"the colours that fill the picture{background}: {named or 'see the records'}.", looks)


def _camera(record: Record) -> str:
    """Return what a record says that the camera does: "still", "pan left" ..."""
    told = record.meta.get("camera")
    if isinstance(told, str):
        return told
    before, found, after = record.text.lower().partition("camera ")
    return after.partition(";")[0].partition(",")[0] if found and not before.strip() else ""


def _does(state: str, asked: frozenset[str]) -> bool:
    """Return whether a state has all that is asked, one of its moves and its direction."""
    said = set(terms(state))
    moves = {"shak" if move in ("shak", "shaky") else move for move in asked & CAMERA_MOVES}
    return (not moves or bool(moves & said)) and asked - CAMERA_MOVES <= said


def _light(record: Record) -> list[str]:
    said = set(words_of(record))
    states: list[str] = [state for state in ("dark", "bright") if state in said]
    brightness = record.meta.get("brightness")
    if not states and isinstance(brightness, int | float):
        states = ["dark" if brightness < DARK else "bright" if brightness > BRIGHT else "medium bright"]
    return states + [state for state in ("sharp", "soft", "blurred") if stem(state) in said]


def _states(evidence: Evidence, states: Sequence[tuple[Record, str]]) -> str:
    return evidence.phrase(joined(Stretch(record.start, record.end, state) for record, state in states))
