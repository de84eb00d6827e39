"""Questions: what is asked of a video, in which words, and which of all possible ones keep the answers in balance."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_things import WORDS
from videochat_plugins.learn.world_wordings import WORDINGS

_ACCEPT = {
    "0": ("zero", "none"),
    "1": ("one",),
    "2": ("two",),
    "3": ("three",),
    "4": ("four",),
    "5": ("five",),
    "never": ("0 times", "zero times", "not at all", "0"),
    "once": ("1 time", "one time", "one", "1"),
    "twice": ("2 times", "two times", "two", "2"),
    "three times": ("3 times", "thrice", "three", "3"),
    "four times": ("4 times", "four", "4"),
    "five times": ("5 times", "five", "5"),
    "it grows": ("grow", "grows", "growing", "larger", "bigger"),
    "it shrinks": ("shrink", "shrinks", "shrinking", "smaller"),
    "it appears": ("appear", "appears"),
    "it vanishes": ("vanish", "vanishes", "it disappears", "disappears"),
    "anticlockwise": ("counterclockwise", "counter-clockwise", "anti-clockwise"),
    "the first half": ("in the first half", "first half", "early"),
    "the second half": ("in the second half", "second half", "late"),
    "up and to the left": ("up-left", "left and up", "up left", "up and left"),
    "up and to the right": ("up-right", "right and up", "up right", "up and right"),
    "down and to the left": ("down-left", "left and down", "down left", "down and left"),
    "down and to the right": ("down-right", "right and down", "down right", "down and right"),
    "left": ("to the left", "leftwards", "leftward", "right to left"),
    "right": ("to the right", "rightwards", "rightward", "left to right"),
    "up": ("upwards", "upward", "bottom to top"),
    "down": ("downwards", "downward", "top to bottom"),
    "upper left": ("top left", "in the upper left"),
    "upper right": ("top right", "in the upper right"),
    "lower left": ("bottom left", "in the lower left"),
    "lower right": ("bottom right", "in the lower right"),
    "it reaches the edge of the picture": ("it reaches the edge", "the edge of the picture", "the edge"),
    "nothing hits it: it vanishes by itself": ("it vanishes by itself", "nothing hits it", "nothing", "by itself"),
    "it runs into another thing": ("it hits another thing", "another thing", "a collision"),
    "plain": ("no pattern", "none", "solid"),
    "striped": ("stripes",),
    "dotted": ("dots",),
    "checked": ("chequered", "checkered"),
    "large": ("big",),
    "cross": ("plus", "plus sign"),
}
_STRAIGHT = ("left", "right", "up", "down")
_SLANTING = tuple(f"{one} and to the {other}" for one in ("up", "down") for other in ("left", "right"))
# All that a category has for an answer, where its questions have fewer candidates.
_ALL = {
    "temporal/direction": (*_STRAIGHT, *_SLANTING),
    "temporal/camera": _STRAIGHT,
    "temporal/how_often": ("never", "once", "twice", "three times", "four times", "five times"),
    "spatial/word": WORDS,
}


@dataclass(frozen=True)
class Fact:
    """Something that can be asked of a video."""

    category: str
    named: tuple[str, ...]  # what the question names
    answer: str
    candidates: tuple[str, ...]  # in an order that tells nothing
    kinds: tuple[str, ...] = ()  # of the candidates, where they name things: what is to be in balance
    about: tuple[str, ...] = ()  # the parts of what is named that may not tell anything by themselves

    @property
    def kind(self) -> str:
        """What kind of answer is right."""
        return self.kinds[self.candidates.index(self.answer)] if self.kinds else self.answer


def words(author: Author, fact: Fact) -> str:
    """Return one of the ways to ask for a fact."""
    return author.pick(WORDINGS[fact.category]).format(*fact.named)


def accepted(answer: str) -> list[str]:
    """Return what else is right where an answer is."""
    shorter = [answer.removesuffix(" hits it"), answer.removeprefix("it would ")]
    more = [*shorter, *(form.removeprefix("the ") for form in (answer, *shorter)), *_ACCEPT.get(answer, ())]
    return list(dict.fromkeys([answer, *more]))


def rejected(category: str, answer: str, candidates: Iterable[str]) -> list[str]:
    """Return what else could be said, in all its wordings: who says that too has not decided, and is not right."""
    others = (other for other in (*candidates, *_ALL.get(category, ())) if other != answer)
    forms = dict.fromkeys(form for other in others for form in accepted(other))
    return [form for form in forms if form not in ("one", "1")]  # `the red one` counts nothing


class Balance:
    """Lets only such questions through that keep their answers equally frequent.

    They are so within a split for each category and set of candidates, and within those for all that a question names:
    who knows only the questions, even all of them with their answers, can do no better than draw one of the candidates.
    It looks back only, so that a larger world begins with the questions of a smaller one.
    """

    def __init__(self) -> None:
        self._right: dict[tuple[str, ...], Counter[str]] = {}

    def admit(self, split: str, fact: Fact) -> bool:
        """Return whether a fact may be asked, and count it if so."""
        kinds = fact.kinds or fact.candidates
        group = (split, fact.category, *sorted(kinds))
        tallies = [self._right.setdefault(key, Counter()) for key in (group, *((*group, part) for part in fact.about))]
        if any(tally[fact.kind] > min(tally[kind] for kind in kinds) for tally in tallies):
            return False
        for tally in tallies:
            tally[fact.kind] += 1
        return True


def choose(author: Author, balance: Balance, split: str, facts: Iterable[Fact], most: int) -> list[Fact]:
    """Return up to so many facts of different categories, those that the balance lets through."""
    groups: dict[str, list[Fact]] = {}
    for fact in facts:
        groups.setdefault(fact.category, []).append(fact)
    out: list[Fact] = []
    for category in author.sample(sorted(groups), len(groups)):
        if len(out) >= most:
            break
        shuffled = author.sample(groups[category], len(groups[category]))
        out += islice((fact for fact in shuffled if balance.admit(split, fact)), 1)
    return out
