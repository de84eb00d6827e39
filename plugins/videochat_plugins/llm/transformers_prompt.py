"""Prompts as token ids, in which only the chat template and the prompt file can write control tokens.

What was perceived, asked or answered is data. Private marks stand for it while the template is rendered, so a template
can neither read nor change it; then it takes their places, and the whole is tokenised at once: harmless text gets the
ids that `apply_chat_template` gives. Where a control token ("<|im_end|>") would come from data, the text is cut within
it and tokenised again in pieces, so that it stays in the prompt as letters.

Forms older than control tokens mark turns with letters ("###Human:", "USER:"). A stop text of such a form is cut where
it comes from data, so that its ids are others than the form's own, if the tokenizer has more than one way to write it.
But to the model the letters are the same, and it may take them for a turn: what guards there is the fence that stands
around what was perceived.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from math import ceil
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from videochat import LLMError, Message, Text, Tokens
from videochat.prompt import Part
from videochat_plugins.llm.remote_content import encodable
from videochat_plugins.llm.transformers_form import Form
from videochat_plugins.llm.transformers_stream import TextStream

Rows = npt.NDArray[np.floating[Any]]  # of embeddings, (n, width)
Prompt = list[Any]  # token ids as lists, and embeddings (here `Rows`), in order
Stretch = tuple[int, int]  # of characters, from and to
Turn = dict[str, Any]  # as chat templates take it: a role and its content


@dataclass(slots=True)
class Passage:
    """What stands between two embeddings of a prompt: letters, and which of them are data."""

    text: str = ""
    data: list[Stretch] = field(default_factory=list)

    def add(self, piece: str | Text) -> None:
        """Append words of the template or the prompt file, or data."""
        if isinstance(piece, str):
            self.text += piece
        else:
            self.data.append((len(self.text), len(self.text) + len(piece.text)))
            self.text += encodable(piece.text)

    def part(self, start: int, end: int) -> "Passage":
        """Return what stands from one letter up to another."""
        data = [(low - start, high - start) for low, high in _shared(start, end, self.data)]
        return Passage(self.text[start:end], data)


class Writer:
    """Writes talks as prompts.

    `write` gives what is asked. Training, which goes on with the answers, takes the same way: `pieces`, then the `ids`
    of a `passage` of them.

    Args:
        tokenizer: a fast tokenizer of transformers.
        form: how turns are written; None: as the tokenizer's own chat template has it.
    """

    llm: ClassVar[str] = "llm transformers"  # what messages call it

    def __init__(self, tokenizer: Any, form: Form | None = None) -> None:
        self.tokenizer = tokenizer
        self._template = form.template if form else None
        self._stop = form.stop if form else ()
        added = tokenizer.added_tokens_decoder  # runs of blanks among them are no control tokens
        blanks = {id for id, token in added.items() if token.content.isspace()}
        self._control = {*added, *tokenizer.all_special_ids} - blanks

    def count(self, text: str) -> int:
        """Return how many tokens a text takes as data."""
        return len(self.ids(Passage(encodable(text), [(0, len(text))])))

    @cached_property
    def turn(self) -> int:
        """Tokens that the template writes around one message, at most, where the answer's opening counts as one.

        Raises:
            LLMError: if the template cannot take a talk.
        """
        given, asked, said = (Message(role, (Text("x", "question"),)) for role in ("system", "user", "assistant"))
        talks = (asked,), (given, asked), (asked, said, asked)
        one, two, three = (length(self.write(talk)) - len(talk) * self.count("x") for talk in talks)
        return max(0, ceil(one / 2), ceil(two / 3), ceil((three - one) / 2))

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """The texts that end an answer: the form's, and the tokenizer's end of text if it has one."""
        end = self.tokenizer.eos_token
        return (*self._stop, *([end] if end else []))

    def stream(self, stop: Sequence[str], ends: Collection[int]) -> TextStream:
        """Return what reads an answer that these texts and ids end, and those of the form and the tokenizer."""
        texts = [*self._stop, *stop]
        added = self.tokenizer.get_added_vocab()  # special ones are not decoded: they are looked for as ids
        ids = {*ends, self.tokenizer.eos_token_id, *(added[text] for text in texts if text in added)}
        decode = partial(self.tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return TextStream(decode, texts, ids)

    def write(self, messages: Sequence[Message]) -> Prompt:
        """Return the prompt of a talk, up to where the answer begins.

        Tokens stand between texts that are tokenised each by itself, as in VideoChat-Embed.

        Raises:
            LLMError: if the template cannot take the talk.
        """
        prompt, passage = list[Any](), self.passage()
        for piece in self.pieces(messages):
            if isinstance(piece, Tokens):
                prompt += [self.ids(passage), np.asarray(piece.tokens)]
                passage = self.passage()
            else:
                passage.add(piece)
        return [*prompt, self.ids(passage)]

    def passage(self) -> Passage:
        """Return an empty passage, to which the pieces up to an embedding are added."""
        return Passage()

    def pieces(self, messages: Sequence[Message]) -> Iterator[str | Text | Tokens]:
        """Yield what a talk consists of in order: words of the template and the prompt file, data, and embeddings.

        Words, maybe none, come first and last and between any two of the others; the last end where the answer begins.

        Raises:
            LLMError: if the template cannot take the talk.
        """
        mark = secrets.token_hex(8)  # which nothing that was written before can hold
        parts: list[Part] = []
        turns: list[Turn] = []
        for message in messages:
            content = ""
            for part in message.parts:
                own = isinstance(part, Text) and not part.name and message.role != "assistant"
                content += encodable(part.text) if own and isinstance(part, Text) else f"{mark}.{len(parts)}."
                parts += [] if own else [part]
            turns.append({"role": message.role, "content": content})
        words, *rest = self._render(turns, mark, len(parts))
        yield words
        for number, after in zip(rest[::2], rest[1::2], strict=True):
            part = parts[int(number)]
            if not isinstance(part, Text | Tokens):
                raise LLMError(f"{self.llm} takes no {type(part).__name__}: use a prompt file without {{video}}")
            yield part
            yield after

    def ids(self, passage: Passage) -> list[int]:
        """Return the ids of a passage, of which no control token lies in data, not even in part."""
        text, data = passage.text, passage.data
        cuts = {0, len(text), *self._within_stops(text, data)}
        while True:
            edges = sorted(cuts)
            pieces = [text[start:end] for start, end in pairwise(edges)]
            if not any(pieces):
                return []
            coded = self.tokenizer(pieces, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            ids: list[int] = []
            for base, found, offsets in zip(edges[:-1], coded["input_ids"], coded["offset_mapping"], strict=True):
                for id, (start, end) in zip(found, offsets, strict=True):
                    stolen = self._stolen(id, text, base + start, base + end, data)
                    ids += [] if stolen else [id]
                    cuts |= {at for low, high in stolen for at in _inside(low, high)}
            if len(cuts) == len(edges):
                return ids  # without control tokens that are a single letter, which cannot be cut

    def _render(self, turns: list[Turn], mark: str, count: int) -> list[str]:
        """Return a talk as the template writes it, cut at its marks: words, number, words, number, ..., words."""
        faults = []
        for way in self._ways(turns):
            try:
                found = re.split(rf"{mark}\.(\d+)\.", self._apply(way))
            except Exception as error:  # of whatever the template tries to do
                faults.append(f"refuses the talk: {error}")
                continue
            if {*map(int, found[1::2])} == {*range(count)}:
                return found
            faults.append("leaves out a part of the prompt")
        raise LLMError(f"{self.llm}: the chat template {faults[0]}; set llm.template")

    def _ways(self, turns: list[Turn]) -> list[list[Turn]]:
        """Return the forms in which a template may take a talk, the likeliest first."""
        if [turn["role"] for turn in turns[:2]] != ["system", "user"]:
            return [turns]
        asked = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
        return [turns, [asked, *turns[2:]]]  # some templates know no system

    def _apply(self, turns: list[Turn]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            turns,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,  # templates that know it not do not mind
        )
        return text

    def _within_stops(self, text: str, data: Sequence[Stretch]) -> Iterator[int]:
        """Yield where to cut the form's stop texts, as far as they lie in data."""
        for stop in self._stop:
            for found in re.finditer(f"(?={re.escape(stop)})", text):
                for low, high in _shared(found.start(), found.start() + len(stop), data):
                    yield from _inside(low, high)

    def _stolen(self, id: int, text: str, start: int, end: int, data: Sequence[Stretch]) -> list[Stretch]:
        """Return the stretches of data that a control token took."""
        if id not in self._control:
            return []
        if id == self.tokenizer.unk_token_id and text[start:end].strip() != self.tokenizer.unk_token:
            return []  # a letter that the tokenizer does not know
        return _shared(start, end, data)


def _shared(start: int, end: int, data: Sequence[Stretch]) -> list[Stretch]:
    """Return what a stretch shares with each of some others."""
    return [(max(start, low), min(end, high)) for low, high in data if max(start, low) < min(end, high)]


def _inside(low: int, high: int) -> tuple[int, ...]:
    """Return where to cut a stretch: in its middle, or around a single letter."""
    return ((low + high) // 2,) if high - low > 1 else (low, high)


def length(prompt: Prompt) -> int:
    """Return how many tokens a prompt takes; each row of embeddings is one."""
    return sum(map(len, prompt))


def check_embeddings(messages: Sequence[Message], space: str, width: int, llm: str = Writer.llm) -> None:
    """Make sure that a model can read the embeddings in a talk.

    Raises:
        LLMError: if some were made for another model, are not `width` wide, or are no numbers.
    """
    for part in (part for message in messages for part in message.parts if isinstance(part, Tokens)):
        if part.space != space:
            raise LLMError(f"{llm} takes embeddings made for {space!r}, and these are for {part.space!r}")
        if part.tokens.shape[1:] != (width,):
            shape = "x".join(map(str, part.tokens.shape))
            raise LLMError(f"{llm} takes embeddings {width} wide, and these are {shape}")
        if not np.isfinite(part.tokens).all():
            raise LLMError(f"{llm} was given embeddings that are no numbers: make them in precision float32")
