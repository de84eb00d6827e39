"""Questions with lettered options, and what letter an answer chooses: strictly, so that nothing is right by accident.

MVBench's own parser takes an answer that is contained in the right one, so that an empty answer and `(` are right.
"""

import re
from collections.abc import Sequence
from string import ascii_uppercase

from videochat_plugins.learn.eval_match import named, words

LETTERS = ascii_uppercase

_ALONE = re.compile(r"[(\[]?([A-Za-z])[)\]]?[.:,]?")
# (b) the red ball; B. the red ball; or the letter alone on a line
_LEADS = re.compile(r"^[^\S\n]*(?:[(\[]([A-Za-z])[)\]]|([A-Z])(?:[).:](?=\s|$)|(?=[ \t\r]*$)))", re.MULTILINE)
_BRACKETED = re.compile(r"(?<!\w)\(([A-Za-z])\)")
_ANNOUNCED = re.compile(r"\b(?:answer|option|choice)(?: is)?:?\s+([A-Z])(?=\s*(?:[.,;:)\]!]|\n|$))", re.IGNORECASE)


def lettered(question: str, candidates: Sequence[str]) -> str:
    """Return a question with its options, which asks for a letter."""
    options = (f"({letter}) {text}" for letter, text in zip(LETTERS, candidates, strict=False))
    return "\n".join([question, "Options:", *options, "Answer with the letter of the right option only."])


def chosen(answer: str, candidates: Sequence[str]) -> int | None:
    """Return the number of the option that an answer chooses, or None where it chooses none, or more than one.

    A letter counts where it is the whole answer or a whole line of it, in brackets, at the head of a line with a mark
    behind it (`B.`), or announced (`The answer is B.`); never inside a word, nor as one (`A ball`). An answer without
    such a letter may name one option in its own words.
    """
    text = answer.replace("*", "").strip().strip("\"'`").strip()
    if alone := _ALONE.fullmatch(text):
        marks = {alone[1].upper()}
    else:
        leads = {(one or other).upper() for one, other in _LEADS.findall(text)}
        announced = {letter for letter in _ANNOUNCED.findall(text) if letter.isupper()}
        marks = leads | announced | {letter.upper() for letter in _BRACKETED.findall(text)}
    if marks:
        at = LETTERS.index(marks.pop())
        return at if not marks and at < len(candidates) else None
    equal = [i for i, one in enumerate(candidates) if words(one, times=True) == words(text, times=True)]
    found = equal if words(text, times=True) else []
    found = found or named(text, candidates)
    return found[0] if len(found) == 1 else None
