"""Condense captions into a summary, and clean them, with T5 (arXiv 1910.10683) or FLAN-T5 (arXiv 2210.11416)."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from videochat import Component, Pool, Record, Refiner, StackError, hookimpl
from videochat_plugins.models.pretrained import ModelOptions, Pretrained
from videochat_plugins.models.tokenizer import load_tokenizer


class T5(Pretrained, Refiner):
    """Summarise the captions: one record for the whole video, or for every so many seconds of it.

    Captions are taken in chunks that fit the encoder, chunks in batches; then the summaries of the chunks in the same
    way, until one is left. Each caption of the video is read, each only once; of one that is longer than the encoder
    takes, only its beginning, and the ledger says so, as it does where the model writes nothing. A summary spans the
    captions in its `parents`; meta["captions"]: how many they are. With `clean`, each caption is written anew, with the
    old one as its parent; all other records pass.

    What it cannot know: anything that the captions do not say; it never sees the video. What is said often outweighs
    what is said once, and a small model may put in words of its own.
    """

    class Options(ModelOptions):
        """What is summarised, and how."""

        checkpoint: str = Field(default="google/flan-t5-base", min_length=1)
        """The model: a hub's `org/name` or `org/name@revision`, or a folder."""
        per: Literal["video"] | Annotated[float, Field(gt=0, allow_inf_nan=False)] = "video"
        """What one summary is about: the video, or each stretch of so many seconds."""
        prompt: str = "summarize: "
        """What stands before the captions: the task, in the words that the model learnt."""
        clean: bool = False
        """Whether to write each caption anew too."""
        clean_prompt: str = "Correct the grammar: "
        """What stands before a caption that is to be written anew."""
        input_tokens: int = Field(default=512, ge=32, le=16384)
        """Tokens that the encoder takes at once; T5 learnt with 512."""
        output_tokens: int = Field(default=80, ge=4, le=1024)
        """The longest summary or caption, in tokens."""
        beams: int = Field(default=2, ge=1, le=32)
        """Hypotheses that the search keeps; the original takes 2."""
        repetition: float = Field(default=2.5, ge=1, le=10)
        """By how much a token that was already written becomes less likely; the original takes 2.5."""

        @model_validator(mode="after")
        def _shrinks(self) -> "T5.Options":
            if self.input_tokens < 3 * self.output_tokens:
                raise ValueError("input_tokens must be 3 times output_tokens at least: two summaries make one shorter")
            return self

    released: ClassVar[Mapping[str, int]] = {
        "google/flan-t5-small": 308_000_000,
        "google/flan-t5-base": 990_000_000,
        "google/flan-t5-large": 3_133_000_000,
        "google-t5/t5-small": 242_000_000,
        "google-t5/t5-base": 892_000_000,
        "mrm8488/flan-t5-large-finetuned-openai-summarize_from_feedback": 3_133_000_000,
    }
    needs = ("config.json", "tokenizer.json|spiece.model")
    model_types = ("t5",)
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 4, "cuda": 32}
    options: Options
    _model: Any = None
    _tokenizer: Any = None
    _cut = 0  # texts of which the encoder took only the beginning
    _blank = 0  # chunks that the model wrote nothing of

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What happened in a run that its ledger should tell."""
        cut = f"texts longer than input_tokens, {self.options.input_tokens}, whose ends were not read: {self._cut}"
        blank = f"chunks of captions of which the model wrote nothing, so that no summary tells of them: {self._blank}"
        return [*self.batches.notes, *([cut] if self._cut else ()), *([blank] if self._blank else ())]

    @property
    def reads(self) -> Collection[str]:
        """Captions."""
        return {"caption"}

    @property
    def emits(self) -> Collection[str]:
        """Summaries, and captions where they are cleaned."""
        return {"summary", "caption"} if self.options.clean else {"summary"}

    def load(self, pool: Pool) -> None:
        """Load the model and its tokenizer.

        Raises:
            UnavailableError: if the checkpoint is not here or not whole.
            StackError: if a prompt leaves less than half of the encoder to the captions.
        """
        from transformers import T5ForConditionalGeneration

        super().load(pool)
        self._cut = self._blank = 0
        self._tokenizer = load_tokenizer(self.checkpoint)
        o = self.options
        prompts = {"prompt": o.prompt} | ({"clean_prompt": o.clean_prompt} if o.clean else {})
        for name, prompt in prompts.items():
            if 2 * (taken := self._length(prompt)) > o.input_tokens:
                raise StackError(
                    f"refine t5: {name} takes {taken} of input_tokens, {o.input_tokens}, and must leave half of them "
                    "to the captions: shorten it, or raise input_tokens"
                )
        self._model = self.pretrained(pool, T5ForConditionalGeneration)

    def close(self) -> None:
        """Let go of the model."""
        self._model = self._tokenizer = None

    def refine(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield all records at once, captions as cleaned, and each summary when its last caption has passed."""
        work = _Work(self.options.input_tokens - self._length(self.options.prompt), self._length)
        opened: _Summary | None = None
        for record in self._cleaned(records) if self.options.clean else records:
            yield record
            if record.kind != "caption" or not record.text:
                continue
            place = 0 if self.options.per == "video" else int(record.start // self.options.per)
            if opened is None or opened.place != place:
                if opened is not None:
                    work.close(opened)
                opened = _Summary(place, record.start, record.end)
            work.add(opened, record)
            if len(work.chunks) >= self.batches.size:
                yield from self._summarise(work)
        if opened is not None:
            work.close(opened)
        while work.chunks:
            yield from self._summarise(work)

    def _cleaned(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records, captions as written anew, a batch of them at a time."""
        held: list[Record] = []
        for record in records:
            if record.kind != "caption" or not record.text:
                yield record
                continue
            held.append(record)
            if len(held) == self.batches.size:
                yield from self._rewritten(held)
                held = []
        yield from self._rewritten(held)

    def _rewritten(self, captions: Sequence[Record]) -> Iterator[Record]:
        texts = self._written([self.options.clean_prompt + caption.text for caption in captions])
        for caption, text in zip(captions, texts, strict=True):
            # Nothing written, or nothing changed: it stays what it was.
            new = replace(caption, text=text, parents=(caption.id,))
            yield new if new.text not in ("", caption.text) else caption

    def _summarise(self, work: "_Work") -> Iterator[Record]:
        """Run the chunks that wait; yield the summaries that are complete."""
        chunks, work.chunks = work.chunks, []
        texts = self._written([self.options.prompt + chunk.text for chunk in chunks])
        for chunk, text in zip(chunks, texts, strict=True):
            self._blank += not text.strip()
            if done := work.finish(chunk, text):
                yield done.record()

    def _written(self, prompts: Sequence[str]) -> list[str]:
        self._cut += sum(self._length(prompt) > self.options.input_tokens for prompt in prompts)
        return self.batches.map(self._write, prompts)

    def _write(self, prompts: Sequence[str]) -> list[str]:
        import torch

        o = self.options
        with torch.inference_mode():
            given = self._tokenizer(
                list(prompts), padding=True, truncation=True, max_length=o.input_tokens, return_tensors="pt"
            ).to(self.device)
            written = self._model.generate(
                input_ids=given["input_ids"],  # (B, L)
                attention_mask=given["attention_mask"],
                num_beams=o.beams,
                do_sample=False,
                early_stopping=o.beams > 1,
                max_new_tokens=o.output_tokens,
                repetition_penalty=o.repetition,
            )
        return [str(text) for text in self._tokenizer.batch_decode(written, skip_special_tokens=True)]

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text)["input_ids"])


@dataclass(slots=True)
class _Summary:
    """A summary in the making."""

    place: int  # of its stretch of time
    start: float  # of the first of its captions, seconds
    end: float  # of the last
    parents: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # of the chunk that is being filled
    tokens: int = 0  # of those
    parts: list[str] = field(default_factory=list)  # summaries of the chunks so far, in order
    waiting: int = 0  # chunks that are not summarised yet
    closed: bool = False  # whether it has all its captions

    def record(self) -> Record:
        """Return it as a record."""
        text, meta = self.parts[0], {"captions": len(self.parents)}
        return Record("summary", self.start, self.end, text, parents=tuple(self.parents), meta=meta)


class _Chunk(NamedTuple):
    """What one run of the encoder takes."""

    summary: _Summary
    text: str


class _Work:
    """Fills chunks with captions, then with the summaries of chunks.

    Args:
        room: tokens that a chunk may have.
        length: counts them.
    """

    def __init__(self, room: int, length: Callable[[str], int]) -> None:
        self.room, self.length = room, length
        self.chunks: list[_Chunk] = []  # full ones, which wait for the model

    def add(self, summary: _Summary, caption: Record) -> None:
        """Take a caption in."""
        summary.start, summary.end = min(summary.start, caption.start), max(summary.end, caption.end)
        summary.parents.append(caption.id)
        if summary.texts[-1:] != [_sentence(caption.text)]:  # what goes on is said once
            self._put(summary, caption.text, least=1)

    def close(self, summary: _Summary) -> None:
        """Take no more captions for a summary."""
        summary.closed = True
        self._queue(summary)

    def finish(self, chunk: _Chunk, text: str) -> _Summary | None:
        """Take what the model made of a chunk; return its summary if it is complete."""
        summary = chunk.summary
        summary.parts += [text] * bool(text.strip())
        summary.waiting -= 1
        if summary.waiting or not summary.closed:
            return None
        if len(summary.parts) == 1:
            return summary
        parts, summary.parts = summary.parts, []
        for part in parts:
            self._put(summary, part, least=2)  # so that each round leaves half as many
        self._queue(summary)
        return None

    def _put(self, summary: _Summary, text: str, least: int) -> None:
        sentence = _sentence(text)
        tokens = self.length(sentence)
        if len(summary.texts) >= least and summary.tokens + tokens > self.room:
            self._queue(summary)
        summary.texts.append(sentence)
        summary.tokens += tokens

    def _queue(self, summary: _Summary) -> None:
        if summary.texts:
            self.chunks.append(_Chunk(summary, " ".join(summary.texts)))
            summary.waiting += 1
        summary.texts, summary.tokens = [], 0


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the refiner."""
    register("refine", "t5", T5)
