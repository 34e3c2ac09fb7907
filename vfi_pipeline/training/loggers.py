"""Where a run's numbers and pictures go: csv, TensorBoard, Weights & Biases, or nowhere. The one door to wandb."""

from __future__ import annotations

import json
import logging
import netrc
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.training.pictures import save_animation, save_picture

log = logging.getLogger(__name__)


def csv_logger(run_dir: str, run_id: str | None = None) -> Logger:
    """Numbers to ``run_dir/csv/metrics.csv``; a resumed run writes ``csv/resumed_1/...``, never over the old rows."""
    folder = Path(run_dir) / "csv"
    # CSVLogger empties a folder that has metrics already; each start of the same run gets its own.
    version = "" if not (folder / "metrics.csv").exists() else f"resumed_{len(list(folder.glob('resumed_*'))) + 1}"
    return CSVLogger(str(run_dir), name="csv", version=version, flush_logs_every_n_steps=20)


class _Tensorboard(TensorBoardLogger):
    def finalize(self, status: str) -> None:
        """Closes the file, and waits for the next second: files are named by the second in which they are opened, and
        testing after training opens another one. In the same second it would replace what training has logged."""
        opened = self._experiment is not None
        super().finalize(status)
        if opened:
            time.sleep(1 - time.time() % 1)


def tensorboard_logger(run_dir: str, run_id: str | None = None) -> Logger:
    """To ``run_dir/tensorboard``."""
    try:
        return _Tensorboard(str(run_dir), name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise UserError(
            "tensorboardX is not installed.", "pip install tensorboardX, or logger=csv", ENVIRONMENT
        ) from error


def wandb_logger(
    run_dir: str,
    run_id: str | None = None,
    project: str = "vfi-pipeline",
    name: str | None = None,
    entity: str | None = None,
    offline: bool | None = None,
    tags: Sequence[str] = (),
) -> Logger:
    """To Weights & Biases.

    Args:
        run_id: of a run to be continued; None starts one.
        offline: None is offline exactly when there is no key; ``wandb sync`` uploads later.
    """
    if offline is None:
        offline = os.environ.get("WANDB_MODE") in ("offline", "disabled") or not _has_key()
        if offline:
            log.info("W&B: offline. Upload later with: wandb sync %s/wandb/offline-run-*", run_dir)
    # Lightning marks an offline run as not to be resumed; the id is what ties the parts together when they are synced.
    return WandbLogger(
        name=name,
        save_dir=str(run_dir),
        offline=offline,
        id=run_id,
        project=project,
        entity=entity,
        resume=None if offline else "allow",
        tags=list(tags),
    )


def run_id_of(loggers: Sequence[Logger]) -> str | None:
    """The W&B id, if the run is logged there."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            return str(logger.experiment.id)
    return None


def log_facts(loggers: Sequence[Logger], facts: Mapping[str, Any], run_dir: Path) -> None:
    """The run's configuration, git state and data: to every logger, and to ``run_dir/run.json``."""
    run_dir.mkdir(parents=True, exist_ok=True)
    draft = run_dir / "run.json.part"
    draft.write_text(json.dumps(facts, indent=2, default=str))
    os.replace(draft, run_dir / "run.json")
    for logger in loggers:
        logger.log_hyperparams(dict(facts))


def log_picture(loggers: Sequence[Logger], run_dir: Path, name: str, picture: Tensor, step: int) -> Path:
    """(3, H, W) in [0, 1]: to ``run_dir/media`` and to every logger that shows pictures."""
    path = save_picture(run_dir / "media" / f"{name.replace('/', '_')}_{step:07d}.png", picture)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture.detach().cpu(), step)
    return path


def log_animation(loggers: Sequence[Logger], run_dir: Path, name: str, frames: Tensor, step: int) -> Path:
    """(T, C, H, W) in [0, 1]: a GIF in ``run_dir/media``, and to every logger that shows films."""
    path = save_animation(run_dir / "media" / f"{name.replace('/', '_')}_{step:07d}.gif", frames)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_video(name, [str(path)], format=["gif"])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"{name}/middle", frames[len(frames) // 2].detach().cpu(), step)
    return path


def finish(loggers: Sequence[Logger]) -> None:
    """Closes what is open, so that the next run of a sweep starts its own."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        wandb.finish()


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
