"""Learning rate schedules, in optimiser steps: epochs mean nothing where data is drawn without end."""

from __future__ import annotations

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vfi_pipeline.errors import UserError


def warmup_cosine(optimizer: Optimizer, steps: int, warmup: int = 0, final: float = 0.0) -> LambdaLR:
    """Rises linearly over ``warmup`` steps, then falls along half a cosine to ``final``, a share, at ``steps``."""
    _checked(steps, warmup)
    return LambdaLR(optimizer, partial(_cosine, steps=steps, warmup=warmup, final=final))


def warmup_constant(optimizer: Optimizer, steps: int, warmup: int = 0) -> LambdaLR:
    """Rises linearly over ``warmup`` steps and stays."""
    _checked(steps, warmup)
    return LambdaLR(optimizer, partial(_ramp, warmup=warmup))


def staircase(optimizer: Optimizer, steps: int, every: int = 1600, factor: float = 0.95) -> LambdaLR:
    """Falls by ``factor`` each ``every`` steps: the paper's (0.95 each 100 epochs of about 16 batches)."""
    return LambdaLR(optimizer, partial(_stairs, every=every, factor=factor))


def _checked(steps: int, warmup: int) -> None:
    if not 0 <= warmup < steps:
        raise UserError(f"A warm-up of {warmup} steps does not fit into {steps}.", "Lower scheduler.warmup.")


def _ramp(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / (warmup + 1))


def _cosine(step: int, steps: int, warmup: int, final: float) -> float:
    if step < warmup:
        return _ramp(step, warmup)
    done = min(1.0, (step - warmup) / (steps - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def _stairs(step: int, every: int, factor: float) -> float:
    return factor ** (step // every)
