"""Every record a line: what there is, when and where."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from videochat import Component, Formatter, Line, Record, Span, Video, hookimpl
from videochat.clock import NOISE, needs_hours, span_stamp


class Timeline(Formatter):
    """Print each record as `MM:SS-MM:SS kind: text [x1, y1, x2, y2]`, in time order; those with tokens are left out."""

    class Options(Formatter.Options):
        """What to print."""

        kinds: tuple[str, ...] | None = None
        """The kinds of record to print; null for every kind."""
        boxes: bool = True
        """Whether to print where a thing is: its left, top, right and bottom edge in whole source pixels."""
        segments: bool = False
        """Whether a line of its own stands before the first record of each segment; good with `shots`."""

    options: Options

    @property
    def reads(self) -> Collection[str] | None:
        """The kinds chosen in the options; None for all."""
        return self.options.kinds

    def lines(self, records: Iterable[Record], video: Video, segments: Sequence[Span]) -> Iterator[Line]:
        """Yield one line a record; equal records are not merged."""
        hours = needs_hours(video.duration)
        kinds = self.options.kinds
        starts = [span.start for span in segments] if self.options.segments else []
        place = 0  # how many segments have begun
        for record in records:
            if record.tokens is None and not record.space and (kinds is None or record.kind in kinds):
                if (begun := bisect_right(starts, record.start + NOISE)) > place:
                    place = begun
                    yield Line(f"{span_stamp(*segments[place - 1], hours)} segment {place}")
                yield Line(f"{span_stamp(record.start, record.end, hours)} {self._body(record)}", (record,))

    def _body(self, record: Record) -> str:
        text = f": {record.text}" if record.text else ""
        box = f" {[round(edge) for edge in record.box]}" if record.box is not None and self.options.boxes else ""
        return f"{record.kind}{text}{box}"


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the formatter."""
    register("format", "timeline", Timeline)
