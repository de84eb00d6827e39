"""Tells how a training goes: bars, log.jsonl and TensorBoard."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from videochat import Event
from videochat.registry import registry

LOG = "log.jsonl"
_BOARD = "tensorboard"
_KEYS = ("loss", "eval_loss", "learning_rate", "grad_norm", "cut", "unreadable")


class Log(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Write what Trainer logs; on the main process only.

    Args:
        stage: what is trained.
        out: the folder.
        epochs: that all steps together make.
    """

    def __init__(self, stage: str, out: Path, epochs: float) -> None:
        self._stage, self._out, self._epochs = stage, out, epochs
        self._board: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin the log, anew with what a checkpoint remembers; dropout differs from process to process."""
        torch.manual_seed(args.seed + args.process_index)
        if not state.is_world_process_zero:
            return
        rows = [self._row(row) for row in state.log_history]
        (self._out / LOG).write_text("".join(f"{json.dumps(row)}\n" for row in rows if row), encoding="utf-8")
        if find_spec(_BOARD):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(self._out / _BOARD, purge_step=state.global_step + 1)
        self._tell(state, "")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log before each checkpoint, the last step's among them: it remembers only what is logged."""
        control.should_log |= control.should_save

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Write a line."""
        row = self._row({**(logs or {}), "step": state.global_step})
        if not state.is_world_process_zero or not row:
            return
        with (self._out / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(row)}\n")
        for key in _KEYS:
            if key in row and self._board is not None:
                self._board.add_scalar(f"{self._stage}/{key}", row[key], state.global_step)
        name = "eval_loss" if "eval_loss" in row else "loss"
        self._tell(state, f"{name} {row[name]:.4f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close what is open."""
        if self._board is not None:
            self._board.close()

    def _row(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Return what a line of the log holds; nothing for what Trainer tells of its own speed."""
        if "loss" not in logs and "eval_loss" not in logs:
            return {}
        at = {"step": logs["step"], "epoch": round(self._epochs * logs.get("epoch", 0.0), 4)}
        return at | {key: logs[key] for key in _KEYS if key in logs}

    def _tell(self, state: Any, words: str) -> None:
        registry().observe(Event("train", self._stage, state.global_step, state.max_steps, detail=words))
