"""A question in free text, read: what it asks, of which kinds of evidence, of what time, and in which words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from videochat import vocabulary as say
from videochat.reading import clause, content_of, form_of, goes_on, names_of
from videochat.timephrase import read_times
from videochat.window import Span
from videochat.words import Token, tokens


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
    negated: bool = False  # whether it asks for what is not so: "what does not move?"
    follows: bool = False  # whether it is understood only after the question before: "and the blue one?"

    @property
    def placed(self) -> bool:
        """Whether it names a place in the picture: "on the left", "in the top corner"."""
        return bool(say.PLACES & set(self.words))

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of record that it asks for; empty for any."""
        first = self.topics & {"text", "speech", "saying", "camera", "light"}  # "which words move" is not of things
        return frozenset(kind for topic in first or self.topics for kind in say.KINDS[topic])

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
            negated=self.negated or earlier.negated,
        )


def _read(text: str, found: Sequence[Token], duration: float | None, whole: bool = True) -> Question:
    spans, used = read_times(found, duration)
    words = [token.lower for token in found]
    names = names_of(found)
    taken = set(used)
    side, anchor, refers = "", None, False
    if whole and (at := clause(found, words, taken, names)) is not None:
        begin, stop = at
        side = say.SIDES[words[begin]]
        inner = [found[i] for i in range(begin + 1, stop) if i not in used]
        event = _read(" ".join(token.text for token in inner), inner, duration, whole=False)
        taken.update(range(begin, stop))
        if event.words or event.colours or event.directions or event.topics:
            anchor = event
        else:
            refers = True
    rest = [i for i in range(len(found)) if i not in taken and found[i].kind != "mark"]
    if whole and not side and not spans and goes_on(words, [i for i in rest if i not in names]):
        side, refers = "after", True

    negated = (
        any(  # but not "whether or not", "if not", and a "no" that is said first
            found[i].negates and i and words[i - 1] not in ("or", "if") for i in rest if i not in names
        )
        or (words[:1] != ["no"] and found[:1] != [] and found[0].negates)
    )
    form = form_of(words, rest, names)
    content = content_of(words, rest, names, form)
    topics, colours, directions = set(content.topics), content.colours, content.directions
    if len(directions) > 1 and "or" in words:  # "left or right?"
        directions, form = (), ""
        topics.add("direction")
    if directions:
        topics.add("movement")
    said = bool(topics or content.words or colours)
    if not said and {"who", "where"} & {words[i] for i in rest}:
        topics, said = {"scene"}, True
    if not form and not said:
        form = "describe"
    lead = tuple(words[i] for i in rest[:2])
    follows = any(lead[: len(start)] == start for start in say.FOLLOW)
    follows = follows or (not said and form in ("when", "count", "duration") and not spans)
    if not content.words and not colours and {"it", "they", "them"} & set(words):
        follows = follows or bool(topics & {"direction", "movement", "speed", "colour"}) or form in ("when", "duration")
    return Question(
        text, form, frozenset(topics), content.words, colours, directions, spans, content.order, content.nth,
        side, anchor, refers, negated, follows,
    )  # fmt: skip
