"""Find the parts of a question among its tokens: names, clauses, its form, and what its words are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from videochat import vocabulary as say
from videochat.words import Token, stem

_QUOTES = frozenset("\"'`“”«»„‘’")


def names_of(found: Sequence[Token]) -> frozenset[int]:
    """Return the indices of words that are names to look for: quoted, or in capitals among small letters."""
    names: set[int] = set()
    opened: int | None = None
    for i, token in enumerate(found):
        if token.text in _QUOTES:
            if opened is not None:
                names.update(range(opened + 1, i))
            opened = i if opened is None else None
    if any(token.text.islower() for token in found):
        names.update(i for i, token in enumerate(found) if len(token.text) > 1 and token.text.isupper())
    return frozenset(names)


def clause(
    found: Sequence[Token], words: Sequence[str], used: set[int], names: frozenset[int]
) -> tuple[int, int] | None:
    """Return where a clause like "after the cut" begins and stops, if there is one."""
    for i, word in enumerate(words):
        if i in used or i in names or word not in say.SIDES or (word == "when" and _asks(found, words, i)):
            continue
        stop = i + 1
        while stop < len(words) and words[stop] not in ",;?!:":
            if stop > i + 1 and stop not in names and (words[stop] in say.WH or words[stop] in ("does", "do", "did")):
                break
            stop += 1
        return i, stop
    return None


def _asks(found: Sequence[Token], words: Sequence[str], i: int) -> bool:
    """Return whether the "when" at token i asks for a time, rather than naming an event."""
    if i + 1 >= len(words) or found[i + 1].kind == "mark" or (i and words[i - 1] in say.ASK_AFTER):
        return True
    before = [word for word in words[:i] if word not in say.LEADS]
    if not before:  # "when the ball moves, what is shown?" against "when does it move?"
        return not any(words[k] == "," and words[k + 1] in say.WH | say.AUX for k in range(i, len(words) - 1))
    return not any(word in say.WH or word in say.AUX for word in before)


def goes_on(words: Sequence[str], rest: Sequence[int]) -> bool:
    """Return whether a question is about what comes after the answer before: "what happens next?", "and then?"."""
    said = [words[i] for i in rest]
    return "next" in said or bool(say.THEN & {*said[:1], *said[-1:]}) or said[:2] == ["and", "then"]


def form_of(words: Sequence[str], rest: Sequence[int], names: frozenset[int]) -> str:
    """Return the form of the answer asked for, as in `Question.form`, from the words at the indices `rest`."""
    plain = [words[i] for i in rest if i not in names]
    while plain and plain[0] in say.LEADS:
        plain.pop(0)
    if len(plain) > 2 and plain[1] == "you" and plain[2] in say.REQUESTS:  # "can you tell me"
        plain = plain[2:]
    pairs = set(pairwise(plain))
    first = plain[0] if plain else ""
    many = ("how", "many") in pairs
    if first == "duration" or ("how", "long") in pairs or (many and {"seconds", "minutes"} & set(plain)):
        return "duration"
    if first == "count" or many or pairs & {("number", "of"), ("how", "often")}:
        return "count"
    if "when" in plain or pairs & {
        (which, unit) for which in ("what", "which") for unit in ("time", "times", "second")
    }:
        return "when"
    if first == "why":
        return "why"
    asked = any(word in say.WH and before in say.ASK_AFTER for before, word in pairs)  # "do you know which"
    if first in say.AUX and not asked:
        return "yes-no"
    return "describe" if first in say.DESCRIBE else ""


@dataclass(frozen=True, slots=True)
class Content:
    """What the words of a question are about; the fields are those of `Question`."""

    topics: frozenset[str]
    words: tuple[str, ...]
    colours: tuple[str, ...]
    directions: tuple[str, ...]
    order: str
    nth: int


def content_of(words: Sequence[str], rest: Sequence[int], names: frozenset[int], form: str) -> Content:
    """Sort the words at the indices `rest`: topics, colours, directions, order, and names of what it is about."""
    while rest and words[rest[0]] in say.LEADS and rest[0] not in names:
        rest = rest[1:]
    topics: set[str] = set()
    named: list[str] = []
    colours: list[str] = []
    directions: list[str] = []
    order, nth = "", 1
    if form == "describe":
        length = _length(words)
        rest = [i for i in rest if i not in length]
    stems = {stem(words[i]) for i in rest}
    for i in rest:
        word, root = words[i], stem(words[i])
        before, after = (words[i - 1] if i else ""), (words[i + 1] if i + 1 < len(words) else "")
        if i in names:
            named.append(root)
            continue
        if (
            (word, after) == ("number", "of")
            or (root == "go" and after == "on")
            or (word in say.STANDS and after == "still")
        ):
            continue  # "number of", "what is going on", "standing still"
        if root == "chang" and before == "what":
            continue
        if root == "scen" and (after.startswith("chang") or form == "count"):
            named.append("cut" if after.startswith("chang") else "shot")
            continue
        if word in say.ORDER and form != "duration" and after not in ("video", "clip", "image"):
            order, nth = say.ORDER[word]
        found = {topic for topic, roots in say.TOPICS.items() if root in roots}
        if root == "say":
            found |= _saying(word, before, stems)
        elif word in say.TOWARDS or (word == "way" and before in ("which", "what", "that")):
            found.add("direction")
        elif way := _direction(words, i, bool(stems & say.TOPICS["movement"])):
            (directions if way in say.WAYS else named).append(way)
        elif root in say.COLOURS:
            colours.append(say.COLOURS[root])
        topics |= found
        known = found or root in say.STOP or root in say.COLOURS or word in say.DIRECTIONS or word in say.TOWARDS
        known = known or f"{word} side" in named or (root in say.PLACE_WORDS and bool(say.PLACES & set(named)))
        if root in say.SHAPES or root in say.CAMERA_MOVES or not known:
            named.append(root)
    if "where" in words and "movement" in topics:
        topics.add("direction")
    if "camera" in topics:
        topics -= {"movement", "direction", "thing"}
    return Content(frozenset(topics), _unique(named), _unique(colours), _unique(directions), order, nth)


def _saying(word: str, before: str, stems: set[str]) -> set[str]:
    """Return whether "say" is about speech, or about speech or text: a text says, a man says, "it" may be either."""
    if stems & say.TOPICS["text"] or (word == "say" and not before):
        return set()
    return {"speech"} if word == "said" or stems & say.SPEAKERS else {"saying"}


def _length(words: Sequence[str]) -> frozenset[int]:
    """Return the indices of "in one sentence", "in a few words": how long the answer is to be."""
    for i, word in enumerate(words):
        for stop in range(i + 2, min(i + 5, len(words))):
            if word == "in" and words[stop] in say.LENGTHS and "the" not in words[i:stop]:
                return frozenset(range(i, stop + 1))
    return frozenset()


def _place(words: Sequence[str], i: int, moving: bool) -> bool:
    """Return whether a side named at token i is a place in the picture, not a way to go."""
    before, after = (words[i - 1] if i else ""), (words[i + 1] if i + 1 < len(words) else "")
    of = [word for word in words[i + 1 : i + 5] if word not in ("the", "hand", "side")]
    if moving and i > 1 and words[i - 2] in ("to", "toward", "towards") and before == "the":
        return of[:1] == ["of"] and of[1:2] != [] and of[1] not in say.SCREEN  # "to the left of the square"
    if before == "the" and i > 1 and words[i - 2] in ("on", "at", "in", "from"):
        return True
    thing = before == "the" and (stem(after) in say.TOPICS["thing"] or stem(after) in say.COLOURS)
    return after == "of" or bool({before, after} & say.PLACE_WORDS) or thing


def _direction(words: Sequence[str], i: int, moving: bool) -> str:
    """Return the way that a word names, or "left side" for a place, or nothing."""
    word, before = words[i], (words[i - 1] if i else "")
    after = words[i + 1] if i + 1 < len(words) else ""
    if word == "still":  # not as in "is it still visible"
        return word if before in say.STANDS or after in say.AT_REST or not after.isalpha() else ""
    if word in say.SIDES_OF and _place(words, i, moving):
        return f"{word} side"
    if word not in say.DIRECTIONS or before in say.NO_WAY or after in ("after", "before"):
        return ""
    return say.DIRECTIONS[word]


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
