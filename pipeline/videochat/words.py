"""Words of free text: cut into tokens and brought to a common form, so that a question and a record can be compared."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

_IDEOGRAPH = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # no spaces between words: each sign is a token
_LETTER = rf"[^\W\d_{_IDEOGRAPH}]"
_TOKEN = re.compile(  # every repetition is bounded or over one class of signs, so matching takes linear time
    r"(?P<clock>[0-9]{1,3}(?::[0-9]{1,2}){1,2}(?:\.[0-9]{1,6})?)"
    r"|(?P<number>[0-9]{1,9}(?:\.[0-9]{1,6})?)"
    rf"|(?P<word>[{_IDEOGRAPH}]|{_LETTER}+(?:['’]{_LETTER}+)*)"
    r"|(?P<mark>\S)"
)
_SAME = {  # forms that no ending tells
    "color": "colour", "colored": "colour", "coloured": "colour", "gray": "grey",
    "wrote": "writ", "written": "writ", "writing": "writ", "said": "say", "spoke": "speak", "spoken": "speak",
    "speech": "speak", "heard": "hear", "told": "tell", "shown": "show", "seen": "see", "saw": "see", "went": "go",
    "gone": "go", "goes": "go", "going": "go", "came": "com", "began": "begin", "begun": "begin", "fell": "fall",
    "people": "person", "men": "man", "women": "woman", "children": "child",
}  # fmt: skip
_NOT = frozenset({"not", "no", "never", "cannot", "nothing", "nobody", "none", "without"})
_VOWEL = re.compile(r"[aeiouy]")


class Token(NamedTuple):
    """A piece of a text."""

    text: str  # as written
    kind: str  # "clock" (1:02:03) "number" "word" "mark"

    @property
    def lower(self) -> str:
        """The word in lower case, without what follows its apostrophe: what's -> what, isn't -> is."""
        word = self.text.lower().replace("’", "'")
        return word[: -len("n't")] if word.endswith("n't") else word.partition("'")[0]

    @property
    def negates(self) -> bool:
        """Whether it turns what is said into its opposite: not, never, isn't."""
        word = self.text.lower().replace("’", "'")
        return word.endswith("n't") or word in _NOT


def tokens(text: str) -> Sequence[Token]:
    """Cut a text into tokens, in order; white space is dropped. Takes linear time and any text."""
    return [Token(match.group(), match.lastgroup or "mark") for match in _TOKEN.finditer(text)]


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Return a word in lower case without the common English endings; both spellings of colours are one."""
    word = word.lower()
    if word in _SAME:
        return _SAME[word]
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "ches", "shes", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    word = _SAME.get(word, word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and not word.endswith("eed") and len(rest) >= 3 and _VOWEL.search(rest):
            word = rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def terms(text: str) -> Sequence[str]:
    """Return the stems of all words and numbers of a text, in order."""
    return [stem(token.lower) for token in tokens(text) if token.kind != "mark"]
