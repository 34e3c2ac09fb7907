"""Velocity fields: the Velocity protocol, the field sampled from a picture of velocities, and NFE counting."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from vfi_pipeline.geometry import sample


class Velocity(Protocol):
    """``v(t, x)``: pixels per unit t at positions ``x`` (B, 2, H, W) and time ``t`` (scalar tensor, or
    (B, 1, 1, 1) where every sample has its own: see ``flow_maps_at``)."""

    def __call__(self, t: Tensor, x: Tensor, /) -> Tensor: ...


class SampledVelocity:
    """A stationary field given on the pixel grid, read off bilinearly along the path.

    ``dx/dt = v(x)``: its flow is a one-parameter group, ``phi_(s+t) = phi_s o phi_t``; ``phi_(-t)`` inverts ``phi_t``.
    """

    def __init__(self, field: Tensor) -> None:
        """``field``: (B, 2, H, W), pixels per unit t."""
        self.field = field

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        return sample(self.field, x)


class Counted:
    """Wraps a velocity and counts its calls in ``nfe``."""

    def __init__(self, velocity: Velocity) -> None:
        self.velocity, self.nfe = velocity, 0

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        self.nfe += 1
        return self.velocity(t, x)
