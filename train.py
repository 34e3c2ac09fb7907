"""Fit a Warping Neural ODE: ``python train.py data.root=/films`` (``--help`` for more, docs/training-guide.md)."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from vfi_pipeline.errors import UserError


def run(cfg: DictConfig) -> float | None:
    """Builds what the configuration names and trains it; returns the monitored metric, for sweeps."""
    import pytorch_lightning as pl

    from vfi_pipeline.training.build import build
    from vfi_pipeline.training.session import train

    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    parts = build(cfg, hydra.utils.instantiate)
    metrics = train(**parts)
    return metrics.get((cfg.monitor or "").replace("val/", "test/"))


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """The command; a failure that the user can act on ends it with its own exit code, without a traceback."""
    try:
        return run(cfg)
    except UserError as error:
        logging.getLogger("train").error("%s", error)
        sys.exit(error.code)


if __name__ == "__main__":
    sys.argv[0] = str(Path(sys.argv[0]).resolve())  # DDP starts this file again, wherever it was called from
    main()
