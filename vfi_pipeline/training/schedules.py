"""Learning rate schedules, in optimiser steps: epochs mean nothing where data is drawn without end."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vfi_pipeline.errors import UserError

SHORT = 0.1
"""Share of a run by the clock after which the warm-up ends, however few steps there were."""


class RunSchedule(LambdaLR):
    """A rate that follows the steps, or how much of the run is done where a clock says that.

    Args:
        rate: (step, share of the run or None) -> share of the peak rate.

    Attributes:
        run_share: gives how much of the run is done, 0 to 1; None: the steps say it.
    """

    def __init__(self, optimizer: Optimizer, rate: Callable[[int, float | None], float]) -> None:
        self.run_share: Callable[[], float] | None = None
        super().__init__(optimizer, lambda step: rate(step, None if self.run_share is None else self.run_share()))

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().state_dict().items() if key != "run_share"}


def warmup_cosine(optimizer: Optimizer, steps: int, warmup: float = 0, final: float = 0.0) -> LambdaLR:
    """Rises linearly over ``warmup`` steps (below 1: that share of the run), then falls along half a cosine to
    ``final``, a share of the peak, at ``steps``."""
    rate = partial(_cosine, steps=steps, warmup=_in_steps(steps, warmup), final=final)
    return RunSchedule(optimizer, rate)


def warmup_constant(optimizer: Optimizer, steps: int, warmup: float = 0) -> LambdaLR:
    """Rises linearly over ``warmup`` steps (below 1: that share of the run) and stays."""
    number = _in_steps(steps, warmup)
    return RunSchedule(optimizer, lambda step, share: _ramp(step, number))


def staircase(optimizer: Optimizer, steps: int, every: int = 1600, factor: float = 0.95) -> LambdaLR:
    """Falls by ``factor`` each ``every`` steps: the paper's (0.95 each 100 epochs of about 16 batches)."""
    return LambdaLR(optimizer, partial(_stairs, every=every, factor=factor))


def _in_steps(steps: int, warmup: float) -> int:
    """A warm-up in steps; below 1 it is a share of the run."""
    number = int(warmup * steps) if 0 < warmup < 1 else int(warmup)
    if not 0 <= number < steps:
        raise UserError(f"A warm-up of {warmup:g} steps does not fit into {steps}.", "Lower scheduler.warmup.")
    return number


def _ramp(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / (warmup + 1))


def _cosine(step: int, share: float | None, steps: int, warmup: int, final: float) -> float:
    if step < warmup and (share is None or share < SHORT):
        return _ramp(step, warmup)
    done = min(1.0, (step - warmup) / (steps - warmup)) if share is None else share
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def _stairs(step: int, every: int, factor: float) -> float:
    return factor ** (step // every)
