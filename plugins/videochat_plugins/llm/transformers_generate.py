"""Draws tokens from a decoder, and keeps its key-value cache for the next turn of the talk."""

import hashlib
import inspect
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from videochat import Generation, LLMError
from videochat_plugins.llm.transformers_prompt import Prompt, Rows

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Sampler:
    """How the next token is chosen; 0 or 1 leave a step out."""

    temperature: float = 0.0  # 0: always the likeliest
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def chooser(self, device: "torch.device") -> "Callable[[list[int], torch.Tensor], int]":
        """Return a function from the text's ids so far and the last logits (1, vocabulary) to the next id.

        It raises an LLMError where the logits are no numbers.
        """
        import torch
        import transformers as hf

        steps = hf.LogitsProcessorList()
        if self.repetition_penalty != 1:
            steps.append(hf.RepetitionPenaltyLogitsProcessor(float(self.repetition_penalty)))
        if self.temperature:
            steps.append(hf.TemperatureLogitsWarper(float(self.temperature)))
            steps += [hf.TopKLogitsWarper(self.top_k)] if self.top_k else []
            steps += [hf.TopPLogitsWarper(float(self.top_p))] if self.top_p < 1 else []
        generator = torch.Generator(device).manual_seed(self.seed)

        def choose(said: list[int], logits: torch.Tensor) -> int:
            scores: Any = logits.float()
            if not scores.max().isfinite():
                exact = logits.dtype == torch.float32
                mend = "its weights are damaged, download them again" if exact else "set llm.precision to float32"
                raise LLMError(f"the language model's numbers overflow in {logits.dtype}: {mend}")
            if steps:
                before: Any = torch.tensor([said], device=device)
                scores = steps(before, scores)
            if not self.temperature:
                return int(scores.argmax(-1))
            return int(torch.multinomial(scores.softmax(-1), 1, generator=generator))

        return choose


class Places:
    """Where tokens stand: one after the other.

    Args:
        device: where positions are put; None: for a model that counts its tokens itself and is given none.
    """

    def __init__(self, device: "torch.device | None") -> None:
        self._device = device

    def given(self, since: int, until: int) -> "dict[str, torch.Tensor]":
        """Return the arguments that tell a model where the tokens that it is fed stand: (1, n)."""
        import torch

        if self._device is None:
            return {}
        return {"position_ids": torch.arange(since, until, device=self._device)[None]}


class Decoder:
    """A causal language model that goes on from prompts.

    What two prompts in a row begin with alike is fed to the model once: its keys and values are kept, where they are a
    plain DynamicCache, which can be cut to any prefix. Models with sliding windows, state spaces or position codes that
    depend on the length of the whole start anew at each call.

    Args:
        model: of transformers, in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.embeddings = model.get_input_embeddings()
        self._placed = "position_ids" in inspect.signature(model.forward).parameters
        self._config = model.config.get_text_config(decoder=True)
        self._kept: tuple[list[Hashable], Any] | None = None  # what was fed, and the cache that it left

    @property
    def width(self) -> int:
        """Numbers in one row of embeddings."""
        return int(self.embeddings.weight.shape[1])

    @property
    def ends(self) -> set[int]:
        """The ids that end an answer, as the model's makers say."""
        found = self.model.generation_config.eos_token_id
        return {*found} if isinstance(found, list) else {found} - {None}

    def sampler(self, generation: Generation, **chosen: float | None) -> Sampler:
        """Return how to choose tokens; None: as the model's makers advise, if they do."""
        makers = self.model.generation_config
        advised = {name: getattr(makers, name, None) if value is None else value for name, value in chosen.items()}
        known: dict[str, Any] = {name: value for name, value in advised.items() if value is not None}
        return Sampler(temperature=generation.temperature, seed=generation.seed, **known)

    def draw(self, prompt: Prompt, sampler: Sampler, limit: int) -> Generator[int, None, None]:
        """Yield the ids of an answer, at most `limit`; it does not know where an answer ends: close it there.

        Raises:
            LLMError: if the model's numbers overflow.
        """
        import torch
        import transformers as hf

        keys, said, places = self._keys(prompt), self._said(prompt), self._places(prompt)
        kept, self._kept = self._kept, None  # taken, so that no other answer changes it meanwhile
        fed, cache = kept or ([], None)
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(fed, keys[:-1], strict=False))))
        if cache is None or same == 0:
            same, cache = 0, hf.DynamicCache(config=self._config)
        elif same < len(fed):
            cache.crop(same - len(fed))
        choose = sampler.chooser(self.embeddings.weight.device)
        fed, inputs = keys[:same], self._inputs(prompt, same)
        try:
            for _ in range(limit):
                with torch.inference_mode():
                    how = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
                    logits = self.model(**inputs, **places.given(len(fed), len(keys)), **how).logits
                    fed += keys[len(fed) :]
                    token = choose(said, logits[:, -1])
                keys.append(token)
                said.append(token)
                yield token
                inputs = {"input_ids": self._tensor([token])}
        finally:
            self._kept = (fed, cache) if self._can_be_cut(cache, len(fed)) else None

    def _inputs(self, prompt: Prompt, since: int) -> dict[str, "torch.Tensor"]:
        """Return a prompt from a place on as the model's input: ids, or rows of embeddings where it holds some."""
        import torch

        if all(isinstance(piece, list) for piece in prompt):
            return {"input_ids": self._tensor([id for piece in prompt for id in piece])[:, since:]}
        with torch.inference_mode():
            rows = torch.cat([self._rows(piece) for piece in prompt if len(piece)], 1)  # (1, n, width)
        return {"inputs_embeds": rows[:, since:]}

    def _places(self, prompt: Prompt) -> Places:
        """Return where a prompt and its answer stand, for models that do not read it off every cache, such as Bamba."""
        return Places(self.embeddings.weight.device if self._placed else None)

    def _keys(self, prompt: Prompt) -> list[Hashable]:
        """Return what stands at each place of a prompt: a token id, or the digest of embeddings and a row in them."""
        keys: list[Hashable] = []
        for piece in prompt:
            if isinstance(piece, list):
                keys += piece
            else:
                digest = self._digest(piece)  # once: a talk's video may be megabytes
                keys += [(digest, row) for row in range(len(piece))]
        return keys

    def _digest(self, piece: Any) -> str:
        """Return what makes embeddings in a prompt the same as others."""
        return hashlib.sha256(piece.tobytes()).hexdigest()

    def _said(self, prompt: Prompt) -> list[int]:
        """Return the ids of a prompt's text, which a penalty on repetition goes by."""
        return [id for piece in prompt if isinstance(piece, list) for id in piece]

    def _rows(self, piece: list[int] | Rows) -> "torch.Tensor":
        import torch

        if isinstance(piece, list):
            rows: torch.Tensor = self.embeddings(self._tensor(piece))
            return rows
        weight = self.embeddings.weight
        return torch.tensor(piece).to(weight.device, weight.dtype)[None]

    def _tensor(self, ids: Sequence[int]) -> "torch.Tensor":
        import torch

        return torch.tensor([ids], device=self.embeddings.weight.device)

    def _can_be_cut(self, cache: Any, count: int) -> bool:
        """Return whether a cache holds just what was fed, each token by itself: not after a forward that broke off."""
        import transformers.cache_utils as caches

        rope = getattr(self._config, "rope_parameters", None) or {}
        return (
            count > 0
            and rope.get("rope_type") not in ("dynamic", "longrope")
            and all(type(layer) is caches.DynamicLayer and layer.get_seq_length() == count for layer in cache.layers)
        )
