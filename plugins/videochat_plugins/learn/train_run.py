"""Trains one stage, from a config to a folder that `embed.videochat` loads."""

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import StackError, VideoError
from videochat.cache import digest, file_hash, write_whole
from videochat.errors import Problem
from videochat.save import check_folder
from videochat_plugins.learn.train_batches import Examples, over_long
from videochat_plugins.learn.train_checkpoint import check_checkpoint, last_checkpoint, step_of
from videochat_plugins.learn.train_config import SITTING, Config, Stage
from videochat_plugins.learn.train_data import MEDIA, Data, listed, read_data
from videochat_plugins.learn.train_load import (
    FACTS,
    Start,
    load_llm,
    load_network,
    look,
    preprocessing,
    read_object,
    save_network,
)
from videochat_plugins.learn.train_prompt import Scribe, scribe_for
from videochat_plugins.models.batches import out_of_memory
from videochat_plugins.models.pretrained import check_device

if TYPE_CHECKING:
    from videochat_plugins.learn.train_model import Learner

_RUN = "train.json"  # what is being trained: that a folder holds it says that it is ours
_CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a training needs but the networks: read and checked."""

    stage: Stage
    config: Config
    start: Start
    scribe: Scribe
    data: Data
    held_out: Data | None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is left out, of what is learnt from and of what is held out."""
        return (*self.data.problems, *(self.held_out.problems if self.held_out else ()))

    def over_long(self) -> list[str]:
        """Return where texts are too long to be seen whole."""
        parts = [self.data, *([self.held_out] if self.held_out else [])]
        return [where for part in parts for where in over_long(part, self.scribe)]

    @property
    def digest(self) -> str:
        """What makes it this training: its config and all files behind it."""
        told = self.config.model_dump(mode="json", exclude={*SITTING, "out"})
        files = [file_hash(file) for file in (*self.config.data, *self.config.eval)]
        weights = [checkpoint.weights().id for checkpoint in (self.start.model, self.start.llm)]
        first = [items[0] for medium in MEDIA if (items := self.data.of(medium))]
        shown = [self.scribe.write(item.medium, item.talk) for item in first]  # by prompt files and chat form
        return digest([self.stage, told, files, weights, shown])


def prepare(config: Config, stage: Stage) -> Prepared:
    """Read and check all that can be checked before a network is loaded.

    Raises:
        StackError: naming entries that are wrong, by file and number; or if there is no such device.
        LLMError: if the chat form does not say where an answer begins and ends.
        UnavailableError: if a model is missing, or is not what the stage starts from.
    """
    if config.device == "cuda":
        check_device("cuda:0")
    start = look(config, stage)
    scribe = scribe_for(config, stage)
    data = _sound(read_data(config.data, stage, config.root, config.bad), scribe, config)
    scribe.write(data.items[0].medium, data.items[0].talk)  # whether the chat form will do
    held_out = None
    if config.eval:
        held_out = _sound(read_data(config.eval, stage, config.root, config.bad), scribe, config)
    prepared = Prepared(stage, config, start, scribe, data, held_out)
    if config.over_long == "refuse" and (long := prepared.over_long()):
        problems = [Problem(where, "", f"has text of over {config.length} tokens") for where in long]
        raise StackError(listed(problems, "raise `length`, or have it cut with `over_long: cut`"))
    return prepared


def train(prepared: Prepared, force: bool = False) -> dict[str, Any]:
    """Train, from the last checkpoint on if there is one, and return what came of it.

    Raises:
        StackError: if `out` holds something else, or memory runs out.
        UnavailableError: if a network cannot be loaded, or the last checkpoint is damaged.
        VideoError: if a video cannot be read, and that is to be refused.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # Trainer loads it, and it misses what nothing uses here
    import transformers

    from videochat_plugins.learn.train_log import Log
    from videochat_plugins.learn.train_model import Learner
    from videochat_plugins.learn.train_trainer import Checkpoints, JointTrainer, arguments, batches

    config, out = prepared.config, prepared.config.out
    pixels, files = preprocessing(prepared.start)
    examples = Examples(prepared.data, prepared.scribe, pixels, config)
    world = int(os.environ.get("WORLD_SIZE", "1"))  # processes that a launcher started
    in_epoch = batches(config, examples, 1, 0, world).in_epoch
    steps = config.steps or max(1, ceil(config.epochs * in_epoch / config.accumulate))
    args = arguments(config, steps, out / _CHECKPOINTS)
    with args.main_process_first(local=False, desc="out"):
        if args.process_index == 0:
            _take(out, prepared, world, force)
        resumed = last_checkpoint(out / _CHECKPOINTS)
        if resumed and args.process_index == 0:
            check_checkpoint(resumed)
    transformers.set_seed(config.seed)
    network = load_network(prepared.start, config.precision)
    llm = load_llm(prepared.start, config.precision, getattr(config, "lora", None))
    learner = Learner(network, llm, config.checkpointing)
    held_out = None
    if prepared.held_out:
        held_out = Examples(prepared.held_out, prepared.scribe, pixels, config, chance=False)
    tokenizer = prepared.scribe.writer.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    began = time.perf_counter()
    try:
        trainer = JointTrainer(learner, args, config, examples, held_out, pad or 0)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(Checkpoints(config.keep, trainer.accelerator.wait_for_everyone))
        trainer.add_callback(Log(prepared.stage, out, steps * config.accumulate / in_epoch))
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except VideoError as error:  # with the trace of the process that read it
        raise VideoError(str(error).rpartition("VideoError: ")[2].strip()) from None
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        mend = "lower `batch` and raise `accumulate`, or set `checkpointing: true` or `precision: bfloat16`"
        raise StackError(f"training ran out of memory on {args.device}: {mend}") from None
    history = trainer.state.log_history
    facts = _facts(prepared, learner, history, steps) | {
        "seconds": round(time.perf_counter() - began, 1),
        "resumed": step_of(resumed) if resumed else 0,
        "processes": args.world_size,
    }
    if args.process_index == 0:
        _write(learner, prepared, files, facts)
    trainer.accelerator.wait_for_everyone()
    return facts


def _sound(data: Data, scribe: Scribe, config: Config) -> Data:
    """Return data without answers that hold what ends an answer: they could never be given whole."""
    ends = {item.where: end for item in data.items for turn in item.talk if (end := scribe.stops(turn.answer))}
    problems = [Problem(where, "", f"an answer holds {end!r}, which ends an answer") for where, end in ends.items()]
    kept = tuple(item for item in data.items if item.where not in ends)
    if problems and (config.bad == "refuse" or not kept):
        raise StackError(listed(problems, "mend them, or leave them out with `bad: skip`"))
    return replace(data, items=kept, problems=(*data.problems, *problems))


def _take(out: Path, prepared: Prepared, world: int, force: bool) -> None:
    """Make `out` this training's.

    Raises:
        StackError: if it holds something else, or the training is done.
    """
    check_folder(out)
    config = prepared.config
    used: list[str | Path] = [config.model, config.llm, *config.data, *config.eval]
    used += [config.root] if config.root else []
    for needed in used:
        if Path(needed).expanduser().resolve().is_relative_to(out.resolve()):
            raise StackError(f"{out} holds {needed}, which this training starts from: name another folder as `out`")
    file = out / _RUN
    mine = {"stage": prepared.stage, "digest": prepared.digest, "processes": world}  # which settle the batches
    if out.is_dir() and any(out.iterdir()):
        if not file.is_file():
            raise StackError(f"{out} is not empty, and no training wrote it: name another folder as `out`")
        if force:
            shutil.rmtree(out)
        elif {name: value for name, value in read_object(file).items() if name != "config"} != mine:
            other = "another training, or one on another number of processes"
            raise StackError(f"{out} holds {other}: name another folder as `out`, or replace it with --force")
        elif (out / FACTS).is_file():
            raise StackError(f"{out} is trained already: name another folder as `out`, or train again with --force")
    out.mkdir(parents=True, exist_ok=True)
    told = mine | {"config": prepared.config.model_dump(mode="json")}
    write_whole(file, json.dumps(told, indent=2) + "\n")


def _facts(prepared: Prepared, learner: "Learner", history: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    from videochat_plugins.learn.train_model import TRAINED, digest_of

    state = learner.network.state_dict()
    losses = [row["loss"] for row in history if "loss" in row]
    measured = [row["eval_loss"] for row in history if "eval_loss" in row]
    data = prepared.data
    return {
        "videochat": version("videochat"),
        "stage": prepared.stage,
        "steps": steps,
        "loss": {"first": losses[0], "last": losses[-1]} if losses else None,
        "eval_loss": {"first": measured[0], "last": measured[-1]} if measured else None,
        "parameters": {
            "trained": sum(weight.numel() for weight in learner.trained().values()),
            "all": sum(weight.numel() for weight in learner.parameters()),
        },
        "data": {medium: len(data.of(medium)) for medium in MEDIA},
        "left_out": [str(problem) for problem in prepared.problems],
        "cut": sum(row.get("cut", 0) for row in history),
        "unreadable": sum(row.get("unreadable", 0) for row in history),
        "unread": sorted({entry for row in history for entry in row.get("unread", ())}),
        "llm": prepared.start.llm.name,
        "space": prepared.start.space,
        "model": prepared.start.model.weights().id,
        "trained": digest_of(state, [name for name in state if TRAINED.fullmatch(name)]),
        "config": prepared.config.model_dump(mode="json"),
    }


def _write(learner: "Learner", prepared: Prepared, files: Mapping[str, bytes], facts: dict[str, Any]) -> None:
    """Write the trained folder; trained.json, which says that it is whole, comes last."""
    out = prepared.config.out
    save_network(learner, prepared.start, out)
    for name, content in files.items():
        (out / name).write_bytes(content)
    if getattr(prepared.config, "lora", None):
        learner.llm.save_pretrained(out / ADAPTER)
    write_whole(out / FACTS, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
