"""Prompts as token ids, in which only the chat template and the prompt file can write control tokens.

What was perceived, asked or answered is data. Private marks stand for it while the template is rendered, so a template
can neither read nor change it; then it takes their places, and the whole is tokenised at once: harmless text gets the
ids that `apply_chat_template` gives. Where a control token ("<|im_end|>") would come from data, the text is cut within
it and tokenised again in pieces, so that it stays in the prompt as letters.
"""

import re
import secrets
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from videochat import LLMError, Message, Text, Tokens
from videochat.prompt import Part
from videochat_plugins.llm.transformers_form import Form

Rows = npt.NDArray[np.floating[Any]]  # of embeddings, (n, width)
Prompt = list[list[int] | Rows]  # token ids and embeddings, in order
Stretch = tuple[int, int]  # of characters, from and to


class Writer:
    """Writes talks as prompts.

    Args:
        tokenizer: a fast tokenizer of transformers.
        form: how turns are written; None: as the tokenizer's own chat template has it.
    """

    def __init__(self, tokenizer: Any, form: Form | None = None) -> None:
        self.tokenizer = tokenizer
        self._template = form.template if form else None
        added = tokenizer.added_tokens_decoder  # runs of blanks among them are no control tokens
        blanks = {id for id, token in added.items() if token.content.isspace()}
        self._control = {*added, *tokenizer.all_special_ids} - blanks

    def count(self, text: str) -> int:
        """Return how many tokens a text takes as data."""
        return len(self._ids(text, [(0, len(text))]))

    def write(self, messages: Sequence[Message]) -> Prompt:
        """Return the prompt of a talk, up to where the answer begins.

        Tokens stand between texts that are tokenised each by itself, as in VideoChat-Embed.

        Raises:
            LLMError: if the template cannot take the talk.
        """
        mark = secrets.token_hex(8)  # which nothing that was written before can hold
        parts: list[Part] = []
        turns: list[dict[str, str]] = []
        for message in messages:
            content = ""
            for part in message.parts:
                own = isinstance(part, Text) and not part.name and message.role != "assistant"
                content += part.text if own and isinstance(part, Text) else f"{mark}.{len(parts)}."
                parts += [] if own else [part]
            turns.append({"role": message.role, "content": content})
        words, *rest = re.split(rf"{mark}\.(\d+)\.", self._render(turns))  # words, number, words, number, ..., words
        if {*map(int, rest[::2])} != {*range(len(parts))}:
            raise LLMError("llm transformers: the chat template leaves out a part of the prompt: set llm.template")
        prompt: Prompt = []
        data: list[Stretch] = []
        for number, after in zip(rest[::2], rest[1::2], strict=True):
            part = parts[int(number)]
            if isinstance(part, Tokens):
                prompt += [self._ids(words, data), np.asarray(part.tokens)]
                words, data = "", []
            elif isinstance(part, Text):
                data.append((len(words), len(words) + len(part.text)))
                words += part.text
            else:
                raise LLMError(f"llm transformers takes no {type(part).__name__}: use a prompt file without {{video}}")
            words += after
        return [*prompt, self._ids(words, data)]

    def _render(self, turns: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        try:
            return self._apply(turns)
        except (TemplateError, ValueError, TypeError) as error:
            refused = error
        if len(turns) > 1 and [turn["role"] for turn in turns[:2]] == ["system", "user"]:
            first = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
            try:
                return self._apply([first, *turns[2:]])  # some templates know no system
            except (TemplateError, ValueError, TypeError):
                pass
        raise LLMError(f"llm transformers: the chat template refuses the talk: {refused}; set llm.template")

    def _apply(self, turns: list[dict[str, str]]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            turns,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,  # templates that know it not do not mind
        )
        return text

    def _ids(self, text: str, data: Sequence[Stretch]) -> list[int]:
        """Return the ids of a text, of which no control token lies in a stretch of data, not even in part."""
        cuts = {0, len(text)}
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

    def _stolen(self, id: int, text: str, start: int, end: int, data: Sequence[Stretch]) -> list[Stretch]:
        """Return the stretches of data that a control token took."""
        if id not in self._control:
            return []
        if id == self.tokenizer.unk_token_id and text[start:end].strip() != self.tokenizer.unk_token:
            return []  # a letter that the tokenizer does not know
        return [(max(start, low), min(end, high)) for low, high in data if max(start, low) < min(end, high)]


def _inside(low: int, high: int) -> tuple[int, ...]:
    """Return where to cut a stretch: in its middle, or around a single letter."""
    return ((low + high) // 2,) if high - low > 1 else (low, high)


def length(prompt: Prompt) -> int:
    """Return how many tokens a prompt takes; each row of embeddings is one."""
    return sum(map(len, prompt))
