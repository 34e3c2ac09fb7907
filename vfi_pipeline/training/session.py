"""One training run from its first step to the exported weights."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn

from vfi_pipeline.errors import INTERRUPTED, UserError
from vfi_pipeline.models.checkpoint import PAIRS, Card, save_model
from vfi_pipeline.training.callbacks import EMA, load_weights
from vfi_pipeline.training.facts import run_facts
from vfi_pipeline.training.loggers import finish, log_export, log_facts, write_facts
from vfi_pipeline.training.resume import Resume, RunState, check_same, checkpoint_in, read_checkpoint, resume_command
from vfi_pipeline.training.stopping import OrderlyStop, Stopped, StopRequest, queue_again
from vfi_pipeline.training.trainer import model_of, parts_of

log = logging.getLogger(__name__)

DEFAULT_SPAN_PX = 640
"""Longest side, px, at which motion is estimated if the data do not give the size of their pictures."""


class Guided(Protocol):
    """A model that estimates motion at a size of its own: longest side, px; None leaves it to the data."""

    guide_span: int | None


Referee = Callable[[Any, Any], Mapping[str, float]]
"""(model, data module) -> figures by name, from a judge independent of the loss."""


def train(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    config: Mapping[str, Any],
    run_dir: Path,
    resume: Resume | None = None,
    name: str = "run",
    test: bool = True,
    settings: Mapping[str, Any] | None = None,
    words: Sequence[str] = (),
    stop: StopRequest | None = None,
    referee: Referee | None = None,
) -> dict[str, float]:
    """Fits, tests the best checkpoint, exports it with its card to ``run_dir/export``; returns the metrics.

    Args:
        config: the resolved configuration, for the log and the card.
        resume: the run to go on with.
        test: False stops after fitting and exports untested weights.
        settings: the configuration as written, references kept: what a resumed run is compared with, so that a
            value counts once, in the group that owns it. None takes ``config``.
        words: of the command line that made the configuration; ``ckpt_path=`` alone goes on with them.
        stop: checked after every step; None leaves signals to Lightning.
        referee: gives figures of the exported model, which join the metrics.

    Raises:
        UserError: if ``resume`` was made with other settings or data, or the user stopped the run.
    """
    if hasattr(data, "check_device"):
        data.check_device(trainer.strategy.root_device)
    fit_guide_span(model_of(module), data)
    fingerprint = data.fingerprint() if hasattr(data, "fingerprint") else ""
    settings = dict(config if settings is None else settings)
    if resume is not None:
        check_same(resume, settings, fingerprint)
    facts: dict[str, Any] = {
        "run": run_facts(),
        "data": {
            **(data.facts() if hasattr(data, "facts") else {}),
            **({} if getattr(data, "of_films", True) else {"shows": PAIRS}),
            "fingerprint": fingerprint,
        },
        "weights": sum(p.numel() for p in model_of(module).parameters()),
        "config": dict(config),
    }
    if trainer.is_global_zero:
        log_facts(trainer.loggers, facts, run_dir)
        log.info("%d weights; run folder %s", facts["weights"], run_dir)
    last = run_dir / "checkpoints" / "last.ckpt"
    parts_of(trainer).callbacks.insert(0, RunState(settings, fingerprint, words))
    if stop is not None:
        parts_of(trainer).callbacks.append(OrderlyStop(stop, last))
    began, first = time.monotonic(), 0 if resume is None else resume.step
    try:
        trainer.fit(module, datamodule=data, ckpt_path=None if resume is None else str(resume.path))
        # Also where the steps are no multiple of checkpoint_every: a finished run can be made longer.
        trainer.save_checkpoint(last)
        hours = (time.monotonic() - began) / 3600
        if trainer.is_global_zero:
            say_why_early(trainer)
            facts["data"]["left_out"] = data.left_out() if hasattr(data, "left_out") else 0
            if facts["data"]["left_out"]:
                log.warning("%d broken files were left out of the data.", facts["data"]["left_out"])
        best = load_best(trainer, module)
        metrics = final_metrics(trainer, module, data) if test else {}
        if referee is not None and trainer.is_global_zero:
            metrics |= referee_metrics(referee, model_of(module), data)
        if trainer.is_global_zero:
            facts["run"] |= {
                "steps": trainer.global_step,
                "best_step": best,
                "devices": trainer.world_size,
                "precision": trainer.precision,
                "hours": round(hours, 3),
                "steps_of_this_start": trainer.global_step - first,
            }
            path = export(module, facts, metrics, run_dir, name)
            write_facts({**facts, "metrics": metrics, "state": "finished"}, run_dir)
            log_export(trainer.loggers, path, metrics, facts["run"])
            finish(trainer.loggers)
    except (Stopped, SystemExit) as end:  # SystemExit is Lightning's answer to Ctrl-C
        if isinstance(end, SystemExit) and not trainer.interrupted:
            raise
        if stop is not None and stop.signal_name == "SIGUSR1" and trainer.is_global_zero:
            queue_again()
        raise stopped(trainer.global_step, run_dir) from end
    return metrics


def fit_guide_span(model: nn.Module, data: pl.LightningDataModule) -> None:
    """Sets the size at which the model estimates motion to that of its training data, unless the user chose one.

    A model that was trained on pictures of 64 px does not generalise to the motion of larger ones.
    """
    if getattr(model, "guide_span", 0) is not None:
        return
    span = data.span() if hasattr(data, "span") else None
    guided = cast(Guided, model)
    guided.guide_span = span or DEFAULT_SPAN_PX
    log.info("Films and pictures will be looked at at %d px%s.", guided.guide_span, ", as in training" if span else "")


def referee_metrics(referee: Referee, model: nn.Module, data: pl.LightningDataModule) -> dict[str, float]:
    """The referee's figures; none if the set is too small for one."""
    try:
        return {key: float(value) for key, value in referee(copy.deepcopy(model).cpu().eval(), data).items()}
    except UserError as error:
        log.warning("No referee: %s", error.args[0])
        return {}


def final_metrics(trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule) -> dict[str, float]:
    """Figures of the test set; of the validation set, and under its names, where the data hold no test set."""
    if getattr(data, "has_test", lambda: True)():
        metrics = trainer.test(module, datamodule=data, verbose=False)[0]
    else:
        log.info("There is no test set: the figures are of the validation set, by which the weights were chosen.")
        metrics = trainer.validate(module, datamodule=data, verbose=False)[0]
    return {key: float(value) for key, value in metrics.items()}


def stopped(step: int, run_dir: Path) -> UserError:
    """The error that ends a stopped run: its step, and the command that resumes it."""
    checkpoint = checkpoint_in(run_dir)
    if checkpoint is None:
        problem = f"Stopped at step {step}; nothing is saved yet."
        return UserError(problem, "the same command starts again.", INTERRUPTED)
    try:
        saved = f"step {int(read_checkpoint(checkpoint)['global_step'])}"
    except (UserError, KeyError):
        saved = "the last checkpoint"
    return UserError(f"Stopped at step {step}; it goes on from {saved}.", resume_command(run_dir), INTERRUPTED)


def say_why_early(trainer: pl.Trainer) -> None:
    """One line if training ended before its last step."""
    if trainer.max_steps <= 0 or trainer.global_step >= trainer.max_steps:
        return
    where = f"Stopped early at step {trainer.global_step} of {trainer.max_steps}"
    for callback in parts_of(trainer).callbacks:
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            value = trainer.callback_metrics.get(callback.monitor)
            current = "" if value is None else f"it is {float(value):.5g}, "
            reason = (
                f"{callback.monitor} has not gained for {callback.wait_count} validations: "
                if callback.wait_count >= callback.patience
                else f"{callback.monitor} has met a limit of callbacks.stop: "
            )
            log.info("%s: %s%sthe best was %.5g.", where, reason, current, float(callback.best_score))
            return
    log.info("%s: a limit of trainer (max_time, max_epochs) is reached.", where)


def load_best(trainer: pl.Trainer, module: pl.LightningModule) -> int:
    """Puts the best checkpoint's weights (averaged, if there is an average) into the module; returns its step."""
    kept = [
        c for c in parts_of(trainer).callbacks if isinstance(c, ModelCheckpoint) and c.monitor and c.best_model_path
    ]
    if not kept:
        average = next((c.average for c in parts_of(trainer).callbacks if isinstance(c, EMA)), None)
        if average:
            load_weights(module, average)
        return trainer.global_step
    trainer.strategy.barrier()
    checkpoint = read_checkpoint(kept[0].best_model_path)
    module.load_state_dict(checkpoint["state_dict"])
    averages = [state["average"] for key, state in checkpoint["callbacks"].items() if key.startswith("EMA")]
    if averages:
        load_weights(module, averages[0])
    log.info("best: %s = %.5g at step %d", kept[0].monitor, kept[0].best_model_score, checkpoint["global_step"])
    return int(checkpoint["global_step"])


def export(
    module: pl.LightningModule, facts: Mapping[str, Any], metrics: Mapping[str, float], run_dir: Path, name: str
) -> Path:
    """The model as safetensors with its card, for ``interpolate.py weights=``; returns the file."""
    path = run_dir / "export" / f"{name}.safetensors"
    card = Card(name, dict(facts["run"]), dict(facts["data"]), dict(metrics))
    with torch.no_grad():
        save_model(path, model_of(module), card)
    log.info("exported: %s", path)
    for key, value in sorted(metrics.items()):
        log.info("%s %.5g", key, value)
    return path
