"""Prompts for models that see: text in which placeholders stand for rows of embeddings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from videochat import LLMError, Message, Tokens, UnavailableError
from videochat_plugins.llm.transformers_form import Form
from videochat_plugins.llm.transformers_prompt import Passage, Prompt, Turn, Writer
from videochat_plugins.models.vlm.family import Family, Vision, media_of


class VisionWriter(Writer):
    """Writes talks as prompts in which embeddings stand as `Vision`.

    The family's own text goes in the place of an embedding before anything is tokenised, as the processors of
    transformers have it; then rows take the place of its placeholders. In data, what looks like them stays letters.

    Args:
        tokenizer: a fast tokenizer of transformers.
        form: how turns are written; None: as the tokenizer's own chat template has it.
        family: of the model.

    Raises:
        UnavailableError: if the tokenizer has no placeholders for what is seen.
    """

    llm = "llm vlm"

    def __init__(self, tokenizer: Any, form: Form | None, family: Family) -> None:
        super().__init__(tokenizer, form)
        self._family = family
        first = tokenizer.bos_token_id
        self._opening = [first] if first is not None and first in tokenizer("")["input_ids"] else []
        known, placeholders = tokenizer.get_vocab(), {media: family.token(media) for media in ("image", "video")}
        if lacking := sorted({*placeholders.values()} - known.keys()):
            raise UnavailableError(
                f"{self.llm}: the tokenizer has no {' and no '.join(lacking)} for what is seen, so it is another "
                "model's: download the checkpoint again"
            )
        self._tokens = {media: known[token] for media, token in placeholders.items()}

    def taken(self, part: Tokens) -> int:
        """Return how many tokens embeddings take, with the family's own around them."""
        shown = self._family.runs(part)
        return len(self.ids(Passage(self._family.write(part)))) - len(shown) + sum(map(len, shown))

    def write(self, messages: Sequence[Message]) -> Prompt:
        """Return the prompt of a talk, up to where the answer begins: lists of ids, and `Vision` between them.

        Raises:
            LLMError: if the template cannot take the talk, or the prompt file itself writes a placeholder.
        """
        passage, shown = self.passage(), list[Vision]()
        for piece in self.pieces(messages):
            if isinstance(piece, Tokens):
                passage.add(self._family.write(piece))
                shown += self._runs(piece)
            else:
                passage.add(piece)
        ids = self.ids(passage)
        if ids[: len(self._opening)] != self._opening:  # templates made for processors leave it to the tokenizer
            ids = [*self._opening, *ids]
        return self._with_rows(ids, shown)

    def _runs(self, part: Tokens) -> list[Vision]:
        token = self._tokens[media_of(part.layout)]
        return [replace(run, token=token) for run in self._family.runs(part)]

    def _with_rows(self, ids: Sequence[int], shown: Sequence[Vision]) -> Prompt:
        prompt: Prompt = [[]]
        left = iter(shown)
        for id in ids:
            if id not in self._tokens.values():
                prompt[-1].append(id)
                continue
            run = next(left, None)
            if run is None or run.token != id:
                raise self._misplaced(id)
            prompt += [run, []]
        if (run := next(left, None)) is not None:
            raise self._misplaced(run.token)
        return prompt

    def _misplaced(self, id: int) -> LLMError:
        token = self.tokenizer.convert_ids_to_tokens(id)
        return LLMError(
            f"{self.llm}: the prompt does not hold {token} just where something is shown: a prompt file must place "
            "{video} and leave the model's own tokens to it"
        )

    def _ways(self, turns: list[Turn]) -> list[list[Turn]]:
        """Return the forms in which a template may take a talk: content as text, or else as a list of parts."""
        ways = super()._ways(turns)
        lists = [[turn | {"content": [{"type": "text", "text": turn["content"]}]} for turn in way] for way in ways]
        return [*ways, *lists]
