"""Draws tokens from a model that sees: rows of embeddings go in where its own vision side would put them."""

import hashlib
import inspect
import json
from typing import TYPE_CHECKING, Any

from videochat_plugins.llm.transformers_generate import Decoder, Places
from videochat_plugins.llm.transformers_prompt import Prompt
from videochat_plugins.models.vlm.family import Family, Vision

if TYPE_CHECKING:
    import torch


class GridPlaces(Places):
    """Where tokens stand in time, height and width; an answer goes on from the last token of its prompt.

    Args:
        places: of a prompt: (axes, 1, n).
    """

    def __init__(self, places: "torch.Tensor") -> None:
        super().__init__(places.device)
        self._prompt = places

    def given(self, since: int, until: int) -> "dict[str, torch.Tensor]":
        """Return the positions (axes, 1, n)."""
        import torch

        count = self._prompt.shape[-1]
        said = torch.arange(max(since, count), max(until, count), device=self._device) - count + 1
        return {"position_ids": torch.cat([self._prompt[..., since:until], self._prompt[..., -1:] + said], -1)}


class VisionDecoder(Decoder):
    """A video-language model that goes on from prompts with `Vision` in them. Nothing of a talk is left on the model.

    Args:
        model: of transformers, in evaluation mode.
        family: the model's.
    """

    def __init__(self, model: Any, family: Family) -> None:
        super().__init__(model)
        self._family = family
        self._takes = "mm_encoder_outputs" in inspect.signature(model.forward).parameters

    def _inputs(self, prompt: Prompt, since: int) -> "dict[str, Any]":
        """Return a prompt from a place on, which may be within rows, as the model's input."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        found = self._features(prompt, since)
        if found and not self._takes:
            return super()._inputs(prompt, since)
        inputs: dict[str, Any] = {"input_ids": self._tensor(self._said(prompt)[since:])}
        if found:
            pooled = {name: self._family.pooled(rows, name) for name, rows in found.items()}
            inputs["mm_encoder_outputs"] = {
                name: BaseModelOutputWithPooling(pooler_output=rows) for name, rows in pooled.items()
            }
        return inputs

    def _features(self, prompt: Prompt, since: int) -> "dict[str, torch.Tensor]":
        """Return the rows (n, width) that stand in a prompt from a place on, by modality."""
        import torch

        found: dict[str, list[torch.Tensor]] = {}
        at = 0
        for piece in prompt:
            if isinstance(piece, Vision) and at + len(piece) > since:
                rows = self._rows(piece)[0, max(0, since - at) :]
                found.setdefault(self._family.modality(piece.media), []).append(rows)
            at += len(piece)
        return {name: torch.cat(rows) for name, rows in found.items()}

    def _rows(self, piece: Any) -> "torch.Tensor":
        import torch

        if not isinstance(piece, Vision):
            return super()._rows(piece)
        with torch.inference_mode():
            return self._family.rows(self.model, super()._rows(piece.rows)[0], piece)[None]

    def _places(self, prompt: Prompt) -> Places:
        shown = [piece for piece in prompt if isinstance(piece, Vision)]
        places = self._family.places(self.model, self._tensor(self._said(prompt)), shown)
        return super()._places(prompt) if places is None else GridPlaces(places)

    def _said(self, prompt: Prompt) -> list[int]:
        """Return the ids of a prompt, with a placeholder for each row."""
        return [id for p in prompt for id in ([p.token] * len(p) if isinstance(p, Vision) else p)]

    def _digest(self, piece: Vision) -> str:
        """Return what makes rows in a prompt the same as others: also what they show, and when."""
        what = json.dumps([piece.media, dict(piece.layout), piece.starts], sort_keys=True)
        return hashlib.sha256(what.encode() + super()._digest(piece.rows).encode()).hexdigest()
