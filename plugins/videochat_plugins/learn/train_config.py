"""What a training's YAML file says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from videochat.errors import Problem, StackError, near
from videochat.yamlfile import parse

Stage = Literal["stage1", "stage2"]
Files = Annotated[tuple[Path, ...], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Batch(_Part):
    """Examples in one forward of one process."""

    video: int = Field(default=32, ge=1)
    """Videos."""
    image: int = Field(default=32, ge=1)
    """Images."""


class TalkBatch(Batch):
    """The same for talks, which are longer."""

    video: int = Field(default=1, ge=1)
    """Videos."""
    image: int = Field(default=1, ge=1)
    """Images."""


class Augment(_Part):
    """How training pictures are varied, all frames of a clip alike."""

    crop: float = Field(default=0.5, gt=0, le=1)
    """The smallest share of the picture that a random crop keeps; 1: no crop, frames are seen as when asked about."""
    flip: bool = False
    """Mirror every other clip. The original does; what is said of left and right is wrong of a mirrored clip."""


class LoRA(_Part):
    """Low-rank adapters of the language model (arXiv 2106.09685), beside the paper's trained parts."""

    rank: int = Field(default=16, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(default=32.0, gt=0)
    """Its output is multiplied by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of its input that training leaves out."""
    targets: str | tuple[str, ...] = "all-linear"
    """The layers that get one: their names' ends, or all-linear."""


class Config(_Part):
    """What both stages share; the defaults of each are those of the paper and its code (arXiv 2305.06355, 3.2.3)."""

    model: str = Field(min_length=1)
    """The network: a folder as `videochat convert` or stage 1 wrote it; for stage 1 also transformers' BLIP-2."""
    llm: str = Field(min_length=1)
    """The language model: a folder, or a hub's `org/name`."""
    data: Files = Field(min_length=1)
    """JSON files: captions for stage 1, questions and answers for stage 2."""
    out: Path
    """The folder that gets the trained network, checkpoints and logs."""
    eval: Files = ()
    """JSON files that training does not see, to measure the loss on."""
    root: Path | None = None
    """Folder that the files' videos and images are in; null: each file's own."""
    template: str = "videochat"
    """How turns are written, as the llm's option of this name; empty: the language model's own way."""
    prompt: str = ""
    """Prompt file for videos, a name or a path; empty: the paper's in stage 1, `embed` in stage 2."""
    image_prompt: str = ""
    """The same for images; empty: the paper's."""
    frames: int = Field(default=4, ge=1, le=64)
    """Frames of a clip: each at random within one of so many equal parts of it, for `eval` in their middles."""
    length: int = Field(default=32, ge=2)
    """Tokens of text, at most, from the first answer on."""
    over_long: Literal["cut", "refuse"] = "cut"
    """Text that is longer: cut, which the log counts, or refused before training."""
    bad: Literal["refuse", "skip"] = "refuse"
    """Entries that are wrong, and videos that cannot be read: refused, or left out, which is told."""
    batch: Batch = Batch()
    """Examples in one forward of one process, for each medium."""
    accumulate: int = Field(default=1, ge=1)
    """Forwards that make one step."""
    epochs: float = Field(default=1.0, gt=0)
    """How often everything is seen."""
    steps: int | None = Field(default=None, ge=1)
    """Steps, instead of epochs."""
    lr: float = Field(default=1e-4, gt=0)
    """Highest learning rate."""
    warmup: float = Field(default=0.2, ge=0, lt=1)
    """Share of the steps in which it rises to that."""
    floor: float = Field(default=0.01, ge=0, lt=1)
    """Share of it that the cosine ends at."""
    weight_decay: float = Field(default=0.02, ge=0)
    """Of AdamW; vectors and biases have none."""
    clip: float = Field(default=0.0, ge=0)
    """Norm that gradients are clipped to; 0: as in the original they are not."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: frozen weights are held in it, and computed in it; what is trained stays in float32."""
    checkpointing: bool = False
    """Compute activations again rather than keep them: less memory, a third more work."""
    augment: Augment = Augment()
    """How pictures are varied."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Of all that is drawn."""
    device: Literal["", "cpu", "cuda"] = ""
    """Where it runs; empty: on a GPU if there is one."""
    workers: int = Field(default=4, ge=0)
    """Processes that read videos, for each that trains; 0: none of their own."""
    log_every: int = Field(default=10, ge=1)
    """Steps from one line of the log to the next."""
    save_every: int = Field(default=500, ge=1)
    """Steps from one checkpoint to the next."""
    eval_every: int = Field(default=500, ge=1)
    """Steps from one evaluation to the next."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints that are kept."""


class Stage1(Config):
    """Alignment: captions of videos and images."""

    fresh: bool = False
    """Draw what is trained anew, for this language model; always so with a BLIP-2."""


class Stage2(Config):
    """Instruction tuning: talks about videos and images, from what stage 1 left."""

    frames: int = Field(default=8, ge=1, le=64)
    """Frames of a clip: each at random within one of so many equal parts of it, for `eval` in their middles."""
    length: int = Field(default=512, ge=2)
    """Tokens of text, at most, from the first answer on."""
    batch: TalkBatch = TalkBatch()
    """Examples in one forward of one process, for each medium."""
    epochs: float = Field(default=3.0, gt=0)
    """How often everything is seen."""
    lr: float = Field(default=2e-5, gt=0)
    """Highest learning rate."""
    floor: float = Field(default=0.25, ge=0, lt=1)
    """Share of it that the cosine ends at."""
    lora: LoRA | None = None
    """Adapters for the language model; null: it stays as it is, as in the paper."""


# What may change from one sitting of a training to the next.
SITTING = ("workers", "log_every", "save_every", "eval_every", "keep", "device")
_STAGES: Mapping[Stage, type[Config]] = {"stage1": Stage1, "stage2": Stage2}


def read_config(path: Path, stage: Stage) -> Config:
    """Return what a training's file says; its paths are from the current folder, as in stacks.

    Raises:
        StackError: with file and line of everything that is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError([Problem(str(path), "", f"cannot be read: {error}")]) from None
    data, where = parse(text, str(path))
    if not isinstance(data, dict):
        raise StackError([Problem(f"{path}:1", "", "a training is a mapping: model, llm, data, out, ...")])
    cls = _STAGES[stage]
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise StackError([_problem(fault, where, cls, stage) for fault in error.errors()]) from None


def _problem(fault: Any, where: Mapping[tuple[str, ...], str], cls: type[Config], stage: Stage) -> Problem:
    keys = tuple(str(key) for key in fault["loc"])
    at = keys
    while at not in where:
        at = at[:-1]
    if fault["type"] == "extra_forbidden":
        other = next((name for name, known in _STAGES.items() if keys[-1] in known.model_fields), None)
        only = f" in {stage}: it is one of {other}" if other and len(keys) == 1 else ""
        message = f"no such option{only or near(keys[-1], _fields(cls, keys[:-1]))}"
    elif fault["type"] == "missing":
        message = "is required"
    else:
        given = fault.get("input")
        value = f", not {given!r}" if isinstance(given, str | int | float) else ""
        message = f"{str(fault['msg']).removeprefix('Value error, ').removeprefix('Input ')}{value}"
    return Problem(where[at], ".".join(keys), message)


def _fields(cls: type[Config], keys: tuple[str, ...]) -> list[str]:
    """Return the options that may stand at a path of keys."""
    parts: Mapping[str, type[BaseModel]] = {"batch": Batch, "augment": Augment, "lora": LoRA}
    return [*(parts.get(keys[0], cls) if keys else cls).model_fields]
