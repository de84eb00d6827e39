"""Talking about watched videos: Eq. (2) of the paper, W_t^a = f_llm(E | W_<t^q, W_<t^a)."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from videochat.budget import Fit, fit
from videochat.clock import parse, span_stamp
from videochat.component import checkpoints
from videochat.context import Context
from videochat.errors import LLMError, StackError, VideoChatError
from videochat.extras import prepare
from videochat.fence import fence
from videochat.prompt import Line, Message, Part, Reply, Text, Tokens, Usage
from videochat.question import Question
from videochat.record import Record, fold
from videochat.seen import Seen, see
from videochat.timing import in_words, step

if TYPE_CHECKING:
    from videochat.stack import Stack

_RANGE = re.compile(r"(\d{1,3}(?::\d\d){1,2})\s*(?:-|–|—|to)\s*(\d{1,3}(?::\d\d){1,2})")
_HISTORY_SHARE = 4  # of the room: what the talk so far may take when the video does not fit whole


@dataclass(frozen=True, slots=True)
class Citation:
    """A stretch of a video that an answer rests on."""

    start: float  # seconds
    end: float
    source: str  # the plugin's name in the stack
    record: str  # its id
    text: str = ""


@dataclass
class Answer:
    """An answer as it comes: iterate over its pieces; the other fields are whole after the last."""

    question: str
    pieces: Iterator[str]
    text: str = ""
    citations: tuple[Citation, ...] = ()
    usage: Usage = field(default_factory=Usage)
    finish: str = ""
    seconds: float = 0.0  # until the last piece
    first: float = 0.0  # seconds until the first piece
    visual: int = 0  # tokens of the prompt that are embeddings of the video
    left_out: str = ""  # what of the video did not fit the model's window, in words

    def __iter__(self) -> Iterator[str]:
        yield from self.pieces

    def to_json(self, stack: str) -> dict[str, Any]:
        """Return the answer as JSON values."""
        cited = [
            {"start": c.start, "end": c.end, "source": c.source, "record": c.record, "text": c.text}
            for c in self.citations
        ]
        usage = {"prompt": self.usage.prompt, "answer": self.usage.answer, "estimated": self.usage.estimated}
        return {
            "question": self.question,
            "answer": self.text,
            "citations": cited,
            "usage": usage,
            "finish": self.finish,
            "left_out": self.left_out,
            "stack": stack,
        }


class Chat:
    """A talk of many turns about one or more videos; each chat has its own history.

    The video is shown once in a prompt: where the prompt file places it, in the system's message or in the first
    question that is sent. So each turn begins as the last one did, and servers can keep what they made of it.

    Args:
        stack: whose prompt and language model answer.
        contexts: what is known of each video.

    Raises:
        UnavailableError: if the language model cannot be had.
        LLMError: if it cannot be loaded.
        StackError: if there is no video.
    """

    def __init__(self, stack: "Stack", contexts: Sequence[Context]) -> None:
        if not contexts:
            raise StackError("a chat needs at least one watched video")
        prepare([stack.llm])
        stack.check_reach()
        self.stack = stack
        self.contexts = tuple(contexts)
        self.history: list[tuple[str, str]] = []
        stack.pool.trim(checkpoints([stack.llm]))  # what perceived has done its work
        with _failing_as_llm_error():
            stack.llm.load(stack.pool)
        shown = stack.template.placeholders
        told = self.contexts if "textualizing_videos" in shown else ()
        self._whole = [self._lines(i, context.records) for i, context in enumerate(told)]
        self._seen = see(stack, self.contexts) if "video" in shown else Seen()
        if not self._seen.parts and "video" in shown and "textualizing_videos" not in shown:
            words = "shows the model the video itself, and there is nothing to show: no embeddings, no frames of it"
            faults = (f"{fault.source}: {fault.reason}" for context in self.contexts for fault in context.faults)
            why = next(faults, "take another prompt or llm")
            raise StackError(f"the prompt {stack.prompt_name} {words}; {why}")
        kinds = {"caption_step": ("caption",), "dense_step": ("region",)}
        steps = {name: min(step(stack, of, c.segments) for c in self.contexts) for name, of in kinds.items()}
        self._steps: dict[str, Part] = {name: Text(in_words(seconds), name) for name, seconds in steps.items()}

    def ask(self, question: str) -> Answer:
        """Start the answer to a question; it joins the history once it has been read to its end.

        Raises:
            LLMError: here or while the answer is read, if the model cannot answer.
            StackError: if the model's window is too small for the question.
        """
        began = time.perf_counter()
        with _failing_as_llm_error():
            messages, lines, left_out = self._messages(question)
        visual = sum(p.tokens.shape[0] for message in messages for p in message.parts if isinstance(p, Tokens))
        answer = Answer(question, iter(()), visual=visual, left_out=left_out)
        answer.pieces = self._read(answer, messages, lines, began)
        return answer

    def _read(self, answer: Answer, messages: Sequence[Message], lines: Sequence[Line], began: float) -> Iterator[str]:
        llm = self.stack.llm
        with _failing_as_llm_error():
            reply = llm.answer(messages, llm.generation)
            for piece in reply:
                answer.first = answer.first or time.perf_counter() - began
                answer.text += piece
                yield piece
        answer.seconds = time.perf_counter() - began
        answer.usage, answer.finish = reply.usage, reply.finish
        answer.citations = self._citations(answer.text, reply, lines)
        self.history.append((answer.question, answer.text))

    def _messages(self, question: str) -> tuple[list[Message], list[Line], str]:
        """Return the whole prompt, the lines of video in it, and words on what had to be left out."""
        llm = self.stack.llm
        taken = self._size(self._fill(question, []))
        room = llm.window - llm.generation.max_tokens - taken - llm.turn  # of the answer
        if room <= 0:
            placed = self.stack.template.placeholders
            visual = sum(map(llm.count, self._seen.parts))
            times = sum(llm.count(part) for name, part in self._seen.words.items() if name in placed)
            if visual + times > taken // 2:
                raise StackError(
                    f"the video itself takes {visual} of the {llm.window} tokens that the model reads and writes, "
                    f"its times {times}: show fewer frames, or put `moviechat` under refine, with as few slots "
                    "(its option `long`) as fit"
                )
            raise StackError(f"the question leaves no room for the video in a window of {llm.window} tokens")
        lines = [line for video in self._whole for line in video]
        whole = self._count(lines) if lines else 0
        turns = self._recent_turns(room - whole if whole <= room else room // _HISTORY_SHARE)
        room -= sum(map(self._turn_size, turns))
        left_out = ""
        if whole > room:
            fits = self._fit(room, question)
            lines = [line for one in fits for line in one.lines]
            left_out = "; ".join(words for one in fits if (words := one.report()))
        first, *later = [*(asked for asked, _ in turns), question]
        messages = [*self._fill(first, lines)]
        for (_, said), asked in zip(turns, later, strict=True):
            messages += [Message("assistant", (Text(said),)), self._fill(asked)[-1]]
        return messages, lines, left_out

    def _fill(self, question: str, lines: Sequence[Line] | None = None) -> tuple[Message, ...]:
        """Return the prompt of one question, with the video itself and these lines of it, or with neither."""
        shown = lines is not None
        text = "\n".join(line.text for line in lines or ())
        told = "\n" + fence(text) if self.stack.fence and shown else text
        values: dict[str, Part | Sequence[Part]] = {
            "textualizing_videos": Text(told, "textualizing_videos", tuple(lines or ())),
            "video": self._seen.parts if shown else (),
            "question": Text(question, "question"),
        }
        return self.stack.template.fill({**values, **self._seen.words, **self._steps})

    def _size(self, messages: Sequence[Message]) -> int:
        llm = self.stack.llm
        return sum(llm.turn + sum(map(llm.count, message.parts)) for message in messages)

    def _turn_size(self, turn: tuple[str, str]) -> int:
        asked, said = turn
        return self._size([self._fill(asked)[-1], Message("assistant", (Text(said),))])

    def _recent_turns(self, room: int) -> list[tuple[str, str]]:
        """Return the latest questions and answers that fit in so many tokens: the oldest go first, the video never."""
        kept: list[tuple[str, str]] = []
        for turn in reversed(self.history):
            room -= self._turn_size(turn)
            if room < 0:
                break
            kept = [turn, *kept]
        return kept

    def _fit(self, room: int, question: str) -> list[Fit]:
        share = room // len(self.contexts)
        fits = []
        for i, context in enumerate(self.contexts):
            asked = Question.parse(question, context.video.duration)
            fits.append(fit(list(context.records), partial(self._lines, i), self._count, share, asked))
        return fits

    def _lines(self, index: int, records: Sequence[Record]) -> list[Line]:
        context = self.contexts[index]
        title = [Line(f"Video {index + 1}, {fold(context.video.path.name)}:")] if len(self.contexts) > 1 else []
        return [*title, *context.lines(self.stack.formatter, records)]

    def _count(self, lines: Sequence[Line]) -> int:
        text = "\n".join(line.text for line in lines)
        return self.stack.llm.count(Text(fence(text) if self.stack.fence else text))

    def _citations(self, text: str, reply: Reply, lines: Sequence[Line]) -> tuple[Citation, ...]:
        """Return what the backend says it rests on, or else the records whose times the answer itself names."""
        if reply.records is not None:
            found = reply.records
        else:
            named = _named_spans(text)
            embedded = (record for part in self._seen.parts if isinstance(part, Tokens) for record in part.records)
            records = chain(embedded, (record for line in lines for record in line.records))
            found = tuple(r for r in records if span_stamp(r.start, r.end, hours=True) in named)
        return tuple(Citation(r.start, r.end, r.source, r.id, r.text) for r in dict.fromkeys(found))


def _named_spans(text: str) -> set[str]:
    """Return the stretches of time that a text names, as stamps with hours."""
    named = set()
    for start, end in _RANGE.findall(text):
        with suppress(ValueError):  # 00:75 looks like a time and is none
            named.add(span_stamp(parse(start), parse(end), hours=True))
    return named


@contextmanager
def _failing_as_llm_error() -> Iterator[None]:
    try:
        yield
    except VideoChatError:
        raise
    except Exception as error:  # a stranger's backend may raise anything
        raise LLMError(f"the language model failed: {type(error).__name__}: {error}") from error
