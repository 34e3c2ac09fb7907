"""One training run from its first step to the exported weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from vfi_pipeline.errors import INTERRUPTED, UserError
from vfi_pipeline.models.checkpoint import Card, save_model
from vfi_pipeline.training.callbacks import EMA, load_weights
from vfi_pipeline.training.facts import run_facts
from vfi_pipeline.training.loggers import finish, log_facts
from vfi_pipeline.training.resume import Resume, RunState, check_same, read_checkpoint

log = logging.getLogger(__name__)


def train(
    trainer: Any,
    module: Any,
    data: pl.LightningDataModule,
    config: Mapping[str, Any],
    run_dir: Path,
    resume: Resume | None = None,
    name: str = "run",
    test: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Fits, tests the best checkpoint, exports it with its card to ``run_dir/export``; returns the metrics.

    Args:
        config: the resolved configuration, for the log and the card.
        resume: the run to go on with.
        test: False stops after fitting and exports untested weights.
        settings: the configuration as written, references kept: what a resumed run is compared with, so that a
            value counts once, in the group that owns it. None takes ``config``.

    Raises:
        UserError: if ``resume`` was made with other settings or data, or the user stopped the run.
    """
    fingerprint = data.fingerprint() if hasattr(data, "fingerprint") else ""
    settings = dict(config if settings is None else settings)
    if resume is not None:
        check_same(resume, settings, fingerprint)
    facts: dict[str, Any] = {
        "run": run_facts(),
        "data": {**(data.facts() if hasattr(data, "facts") else {}), "fingerprint": fingerprint},
        "weights": sum(p.numel() for p in module.model.parameters()),
        "config": dict(config),
    }
    if trainer.is_global_zero:
        log_facts(trainer.loggers, facts, run_dir)
        log.info("%d weights; run folder %s", facts["weights"], run_dir)
    trainer.callbacks.insert(0, RunState(settings, fingerprint))
    began, first = time.monotonic(), 0 if resume is None else resume.step
    try:
        trainer.fit(module, datamodule=data, ckpt_path=None if resume is None else str(resume.path))
    except SystemExit as stop:  # Lightning's answer to Ctrl-C
        if not trainer.interrupted:
            raise
        raise UserError(
            f"Stopped at step {trainer.global_step}.",
            f"The same command with ckpt_path={run_dir} goes on from the last checkpoint.",
            INTERRUPTED,
        ) from stop
    # Also where the steps are no multiple of checkpoint_every: a finished run can be made longer.
    trainer.save_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    hours = (time.monotonic() - began) / 3600
    best = load_best(trainer, module)
    tested = trainer.test(module, datamodule=data, verbose=False)[0] if test else {}
    metrics = {key: float(value) for key, value in tested.items()}
    if trainer.is_global_zero:
        facts["run"] |= {
            "steps": trainer.global_step,
            "best_step": best,
            "devices": trainer.world_size,
            "precision": trainer.precision,
            "hours": round(hours, 3),
            "steps_of_this_start": trainer.global_step - first,
        }
        export(module, facts, metrics, run_dir, name)
        finish(trainer.loggers)
    return metrics


def load_best(trainer: Any, module: Any) -> int:
    """Puts the best checkpoint's weights (averaged, if there is an average) into the module; returns its step."""
    kept = [c for c in trainer.callbacks if isinstance(c, ModelCheckpoint) and c.monitor and c.best_model_path]
    if not kept:
        average = next((c.average for c in trainer.callbacks if isinstance(c, EMA)), None)
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


def export(module: Any, facts: Mapping[str, Any], metrics: Mapping[str, float], run_dir: Path, name: str) -> Path:
    """The model as safetensors with its card, for ``interpolate.py weights=``; returns the file."""
    path = run_dir / "export" / f"{name}.safetensors"
    card = Card(name, dict(facts["run"]), dict(facts["data"]), dict(metrics))
    with torch.no_grad():
        save_model(path, module.model, card)
    log.info("exported: %s", path)
    for key, value in sorted(metrics.items()):
        log.info("%s %.5g", key, value)
    return path
