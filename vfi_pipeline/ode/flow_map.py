"""From a velocity field to displacements: solves ``dx/dt = v(t, x)``. The one door to torchdiffeq."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vfi_pipeline.geometry import compose
from vfi_pipeline.ode.solver import FIXED, Solver
from vfi_pipeline.ode.stationary import steps_between
from vfi_pipeline.ode.velocity import Velocity


def flow_maps(
    velocity: Velocity,
    grid: Tensor,
    start: float,
    times: Sequence[float],
    solver: Solver = Solver(),
    parameters: Sequence[Tensor] = (),
) -> Tensor:
    """Displacements from ``start`` to each of ``times``, all from one solve.

    ``u_i(x) = x(times[i]) - x`` with ``x(start) = x``.

    Args:
        velocity: ``v(t, x)``.
        grid: (B, 2, H, W) start positions, usually ``pixel_grid``.
        start: where the path begins.
        times: strictly monotone, moving away from ``start``, either direction; ``start`` itself may come first.
        parameters: what the adjoint method must give gradients to (features, fields, weights); ignored otherwise.

    Returns:
        (T, B, 2, H, W), pixels.

    Raises:
        ValueError: if ``times`` is not monotone away from ``start``.
    """
    stops = [float(t) for t in times]
    skip = not stops or stops[0] != start
    path = [float(start), *stops] if skip else stops
    if len(path) == 1:
        return torch.zeros_like(grid)[None]
    gaps = [b - a for a, b in zip(path, path[1:])]
    if not (all(g > 0 for g in gaps) or all(g < 0 for g in gaps)):
        raise ValueError(f"Times must move away from the start {start} in one direction, got {stops}.")
    t = torch.tensor(path, dtype=torch.promote_types(grid.dtype, torch.float32), device=grid.device)
    if solver.method in FIXED:
        # Steps of equal length between the asked times: the asked times are on the solver's grid, so nothing is
        # interpolated.
        knots = [path[0]]
        for a, b in zip(path, path[1:]):
            pieces = steps_between(a, b, solver)
            knots += [a + (b - a) * k / pieces for k in range(1, pieces)] + [b]
        nodes = torch.tensor(knots, dtype=t.dtype, device=t.device)
        options = {"grid_constructor": lambda func, y0, t: nodes}
    else:
        options = None
    # Imported here: torchdiffeq takes scipy along, a third of a second, and films are solved without it.
    from torchdiffeq import odeint, odeint_adjoint

    if solver.adjoint:
        field = _Field(velocity, parameters)
        states = odeint_adjoint(
            field,
            grid,
            t,
            method=solver.method,
            rtol=solver.rtol,
            atol=solver.atol,
            options=options,
            adjoint_params=tuple(parameters),
            adjoint_options=None if options is None else _reversed(nodes),
        )
    else:
        states = odeint(velocity, grid, t, method=solver.method, rtol=solver.rtol, atol=solver.atol, options=options)
    return (states[1:] if skip else states) - grid


def flow_map(
    velocity: Velocity,
    grid: Tensor,
    start: float,
    end: float,
    solver: Solver = Solver(),
    parameters: Sequence[Tensor] = (),
) -> Tensor:
    """The displacement ``x(end) - x(start)`` of every start position: (B, 2, H, W). See ``flow_maps``."""
    return flow_maps(velocity, grid, start, [end], solver, parameters)[-1]


def scaling_and_squaring(field: Tensor, duration: float = 1.0, squarings: int = 6) -> Tensor:
    """``exp(duration * v) - id`` of a stationary field by repeated composition (Arsigny et al. 2006).

    Starts from one Euler step of ``duration / 2**squarings`` and composes it with itself ``squarings`` times.

    Args:
        field: (B, 2, H, W), pixels per unit t.
        duration: how long to follow it; negative inverts.
    """
    flow = field * (duration / 2**squarings)
    for _ in range(squarings):
        flow = compose(flow, flow)
    return flow


class _Field(nn.Module):
    """odeint_adjoint wants a module; it owns nothing, so that ``adjoint_params`` alone decides who gets gradients."""

    def __init__(self, velocity: Velocity, parameters: Sequence[Tensor]) -> None:
        super().__init__()
        self._velocity = [velocity]  # in a list: a Module would otherwise register a Module velocity as its child

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self._velocity[0](t, x)


def _reversed(nodes: Tensor) -> dict:
    """Options that give the adjoint solve, which runs each interval backwards, the nodes of the forward one."""
    # torchdiffeq turns a solve towards smaller t into one towards larger -t before it comes to the adjoint.
    ascending = nodes if nodes[-1] > nodes[0] else -nodes

    def backwards(func: object, y0: object, t: Tensor) -> Tensor:
        low, high = min(t[0], t[-1]), max(t[0], t[-1])
        inside = ascending[(ascending > low) & (ascending < high)].flip(0)
        return torch.cat((t[:1], inside.to(t), t[-1:]))

    return {"grid_constructor": backwards}
