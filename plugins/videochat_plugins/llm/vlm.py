"""Video-language models on this machine: the side that answers."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field

from videochat import Component, Key, Pool, Tokens, UnavailableError, hookimpl
from videochat.prompt import Part
from videochat_plugins.llm.transformers import Transformers
from videochat_plugins.llm.transformers_form import Form, has_own
from videochat_plugins.llm.transformers_generate import Decoder
from videochat_plugins.llm.transformers_load import load_fast_tokenizer, with_adapter
from videochat_plugins.llm.vlm_generate import VisionDecoder
from videochat_plugins.llm.vlm_prompt import VisionWriter
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.vlm.family import Family, find_family
from videochat_plugins.models.vlm.load import DEFAULT, RELEASED, build_vlm, files, load_vlm


class VideoLanguageModel(Transformers):
    """Ask a video-language model on this machine about what its own vision side, `embed.vlm`, has made of a video.

    The model is the one that `embed.vlm` has loaded, where both name the same checkpoint, precision, quantisation and
    device. Greedy, it answers what the plain model says to the same frames. Videos and images may stand in one talk;
    the prompt file says where, with {video}, and the model's own vision tokens go around them by themselves. What a
    turn shares with the one before, as a rule the videos, is not computed again.

    An adapter makes it a model of its own, loaded beside the one that sees. Runs no code that comes with a checkpoint.
    """

    class Options(Transformers.Options):
        """Which model, and how it answers."""

        model: str = Field(default=DEFAULT, min_length=1)
        """The model: a hub's `org/name` or `org/name@revision`, or a folder; the one that `embed.vlm` names."""

    released: ClassVar[Mapping[str, int]] = RELEASED
    called = "llm vlm"

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the model's files are."""
        return files(self.options.model)

    def count(self, part: Part) -> int:
        """Return how many tokens a text takes, or embeddings with the model's own tokens around them."""
        return self.writer.taken(part) if isinstance(part, Tokens) else super().count(part)

    @cached_property
    def writer(self) -> VisionWriter:
        """What writes its prompts."""
        return VisionWriter(load_fast_tokenizer(self.checkpoint), self._form, self._family)

    @property
    def _family(self) -> Family:
        self.checkpoint.fetch()
        found = find_family(self.checkpoint)
        assert found is not None
        return found

    @property
    def _form(self) -> Form | None:
        """How turns are written: as the options say, as the folder does, or else as the family is known to."""
        folder = self.checkpoint.path
        if self.options.template or folder is None or has_own(folder):
            return super()._form
        file = folder / "chat_template.json"  # where processors of old kept it
        if not file.is_file():
            form = self._family.form
            return Form.find(form) if form else None
        try:
            return Form(str(json.loads(file.read_text(encoding="utf-8"))["chat_template"]))
        except (OSError, ValueError, KeyError, TypeError):
            raise UnavailableError(f"{file} holds no chat template: download it again, or set llm.template") from None

    def _check_kind(self) -> None:
        find_family(self.checkpoint)

    def _model(self, pool: Pool) -> Any:
        """Return the model that the pool has for both sides, or one with the adapter's weights."""
        self.checkpoint.fetch()
        self._check_kind()
        adapter, precision, quantisation = self.adapter, self.precision(pool), self.options.quantisation
        if adapter is None:
            return load_vlm(pool, self.checkpoint, precision, self.device, quantisation)
        name = f"{type(self).__name__} with {adapter.weights().id}"
        key = Key(name, self.checkpoint.weights().id, precision, quantisation or "", self.device)
        given = self.checkpoint, precision, self.device, quantisation
        return pool.get(key, lambda: with_adapter(build_vlm(*given), adapter, self.device))

    def _decoder_of(self, model: Any) -> Decoder:
        return VisionDecoder(model, self._family)


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the language model."""
    register("llm", "vlm", VideoLanguageModel)
