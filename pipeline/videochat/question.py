"""A question in free text, read: what it asks, of which kinds of evidence, of what time, and in which words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from videochat import vocabulary as say
from videochat.timephrase import read_times
from videochat.window import Span
from videochat.words import Token, stem, tokens

_QUOTES = frozenset("\"'`“”«»„‘’")


@dataclass(frozen=True, slots=True)
class Question:
    """What a question asks for. All parts may be empty: any text can be read."""

    text: str
    form: str = ""  # "count" "when" "duration" "yes-no" "why" "describe"; "" for what, which, who
    topics: frozenset[str] = frozenset()  # keys of vocabulary.KINDS
    words: tuple[str, ...] = ()  # stems of the content words that nothing else here tells of, in order
    colours: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()  # "left" "right" "up" "down" "still"
    spans: tuple[Span, ...] = ()  # seconds of media time asked for; an open end is infinite
    order: str = ""  # "first" "last" "fastest" "slowest"
    nth: int = 1  # with `order`: the first, the second ...
    side: str = ""  # "before" "after" "during": where the answer lies from the event in `anchor`
    anchor: "Question | None" = None  # the event that it names: "after the cut", "while the text is shown"
    refers: bool = False  # whether that event is the answer before: "after that", "next"
    follows: bool = False  # whether it is understood only after the question before: "and the blue one?"

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of record that it asks for; empty for any."""
        topics = self.topics
        if topics & {"text", "speech", "saying", "camera", "light"}:  # "which words move", "how many signs" are not of things
            topics = topics & {"text", "speech", "saying", "camera", "light"}
        return frozenset(kind for topic in topics for kind in say.KINDS[topic])

    def covers(self, start: float, end: float) -> bool:
        """Return whether a stretch in seconds meets the times asked for, as every stretch does if there are none."""
        return not self.spans or any(
            (start < span.end and end > span.start) or span.start <= start == end <= span.end for span in self.spans
        )

    @classmethod
    def parse(cls, text: str, duration: float | None = None) -> "Question":
        """Read a question, in time linear in its length.

        Args:
            text: any text.
            duration: of the video in seconds, for "in the last 2 seconds"; without it such a phrase is passed over.
        """
        return _read(text, tokens(text), duration)

    def following(self, earlier: "Question") -> "Question":
        """Return the question with what it leaves unsaid taken from the one before it."""
        if not (self.follows or self.refers):
            return self
        own = bool(self.words or self.colours or self.refers)
        return replace(
            self,
            form=earlier.form if self.form in ("", "describe") else self.form,
            topics=self.topics or earlier.topics,
            words=self.words if own else earlier.words,
            colours=self.colours if own else earlier.colours,
            directions=self.directions or (() if own else earlier.directions),
            spans=self.spans or (() if self.refers else earlier.spans),
            order=self.order or ("" if self.side or self.spans else earlier.order),
            side=self.side or earlier.side,
            anchor=self.anchor if self.side else earlier.anchor,
        )


def _read(text: str, found: Sequence[Token], duration: float | None, clause: bool = False) -> Question:
    spans, used = read_times(found, duration)
    words = [token.lower for token in found]
    names = _names(found)
    taken = set(used)
    side, anchor, refers = "", None, False
    if not clause and (at := _clause(found, words, taken, names)) is not None:
        begin, stop = at
        side = say.SIDES[words[begin]]
        inner = [found[i] for i in range(begin + 1, stop) if i not in used]
        event = _read(" ".join(token.text for token in inner), inner, duration, clause=True)
        taken.update(range(begin, stop))
        if event.words or event.colours or event.directions or event.topics:
            anchor = event
        else:
            refers = True
    rest = [i for i in range(len(found)) if i not in taken and found[i].kind != "mark"]
    if not clause and not side and not spans and any(words[i] in say.THEN for i in rest if i not in names):
        side, refers = "after", True

    form = _form(words, rest, names)
    content = _content(words, rest, names, form)
    topics, colours, directions = set(content.topics), content.colours, content.directions
    if len(directions) > 1 and "or" in words:  # "left or right?"
        directions, form = (), ""
        topics.add("direction")
    if directions:
        topics.add("movement")
    said = bool(topics or content.words or colours)
    if not form and not said:
        form = "describe"
    lead = tuple(words[i] for i in rest[:2])
    follows = any(lead[: len(start)] == start for start in say.FOLLOW) or (not said and form in ("when", "count", "duration"))
    if not content.words and not colours and {"it", "they", "them"} & set(words):
        follows = follows or bool(topics & {"direction", "movement", "speed", "colour"}) or form in ("when", "duration")
    return Question(
        text, form, frozenset(topics), content.words, colours, directions, spans, content.order, content.nth,
        side, anchor, refers, follows,
    )  # fmt: skip


def _names(found: Sequence[Token]) -> frozenset[int]:
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


def _clause(
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
    if i + 1 >= len(words) or found[i + 1].kind == "mark":
        return True
    before = [word for word in words[:i] if word not in say.LEADS]
    if not before:  # "when the ball moves, what is shown?" against "when does it move?"
        return not any(words[k] == "," and words[k + 1] in say.WH | say.AUX for k in range(i, len(words) - 1))
    return words[i - 1] in say.ASK_AFTER or not any(word in say.WH or word in say.AUX for word in before)


def _form(words: Sequence[str], rest: Sequence[int], names: frozenset[int]) -> str:
    plain = [words[i] for i in rest if i not in names]
    while plain and plain[0] in say.LEADS:
        plain.pop(0)
    if len(plain) > 2 and plain[1] == "you" and (plain[2] in say.REQUESTS):
        plain = plain[2:]
    pairs = set(zip(plain, plain[1:], strict=False))
    first = plain[0] if plain else ""
    if ("how", "long") in pairs or ("how", "many") in pairs and {"seconds", "minutes"} & set(plain) or first == "duration":
        return "duration"
    if pairs & {("how", "many"), ("number", "of"), ("how", "often")} or first == "count":
        return "count"
    if "when" in plain or pairs & {("what", "time"), ("which", "second"), ("what", "second"), ("which", "time"), ("what", "times")}:
        return "when"
    if first == "why":
        return "why"
    asked = any(word in say.WH and before in say.ASK_AFTER for before, word in pairs)
    if first in say.AUX and not asked:
        return "yes-no"
    if first in ("describe", "summarize", "summarise", "summary", "overview", "description"):
        return "describe"
    return ""


@dataclass(slots=True)
class _Content:
    topics: frozenset[str]
    words: tuple[str, ...]
    colours: tuple[str, ...]
    directions: tuple[str, ...]
    order: str
    nth: int


def _content(words: Sequence[str], rest: Sequence[int], names: frozenset[int], form: str) -> _Content:
    """Sort the words of a question: topics, colours, directions, order, and the rest, which name what it is about."""
    topics: set[str] = set()
    named: dict[str, None] = {}  # ordered sets
    colours: dict[str, None] = {}
    directions: dict[str, None] = {}
    order, nth = "", 1
    while rest and words[rest[0]] in say.LEADS and rest[0] not in names:
        rest = rest[1:]
    stems = {stem(words[i]) for i in rest}
    for i in rest:
        word, root = words[i], stem(words[i])
        before, after = (words[i - 1] if i else ""), (words[i + 1] if i + 1 < len(words) else "")
        if i in names:
            named[root] = None
            continue
        if word in say.ORDER and form != "duration":
            order, nth = say.ORDER[word]
        if word in ("say", "says", "saying", "said"):
            if (word != "say" or before) and not stems & say.TOPICS["text"]:
                spoken = word == "said" or stems & (say.SPEAKERS - {"they"})
                topics.add("speech" if spoken else "saying")
        elif word == "still":
            if before in ("stand", "stands", "standing", "stay", "stays", "hold", "holds", "stands") or not after.isalpha():
                directions["still"] = None
        elif word == "direction" or (word == "way" and before in ("which", "what", "that")) or word in ("toward", "towards"):
            topics.add("direction")
        elif word in say.DIRECTIONS:
            place = before == "the" and i > 1 and words[i - 2] in ("on", "at", "in", "from")
            if place:
                named[f"{word} side"] = None
            elif before not in ("from", "shows", "show", "comes", "come", "pops", "right") and after not in ("after", "before"):
                directions[say.DIRECTIONS[word]] = None
        elif root in say.COLOURS:
            colours[say.COLOURS[root]] = None
        found = {topic for topic, roots in say.TOPICS.items() if root in roots}
        if (word, after) in (("number", "of"), ("standing", "still"), ("stands", "still"), ("stand", "still")):
            continue
        if root == "go" and after == "on":  # "what is going on"
            continue
        topics |= found
        if root in say.SHAPES or root in say.CAMERA_MOVES:
            named[root] = None
        elif not found and root not in say.STOP and root not in say.COLOURS and word not in say.DIRECTIONS:
            named[root] = None
    if "where" in words and topics & {"movement"}:
        topics.add("direction")
    if "camera" in topics:
        topics -= {"movement", "direction", "thing"}
    return _Content(frozenset(topics), tuple(named), tuple(colours), tuple(directions), order, nth)
