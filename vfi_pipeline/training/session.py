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

from vfi_pipeline.models.checkpoint import Card, save_model
from vfi_pipeline.training.callbacks import EMA, load_weights
from vfi_pipeline.training.facts import run_facts
from vfi_pipeline.training.loggers import finish, log_facts
from vfi_pipeline.training.resume import Resume, RunState, check_same, read_checkpoint

log = logging.getLogger(__name__)


def train(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    config: Mapping[str, Any],
    run_dir: Path,
    resume: Resume | None = None,
    name: str = "run",
    test: bool = True,
) -> dict[str, float]:
    """Fits, tests the best checkpoint, exports it with its card to ``run_dir/export``; returns the metrics.

    Args:
        config: the resolved configuration, for the log, the checkpoints and the card.
        resume: the run to go on with.
        test: False stops after fitting and exports untested weights.

    Raises:
        UserError: if ``resume`` was made with other settings or data.
    """
    fingerprint = data.fingerprint() if hasattr(data, "fingerprint") else ""
    if resume is not None:
        check_same(resume, config, fingerprint)
    facts = {
        "run": run_facts(),
        "data": {**(data.facts() if hasattr(data, "facts") else {}), "fingerprint": fingerprint},
        "weights": sum(p.numel() for p in module.model.parameters()),
        "config": dict(config),
    }
    if trainer.is_global_zero:
        log_facts(trainer.loggers, facts, run_dir)
        log.info("%d weights; run folder %s", facts["weights"], run_dir)
    trainer.callbacks.insert(0, RunState(dict(config), fingerprint))
    began, first = time.monotonic(), 0 if resume is None else resume.step
    trainer.fit(module, datamodule=data, ckpt_path=None if resume is None else str(resume.path))
    if trainer.interrupted:
        return {}
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


def load_best(trainer: pl.Trainer, module: pl.LightningModule) -> int:
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


def export(
    module: pl.LightningModule, facts: Mapping[str, Any], metrics: Mapping[str, float], run_dir: Path, name: str
) -> Path:
    """The model as safetensors with its card, for ``interpolate.py weights=``; returns the file."""
    path = run_dir / "export" / f"{name}.safetensors"
    card = Card(name, dict(facts["run"]), dict(facts["data"]), dict(metrics))
    with torch.no_grad():
        save_model(path, module.model, card)
    log.info("exported: %s", path)
    for key, value in sorted(metrics.items()):
        log.info("%s %.5g", key, value)
    return path
