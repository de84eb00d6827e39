"""All that is known of a video after a watch: E in Eq. (2) of the paper."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from videochat.component import Formatter
from videochat.errors import PluginError, VideoChatError
from videochat.prompt import Line
from videochat.record import Record, fold
from videochat.registry import registry
from videochat.video import Video
from videochat.window import Span

if TYPE_CHECKING:
    from videochat.stack import Stack


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a part of the stack could not do; never a caption."""

    source: str  # the plugin's name in the stack, or "read"
    start: float  # seconds
    end: float
    reason: str

    @classmethod
    def of(cls, source: str, span: Span, error: BaseException) -> Self:
        """Return the fault that an error is, its message made one line."""
        return cls(source, span.start, span.end, fold(f"{type(error).__name__}: {error}"))


@dataclass(slots=True)
class Cost:
    """What one part of the stack took."""

    name: str
    seconds: float = 0.0  # of work, waiting not counted
    windows: int = 0  # perceived now
    cached: int = 0  # windows that were there already
    frames: int = 0
    batches: int = 0
    tokens: int = 0  # rows of embeddings made
    bytes: int = 0  # of pictures and sound
    notes: list[str] = field(default_factory=list)  # what else there is to tell: `out of memory: batch 16 to 8`


class Stage(NamedTuple):
    """The records as one refiner left them; as perceived, where it has no name."""

    name: str  # the refiner's name in the stack
    records: Sequence[Record]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The records of a video in time order, with what went wrong and what it took."""

    stack: "Stack"
    video: Video
    span: Span  # the part that was watched
    segments: tuple[Span, ...]
    records: Sequence[Record]  # as refined; on disk, read as they are asked for
    faults: tuple[Fault, ...] = ()
    ledger: tuple[Cost, ...] = ()
    stages: tuple[Stage, ...] = field(default=(), repr=False)  # as perceived, then after each refiner that worked
    at: float | None = None  # seconds: nothing that ended later is known

    def lines(self, formatter: Formatter | None = None, records: Iterable[Record] | None = None) -> Iterator[Line]:
        """Yield the lines of the textualised video; of all records, or of some of them.

        Raises:
            PluginError: if the formatter fails.
        """
        formatter = formatter or self.stack.formatter
        chosen = self.records if records is None else records
        try:
            yield from formatter.lines(chosen, self.video, self.segments)
        except VideoChatError:
            raise
        except Exception as error:  # a stranger's plugin may raise anything
            name = registry().name_of(type(formatter))
            raise PluginError(f"format {name}: {type(error).__name__}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Return the context as JSON values; tokens as shape, dtype and file."""
        return {
            "video": self.video.to_json(),
            "records": [record_json(record) for record in self.records],
            "faults": [asdict(fault) for fault in self.faults],
            "ledger": [asdict(cost) for cost in self.ledger],
        }


def record_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON values with its id; tokens as shape, dtype and file, never inline."""
    row = {"id": record.id, **record.to_json()}
    if record.tokens is not None:
        file = getattr(record.tokens, "file", None)
        tokens = record.tokens
        row["tokens"] = {"shape": list(tokens.shape), "dtype": str(tokens.dtype), "file": file and str(file)}
    return row
