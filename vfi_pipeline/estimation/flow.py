"""Optical flow of both directions of a pair, with its confidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vfi_pipeline.estimation.visibility import reliability
from vfi_pipeline.ode import Solver, stationary_flow


@dataclass(frozen=True)
class BidirectionalFlow:
    """A pair's flow, (B, 2, h, w) in pixels of its grid, and confidences, (B, 1, h, w) in [0, 1].

    Attributes:
        forward: from the first frame's grid to the last frame.
        backward: from the last frame's grid to the first frame.
        confidence_first: of ``forward``: 1 where a point of the first frame returns to its place after the round trip
            through the last, see ``visibility.reliability``.
        confidence_last: the same of ``backward``.
    """

    forward: Tensor
    backward: Tensor
    confidence_first: Tensor
    confidence_last: Tensor


def bidirectional_flow(
    velocity_first: Tensor, velocity_last: Tensor, solver: Solver = Solver("midpoint", steps=4)
) -> BidirectionalFlow:
    """Flow from velocities (B, 2, h, w) at t = 1/2: each frame's field, integrated over the whole interval."""
    flows = stationary_flow(torch.cat((velocity_first, -velocity_last)), 1.0, solver)
    forward, backward = flows.chunk(2)
    # Both round trips at once: small operations cost as much to start as to run.
    trust = reliability(flows, torch.cat((backward, forward)))
    return BidirectionalFlow(forward, backward, *trust.chunk(2))
