"""The embedded default: no model. It finds the records that a question is about and quotes them."""

from collections.abc import Callable, Collection, Sequence

from pydantic import Field

from videochat import LLM, Component, Generation, Line, Message, Record, Reply, Text, hookimpl
from videochat.budget import estimate
from videochat.prompt import Part

NOTHING = "The provided video does not present such information"  # the paper's sentence, Table 6
LEAD = "From the records (no language model): "
WINDOW = 10**9  # tokens: it reads records, not a prompt


class Extractive(LLM):
    """Answer by quoting records: reads the question's time, kind of evidence, order and words; ranks with BM25.

    It knows only what the records say, in words that they use; it does not reason, and says so in each answer.
    """

    class Options(LLM.Options):
        """How much to quote."""

        quotes: int = Field(default=12, gt=0)
        """The most lines of evidence in an answer, for each video."""

    options: Options

    @property
    def accepts(self) -> Collection[type[Part]]:
        """Text only."""
        return (Text,)

    @property
    def window(self) -> int:
        """Practically without limit."""
        return WINDOW

    def count(self, part: Part) -> int:
        """Return an estimate for text, 0 for all else."""
        return estimate(part.text) if isinstance(part, Text) else 0

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        """Answer the last question from the lines of the prompt's `textualizing_videos` parts."""
        return _reply(self._compose(messages), generation)

    def _compose(self, messages: Sequence[Message]) -> list[Line]:
        """Return the answer's lines with the records that each rests on."""
        from videochat_plugins.llm.talk import asked, follow, videos

        questions = asked(messages)
        told = [(video, found) for video in videos(messages) if (found := follow(questions, video)) is not None]
        if not told:
            return [Line(NOTHING)]
        out: list[Line] = []
        for video, found in told:
            label = f"{video.label}: " if video.label else ""
            out.append(Line(f"{'' if out else LEAD}{label}{found.lead}"))
            quotes = found.quotes[: self.options.quotes]
            out += [Line(quote.line(video.hours, found.boxes), quote.records) for quote in quotes]
            if more := len(found.quotes) - len(quotes):
                out.append(Line(f"... and {more} more"))
        return out


def _reply(lines: Sequence[Line], generation: Generation) -> Reply:
    """Return the lines as a reply, cut at a stop string or where the answer gets too long."""
    whole = "\n".join(line.text for line in lines)
    ends = [at for stop in generation.stop if stop and (at := whole.find(stop)) >= 0]
    room = 3 * generation.max_tokens  # bytes: what `estimate` takes for as many tokens
    pieces: list[str] = []
    records: dict[str, Record] = {}
    left, finish = min(ends, default=len(whole)), "stop"
    for i, line in enumerate(lines):
        piece = (("\n" if i else "") + line.text)[:left]
        size = len(piece.encode("utf-8", "surrogatepass"))
        if size > room:
            finish = "length"
            if pieces:
                break
            piece = piece.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore")
        room -= size
        left -= len(piece)
        if piece:
            pieces.append(piece)
            records.update((record.id, record) for record in line.records)
    return Reply(iter(pieces), finish=finish, records=tuple(records.values()))


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the language model."""
    register("llm", "extractive", Extractive)
