"""The videos themselves in a prompt: embeddings, or frames for a model that sees."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from videochat.clock import needs_hours, span_stamp
from videochat.context import Context
from videochat.prompt import Frames, Part, Text, Tokens
from videochat.record import Record, fold
from videochat.window import Span, Want, sample_times

if TYPE_CHECKING:
    from videochat.stack import Stack

Shown = Sequence[Tokens | Frames]  # of one video
_LATE = 0.1  # seconds: where the sound begins earlier, as in .ts and .flv, the first picture may come so late
_TOLD = ("frame_count", "times", "spans")  # placeholders


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands for `{video}` for the whole talk, and what is told of it in words."""

    parts: tuple[Part, ...] = ()
    words: Mapping[str, Part] = field(default_factory=lambda: {name: Text("", name) for name in _TOLD})

    @classmethod
    def of(cls, shown: Sequence[tuple[Context, Shown]]) -> Self:
        """Return videos with what each is shown as; where they are several, each has its name before it.

        Those of which there is nothing to show are passed over, but counted: their text has a number too.
        """
        parts: list[Part] = []
        told: dict[str, list[str]] = {name: [] for name in _TOLD}
        for i, (context, found) in enumerate(shown, start=1):
            if not found:
                continue
            if len(shown) > 1:
                title = f"Video {i}, {fold(context.video.path.name)}: "
                parts.append(Text(f"\n{title}" if parts else title, "video"))
            parts += found
            hours = needs_hours(context.video.duration)
            times = [time for part in found for time in part.times]
            spans = [span for part in found if isinstance(part, Tokens) for span in part.spans]
            told["frame_count"].append(str(len(times)))
            told["times"].append(", ".join(f"{time:.1f}" for time in times))
            told["spans"].append(", ".join(span_stamp(span.start, span.end, hours) for span in spans))
        return cls(tuple(parts), {name: Text("; ".join(values), name) for name, values in told.items()})


def see(stack: "Stack", contexts: Iterable[Context]) -> Seen:
    """Return what each video is shown as: its embeddings, or else the frames that the language model wants to see."""
    shown: list[tuple[Context, Shown]] = [(context, list(Tokens.join(_embedded(context)))) for context in contexts]
    if not any(parts for _, parts in shown):
        shown = [(context, _frames(stack, context)) for context, _ in shown]
    return Seen.of(shown)


def _embedded(context: Context) -> list[Record]:
    """Return the embeddings of a video, perceiver by perceiver in the order of the stack's, each in order of time."""
    order = [*context.stack.perceivers]
    found = [record for record in context.records if record.tokens is not None]
    return sorted(found, key=lambda record: order.index(record.source) if record.source in order else len(order))


def _frames(stack: "Stack", context: Context) -> Shown:
    """Return the frames that the language model wants to see itself, each once: of a still, one."""
    sampling = stack.llm.sampling()
    start, end = context.span
    last = end if context.at is None else min(end, context.at)
    if sampling is None or not sampling.pictures or not context.video.has_pictures or start > last:
        return ()
    wants = (Want(time, sampling.side) for time in sample_times(Span(start, last), sampling))
    frames = {frame.time: frame for frame in stack.reader.frames(context.video, wants)}
    found = tuple(f for f in frames.values() if context.at is None or f.time <= max(context.at, start + _LATE))
    return [Frames(found)] if found else ()
