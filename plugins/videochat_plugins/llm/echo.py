"""Print the prompt as a language model would get it: for looking at, and for testing prompts."""

from collections.abc import Callable, Collection, Iterator, Sequence

from videochat import LLM, Component, Frames, Generation, Message, Reply, Text, Tokens, hookimpl
from videochat.budget import estimate
from videochat.prompt import Part

WINDOW = 10**9  # tokens: it reads nothing


class Echo(LLM):
    """Answer with the prompt itself: roles and text exactly, pixels and embeddings by shape and time only."""

    @property
    def accepts(self) -> Collection[type[Part]]:
        """Every type of part."""
        return (Text, Frames, Tokens)

    @property
    def window(self) -> int:
        """Practically without limit."""
        return WINDOW

    def count(self, part: Part) -> int:
        """Return an estimate for text, one for each embedding, 0 for pixels."""
        if isinstance(part, Text):
            return estimate(part.text)
        return part.tokens.shape[0] if isinstance(part, Tokens) else 0

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        """Return the messages as text, whole: the limits of an answer do not cut a prompt."""
        return Reply(_pieces(messages), records=())


def _pieces(messages: Sequence[Message]) -> Iterator[str]:
    for i, message in enumerate(messages):
        yield ("\n\n" if i else "") + f"[{message.role}]\n"
        for part in message.parts:
            yield _written(part)


def _written(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Frames):
        shapes = dict.fromkeys("x".join(map(str, frame.image.shape)) for frame in part.frames)
        return f"<{len(part.frames)} frames, {', '.join(shapes) or 'none'}{_times([f.time for f in part.frames])}>"
    shape = "x".join(map(str, part.tokens.shape))
    return f"<tokens, {shape} {part.tokens.dtype}, space {part.space}{_times(part.times)}>"


def _times(times: Sequence[float]) -> str:
    return f", at {', '.join(f'{time:.2f}' for time in times)} s" if times else ""


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the language model."""
    register("llm", "echo", Echo)
