"""Whether an answer in free words says the right thing: normalised, whole words, one answer only.

Models answer in sentences, so that an answer which holds the right words is right: `It is red.` says red. What holds
them by accident is not: `not red`; `red or blue`, where both stand to choice; `3 or 4`; a long list of which one fits.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

Words = tuple[str, ...]
LONGEST = 40  # words that an answer may have to be right by holding the right ones, where no others stand to choice

_STAMP = r"\d{1,3}(?::\d\d){1,2}(?:\.\d+)?"
_TOKEN = re.compile(
    r"(?P<box>\[\s*-?\d+(?:\.\d+)?(?:\s*,\s*-?\d+(?:\.\d+)?){3}\s*\])"
    rf"|(?P<time>{_STAMP}(?:\s*(?:-|–|—|to)\s*{_STAMP})?)"
    r"|(?P<number>\d+(?:,\d{3})*(?:\.\d+)?)"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<mark>[.,;:!?()\[\]\n])"
)
_NEGATED = re.compile(r"\b(can|won|shan)'t\b|n't\b")
_SEEMS = re.compile(r"(?i)\bappears? to (?!the\b|its?\b)")  # `it appears to vanish` does not say that it appears
_ARTICLES = frozenset({"a", "an", "the"})
_NOT = frozenset({"not", "no", "never", "neither", "nor", "without", "none", "nobody", "nothing", "cannot"})
_YES_OR_NO = (("yes",), ("no",))
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: n for n, word in enumerate(_SMALL)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}


def words(text: str, times: bool = False) -> Words:
    """Return the words of a text in one form.

    Lower case, numbers as digits, `n't` as `not`; without punctuation and articles, nor the boxes and times by which
    an answer tells what it rests on.

    Args:
        text: any.
        times: whether times such as 00:12 are words too.
    """
    return tuple(word for clause in _clauses(text, times) for word in clause)


def matches(answer: str, accepted: Collection[str], others: Collection[str] = ()) -> bool:
    """Return whether an answer says one of the accepted ones, and none of the others that stand to choice.

    An answer that equals an accepted one is right. One that holds it is right if no negation stands before it in its
    clause, if it holds none of the others and, where the right answer is a number, no other number. `yes` and `no` must
    come first in the answer, whose first clause must not hold both. Where there are no others to choose from, the
    answer must not be longer than `LONGEST` words, or listing all that there is would be right.
    """
    times = any(re.search(_STAMP, text) for text in accepted)
    found = _clauses(_SEEMS.sub("", answer), times)
    whole = tuple(word for clause in found for word in clause)
    right = {form for text in accepted if (form := words(text, times))}
    wrong = {form for text in others if (form := words(text, times))} - right
    if not whole or whole in right:
        return bool(whole)
    if len(decided := right.intersection(_YES_OR_NO)) == 1:
        ((word,),) = decided
        return found[0][0] == word and not {"yes", "no"} <= {*found[0]}
    if not wrong and len(whole) > LONGEST:
        return False
    said = _named(found, right | wrong)
    numbers = {word for form in right for word in form if _is_number(word)}
    if numbers and {word for word in _numbers(answer) if word not in numbers}:
        return False
    return bool(said) and said <= right


def named(answer: str, phrases: Sequence[str]) -> list[int]:
    """Return which phrases an answer names, each as whole words that no negation stands before."""
    said = _named(_clauses(answer, times=True), [words(phrase, times=True) for phrase in phrases])
    return [i for i, phrase in enumerate(phrases) if words(phrase, times=True) in said]


def _clauses(text: str, times: bool) -> list[Words]:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower()).replace("’", "'")
    text = _NEGATED.sub(lambda found: f"{found[1] or ''} not", text)
    text = re.sub(r"'s\b", "", text)
    out: list[list[str]] = [[]]
    articles: list[str] = []
    tens = False  # whether the word before was twenty, thirty, ...
    aside = False  # whether in brackets
    for token in _TOKEN.finditer(text):
        word = token[0]
        if token["mark"]:
            aside = word in "([" or (aside and word not in ")]")
        if token["mark"] or word == "but":  # not blue but red
            denied = aside and word not in "([" and _NOT.intersection(out[-1])  # (it does not tell of: red, blue)
            out += [] if denied else [[]]
        elif token["time"] and times:
            out[-1] += re.findall(_STAMP, word)
        elif token["number"]:
            out[-1].append(_number(word))
        elif word in _NUMBERS:
            before = int(out[-1].pop()) if tens and 0 < _NUMBERS[word] < 10 else 0
            out[-1].append(str(before + _NUMBERS[word]))
        elif word in _ARTICLES:
            articles.append(word)
        elif token["word"]:
            out[-1].append(word)
        tens = word in _TENS
    return [tuple(clause) for clause in out if clause] or ([tuple(articles)] if articles else [])


def _number(text: str) -> str:
    """Return a number without what does not change it: 1,000 as 1000, 02.50 as 2.5."""
    whole, _, part = text.replace(",", "").partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


def _is_number(word: str) -> bool:
    return word[0].isdigit() and ":" not in word


def _numbers(answer: str) -> set[str]:
    """Return the numbers of an answer; `one` is not taken for one, since `the red one` counts nothing."""
    return {word for word in words(re.sub(r"(?i)\bone\b", " ", answer)) if _is_number(word)}


def _named(found: Iterable[Words], phrases: Collection[Words]) -> set[Words]:
    """Return the phrases that stand in clauses; in `dark red`, red does not where dark red is a phrase too."""
    said = set()
    for clause in found:
        free = [True] * len(clause)
        for phrase in sorted(filter(None, phrases), key=len, reverse=True):
            for at in range(len(clause) - len(phrase) + 1):
                end = at + len(phrase)
                if clause[at:end] == phrase and all(free[at:end]):
                    free[at:end] = [False] * len(phrase)
                    if not _NOT.intersection(clause[:at]):
                        said.add(phrase)
    return said
