"""Flow maps of a velocity field that is given on the pixel grid and does not change with time.

The same Runge-Kutta steps as ``flow_map`` with a fixed-step method (torchdiffeq), written out: no value is read back
from the device on the way, so the solve can be captured in a CUDA graph, and nothing has to be imported for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid, sample
from vfi_pipeline.ode.solver import FIXED, Solver

EVALUATIONS = {"euler": 1, "midpoint": 2, "rk4": 4}
"""Velocity evaluations (NFE) a step."""


def stationary_flow(field: Tensor, duration: float = 1.0, solver: Solver = Solver("midpoint", steps=4)) -> Tensor:
    """``exp(duration * v) - id``: (B, 2, H, W). See ``stationary_flows``."""
    return stationary_flows(field, [duration], solver)[0]


def stationary_flows(
    field: Tensor, durations: Sequence[float], solver: Solver = Solver("midpoint", steps=4)
) -> list[Tensor]:
    """``exp(s * v) - id`` for every s of ``durations``, from one solve each way in time.

    Args:
        field: (B, 2, H, W), pixels per unit t. To follow each sample for a time of its own, scale the samples.
        durations: any order, negative ones run backwards.
        solver: a fixed-step method; no step is longer than ``1 / solver.steps``.

    Returns:
        A displacement (B, 2, H, W) in pixels per duration, in their order.

    Raises:
        ValueError: for an adaptive method (``flow_maps`` has those).
    """
    if solver.method not in FIXED:
        raise ValueError(f"A sampled field is followed in fixed steps ({', '.join(FIXED)}), not by {solver.method}.")
    flows = {0.0: torch.zeros_like(field)}
    for sign in (1, -1):
        if ahead := {float(s) for s in durations if sign * s > 0}:
            path = steps_to(ahead, solver)
            start, *positions = positions_after(field, path.lengths, solver.method)
            flows |= {stop: positions[count - 1] - start for stop, count in path.stops.items() if count}
    return [flows[float(s)] for s in durations]


class Path(NamedTuple):
    """The steps of one solve.

    Attributes:
        lengths: of the steps, in their order.
        stops: duration: after how many steps it is over.
    """

    lengths: tuple[float, ...]
    stops: dict[float, int]


def steps_to(durations: Collection[float], solver: Solver) -> Path:
    """The steps that end at every one of ``durations``, all of one sign; none longer than ``1 / solver.steps``."""
    lengths: list[float] = []
    stops, now = {0.0: 0}, 0.0
    for stop in sorted({float(s) for s in durations if s}, key=abs):
        pieces = steps_between(now, stop, solver)
        lengths += pieces * [(stop - now) / pieces]
        stops[stop], now = len(lengths), stop
    return Path(tuple(lengths), stops)


def positions_after(field: Tensor, lengths: Sequence[float] | Tensor, method: str) -> list[Tensor]:
    """Where the pixels of a grid are along ``field`` (B, 2, H, W): before the first of ``lengths``, and after each.

    ``lengths`` as a tensor (K,) on the field's device: a recorded CUDA graph then serves other lengths as well.
    """
    steps: list[float | Tensor] = (
        [*lengths.view(-1, 1, 1, 1, 1).unbind()] if isinstance(lengths, Tensor) else [*lengths]
    )
    positions = [pixel_grid(*field.shape[-2:], like=field).expand_as(field)]
    for number, step in enumerate(steps):
        positions.append(_step(field, positions[-1], step, method, not number))
    return positions


def stationary_nfe(durations: Sequence[float], solver: Solver) -> int:
    """Velocity evaluations that ``stationary_flows`` takes for these durations."""
    ways = ([s for s in durations if sign * s > 0] for sign in (1, -1))
    return sum(len(steps_to(way, solver).lengths) for way in ways) * EVALUATIONS[solver.method]


def steps_between(start: float, stop: float, solver: Solver) -> int:
    """Equal steps from ``start`` to ``stop``, none longer than ``1 / solver.steps``; 1e-6 absorbs times such as 1/3."""
    return max(1, math.ceil(abs(stop - start) * solver.steps - 1e-6))


def _step(field: Tensor, x: Tensor, h: float | Tensor, method: str, at_grid: bool) -> Tensor:
    k1 = field if at_grid else sample(field, x)
    if method == "euler":
        return x + h * k1
    if method == "midpoint":
        return x + h * sample(field, x + (h / 2) * k1)
    # The 3/8 rule of Kutta (1901), which torchdiffeq calls rk4.
    k2 = sample(field, x + (h / 3) * k1)
    k3 = sample(field, x + h * (k2 - k1 / 3))
    k4 = sample(field, x + h * (k1 - k2 + k3))
    return x + (h / 8) * (k1 + 3 * (k2 + k3) + k4)
