"""The textualised video as the paper prints it (arXiv 2305.06355, Table 1).

First the header, `{action}, {summary}`: the action and the summary that cover the whole video; of several the one with
the highest score, of equal ones the first. Then, range by range (a range is a segment):

    MM:SS-MM:SS {caption}       one line a caption, with the caption's own times
    {tag}, {tag}                each text once
    {text}: [x1, y1, x2, y2];   all regions in one line; without a box: `{text};`
    MM:SS-MM:SS: {text}         one line an utterance, with its own times

A record stands in the range that holds its start. Tags and regions have no times of their own: where the line above
them is not a caption of just that range, the range stands alone on a line before them. Ranges with nothing are not
printed. A summary of a part of the video is printed like a caption; an action of a part is not printed, for Table 1 has
no place for it (the `timeline` format prints every kind).
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby

from videochat import Component, Formatter, Line, Record, Span, Video, hookimpl
from videochat.clock import NOISE, needs_hours, span_stamp


class Table1(Formatter):
    """Print Table 1; holds the records of one range at a time."""

    @property
    def reads(self) -> Collection[str]:
        """The kinds that Table 1 has a place for."""
        return ("action", "summary", "caption", "tag", "region", "speech")

    def lines(self, records: Iterable[Record], video: Video, segments: Sequence[Span]) -> Iterator[Line]:
        """Yield the header and the lines of each range; records come in time order."""
        ranges = segments or (Span(0.0, video.duration),)
        whole = Span(ranges[0].start, ranges[-1].end)
        starts = [span.start for span in ranges]
        hours = needs_hours(video.duration)
        printed = (record for record in records if record.kind in self.reads and record.text)
        for place, group in groupby(printed, lambda record: max(0, bisect_right(starts, record.start + NOISE) - 1)):
            held = list(group)
            if place == 0:  # what covers the whole video starts in its first range
                yield from _header([record for record in held if _covers(record, whole)])
                held = [record for record in held if not _covers(record, whole)]
            yield from _block(held, ranges[place], hours)


def _covers(record: Record, whole: Span) -> bool:
    """Tell whether an action or a summary is of the whole video; times may be off by a few frames."""
    slack = min(0.5, 0.05 * (whole.end - whole.start))
    return (
        record.kind in ("action", "summary") and record.start <= whole.start + slack and record.end >= whole.end - slack
    )


def _header(records: Sequence[Record]) -> Iterator[Line]:
    groups = ([record for record in records if record.kind == kind] for kind in ("action", "summary"))
    best = tuple(max(group, key=lambda record: record.score or 0.0) for group in groups if group)
    if best:
        yield Line(", ".join(record.text for record in best), best)


def _block(records: Sequence[Record], span: Span, hours: bool) -> Iterator[Line]:
    captions = [record for record in records if record.kind in ("caption", "summary")]
    tags, regions, speech = (
        tuple(record for record in records if record.kind == kind) for kind in ("tag", "region", "speech")
    )
    said = ""  # the range that the last line names
    for record in captions:
        said = span_stamp(record.start, record.end, hours)
        yield Line(f"{said} {record.text}", (record,))
    if (tags or regions) and said != span_stamp(*span, hours):
        yield Line(span_stamp(*span, hours))
    if tags:
        yield Line(", ".join(dict.fromkeys(record.text for record in tags)), tags)
    if regions:
        yield Line(" ".join(map(_region, regions)), regions)
    for record in speech:
        yield Line(f"{span_stamp(record.start, record.end, hours)}: {record.text}", (record,))


def _region(record: Record) -> str:
    return f"{record.text};" if record.box is None else f"{record.text}: {[round(edge) for edge in record.box]};"


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the formatter."""
    register("format", "table1", Table1)
