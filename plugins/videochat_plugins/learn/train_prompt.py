"""Talks as a language model reads them in training: the very ids that it is asked with, and which of them it learns.

The prompt is written by the language model's own writer, from the prompt file and the chat form of the stack. Training
goes on from there: answers, each with the text that ends it, are learnt; all else is only read.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from videochat import LLMError, Message, StackError, Text, Tokens, UnavailableError
from videochat.errors import Problem
from videochat.places import locate
from videochat.prompt import Template
from videochat.registry import registry
from videochat_plugins.learn.train_config import Config, Stage
from videochat_plugins.learn.train_data import MEDIA, Medium, Turn

# arXiv 2305.06355, section 3.2.3, without its turn markers, which are the chat form's. In stage 2 the instruction comes
# in a turn of its own, as in the original's code; what is told of a video's frames there is in prompts/embed.txt.
_PAPER: Mapping[tuple[Stage, Medium], str] = {
    ("stage1", "video"): "<Video>{video}</Video> {question}",
    ("stage1", "image"): "<Image>{video}</Image> {question}",
    ("stage2", "image"): "<Image>{video}</Image>\n{question}",
}
_ROWS = np.empty((1, 0), np.float32)  # stands for the video where only the text counts
_ASKED = Message("user", (Text("x", "question"),))


class Script(NamedTuple):
    """A talk in token ids; the video's embeddings stand between the two parts."""

    before: list[int]
    after: list[int]
    learnt: list[bool]  # for each id of `after`, whether it is an answer's
    cut: bool = False  # whether some of the talk was too long to stay


class Scribe:
    """Writes talks for training.

    Args:
        writer: of the `transformers` language model.
        templates: prompt files, by medium.
        length: tokens from the first answer on, at most.
    """

    def __init__(self, writer: Any, templates: Mapping[Medium, Template], length: int) -> None:
        self.writer = writer
        self._templates = templates
        self._length = length
        *_, opening = writer.pieces([_ASKED])
        assert isinstance(opening, str)
        self._opening = opening  # what stands between a question and its answer

    def write(self, medium: Medium, talk: Sequence[Turn], times: Sequence[float] = ()) -> Script:
        """Return a talk about a video whose frames have these times.

        Raises:
            LLMError: if the chat form does not say where an answer begins and ends.
        """
        # One more question, since what ends the last answer stands before it.
        pieces = list(self.writer.pieces([*self.messages(medium, talk, times), _ASKED]))
        at = next(i for i, piece in enumerate(pieces) if isinstance(piece, Tokens))
        passage, _ = self._join(pieces[:at])
        before = self.writer.ids(passage)
        passage, spans = self._join(pieces[at + 1 :])
        edges = [0, *(edge for span in spans for edge in span)]
        parts = list(self._parts(passage, edges))
        after = [id for part in parts for id in part]
        learnt = [number % 2 == 1 for number, part in enumerate(parts) for _ in part]
        limit = len(parts[0]) + self._length
        cut = len(after) > limit
        after, learnt = after[:limit], learnt[:limit]
        while not learnt[-1]:  # nothing to learn comes after it
            after.pop(), learnt.pop()
        return Script(before, after, learnt, cut)

    def messages(self, medium: Medium, talk: Sequence[Turn], times: Sequence[float] = ()) -> list[Message]:
        """Return a talk as the chat makes it."""
        template = self._templates[medium]
        told = {"frame_count": str(len(times)), "times": ", ".join(f"{time:.1f}" for time in times)}
        words = {name: Text(told.get(name, ""), name) for name in template.placeholders - {"video", "question"}}
        messages: list[Message] = []
        for question, answer in talk:
            video = () if messages else (Tokens(_ROWS, ""),)
            filled = template.fill({**words, "video": video, "question": Text(question, "question")})
            messages += filled[-1:] if messages else filled
            messages.append(Message("assistant", (Text(answer, "answer"),)))
        return messages

    def stops(self, text: str) -> str:
        """Return what in a text would end an answer in its middle; empty: nothing."""
        return next((end for end in self.writer.stop_texts if end in text), "")

    def _join(self, pieces: Sequence[Any]) -> tuple[Any, list[tuple[int, int]]]:
        """Return pieces as one passage, and where in it answers stand with their ends."""
        passage, spans = self.writer.passage(), list[tuple[int, int]]()
        for number, piece in enumerate(pieces):
            at = len(passage.text)
            passage.add(piece)
            if isinstance(piece, Text) and piece.name == "answer":
                lead = pieces[number - 1]  # the prompt file may have words behind the question too
                if self._opening not in lead:
                    words = f"opens an answer with {lead!r} in a talk, and with {self._opening!r} when it is asked"
                    raise LLMError(f"the chat form {words}: set `template`")
                opened = lead.rindex(self._opening) + len(self._opening)
                spans.append((at - len(lead) + opened, len(passage.text) + self._end(pieces[number + 1])))
        return passage, spans

    def _end(self, words: str) -> int:
        """Return how many letters of the words after an answer belong to its end."""
        found = [(words.find(end), len(end)) for end in self.writer.stop_texts if end in words]
        if not found or words[: min(found)[0]].strip():
            raise LLMError(f"the chat form writes {words!r} after an answer, which ends none: set `template`")
        return sum(min(found))

    def _parts(self, passage: Any, edges: Sequence[int]) -> Iterator[list[int]]:
        """Yield the ids of a passage between edges.

        The ids up to each edge are made as for a prompt that ends there. What is new in them is the part, if those
        before it stayed the same; where a token would reach over the edge, the part is tokenised by itself.
        """
        ids: list[int] = []
        for start, end in pairwise(edges):
            whole = self.writer.ids(passage.part(0, end))
            part = whole[len(ids) :] if whole[: len(ids)] == ids else self.writer.ids(passage.part(start, end))
            ids = ids + part
            yield part


def scribe_for(config: Config, stage: Stage) -> Scribe:
    """Return what writes talks for the language model of a training, whose weights are not loaded.

    Raises:
        StackError: if there is no such chat form or prompt file.
        UnavailableError: if the model's tokenizer cannot be had.
    """
    try:
        return Scribe(language_model(config).writer, _templates(config, stage), config.length)
    except LLMError as error:
        raise UnavailableError(str(error)) from None


def language_model(config: Config) -> Any:
    """Return the component that will answer with what is trained; its weights are here, and not loaded.

    Raises:
        StackError: if there is no such chat form.
        UnavailableError: if the model cannot be had.
    """
    cls: Any = registry().find("llm", "transformers").cls
    try:
        found = cls(cls.Options(model=config.llm, template=config.template))
    except ValidationError as error:
        said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise StackError([Problem("", "template", said)]) from None
    found.fetch()
    return found


def instructions(medium: Medium) -> Sequence[str]:
    """Return the instructions to describe in a few words, of the paper's Table 8."""
    return _read(f"table8_{medium}").text.splitlines()


def _templates(config: Config, stage: Stage) -> dict[Medium, Template]:
    named = {"video": config.prompt, "image": config.image_prompt}
    found: dict[Medium, Template] = {}
    for medium in MEDIA:
        paper = _PAPER.get((stage, medium))
        name = named[medium] or ("" if paper else "embed")
        found[medium] = _read(name) if name else Template(paper or "")
        if lacking := {"video", "question"} - found[medium].placeholders:
            raise StackError(f"the prompt {name} has no place for {', '.join(f'{{{one}}}' for one in sorted(lacking))}")
        if found[medium].text.count("{video}") > 1:
            raise StackError(f"the prompt {name} shows {{video}} more than once, and training shows it in one place")
    return found


def _read(name: str) -> Template:
    path = locate("prompts", name)
    try:
        return Template.parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise StackError([Problem(str(path), "", f"cannot be read: {error}")]) from None
