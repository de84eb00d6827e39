"""What the language model is asked to write: Tables 3, 4 and 6 of the paper (arXiv 2305.06355).

The tables are prompt files like any other: a copy in the user's own folder of prompts comes before the shipped one.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from videochat import Message, Text
from videochat.cache import digest
from videochat.errors import Problem, StackError
from videochat.fence import fence
from videochat.places import locate
from videochat.prompt import Template

MAKE = ("descriptions", "conversations", "captions")
KINDS = ("descriptive", "temporal", "causal")  # of questions: the three parts of Table 6
TOLD = 8  # faults of an answer that are told, to the model and to people
NO_CAPTION = "which there is no caption"  # "Give you a video of which there is no caption."

# Table 6 says what to ask and leaves open how to write it down. These words are ours.
FORM = """Write the dialogue in this form, and nothing before or after it:
Descriptive question: ...
Answer: ...
Temporal question: ...
Answer: ...
Causal question: ...
Answer: ...
Descriptive questions are about what is seen; temporal ones about order, before and after; causal ones about reasons, \
intentions, what if and what next. Ask two or three of each kind, none of them twice."""

_PLACE = re.compile(r"\{(origin_caption|textualizing_videos)\}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What is told of one video."""

    caption: str  # of the video as a whole, or ""
    text: str  # the textualised video
    duration: float  # seconds
    fenced: bool = True  # whether it stands between marked lines
    left_out: str = ""  # what did not fit the model's window, in words


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts of the paper's tables."""

    describe: str  # Table 3
    correct: str  # Table 4
    converse: str  # Table 6
    detailed: tuple[str, ...]  # Table 9: instructions that a detailed description answers
    brief: tuple[str, ...]  # Table 8: those that a caption answers

    @classmethod
    def read(cls) -> Self:
        """Return them as they stand in the folders of prompts.

        Raises:
            StackError: if one is missing or cannot be used.
        """
        describe, correct, converse, detailed, brief = map(
            _read, ("table3", "table4", "table6", "table9_video", "table8_video")
        )
        if "{textualizing_videos}" not in describe:
            where = str(locate("prompts", "table3"))
            raise StackError([Problem(where, "", "must hold {textualizing_videos}, where the video is told")])
        return cls(describe, correct, converse, *(tuple(filter(None, text.splitlines())) for text in (detailed, brief)))

    def digest(self, make: str) -> str:
        """Return what stands for all words that something is made with; captions are made with none."""
        asked = {"descriptions": [self.describe, self.correct], "conversations": [self.converse, FORM]}
        return digest(asked.get(make, []))

    def description(self, shown: Shown) -> list[Message]:
        """Return the request for a detailed description (Table 3)."""
        caption = NO_CAPTION if not shown.caption else _told(shown.caption, shown.fenced)
        values = {"origin_caption": caption, "textualizing_videos": _told(shown.text, shown.fenced)}
        return [Message("user", _filled(self.describe, values))]

    def correction(self, draft: str, fenced: bool) -> list[Message]:
        """Return the request to set a description right (Table 4)."""
        return [Message("user", (Text(f"{self.correct}\n"), Text(_told(draft, fenced), "description")))]

    def conversation(self, shown: Shown) -> list[Message]:
        """Return the request for a conversation of several rounds (Table 6)."""
        told = Text(_told(shown.text, shown.fenced), "textualizing_videos")
        request = (Text("The description of the video:\n"), told, Text(f"\n\n{FORM}"))
        return [Message("system", (Text(self.converse),)), Message("user", request)]

    def instruction(self, make: str, seed: int, video: str) -> str:
        """Return the instruction that a description or caption answers, drawn by the seed and the video's hash."""
        return random.Random(f"{seed} {make} {video}").choice(self.brief if make == "captions" else self.detailed)


def repair(messages: Sequence[Message], answer: str, faults: Sequence[str]) -> list[Message]:
    """Return a request with the answer that cannot be used, and what is wrong with it."""
    told = "\n".join(f"- {fault}" for fault in faults[:TOLD])
    # Named, and so data: faults quote the answer, which may hold anything.
    words = Text("This cannot be used:\n"), Text(told, "faults"), Text("\nWrite all of it again without these faults.")
    return [*messages, Message("assistant", (Text(answer),)), Message("user", words)]


def _read(name: str) -> str:
    path = locate("prompts", name)
    try:
        text = Template.parse(path.read_text(encoding="utf-8-sig")).text.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StackError([Problem(str(path), "", f"cannot be read: {error}")]) from None
    if not text:
        raise StackError([Problem(str(path), "", "holds nothing but notes")])
    return text


def _told(text: str, fenced: bool) -> str:
    return "\n" + fence(text) if fenced else text


def _filled(text: str, values: Mapping[str, str]) -> tuple[Text, ...]:
    """Return a prompt file's text as parts, in one pass: values are never scanned again."""
    pieces = enumerate(_PLACE.split(text))  # words, name, words, ..., words
    return tuple(Text(values[piece], piece) if i % 2 else Text(piece) for i, piece in pieces if piece)
