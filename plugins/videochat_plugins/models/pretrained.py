"""What every component with a pretrained network shares: its checkpoint, precision, device and batch size."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from videochat import Component, Key, Pool, StackError, UnavailableError, Weights
from videochat.component import FASTER_ONLY
from videochat_plugins.models.batches import Batches, out_of_memory
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.preprocess import Preprocess

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]
DEVICE = r"^(cpu|cuda(:\d+)?)?$"  # the pattern of options that name one; empty: the stack's


class ModelOptions(Component.Options):
    """Which weights, and how they run."""

    checkpoint: str
    """The model: a hub's `org/name` or `org/name@revision`, or a folder."""
    # The cache goes by what it comes to (`Component.precision`).
    precision: Precision = Field(default="auto", json_schema_extra=FASTER_ONLY)
    """Numbers that the model computes in; auto: bfloat16 or float16 on a GPU, float32 on a CPU."""
    device: str = Field(default="", pattern=DEVICE, json_schema_extra=FASTER_ONLY)
    """Where the model runs: cpu, cuda, cuda:1, ...; empty: where the stack's models run."""
    batch: int | None = Field(default=None, ge=1, le=4096, json_schema_extra=FASTER_ONLY)
    """Inputs in one forward; null: as measured to be good on the device. Halved where memory runs out."""

    @field_validator("checkpoint")
    @classmethod
    def _names_something(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("must name a model: a hub's org/name, or a folder")
        return name


class Pretrained(Component):
    """A component that loads a network with `from_pretrained`, once, in the precision that the device likes."""

    class Options(ModelOptions):
        """Which weights, and how they run."""

    extra = "models"
    released: ClassVar[Mapping[str, int]] = {}  # bytes that known checkpoints take to download
    needs: ClassVar[tuple[str, ...]] = ("config.json",)  # files besides the weights; `a|b`: either
    model_types: ClassVar[tuple[str, ...]] = ()  # of config.json; empty: any
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 1, "cuda": 16}  # by kind of device, where none is asked for
    options: Any  # of a class with ModelOptions among its bases
    device: str = ""  # known once loaded

    def __init__(self, options: Any = None) -> None:
        """Keep the options; how large batches are is known once loaded."""
        super().__init__(options)
        self.batches = Batches(1)

    @property
    def checkpoint(self) -> Checkpoint:
        """Where its files are."""
        name = self.options.checkpoint
        return Checkpoint(name, self.released.get(name, 0), self.needs)

    @property
    def taken(self) -> int:
        """The shorter side of the frames that the checkpoint takes, in pixels; 0 as long as that is not known."""
        try:
            path = self.checkpoint.path
            return Preprocess.read(path).side if path and path.is_dir() else 0
        except UnavailableError:  # `check` tells of it
            return 0

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What happened in a run that its ledger should tell."""
        return self.batches.notes

    def weights(self) -> Sequence[Weights]:
        """Return the checkpoint, without loading it and without network."""
        return (self.checkpoint.weights(),)

    def check(self) -> None:
        """Make sure that the checkpoint is whole and of a kind that this can use, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        checkpoint = self.checkpoint
        checkpoint.check()
        if self.model_types and checkpoint.path is not None and not checkpoint.file:
            found = checkpoint.config().get("model_type")
            if found not in self.model_types:
                wanted = " or ".join(self.model_types)
                raise UnavailableError(f"the checkpoint {checkpoint.name} is a {found} model, and this needs {wanted}")
        check_preprocessing(checkpoint)

    def fetch(self) -> None:
        """Download the checkpoint if it is not here.

        Raises:
            UnavailableError: if it cannot be had.
        """
        self.checkpoint.fetch()

    def precision(self, pool: Pool) -> str:
        """Return the numbers that it computes in: "float32", "bfloat16" or "float16"."""
        wanted: str = self.options.precision
        device = pool.place(self.options.device)
        if wanted != "auto" or not device.startswith("cuda") or find_spec("torch") is None:
            return "float32" if wanted == "auto" else wanted
        import torch

        index = int(device.partition(":")[2])
        if index >= torch.cuda.device_count():
            return "float16"  # `load` says that there is no such device
        with torch.cuda.device(index):  # older ones can do bfloat16 only by way of float32
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"

    def load(self, pool: Pool) -> None:
        """Settle device and batch size; a subclass goes on to load its model.

        Raises:
            StackError: if there is no such device.
        """
        self.device = pool.place(self.options.device)
        check_device(self.device)
        size = self.options.batch or self.batch_sizes.get(self.device.partition(":")[0], 1)
        self.batches = Batches(size)

    def pretrained(self, pool: Pool, cls: Any) -> Any:
        """Return a transformers model of the checkpoint, loaded once for all who use it, in evaluation mode.

        Raises:
            UnavailableError: if a file does not fit the class, naming the weights at fault.
        """
        key = Key(cls.__name__, self.checkpoint.weights().id, self.precision(pool), "", self.device)
        return pool.get(key, lambda: load_model(cls, self.checkpoint, self.precision(pool), self.device))


def load_model(
    cls: Any, checkpoint: Checkpoint, precision: str, device: str, *, whole: bool = False, **how: Any
) -> Any:
    """Return `cls.from_pretrained` of a checkpoint, on a device, in a precision; each weight file is read once.

    Args:
        cls: a transformers model class, or one of its Auto classes.
        checkpoint: the files; downloaded if they are not here.
        precision: "float32", "bfloat16" or "float16".
        device: "cpu", "cuda", "cuda:1", ...
        whole: whether all weights in the files must have a place in the class, as those of one task's head need not.
        how: further arguments of `from_pretrained`, such as `quantization_config`; with a `device_map` the weights go
            where that says.

    Raises:
        UnavailableError: if a file is missing, damaged or does not fit the class, naming the weights at fault.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError

    folder = checkpoint.fetch()
    how = {"dtype": getattr(torch, precision), "local_files_only": True, "trust_remote_code": False, **how}
    how["ignore_mismatched_sizes"] = True  # they are told below, by name
    try:
        with _quiet():
            model, told = cls.from_pretrained(folder, output_loading_info=True, **how)
    except (EOFError, UnpicklingError):
        words = "has a damaged weight file: download it again"
        raise UnavailableError(f"the checkpoint {checkpoint.name} {words}") from None
    except (OSError, ValueError, KeyError, RuntimeError, StrictDataclassError) as error:
        if out_of_memory(error):
            raise
        raise UnavailableError(f"the checkpoint {checkpoint.name} cannot be loaded: {error}") from None
    faults = {"lacks": told["missing_keys"], "has wrong shapes for": told["mismatched_keys"]}
    if whole:
        faults["has weights that its config.json has no place for:"] = told["unexpected_keys"]
    for fault, keys in faults.items():
        if keys:
            names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in keys)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise UnavailableError(f"the checkpoint {checkpoint.name} {fault} {', '.join(names[:5])}{more}")
    if "device_map" not in how:
        model = model.to(device)
    return model.eval().requires_grad_(False)


def check_preprocessing(checkpoint: Checkpoint) -> None:
    """Make sure that frames can be made ready as a checkpoint asks, if it is here and sees frames at all.

    Raises:
        UnavailableError: naming what it asks for that cannot be done.
    """
    if checkpoint.path is not None and any("preprocessor_config.json" in need for need in checkpoint.needs):
        Preprocess.read(checkpoint.path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's bars and tables from the terminal: what is wrong with a checkpoint becomes an error here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def upload(images: "Sequence[Any]", device: str) -> "torch.Tensor":
    """Return equally large frames (H, W, 3) as one uint8 tensor (N, H, W, 3) on a device, in one copy."""
    import numpy as np
    import torch

    host = torch.from_numpy(np.stack(images))
    if device.startswith("cuda"):
        return host.pin_memory().to(device, non_blocking=True)
    return host


def check_device(device: str) -> None:
    """Make sure that torch sees a device, as `Pool.place` names it.

    Raises:
        StackError: if it does not.
    """
    import torch

    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise StackError(f"there is no device {device}: torch sees {count or 'no'} CUDA GPU{'s' * (count > 1)} here")
