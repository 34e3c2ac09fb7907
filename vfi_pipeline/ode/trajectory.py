"""Several times from one solve when every sample of a batch asks for its own."""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_pipeline.ode.flow_map import flow_map, flow_maps
from vfi_pipeline.ode.solver import Solver
from vfi_pipeline.ode.velocity import Velocity


def flow_maps_at(
    velocity: Velocity,
    grid: Tensor,
    times: Tensor,
    start: float = 0.0,
    solver: Solver = Solver(),
    parameters: tuple[Tensor, ...] = (),
) -> Tensor:
    """Displacements from ``start`` to each sample's own times: ``u_i(x) = x(times[:, i]) - x`` with ``x(start) = x``.

    If all samples ask for the same times, this is ``flow_maps``. Otherwise each stretch between neighbouring times is
    solved in a common variable s with ``dt/ds`` per sample, so that the batch shares every call of the velocity; no
    step is longer than ``1 / solver.steps`` in t.

    Args:
        velocity: ``v(t, x)``; must take t as a scalar or as (B, 1, 1, 1).
        grid: (B, 2, H, W) start positions.
        times: (B, T), any order, on either side of ``start``, repeats allowed.
        parameters: as in ``flow_maps``.

    Returns:
        (T, B, 2, H, W), pixels, in the order of ``times``.
    """
    if times.shape[0] == 1 or bool((times == times[:1]).all()):
        return _shared(velocity, grid, times[0].tolist(), start, solver, parameters)
    order = (times - start).abs().argsort(dim=1)
    ascending = times.gather(1, order)
    position, now, displacements = grid, torch.full_like(times[:, 0], start), []
    for index in range(times.shape[1]):
        stretch = ascending[:, index] - now
        longest = float(stretch.abs().max())
        if longest > 0:
            paced = _Paced(velocity, now, stretch / longest)
            position = position + flow_map(paced, position, 0.0, longest, solver, parameters)
        displacements.append(position - grid)
        now = ascending[:, index]
    stacked = torch.stack(displacements, dim=1)  # (B, T, 2, H, W), each sample in its own order
    restored = order.argsort(dim=1)[:, :, None, None, None].expand_as(stacked)
    return stacked.gather(1, restored).transpose(0, 1)


def _shared(
    velocity: Velocity, grid: Tensor, times: list[float], start: float, solver: Solver, parameters: tuple[Tensor, ...]
) -> Tensor:
    maps = {start: torch.zeros_like(grid)}
    for side in (sorted({t for t in times if t > start}), sorted({t for t in times if t < start}, reverse=True)):
        if side:
            maps |= dict(zip(side, flow_maps(velocity, grid, start, side, solver, parameters), strict=True))
    return torch.stack([maps[t] for t in times]) if times else grid.new_zeros((0, *grid.shape))


class _Paced:
    """``dx/ds = rate * v(origin + rate * s, x)``: each sample runs through time at its own rate."""

    def __init__(self, velocity: Velocity, origin: Tensor, rate: Tensor) -> None:
        self.velocity = velocity
        self.origin, self.rate = origin.view(-1, 1, 1, 1), rate.view(-1, 1, 1, 1)

    def __call__(self, s: Tensor, x: Tensor) -> Tensor:
        rate = self.rate.to(x.dtype)
        return rate * self.velocity((self.origin + self.rate * s).to(x.dtype), x)
