"""What an answer of the language model must be before it becomes training data.

The limits are the paper's (arXiv 2305.06355, Tables 3 and 6), read with some tolerance: language models miscount.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from videochat.clock import parse, stamp
from videochat.record import fold
from videochat_plugins.learn.instruct_prompts import KINDS

# Table 3 asks for more than 150 and less than 200 words. A fifth on either side is taken: models count tokens, not
# words, and Table 4 takes repetitions out of a text that was long enough. (The paper's own example, Table 5, has 155.)
LEAST, MOST = 120, 240
UNKNOWN = "The provided video does not present such information"  # what Table 6 wants said
MOST_UNKNOWN = 1  # rounds of one conversation that may end so: Table 6 also says not to ask about uncertain details
QUOTE = 80  # characters of an answer that a fault repeats
SLACK = 1.0  # seconds by which a time may lie after the video's end: stamps are rounded up

_NUMBER = r"(?:\d+(?:\.\d+)?|one|two|three|four|five|six|seven|eight|nine|ten|fifteen|twenty|thirty|forty|fifty|sixty)"
_STAMP = re.compile(r"\b[0-9]{1,3}(?::[0-5][0-9]){1,2}\b")  # what `parse` reads: \d would take other scripts' digits
_TIME = re.compile(
    rf"{_STAMP.pattern}|\b{_NUMBER}[\s-]?(?:seconds?|secs?|minutes?|mins?)\b"
    r"|\b(?:at|after|until|by|around)\s+\d+(?:\.\d+)?\s?s\b|\b(?:second|minute)\s+\d+\b|\btime ?stamps?\b",
    re.I,
)
# What tells that the model was shown words and no video, talks of its task, or would break the form of a training text.
_FORBIDDEN = {
    "it speaks of the text that it was made from": re.compile(
        r"\b(?:text(?:ual)?|video|given|provided)\s+descriptions?\b|\bcaptions?\b|\bvideo contexts?\b"
        r"|\b(?:according to|based on|from) the (?:descriptions?|tags|data|records)\b",
        re.I,
    ),
    "it speaks of its task": re.compile(
        r"\A\W*(?:sure|certainly|of course|okay|here(?:['’]s| is| are)|I(?:['’]m| am) sorry)\b|\bas an ai\b"
        r"|\A\W*(?:the )?(?:corrected|revised) (?:description|paragraph|text|version)\b|\blanguage model\b"
        r"|\blet me know if you\b|\bhope this helps\b",
        re.I,
    ),
    "it holds the mark of a turn or of the fence": re.compile(
        r"###|<\|[^|\n]*\|>|</?(?:s|video|image|think)>|\[/?INST\]|\[(?:end of )?video data [0-9a-f]", re.I
    ),
}
_VAGUE = re.compile(
    r"\bnot (?:specified|mentioned|stated|provided)\b|\b(?:do|does)(?: not|n['’]t) (?:specify|mention|state|provide)\b"
    r"|\b(?:cannot|can['’]t|could not) be (?:determined|known)\b|\bno information\b",
    re.I,
)
_TURN = re.compile(
    rf"^[ \t>*#\-.()\d]*(?:(?P<before>{'|'.join(KINDS)})\s+)?(?:(?P<asks>question|q|user|human)|answer|a|assistant)"
    rf"[ \t]*\d*[ \t]*(?:\((?P<after>{'|'.join(KINDS)})\)[ \t]*)?[*_]*[ \t]*:[*_]*[ \t]*",
    re.I | re.M,
)
# What a line between turns may say: "### Temporal questions", a rule of dashes.
_HEADINGS = {"", *KINDS, *(f"{kind} questions" for kind in KINDS)}


class Malformed(Exception):
    """An answer that cannot be used, with everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Round(NamedTuple):
    """A question and its answer."""

    kind: str  # one of KINDS; "detailed" or "brief" where the question is an instruction that is yet to be drawn
    question: str
    answer: str


def read_description(text: str) -> str:
    """Return a detailed description as one paragraph.

    Raises:
        Malformed: if it is too short or long, names a time, repeats itself or holds what it must not.
    """
    found = fold(text)
    count = len(found.split())
    faults = list(_forbidden(found))
    if not LEAST <= count <= MOST:
        faults.append(f"it has {count} words: write more than 150 and less than 200")
    faults += [f'it names a time, "{time[0]}": say the order, with first, next, then and finally' for time in
               list(_TIME.finditer(found))[:3]]  # fmt: skip
    sentences = Counter(_plain(sentence) for sentence in re.split(r"(?<=[.!?])\s+", found))
    faults += [f'it says "{sentence[:QUOTE]}" {number} times' for sentence, number in sentences.items()
               if sentence and number > 1]  # fmt: skip
    if faults:
        raise Malformed(faults)
    return found


def read_caption(text: str) -> str:
    """Return what a stack says of a video as a whole.

    Raises:
        Malformed: if that is nothing, or holds what it must not.
    """
    faults = list(_forbidden(text)) if text else ["the stack has no caption or summary of the whole video"]
    if faults:
        raise Malformed(faults)
    return text


def read_conversation(text: str, duration: float) -> tuple[Round, ...]:
    """Return the rounds of a conversation about a video of so many seconds.

    Raises:
        Malformed: if it is no list of questions with answers, lacks one of the three kinds, or has a round that is
            empty, asked before, about what is not known, or holds what it must not.
    """
    turns = list(_turns(text))
    rounds, faults = [], []
    for i, (kind, asks, said) in enumerate(turns):
        if asks and (i + 1 == len(turns) or turns[i + 1].asks):
            faults.append(f'the question "{fold(said)[:QUOTE]}" has no answer')
        elif asks:
            rounds.append(Round(kind, fold(said), turns[i + 1].said))
        elif i == 0 or not turns[i - 1].asks:
            faults.append(f'the answer "{fold(said)[:QUOTE]}" follows no question')
    if not rounds:
        raise Malformed([*faults, "it is no dialogue: begin each turn on a line of its own, as the form shows"])
    faults += [f"there is no {kind} question" for kind in KINDS if all(one.kind != kind for one in rounds)]
    seen: set[str] = set()
    for number, one in enumerate(rounds, start=1):
        faults += [f"question {number}: {fault}" for fault in _of_round(one, duration)]
        if (words := _plain(one.question)) in seen:
            faults.append(f"question {number}: it was asked before")
        seen.add(words)
    if sum(UNKNOWN.lower() in one.answer.lower() for one in rounds) > MOST_UNKNOWN:
        faults.append("several questions are about what the video does not show: ask about what it shows")
    if faults:
        raise Malformed(faults)
    return tuple(rounds)


class _Turn(NamedTuple):
    kind: str
    asks: bool
    said: str


def _turns(text: str) -> Iterator[_Turn]:
    """Yield the turns of a dialogue; what stands before the first is not part of it."""
    lines = map(fold, text.splitlines())  # runs of blanks gone: the pattern would be slow on them
    text = "\n".join("" if _plain(line) in _HEADINGS else line for line in lines)
    heads = list(_TURN.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=False):  # where no turn begins, all of it is of none
        said = re.sub(r"\n{2,}", "\n\n", text[head.end() : end]).strip()
        if head[0].count("**") % 2:  # **Question: What is it?**
            said = said.removesuffix("**")
        yield _Turn((head["before"] or head["after"] or "").lower(), head["asks"] is not None, said)


def _of_round(one: Round, duration: float) -> Iterator[str]:
    if not one.kind:
        yield f"say before it which kind it is of, {', '.join(KINDS)}"
    for said, name in ((one.question, "question"), (one.answer, "answer")):
        if not _plain(said):
            yield f"the {name} is empty"
        yield from _forbidden(said)
        for time in _STAMP.findall(said):
            if parse(time) > duration + SLACK:
                yield f"it names {time}, and the video ends at {stamp(duration, up=True)}"
    if _VAGUE.search(one.answer) and UNKNOWN.lower() not in one.answer.lower():
        yield f'the video does not tell: ask something else, or answer "{UNKNOWN}"'


def _forbidden(text: str) -> Iterator[str]:
    for why, pattern in _FORBIDDEN.items():
        if found := pattern.search(text):
            yield f'{why}: "{found[0][:QUOTE]}"'


def _plain(text: str) -> str:
    """Return a text as its words alone, so that equal ones can be told."""
    return " ".join(re.findall(r"\w+", text.lower()))
