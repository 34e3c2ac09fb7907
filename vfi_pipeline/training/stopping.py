"""An orderly end on Ctrl-C, SIGTERM and a scheduler's warning: the step is finished and a checkpoint saved."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback

from vfi_pipeline.errors import INTERRUPTED, UserError
from vfi_pipeline.training.callbacks import EMA
from vfi_pipeline.training.trainer import parts_of

log = logging.getLogger(__name__)

# What a person, a system that shuts down and a scheduler before its limit send. SIGUSR1 and SIGUSR2 are warnings that
# a job can ask for (sbatch --signal), SIGXCPU is Grid Engine's.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")


class Stopped(BaseException):
    """The user or the system asked for the end. No Exception, which an ``except Exception`` on the way may swallow, and
    no KeyboardInterrupt, to which Lightning answers by killing the other processes."""


class StopRequest:
    """Whether an end was requested, and by which signal. ``orderly``: a callback checks it after every step.

    A signal at another time (before the first step, while weights are exported) raises ``Stopped`` at once, and so
    does a second one, a second or more after the first.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self.orderly = False
        self._when = 0.0
        self._pid = os.getpid()

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        """The signal handler."""
        if os.getpid() != self._pid:
            return  # a loader process, forked with this handler
        name, now = signal.Signals(number).name, time.monotonic()
        first = self.signal_name is None
        if not first and now - self._when < 1:
            return  # one request sent twice: a terminal and a launcher both signal the whole group
        self.signal_name, self._when = self.signal_name or name, now
        if not (first and self.orderly):
            raise Stopped(name)
        log.warning("%s: a checkpoint is saved after this step. Once more stops at once.", name)


@contextmanager
def stop_requests(again: str) -> Iterator[StopRequest]:
    """Within it the ``SIGNALS`` are requests. SIGHUP stays ignored where it is (nohup).

    Args:
        again: the remedy where nothing is saved yet.

    Raises:
        UserError: in place of ``Stopped``, if no one turned that into something better.
    """
    request, before = StopRequest(), {}
    try:
        before = install(request)
        yield request
    except Stopped as stop:
        raise UserError(f"Stopped ({stop}) before the first step.", again, INTERRUPTED) from stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def install(request: StopRequest) -> dict[int, Any]:
    """Points the signals at ``request``; returns the handlers that were there."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before: dict[int, Any] = {}
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
            before[number] = signal.getsignal(number)
            signal.signal(number, request.handle)
    return {number: handler for number, handler in before.items() if handler is not None}


class OrderlyStop(Callback):
    """Saves ``path`` and ends the fit after the step, or the batch of validation, in which a stop was asked for.

    All processes stop after the same step, whichever of them was asked.
    """

    def __init__(self, request: StopRequest, path: Path) -> None:
        self.request, self.path = request, path
        self._step = -1
        self._whole = True  # whether no gradients wait for the next step: a checkpoint does not hold them

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning has just put its own handlers there: one kills the other processes in the middle of a step, one
        # saves in the middle of a step, and SIGTERM ends without saving.
        install(self.request)
        self.request.orderly = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        install(self.request)
        self.request.orderly, self._step = True, trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._whole, self._step = trainer.global_step != self._step, trainer.global_step
        if self._whole and self._everywhere(trainer):
            self._stop(trainer, pl_module)

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if self._whole and self.request.orderly and trainer.state.fn == "fit" and self._everywhere(trainer):
            for callback in parts_of(
                trainer
            ).callbacks:  # the averaged weights are in place now; the raw ones are saved
                if isinstance(callback, EMA):
                    callback.on_validation_end(trainer, pl_module)
            # As if the validation had not begun: half of one would count as a whole after resuming.
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.reset()
            self._stop(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.request.orderly = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.request.orderly = False

    def _everywhere(self, trainer: pl.Trainer) -> bool:
        asked = self.request.signal_name is not None
        if trainer.world_size == 1:
            return asked
        flag = torch.tensor(float(asked), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag)

    def _stop(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.request.orderly = False
        trainer.save_checkpoint(self.path)
        raise Stopped(self.request.signal_name or "another process was asked")


def queue_again() -> bool:
    """Puts this SLURM job back into its queue, as ``sbatch --signal=SIGUSR1@90`` expects; False outside SLURM."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID") and (
        f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    )
    job = job or os.environ.get("SLURM_JOB_ID", "")
    if not re.fullmatch(r"[0-9_]+", job):
        return False
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("SLURM job %s could not be queued again (%s).", job, error)
        return False
    if done.returncode:
        log.warning("SLURM job %s could not be queued again (%s).", job, done.stderr.strip() or done.returncode)
        return False
    log.info("SLURM job %s is queued again; it goes on by itself.", job)
    return True
