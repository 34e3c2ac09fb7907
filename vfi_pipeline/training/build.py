"""From a composed configuration to the parts of a run; every mistake in it becomes a UserError."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.training.resume import AtomicCheckpoints, Resume, find_resume

Instantiate = Callable[..., Any]

log = logging.getLogger(__name__)


def build(cfg: DictConfig, instantiate: Instantiate) -> dict[str, Any]:
    """The arguments of ``session.train``: trainer, module, data, config, run folder and what to go on with.

    Raises:
        UserError: for a missing or wrong value, naming it.
    """
    quiet()
    resume = find_resume(cfg.ckpt_path) if cfg.ckpt_path else None
    if resume is not None:
        # The run goes on in its own folder, under its own name.
        OmegaConf.update(cfg, "run_dir", str(resume.run_dir), force_add=True)
    if cfg.toy and OmegaConf.missing_keys(cfg.data):
        log.info("toy data stand in for data: %s", ", ".join(sorted(OmegaConf.missing_keys(cfg.data))))
        cfg.data = cfg.toy
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(
            f"{', '.join(missing)} is not given.", "python train.py " + " ".join(f"{key}=..." for key in missing)
        )
    settings = OmegaConf.to_container(cfg)
    try:
        config = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(config, dict)
        data = instantiate(cfg.data)
        module = instantiate(cfg.training)
        trainer = build_trainer(cfg, instantiate, resume)
    except InstantiationException as error:
        raise _user_error(error) from error
    except OmegaConfBaseException as error:
        raise UserError(f"The configuration is wrong: {_first_line(error)}.", "See train.py --help.") from error
    return {
        "trainer": trainer,
        "module": module,
        "data": data,
        "config": config,
        "settings": settings,
        "run_dir": Path(cfg.run_dir),
        "resume": resume,
        "name": cfg.name,
        "test": cfg.test,
    }


def build_trainer(cfg: DictConfig, instantiate: Instantiate, resume: Resume | None) -> Any:
    """The Trainer with its callbacks, logger and atomic checkpoints."""
    callbacks = [instantiate(callback) for callback in (cfg.callbacks or {}).values() if callback]
    logger = False
    if cfg.logger:
        logger = instantiate(cfg.logger, run_id=resume.run_id if resume else None)
    return instantiate(cfg.trainer, callbacks=callbacks, logger=logger, plugins=[AtomicCheckpoints()], _convert_="all")


def _user_error(error: InstantiationException) -> UserError:
    """The cause, where someone wrote it for a reader; hydra wraps it in where it happened."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        if isinstance(cause, (ValueError, TypeError)):
            return UserError(_first_line(cause), "See train.py --help and docs/training-guide.md.", USAGE)
        if type(cause).__name__ == "MisconfigurationException":
            return UserError(_first_line(cause), "Choose trainer=cpu, gpu, ddp or ddp_sim.", ENVIRONMENT)
        cause = cause.__cause__ or cause.__context__
    return UserError(_first_line(error), "See train.py --help and docs/training-guide.md.", USAGE)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def quiet() -> None:
    """Silences what Lightning says of itself; its warnings about real trouble stay."""
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*",
        ".*number of training batches.*",
        ".*LeafSpec.*",
        "Using ModelCheckpoint with manual optimization",  # after the step is what we want
    ):
        warnings.filterwarnings("ignore", message=text)
