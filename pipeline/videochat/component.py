"""The interfaces that plugins implement: one class for each stage.

A component is light to build and heavy only in `load`. It declares its options as a nested pydantic class; the stack
checks them. Every class is plain Python: components are never called through hooks.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from videochat.pool import Pool
from videochat.prompt import Generation, Line, Message, Part, Reply
from videochat.record import Record
from videochat.video import Video
from videochat.window import Chunk, Cue, Frame, Sampling, Span, Want, Window


@dataclass(frozen=True, slots=True)
class Weights:
    """A model file that a component needs."""

    id: str  # checkpoint name and revision, or the hash of a local file
    bytes: int = 0  # on disk; 0 where unknown
    here: bool = True  # whether loading it needs no network


# Marks an option that changes how fast a component is, not what it makes: the cache does not mind it.
# `threads: int = Field(default=0, json_schema_extra=FASTER_ONLY)`
FASTER_ONLY: dict[str, JsonValue] = {"changes_output": False}


class Component(ABC):
    """What all stages share."""

    class Options(BaseModel):
        """The options of a component; a subclass adds its own."""

        model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    stage: ClassVar[str] = ""
    extra: ClassVar[str] = ""  # the pip extra that it needs
    version: ClassVar[int] = 1  # raised when the output changes
    notes: Sequence[str] = ()  # what happened in its work that the ledger should tell
    options: Options

    def __init__(self, options: Options | None = None) -> None:
        """Keep the options (default: all defaults); cheap, without side effects."""
        self.options = type(self).Options() if options is None else options

    def weights(self) -> Sequence[Weights]:
        """Return the model files that `load` will need, without loading them and without network."""
        return ()

    def precision(self, pool: Pool) -> str:
        """Return the kind of number that it would compute in on the pool's device, where it has a choice."""
        return ""

    def place(self, pool: Pool) -> str:
        """Return the device that its models go to: what its option `device` says, the CPU if it has no such option.

        Asked only of what has weights, since the pool may have to load torch to tell.
        """
        return pool.place(self.options.device or "") if hasattr(self.options, "device") else "cpu"

    def check(self) -> None:  # noqa: B027 - most can run wherever their extra is
        """Make sure, without network and at once, that it can run here.

        Raises:
            UnavailableError: if something that it needs, such as a key, is missing.
        """

    def fetch(self) -> None:  # noqa: B027 - most need no download
        """Download the model files that are not here; called before any video is read.

        Raises:
            UnavailableError: if they cannot be had.
        """

    def load(self, pool: Pool) -> None:  # noqa: B027 - nothing to load is the common case
        """Load models, through `pool.get` where they can be shared.

        Raises:
            UnavailableError: if a model cannot be had.
        """

    def close(self) -> None:  # noqa: B027 - nothing to free is the common case
        """Let go of what `load` took."""


class Reader(Component):
    """Opens videos: the only stage that touches the file."""

    stage = "read"

    @abstractmethod
    def probe(self, path: Path) -> Video:
        """Return the facts of a file, decoding no more than its headers where they suffice.

        Raises:
            VideoError: if the file cannot be read.
        """

    @abstractmethod
    def frames(self, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
        """Yield one frame for each want, in order, in a single pass; wants come in order of time.

        Each frame is the one whose PTS is nearest to the want's time. Where the file ends early (cut off or damaged)
        fewer frames come than were wanted.

        Raises:
            VideoError: if nothing can be decoded.
        """

    @abstractmethod
    def audio(self, video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
        """Yield the sound from `start` seconds on as mono float32 at `rate` Hz; nothing if there is none."""

    def subtitles(self, path: Path) -> Iterator[Cue]:
        """Yield the text subtitles in a video or a subtitle file, in order; nothing if there are none.

        Raises:
            VideoError: if the file cannot be read.
        """
        return iter(())


class Segmenter(Component):
    """Cuts the timeline into segments."""

    stage = "segment"

    def sampling(self) -> Sampling | None:
        """Return what it needs to see of the video, or None if the timeline alone is enough."""
        return None

    @abstractmethod
    def segments(self, video: Video, frames: Iterable[Frame]) -> Iterator[Span]:
        """Yield spans in order that tile [0, video.duration) without gap or overlap."""


class Perceiver(Component):
    """Turns windows into records. A pure function of one window: no file, no memory, no order (Eq. 1)."""

    class Options(Component.Options):
        """The options of a perceiver."""

        over: Literal["segment", "video"] | Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = "segment"
        """What one window covers: a segment, the whole video, or so many seconds."""

    stage = "perceive"
    batch: int = 1  # windows that it likes to get at once
    device: str = "cpu"  # where it computes, once loaded: perceivers on one device take turns
    space: str = ""  # the id of the LLM that its embeddings are for, if it makes any
    width: int = 0  # numbers in a row of them, where that is known
    yields: bool = False  # whether it leaves its work to subtitles, where there are some; may be set in __init__
    options: Options

    @property
    @abstractmethod
    def emits(self) -> Collection[str]:
        """The kinds of record that it makes."""

    @abstractmethod
    def sampling(self) -> Sampling:
        """Return what it needs to see of each window."""

    @abstractmethod
    def perceive(self, windows: Sequence[Window]) -> Iterable[Sequence[Record]]:
        """Return one list of records for each window, in order.

        Boxes are in the pixels of the window's frames; the framework maps them to the source's. It also clips times to
        the window and its lead, and fills in `source` and, where they are empty, `times`.
        """


class Refiner(Component):
    """Makes records from records."""

    stage = "refine"
    at: float | None = None  # seconds, where a moment is asked about: what it is given ends there; set before `refine`

    @property
    @abstractmethod
    def reads(self) -> Collection[str]:
        """The kinds that it works on; all others it passes on."""

    @property
    @abstractmethod
    def emits(self) -> Collection[str]:
        """The kinds that it makes."""

    @abstractmethod
    def refine(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records as refined; they come merged, in time order. The framework puts what leaves in order."""


class Formatter(Component):
    """Writes records as lines of text; tokens are not its business."""

    stage = "format"

    @property
    @abstractmethod
    def reads(self) -> Collection[str] | None:
        """The kinds that it prints; None for all."""

    @abstractmethod
    def lines(self, records: Iterable[Record], video: Video, segments: Sequence[Span]) -> Iterable[Line]:
        """Yield the lines of the textualised video, each with the records that it came from."""


class LLM(Component):
    """Answers (Eq. 2)."""

    class Options(Component.Options):
        """The options of a language model."""

        max_tokens: int = Field(default=512, gt=0)
        """The longest answer, in tokens."""
        temperature: float = Field(default=0.0, ge=0)
        """0 gives the likeliest answer, higher values more varied ones."""
        seed: int = 0
        """Where the backend has one: the same seed, the same answer."""
        stop: tuple[str, ...] = ()
        """Texts that end the answer; looked for in the answer only."""

    stage = "llm"
    space: str = ""  # the id of its embedding space, if it accepts Tokens
    width: int = 0  # numbers in a row of them, where that is known
    options: Options

    @property
    @abstractmethod
    def accepts(self) -> Collection[type[Part]]:
        """The types of prompt part that it takes."""

    @property
    @abstractmethod
    def window(self) -> int:
        """Tokens that prompt and answer may take together."""

    @abstractmethod
    def count(self, part: Part) -> int:
        """Return how many tokens a part takes."""

    @property
    def turn(self) -> int:
        """Tokens that the markers around one message take, at most; they come on top of what its parts count."""
        return 0

    @abstractmethod
    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        """Start an answer to the last message.

        Raises:
            LLMError: here or while the reply is read, if the model cannot answer.
        """

    def sampling(self) -> Sampling | None:
        """Return which frames of the whole video it wants to see, where a prompt places {video} and it takes Frames."""
        return None

    def sends_secret_to(self) -> str | None:
        """Return the host that would be sent a secret from the options, if it is not the provider's own."""
        return None

    @property
    def generation(self) -> Generation:
        """How the options ask it to answer."""
        options = self.options
        return Generation(options.max_tokens, options.temperature, options.stop, options.seed)


def checkpoints(components: Iterable[Component]) -> set[str]:
    """Return the ids of all model files that components need."""
    return {weights.id for component in components for weights in component.weights()}


STAGES: dict[str, type[Component]] = {
    "read": Reader,
    "segment": Segmenter,
    "perceive": Perceiver,
    "refine": Refiner,
    "format": Formatter,
    "llm": LLM,
}
