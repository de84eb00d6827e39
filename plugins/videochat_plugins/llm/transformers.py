"""Language models on this machine, loaded with transformers."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import Any, ClassVar

from pydantic import Field, field_validator

from videochat import (
    LLM,
    Component,
    Generation,
    Key,
    LLMError,
    Message,
    Pool,
    Reply,
    Text,
    Tokens,
    UnavailableError,
    Usage,
    Weights,
    hookimpl,
)
from videochat.component import FASTER_ONLY
from videochat.prompt import Part
from videochat_plugins.llm.remote_failure import of_end
from videochat_plugins.llm.transformers_form import Form, check_own
from videochat_plugins.llm.transformers_generate import Decoder
from videochat_plugins.llm.transformers_load import (
    adapter_files,
    check_adapter,
    load_causal_lm,
    load_fast_tokenizer,
    need,
    width_of,
    window_of,
)
from videochat_plugins.llm.transformers_prompt import Writer, check_embeddings, length
from videochat_plugins.models.batches import out_of_memory
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.pretrained import DEVICE, Precision, Pretrained, check_device
from videochat_plugins.models.quantised import Quantisation
from videochat_plugins.models.space import space_of
from videochat_plugins.models.vlm.family import FAMILIES


class Transformers(Pretrained, LLM):
    """Ask a language model on this machine: any decoder that AutoModelForCausalLM loads.

    The prompt takes the model's own chat template; those that can think first are told not to. Only the template and
    the prompt file can write control tokens: what was perceived, asked or answered stays letters. (The forms vicuna and
    videochat have none: they mark turns by letters, which any text may hold, and the fence alone guards.) Embeddings
    stand in the prompt as they are, in the place of {video}; they must have been made for the same weight files, in
    whatever folder. What a turn shares with the one before, as a rule the whole video, is not computed again.

    Runs no code that comes with a checkpoint.
    """

    class Options(LLM.Options):
        """Which model, and how it answers."""

        model: str = Field(default="Qwen/Qwen3-1.7B", min_length=1)
        """The model: a hub's `org/name` or `org/name@revision`, or a folder."""
        precision: Precision = Field(default="auto", json_schema_extra=FASTER_ONLY)
        """Numbers that the model computes in; auto: bfloat16 or float16 on a GPU, float32 on a CPU."""
        device: str = Field(default="", pattern=DEVICE, json_schema_extra=FASTER_ONLY)
        """Where the model runs: cpu, cuda, cuda:1, ...; empty: where the stack's models run."""
        quantisation: Quantisation | None = None
        """Store the weights in 8bit (LLM.int8) or 4bit (NF4), a half or a quarter of the memory; null: as they are."""
        adapter: str = ""
        """A LoRA adapter for the model, as peft saves it: a hub's `org/name` or a folder; empty: none."""
        template: str = ""
        """How turns are written: vicuna, videochat, stablelm, moss, or a .jinja file; empty: the model's own way."""
        window: int | None = Field(default=None, gt=0)
        """Tokens that prompt and answer may take together; null: as many as the model was made for."""
        top_k: int | None = Field(default=None, ge=0)
        """Draw from so many of the likeliest tokens, 0: from all; null: as the model's makers advise."""
        top_p: float | None = Field(default=None, gt=0, le=1)
        """Draw from the likeliest tokens that have this probability together; null: as the model's makers advise."""
        repetition_penalty: float | None = Field(default=None, gt=0)
        """Above 1 tokens that are there already become less likely; null: as the model's makers advise."""

        @field_validator("template")
        @classmethod
        def _form(cls, name: str) -> str:
            if name:
                Form.find(name)
            return name

    released: ClassVar[Mapping[str, int]] = {"Qwen/Qwen3-1.7B": 4_080_000_000}
    needs = ("config.json", "tokenizer.json|tokenizer.model|vocab.json|spiece.model")
    called: ClassVar[str] = "llm transformers"  # in messages
    options: Any
    _decoder: Decoder | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the model's files are."""
        name = self.options.model
        return Checkpoint(name, self.released.get(name, 0), self.needs)

    @property
    def adapter(self) -> Checkpoint | None:
        """Where the adapter's files are, if there is one."""
        return adapter_files(self.options.adapter) if self.options.adapter else None

    @property
    def space(self) -> str:  # type: ignore[override]
        """The digest of the model's weights; an adapter changes what the model says, not what its embeddings mean."""
        return space_of(self.checkpoint)

    @property
    def accepts(self) -> Collection[type[Part]]:
        """Text, and embeddings."""
        return {Text, Tokens}

    @property
    def width(self) -> int:  # type: ignore[override]
        """Numbers in one row of its embeddings; 0 as long as that is not known."""
        return width_of(self.checkpoint) if self.checkpoint.path else 0

    @property
    def window(self) -> int:
        """What the options or else the model's config.json say.

        Raises:
            StackError: if neither does.
        """
        return self.options.window or window_of(self.checkpoint)

    @property
    def turn(self) -> int:
        """What the chat template writes around a message, at most."""
        return self.writer.turn

    @cached_property
    def writer(self) -> Writer:
        """What writes its prompts; for this the model itself need not be loaded.

        Raises:
            UnavailableError: if the tokenizer cannot be had.
        """
        return Writer(load_fast_tokenizer(self.checkpoint), self._form)

    def weights(self) -> Sequence[Weights]:
        """Return the checkpoint and the adapter, without loading them and without network."""
        return tuple(files.weights() for files in (self.checkpoint, self.adapter) if files)

    def check(self) -> None:
        """Make sure that model, adapter, chat template and packages are here, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
            StackError: if it is not known how much the model reads.
        """
        super().check()
        self._check_kind()
        if self.options.quantisation:
            need("bitsandbytes", "quantised", "llm.quantisation")
        if self.adapter:
            check_adapter(self.adapter)
        if self._form is None:
            check_own(self.checkpoint)
        _ = self.window if self.checkpoint.path else 0  # which must be known

    def fetch(self) -> None:
        """Download what is not here.

        Raises:
            UnavailableError: if it cannot be had.
        """
        for files in (self.checkpoint, self.adapter):
            if files:
                files.fetch()
        self.check()

    def load(self, pool: Pool) -> None:
        """Load model and tokenizer; the same model with the same adapter is loaded once.

        Raises:
            UnavailableError: if they cannot be loaded.
            StackError: if there is no such device.
        """
        self.device = pool.place(self.options.device)
        check_device(self.device)
        model = self._model(pool)
        if self._decoder is None or self._decoder.model is not model:
            self._decoder = self._decoder_of(model)

    def close(self) -> None:
        """Let go of the model and of what it remembers of the talk."""
        self._decoder = None

    def count(self, part: Part) -> int:
        """Return how many tokens a text takes, or how many rows embeddings have; turn markers come on top."""
        if isinstance(part, Text):
            return self.writer.count(part.text)
        if isinstance(part, Tokens):
            return part.tokens.shape[0]
        raise LLMError(f"{self.called} takes no {type(part).__name__}: use a prompt file without {{video}}")

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        """Start an answer; nothing is computed before its first piece is asked for.

        Raises:
            LLMError: while the reply is read, if the prompt is too long or does not fit the model, if memory runs out
                or numbers overflow, or if the model says nothing.
        """
        reply = Reply(iter(()))
        reply.pieces = self._pieces(reply, messages, generation)
        return reply

    def _pieces(self, reply: Reply, messages: Sequence[Message], generation: Generation) -> Iterator[str]:
        decoder, name = self._decoder, f"{self.called}: {self.options.model}"
        if decoder is None:
            raise LLMError(f"{self.called}: the model is not loaded: call load first")
        if any(isinstance(part, Tokens) for message in messages for part in message.parts):
            check_embeddings(messages, self.space, decoder.width, self.called)
        prompt = self.writer.write(messages)
        limit = min(generation.max_tokens, self.window - length(prompt))
        if limit <= 0:
            raise LLMError(
                f"{name} takes {self.window} tokens, prompt and answer together, and the prompt alone has "
                f"{length(prompt)}: ask about less of the video, or raise llm.window if the model can read more"
            )
        text = self.writer.stream(generation.stop, decoder.ends)
        chosen = {option: getattr(self.options, option) for option in ("top_k", "top_p", "repetition_penalty")}
        said, reply.finish = False, "length"
        try:
            with closing(decoder.draw(prompt, decoder.sampler(generation, **chosen), limit)) as drawn:
                for number, id in enumerate(drawn, start=1):
                    reply.usage = Usage(length(prompt), number)
                    if piece := text.add(id):
                        said = True
                        yield piece
                    if text.ended:
                        reply.finish = "stop"
                        break
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise LLMError(
                f"{name} ran out of memory on {self.device} with a prompt of {length(prompt)} tokens: "
                "set llm.quantisation to 4bit, lower llm.window, or use a smaller llm.model"
            ) from None
        if rest := text.rest():
            yield rest
        elif not said:
            failure = of_end(0, reply.finish)
            raise LLMError(f"{name}: {failure.what}; {failure.advice}")

    @property
    def _form(self) -> Form | None:
        """How turns are written; None: as the model's own chat template has it."""
        return Form.find(self.options.template) if self.options.template else None

    def _check_kind(self) -> None:
        """Make sure that a model that is here is one to be asked in words.

        Raises:
            UnavailableError: if it is one that sees, which this would not load.
        """
        checkpoint = self.checkpoint
        kind = checkpoint.config().get("model_type") if checkpoint.path else None
        if kind in FAMILIES:
            raise UnavailableError(
                f"the checkpoint {checkpoint.name} is a {kind} model, which sees: use the llm `vlm`, and `embed.vlm` "
                "under perceive"
            )

    def _model(self, pool: Pool) -> Any:
        """Return the model from the pool, loaded if it is not there."""
        adapter, quantisation = self.adapter, self.options.quantisation
        name = "AutoModelForCausalLM" + (f" with {adapter.weights().id}" if adapter else "")
        precision = self.precision(pool)
        key = Key(name, self.checkpoint.weights().id, precision, quantisation or "", self.device)
        build = partial(load_causal_lm, self.checkpoint, precision, self.device, quantisation, adapter)
        return pool.get(key, build)

    def _decoder_of(self, model: Any) -> Decoder:
        return Decoder(model)


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the language model."""
    register("llm", "transformers", Transformers)
