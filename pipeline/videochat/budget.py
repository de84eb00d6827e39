"""Fit the textualised video into the room that a prompt has for it (DESIGN 7, Budget)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from videochat.prompt import Line
from videochat.record import Record
from videochat.words import stem, terms

if TYPE_CHECKING:
    from videochat.question import Question

MERGED, NOT_ASKED, LOW_SCORE, TIME_STEP, TOO_LONG = (
    "merged with an equal neighbour",
    "not asked for",
    "low score",
    "wider time step",
    "too long by itself",
)
LOW = 0.5  # scores below this are low
_TOUCH = 1e-6  # seconds of rounding between records that touch
_SINGLES = 32  # how many records that do not fit even alone are passed over


class LeftOut(NamedTuple):
    """Records that the text does not hold."""

    kind: str
    source: str
    why: str  # one of this module's reasons
    number: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What of the records goes into the prompt."""

    lines: tuple[Line, ...]
    tokens: int  # of the lines; above the room only if even the text of no record is
    records: tuple[Record, ...]  # in the order given; a merged record stands where its first part stood
    left_out: tuple[LeftOut, ...] = ()  # sorted

    @property
    def complete(self) -> bool:
        """Whether the text says all that the records say; merging equal neighbours loses nothing."""
        return all(left.why == MERGED for left in self.left_out)

    def report(self) -> str:
        """Say in one line what was left out and why, or nothing if all is there."""
        return "; ".join(f"{left.number} {left.kind} ({left.source or '-'}): {left.why}" for left in self.left_out)


def estimate(text: str) -> int:
    """Estimate the tokens of a text where there is no tokenizer: its UTF-8 bytes / 3, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 3)


def fit(
    records: Sequence[Record],
    render: Callable[[Sequence[Record]], Sequence[Line]],
    count: Callable[[Sequence[Line]], int],
    room: int,
    question: "Question | None" = None,
) -> Fit:
    """Return as much of the records as the room holds.

    If all fits, all stays as it is. Else, each step only as far as needed: equal neighbours become one; what the
    question does not ask for goes; low scores go; the time step widens, evenly in each kind and source. The same input
    gives the same text, and more room never gives less of it, as long as more records never take fewer tokens. It
    renders about log2(records) times.

    Args:
        records: in time order.
        render: what writes records, a subset of these in the same order, as lines.
        count: returns the tokens of lines.
        room: in tokens.
        question: what the text is for; without it nothing is preferred for being asked.
    """
    if (whole := _written(records, render, count)).tokens <= room:
        return whole
    groups = equal_neighbours(records)
    merged = [_merge(group) for group in groups]
    left: Counter[tuple[str, str, str]] = Counter()
    for group in groups:
        if len(group) > 1:
            left[group[0].kind, group[0].source, MERGED] += len(group) - 1
    if left and (less := _written(merged, render, count)).tokens <= room:
        return replace(less, left_out=_report(left))

    relevance = [_relevance(record, question) for record in merged]
    order = _order(merged, relevance)
    low, high = 0, len(order)  # the first `low` of the order fit; all `high` of them do not
    best = _written([], render, count)
    too_long: set[int] = set()
    for _ in range(_SINGLES if best.tokens <= room else 0):
        if not order or _written([merged[order[0]]], render, count).tokens <= room:
            break
        too_long.add(order.pop(0))
        high = len(order) + 1  # now all of the order may fit
    if best.tokens > room:
        high = 1
    while high - low > 1:
        middle = (low + high) // 2
        attempt = _written([merged[i] for i in sorted(order[:middle])], render, count)
        if attempt.tokens <= room:
            low, best = middle, attempt
        else:
            high = middle
    kept = set(order[:low])
    asked = max(relevance, default=0)
    for i, record in enumerate(merged):
        if i not in kept:
            left[record.kind, record.source, _reason(record, relevance[i] < asked, i in too_long)] += 1
    return replace(best, left_out=_report(left))


def equal_neighbours(records: Iterable[Record]) -> list[list[Record]]:
    """Group records that say the same of touching or overlapping times: same kind, text, source and track.

    Groups come in the order of their first records. Records with tokens or without text stay alone.
    """
    groups: list[list[Record]] = []
    last: dict[Hashable, tuple[list[Record], float]] = {}  # the open group of each key, and its end in seconds
    for record in records:
        key = (record.kind, record.text, record.source, record.track)
        group, end = last.get(key, ([], 0.0))
        if group and record.text and record.tokens is None and group[-1].start <= record.start <= end + _TOUCH:
            group.append(record)
            last[key] = group, max(end, record.end)
        else:
            groups.append([record])
            last[key] = groups[-1], record.end
    return groups


def _merge(group: Sequence[Record]) -> Record:
    if len(group) == 1:
        return group[0]
    scores = [record.score for record in group if record.score is not None]
    return replace(
        group[0],
        end=max(map(attrgetter("end"), group)),
        score=max(scores, default=None),
        times=tuple(sorted({time for record in group for time in record.times})),
        parents=tuple(record.id for record in group),
    )


def _written(
    records: Sequence[Record],
    render: Callable[[Sequence[Record]], Sequence[Line]],
    count: Callable[[Sequence[Line]], int],
) -> Fit:
    lines = tuple(render(records))
    return Fit(lines, count(lines), tuple(records))


def _relevance(record: Record, question: "Question | None") -> int:
    """Return how much of what the question asks for a record has: its time counts most, then kind and words."""
    if question is None:
        return 0
    asked = [question] if question.anchor is None else [question, question.anchor]
    kinds = frozenset[str]().union(*(part.kinds for part in asked))
    sought = {word for part in asked for word in (*part.words, *map(stem, part.colours), *part.directions)}
    told = {*terms(record.text), *map(stem, map(str, (record.meta.get("colour"), record.meta.get("direction"))))}
    return 2 * question.covers(record.start, record.end) + (record.kind in kinds) + bool(sought & told)


def _order(records: Sequence[Record], relevance: Sequence[int]) -> list[int]:
    """Return the indices of the records, what is to be kept longest first."""
    series: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        series[record.kind, record.source].append(i)
    # Of each series the bit-reversed places go first: whatever share of it is left is spread evenly over its time.
    place = {}
    for members in series.values():
        bits = max(1, (len(members) - 1).bit_length())
        for k, i in enumerate(members):
            place[i] = int(f"{k:0{bits}b}"[::-1], 2) / (1 << bits)

    def key(i: int) -> tuple[int, float, float, int]:
        score = records[i].score
        return -relevance[i], -LOW if score is None else -min(score, LOW), place[i], i

    return sorted(range(len(records)), key=key)


def _reason(record: Record, unasked: bool, too_long: bool) -> str:
    if too_long:
        return TOO_LONG
    if unasked:
        return NOT_ASKED
    return LOW_SCORE if record.score is not None and record.score < LOW else TIME_STEP


def _report(left: Counter[tuple[str, str, str]]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(kind, source, why, number) for (kind, source, why), number in sorted(left.items()))
