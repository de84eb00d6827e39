"""What a prompt tells of a video: its textualised records as far as they fit, and the caption of the whole."""

from collections.abc import Sequence

from videochat import LLM, Line, Record, StackError, Text
from videochat.budget import fit
from videochat.context import Context
from videochat.fence import fence
from videochat_plugins.learn.instruct_prompts import Prompts, Shown
from videochat_plugins.learn.instruct_write import generation

_CAPTIONS = ("summary", "caption")  # kinds that may tell of a whole video, the best first
_REPAIR = 256  # tokens of the words that ask for an answer again, beside the answer itself


def show(context: Context, llm: LLM, prompts: Prompts, make: Sequence[str]) -> Shown:
    """Return what the prompts tell of a watched video.

    Args:
        context: the video.
        llm: who is asked.
        prompts: what it is asked.
        make: all that is to be made of the video: it is told the same for each.

    Raises:
        StackError: if the stack says nothing of it in words, or the language model's window is too small.
    """
    stack = context.stack
    caption, duration = _caption(context), context.video.duration
    if not asks(make):
        return Shown(caption, "", duration)

    def count(lines: Sequence[Line]) -> int:
        return llm.count(Text(fence(_text(lines)) if stack.fence else _text(lines)))

    def lines(records: Sequence[Record]) -> list[Line]:
        return list(context.lines(records=records))

    fitted = fit(list(context.records), lines, count, room(llm, prompts, make, caption))
    text = _text(fitted.lines)
    if not text.strip():
        raise StackError(f"{stack.name} says nothing of this video in words, so there is nothing to write about")
    return Shown(caption, text, duration, stack.fence, fitted.report())


def asks(make: Sequence[str]) -> list[str]:
    """Return what of it the language model is asked for: captions are the stack's own."""
    return [one for one in make if one != "captions"]


def room(llm: LLM, prompts: Prompts, make: Sequence[str], caption: str = "") -> int:
    """Return the tokens that a video may take, if an answer can also be asked for again.

    Raises:
        StackError: if there are none.
    """
    bare = Shown(caption, "", 0.0)
    sizes = [size(llm, prompts, one, bare) + 2 * generation(llm, one).max_tokens for one in asks(make)]
    left = llm.window - max(sizes, default=0) - 3 * llm.turn - _REPAIR
    if sizes and left <= 0:
        raise StackError(
            f"the prompts leave no room for the video in a window of {llm.window} tokens: raise llm.window if the "
            "model reads more, lower llm.max_tokens, or take another model"
        )
    return left


def size(llm: LLM, prompts: Prompts, make: str, shown: Shown) -> int:
    """Return the tokens of the first request for a piece."""
    messages = prompts.description(shown) if make == "descriptions" else prompts.conversation(shown)
    return sum(llm.turn + sum(map(llm.count, message.parts)) for message in messages)


def _text(lines: Sequence[Line]) -> str:
    return "\n".join(line.text for line in lines)


def _caption(context: Context) -> str:
    """Return what the records say of the whole stretch that was watched: a summary, or else a caption; or ""."""
    start, end = context.span
    slack = min(0.5, 0.05 * (end - start))
    whole = [
        record
        for record in context.records
        if record.kind in _CAPTIONS and record.text and record.start <= start + slack and record.end >= end - slack
    ]
    best = min(whole, key=lambda record: (_CAPTIONS.index(record.kind), -(record.score or 0.0)), default=None)
    return "" if best is None else best.text
