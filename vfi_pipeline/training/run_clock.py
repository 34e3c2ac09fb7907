"""A run that ends by the clock: for a rented hour or a place in a queue."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import Callback

from vfi_pipeline.errors import UserError
from vfi_pipeline.training.schedules import RunSchedule
from vfi_pipeline.training.trainer import parts_of

log = logging.getLogger(__name__)

EXPORT_S = 5.0
"""What the export and the end of the program take, seconds."""


class RunClock(Callback):
    """Ends the run after ``minutes``, validation and export included; the rate and the data's stages follow the time.

    The minutes begin when this is built: a rented hour includes reading the data and starting the processes. The time
    of earlier starts counts: a run that was killed goes on with the minutes that are left. Its checkpoint is at most
    ``checkpoint_s`` old.

    Args:
        minutes: None: the run ends by its steps.
        run_dir: holds ``checkpoints/last.ckpt``.
        checkpoint_s: seconds from one checkpoint to the next.
    """

    def __init__(self, minutes: float | None, run_dir: str, checkpoint_s: float = 60.0) -> None:
        if minutes is not None and not minutes > 0:
            raise UserError(f"minutes={minutes:g} is no time to train.", "minutes= a number above 0, such as 9 or 0.5.")
        self.minutes, self.checkpoint_s = minutes, checkpoint_s
        self.path = Path(run_dir) / "checkpoints" / "last.ckpt"
        self._begun, self._earlier = time.monotonic(), 0.0
        self._saved = self._begun
        self._validation_begun = self._validation_s = 0.0

    def passed_s(self) -> float:
        """Seconds of this start and of those before it."""
        return self._earlier + time.monotonic() - self._begun

    def left_s(self) -> float:
        """Seconds of training that are left: the last validation and the test take theirs from the end."""
        assert self.minutes is not None
        reserve = 2 * self._validation_s + EXPORT_S
        # At least half of a short time is for training; where validation takes more, the run takes longer.
        return 60 * self.minutes - min(reserve, 30 * self.minutes) - self.passed_s()

    def share(self) -> float:
        """How much of the run is done, 0 to 1."""
        passed = self.passed_s()
        return min(1.0, passed / max(passed + self.left_s(), 1e-9))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.minutes is None:
            return
        for config in trainer.lr_scheduler_configs:
            if not isinstance(config.scheduler, RunSchedule):
                raise UserError(
                    f"{type(config.scheduler).__name__} follows the steps, not the minutes.",
                    "scheduler=cosine or scheduler=constant with minutes=, or leave minutes out.",
                )
            config.scheduler.run_share = self.share

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        data = parts_of(trainer).datamodule
        if self.minutes is not None and data is not None and hasattr(data, "run_share"):
            data.run_share = self.share

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if self.minutes is None:
            return
        over = self.left_s() <= 0
        if trainer.world_size > 1:  # all processes stop after the same step
            over = trainer.strategy.reduce_boolean_decision(over, all=False)
        if over:
            trainer.should_stop = True  # Lightning validates once more, and ends
            return
        due = time.monotonic() - self._saved >= self.checkpoint_s
        if trainer.world_size > 1:
            due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if due:
            trainer.save_checkpoint(self.path)
            self._saved = time.monotonic()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_begun = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validation_s = max(self._validation_s, time.monotonic() - self._validation_begun)

    def state_dict(self) -> dict[str, Any]:
        return {"passed_s": self.passed_s(), "validation_s": self._validation_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier, self._validation_s = float(state_dict["passed_s"]), float(state_dict["validation_s"])
