"""Callbacks around the training steps: averaged weights, meters, panels, progress lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from torch import Tensor

from vfi_pipeline.training.loggers import log_animation, log_picture
from vfi_pipeline.training.panel import panel
from vfi_pipeline.training.run_clock import RunClock
from vfi_pipeline.training.trainer import model_of, parts_of

log = logging.getLogger(__name__)


class EMA(Callback):
    """Keeps an exponential moving average of the model's weights for validation, best checkpoint and export.

    The decay grows with the steps as ``min(decay, (1 + n) / (10 + n))``, so that the first weights are soon forgotten.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"A moving average needs a decay in [0, 1), got {decay}.")
        self.decay, self.updates, self._last = decay, 0, -1
        self.average: dict[str, Tensor] = {}
        self._raw: dict[str, Tensor] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        weights = _weights(pl_module)
        if not self.average:
            self.average = {name: value.detach().clone() for name, value in weights.items()}
        self.average = {name: value.to(weights[name].device) for name, value in self.average.items()}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = trainer.global_step  # not before: a run that goes on has it only now

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == self._last:  # gradients are still being accumulated
            return
        self._last = trainer.global_step
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in _weights(pl_module).items():
            mean = self.average[name]
            if mean.is_floating_point():
                mean.lerp_(value.detach(), 1 - decay)
            else:
                mean.copy_(value)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.average:
            self._raw = {name: value.detach().clone() for name, value in _weights(pl_module).items()}
            load_weights(pl_module, self.average)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # ModelCheckpoint runs after this: the checkpoint holds the raw weights, and the average as our state.
        if self._raw is not None:
            load_weights(pl_module, self._raw)
            self._raw = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.on_validation_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average, self.updates = dict(state_dict["average"]), state_dict["updates"]


def _weights(module: pl.LightningModule) -> dict[str, Tensor]:
    """The weights of the model that is exported, not those of a critic or a perceptual network."""
    return model_of(module).state_dict()


@torch.no_grad()
def load_weights(module: pl.LightningModule, weights: dict[str, Tensor]) -> None:
    """Copies into the model in place, so that optimiser and DDP keep their tensors."""
    for name, value in _weights(module).items():
        value.copy_(weights[name])


class TurnLog:
    """Logs figures of networks that are trained in turns, each at its own steps.

    Lightning repeats the last value of everything at every step that it logs: the model's loss at a step of the critic
    would be that of some steps ago, and where the turns and ``log_every_n_steps`` have a common factor, one of the two
    would only ever be seen like that.
    """

    def __init__(self) -> None:
        self._logged: dict[str, int] = {}

    def log(self, module: pl.LightningModule, who: str, values: Mapping[str, Any]) -> None:
        """Writes ``values`` of the step that is being made, if the last ones of ``who`` are long enough ago."""
        module.log_dict(dict(values), logger=False)  # for the progress lines
        step, trainer = module.global_step, module.trainer
        if who in self._logged and step - self._logged[who] < max(1, parts_of(trainer).log_every_n_steps):
            return
        self._logged[who] = step
        for logger in trainer.loggers:
            logger.log_metrics({name: float(value) for name, value in values.items()}, step)


class Meters(Callback):
    """Logs gradient norm before clipping, learning rate, and throughput over all devices, when Lightning logs."""

    def __init__(self) -> None:
        self.every = 50
        self._turns = TurnLog()
        self._since: tuple[float, int] | None = None
        self._samples = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.every = max(1, parts_of(trainer).log_every_n_steps)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        several = len(trainer.optimizers) > 1
        if not several and (trainer.global_step + 1) % self.every:
            return
        norms = [
            p.grad.detach().norm() for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        if not norms:
            return
        if several:
            underlying = getattr(optimizer, "optimizer", optimizer)
            who = "critic" if underlying is trainer.optimizers[1] else "model"
            self._turns.log(pl_module, who, {f"train/grad_norm/{who}": torch.stack(norms).norm()})
        else:
            pl_module.log("train/grad_norm", torch.stack(norms).norm())

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if self._since is None:
            self._since = (time.monotonic(), trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._samples += int(batch[0].shape[0]) * trainer.world_size
        if trainer.global_step % self.every or self._since is None:
            return
        passed, steps = time.monotonic() - self._since[0], trainer.global_step - self._since[1]
        if steps > 0 and passed > 0:
            values = {"train/samples_per_s": self._samples / passed, "train/steps_per_s": steps / passed}
            values["train/lr"] = trainer.optimizers[0].param_groups[0]["lr"]
            pl_module.log_dict(values)
        self._since, self._samples = (time.monotonic(), trainer.global_step), 0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since, self._samples = None, 0  # validation does not count as slow training


class Panels(Callback):
    """Logs a panel (see ``panel.COLUMNS``) and an animation over t of each validation's first batch."""

    def __init__(self, run_dir: str, rows: int = 4, frames: int = 9, every: int = 1) -> None:
        """``every``: validations from one panel to the next."""
        self.run_dir, self.rows, self.frames, self.every = Path(run_dir), rows, frames, every
        self._validations = 0

    @staticmethod
    @lru_cache
    def _pillow_installed() -> bool:
        """Whether pictures can be written; logs it once if not."""
        installed = find_spec("PIL") is not None
        if not installed:
            log.info("Pillow is not installed: there are no panels.")
        return installed

    @torch.no_grad()
    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or not trainer.is_global_zero or trainer.sanity_checking or not self._pillow_installed():
            return
        self._validations += 1
        if (self._validations - 1) % self.every:
            return
        few = type(batch)(*(None if part is None else part[: self.rows] for part in batch))
        sample = pl_module.panel_sample(few)
        step = trainer.global_step
        log_picture(trainer.loggers, self.run_dir, "val/panel", panel(sample, self.rows), step)
        times = torch.linspace(0, 1, self.frames, device=sample.first.device)[None]
        shown = pl_module.model(sample.first[:1], sample.last[:1], times)
        log_animation(trainer.loggers, self.run_dir, "val/animation", shown.frame[0], step)


class ProgressLines(Callback):
    """One line of the log every few seconds: step, loss, speed, time left. For terminals, log files and CI alike."""

    def __init__(self, seconds: float = 20.0) -> None:
        self.seconds = seconds
        self._start: tuple[float, int] = (0.0, 0)
        self._logged_s = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = (time.monotonic(), trainer.global_step)
        self._logged_s = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        now, step = time.monotonic(), trainer.global_step
        done = step - self._start[1]
        if (
            not trainer.is_global_zero
            or done < 1
            or (now - self._logged_s < self.seconds and step != trainer.max_steps)
        ):
            return
        self._logged_s = now
        pace = done / (now - self._start[0])
        losses = {
            n.removeprefix("train/"): v for n, v in trainer.callback_metrics.items() if n.endswith(("loss", "total"))
        }
        shown = "  ".join(f"{name} {float(value):.4g}" for name, value in losses.items() if "val/" not in name)
        left, of = (trainer.max_steps - step) / pace, f"/{trainer.max_steps}"
        if trainer.max_steps < 0:
            clocks = [callback for callback in parts_of(trainer).callbacks if isinstance(callback, RunClock)]
            left, of = next((clock.left_s() for clock in clocks if clock.minutes), float("nan")), ""
        log.info("step %d%s  %s  %.2f steps/s  %s left", step, of, shown, pace, _clock(max(left, 0.0)))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        metrics = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
        log.info(
            "step %d  %s", trainer.global_step, "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        )


def _clock(seconds: float) -> str:
    if seconds != seconds:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
