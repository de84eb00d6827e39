"""transformers' Trainer for VideoChat-Embed: joint batches, small checkpoints, a loss over all processes' tokens."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from videochat import UnavailableError
from videochat_plugins.learn.train_batches import IGNORED, Batches, Collate, Draw, Examples
from videochat_plugins.learn.train_checkpoint import keep_last, seal
from videochat_plugins.learn.train_config import Config
from videochat_plugins.learn.train_data import MEDIA, Medium
from videochat_plugins.learn.train_model import Learner

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

_WEIGHTS = "trained.safetensors"


class Arguments(TrainingArguments):
    """Settings of one process."""

    @property
    def n_gpu(self) -> int:
        """How many GPUs it takes: one at most, more are for a launcher, with a process for each."""
        found: int = super().n_gpu
        return min(found, 1)


def arguments(config: Config, steps: int, folder: Path) -> Arguments:
    """Return a training's settings as transformers has them; this also joins the other processes."""
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    return Arguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=max(config.batch.video, config.batch.image),
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.lr,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": config.floor},
        warmup_steps=round(config.warmup * steps),
        weight_decay=config.weight_decay,
        adam_beta1=0.9,
        adam_beta2=0.999,
        max_grad_norm=config.clip,
        bf16=config.precision == "bfloat16",
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        ddp_find_unused_parameters=False,
        seed=config.seed,
        average_tokens_across_devices=True,
        remove_unused_columns=False,
        logging_strategy="steps",
        logging_steps=config.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if config.eval else "no",
        eval_steps=config.eval_every if config.eval else None,
        save_strategy="steps",
        save_steps=config.save_every,
        report_to="none",
        disable_tqdm=True,
    )


class Checkpoints(TrainerCallback):
    """Seal what Trainer saves, and only then remove what is older: there is always one that is whole.

    Args:
        keep: checkpoints.
        wait: until all processes are there; each writes its own state of chance.
    """

    def __init__(self, keep: int, wait: Callable[[], None]) -> None:
        self._keep, self._wait = keep, wait

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal a checkpoint."""
        self._wait()
        if state.is_world_process_zero:
            folder = Path(args.output_dir)
            seal(folder / f"checkpoint-{state.global_step}")
            keep_last(folder, self._keep)


class JointTrainer(Trainer):
    """Train on batches of one medium each.

    Args:
        learner: what is trained.
        args: from `arguments`.
        config: of the training.
        examples: to learn from.
        held_out: to measure the loss on; None: there are none.
        pad: the id that talks are filled up with.
    """

    def __init__(
        self,
        learner: Learner,
        args: TrainingArguments,
        config: Config,
        examples: Examples,
        held_out: Examples | None,
        pad: int,
    ) -> None:
        super().__init__(learner, args, eval_dataset=held_out)
        sizes = learner.network.config
        self.config, self.examples, self.held_out = config, examples, held_out
        self.collate = Collate(sizes.num_queries + sizes.num_extra_queries, pad)
        self._told: set[str] = set()  # entries that could not be read, of which the log tells: each once
        self._unread: set[str] = set()  # by this process since the last line of the log
        self._counts = torch.zeros(2, dtype=torch.long)  # talks cut and clips replaced since then

    def get_train_dataloader(self) -> "DataLoader[Any]":
        """Return all batches of the training, as if they were one epoch: resuming skips those that were seen."""
        count = self.args.max_steps * self.config.accumulate
        order = batches(self.config, self.examples, count, self.args.process_index, self.args.world_size)
        return self._loader(self.examples, order)

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """Return what decays: no vectors, no biases."""
        return [name for name, weight in model.named_parameters() if weight.ndim > 1 and not name.endswith("bias")]

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Take one batch, and note what was cut in it, and what could not be read."""
        unread = inputs.pop("unread")
        self._unread.update(unread)
        self._counts += torch.tensor([inputs.pop("cut"), len(unread)])
        return super().training_step(model, inputs, num_items_in_batch)

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """Log, with what was noted on all processes since the last line: a checkpoint remembers what is logged."""
        from accelerate.utils import gather_object  # type: ignore[import-untyped, unused-ignore]

        if "loss" in logs:
            counts = self.accelerator.reduce(self._counts.to(self.args.device))
            logs |= {"cut": int(counts[0]), "unreadable": int(counts[1])}
            self._counts.zero_()
        if "loss" in logs or "eval_loss" in logs:
            new = {*gather_object(sorted(self._unread))} - self._told
            logs |= {"unread": sorted(new)} if new else {}
            self._told |= new
            self._unread.clear()
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return, and log, the mean loss of all tokens that are held out, without any chance."""
        assert self.held_out is not None
        model: Any = self.model
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        with torch.no_grad():
            for batch in self._loader(self.held_out, _in_order(self.config, self.held_out, self.args)):
                self._unread.update(batch.pop("unread"))
                del batch["cut"]
                inputs = {name: values.to(self.args.device) for name, values in batch.items()}
                sums[0] += model(**inputs, num_items_in_batch=1)["loss"]
                sums[1] += (inputs["labels"] != IGNORED).sum()
        total, count = self.accelerator.reduce(sums)
        found = {"eval_loss": float(total / count)}
        self.log(found)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _loader(self, examples: Examples, order: Any) -> "DataLoader[Any]":
        from torch.utils.data import DataLoader

        workers: dict[str, Any] = {"num_workers": self.config.workers, "persistent_workers": self.config.workers > 0}
        shared = self.args.device.type == "cuda"
        source: Any = examples
        return DataLoader(source, batch_sampler=order, collate_fn=self.collate, pin_memory=shared, **workers)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write what is trained."""
        from safetensors.torch import save_file

        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.cpu().contiguous() for name, weight in self._learner.trained().items()}
        save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Take over what `save_model` wrote; for this Trainer has no public method."""
        from safetensors.torch import load_file

        try:
            self._learner.load_trained(load_file(Path(resume_from_checkpoint) / _WEIGHTS))
        except ValueError as error:
            raise UnavailableError(f"{resume_from_checkpoint}: {error}; train anew with --force") from None

    @property
    def _learner(self) -> Learner:
        found = self.accelerator.unwrap_model(self.model)
        assert isinstance(found, Learner)
        return found


def batches(config: Config, examples: Examples, count: int, rank: int, world: int) -> Batches:
    """Return the draws of one of `world` processes."""
    sizes: dict[Medium, int] = {medium: len(items) for medium, items in examples.items.items()}
    each: Mapping[Medium, int] = {"video": config.batch.video, "image": config.batch.image}
    return Batches(sizes, each, count, config.seed, rank, world)


def _in_order(config: Config, examples: Examples, args: TrainingArguments) -> list[list[Draw]]:
    """Return the draws of what is held out, in order, shared among the processes."""
    found: list[list[Draw]] = []
    for medium in MEDIA:
        each = getattr(config.batch, medium)
        mine = range(args.process_index, len(examples.items[medium]), args.world_size)
        draws = [Draw(medium, number, 0) for number in mine]
        found += [draws[at : at + each] for at in range(0, len(draws), each)]
    return found
