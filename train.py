"""Fit a Warping Neural ODE: ``python train.py data.root=/films`` (``--help`` for more, docs/training-guide.md)."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vfi_pipeline.errors import USAGE, UserError

log = logging.getLogger("train")


def run(cfg: DictConfig) -> float | None:
    """Builds what the configuration names and trains it; returns the monitored metric, for sweeps."""
    import pytorch_lightning as pl

    from vfi_pipeline.training.explain import explain, quiet
    from vfi_pipeline.training.resume import AtomicCheckpoints, find_resume
    from vfi_pipeline.training.session import train

    quiet()
    resume = find_resume(cfg.ckpt_path) if cfg.ckpt_path else None
    if resume is not None:
        cfg.run_dir = str(resume.run_dir)  # the run goes on in its own folder
    complete(cfg)
    settings: Any = OmegaConf.to_container(cfg)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    try:
        config: Any = OmegaConf.to_container(cfg, resolve=True)
        data, module = instantiate(cfg.data), instantiate(cfg.training)
        callbacks = [instantiate(callback) for callback in (cfg.callbacks or {}).values() if callback]
        logger = instantiate(cfg.logger, run_id=resume.run_id if resume else None) if cfg.logger else False
        parts = {"callbacks": callbacks, "logger": logger, "plugins": [AtomicCheckpoints()]}
        trainer = instantiate(cfg.trainer, **parts, _convert_="all")
    except Exception as error:
        raise explain(error) from error
    try:
        metrics = train(trainer, module, data, config, Path(cfg.run_dir), resume, cfg.name, cfg.test, settings)
    except Exception as error:
        raise explain(error, running=True) from error
    return metrics.get((cfg.monitor or "").replace("val/", "test/"))


def complete(cfg: DictConfig) -> None:
    """Puts toy data where ``debug=fdr`` finds none; UserError that names what else is missing, or cannot be."""
    if cfg.toy and OmegaConf.missing_keys(cfg.data):
        log.info("toy data stand in for data: %s", ", ".join(sorted(OmegaConf.missing_keys(cfg.data))))
        cfg.data = cfg.toy
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        words = " ".join(f"{key}=..." for key in missing)
        raise UserError(f"{', '.join(missing)} is not given.", f"python train.py {words}")
    for key in ("steps", "validate_every", "checkpoint_every"):
        if not isinstance(cfg[key], int) or cfg[key] < 1:
            raise UserError(f"{key}={cfg[key]} is not a number of steps.", f"{key}= a whole number, 1 or more.")
    if cfg.mode not in ("min", "max"):
        raise UserError(f"mode={cfg.mode} is neither of the two.", "mode=max if more is better, or mode=min.")


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """The command; a failure that the user can act on ends it with its own exit code, without a traceback."""
    try:
        return run(cfg)
    except UserError as error:
        log.error("%s", error)
        sys.exit(error.code)


def refuse(error: HydraException) -> None:
    """Ends the program over a word of the command line that the configuration does not know."""
    lines = [*str(error).splitlines(), *str(error.__cause__ or "").splitlines()]
    problem = " ".join(line for line in lines[:1] + [line for line in lines[1:] if "not in" in line])
    remedy = "python train.py --cfg job shows every value that can be set, --help the groups."
    sys.stderr.write(f"{UserError(problem, remedy)}\n")
    sys.exit(USAGE)


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's own mistakes come here instead of ending the program with code 1
    sys.argv[0] = str(Path(sys.argv[0]).resolve())  # DDP starts this file again, wherever it was called from
    try:
        main()
    except HydraException as mistake:
        refuse(mistake)
