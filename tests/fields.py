"""Velocities with a flow known in closed form, and a smooth one that stays inside the frame. Never square, float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid

HEIGHT, WIDTH = 36, 52
GRID = pixel_grid(HEIGHT, WIDTH, like=torch.empty(0, dtype=torch.float64))
EDGE = torch.tensor([WIDTH - 1.0, HEIGHT - 1.0], dtype=torch.float64).view(1, 2, 1, 1)
CENTRE = EDGE / 2


@dataclass(frozen=True)
class Exact:
    """A velocity and its flow: ``displacement(grid, start, end)`` is what the solver shall find."""

    name: str
    velocity: Callable[[Tensor, Tensor], Tensor]
    displacement: Callable[[Tensor, float, float], Tensor]

    def __repr__(self) -> str:
        return self.name


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, x)


def linear(name: str, generator: Tensor) -> Exact:
    """``v(x) = A (x - centre)``: the flow is the matrix exponential."""

    def displacement(grid: Tensor, start: float, end: float) -> Tensor:
        return _apply(torch.matrix_exp(generator * (end - start)) - torch.eye(2, dtype=grid.dtype), grid - CENTRE)

    return Exact(name, lambda t, x: _apply(generator, x - CENTRE), displacement)


def translation(dx: float, dy: float) -> Exact:
    speed = torch.tensor([dx, dy], dtype=torch.float64).view(1, 2, 1, 1)
    return Exact("translation", lambda t, x: speed.expand_as(x), lambda g, s, e: ((e - s) * speed).expand_as(g))


def rotation(angle: float) -> Exact:
    """``angle`` in radians per unit t; positive turns x towards y (clockwise on a screen)."""
    return linear("rotation", torch.tensor([[0.0, -angle], [angle, 0.0]], dtype=torch.float64))


def shear(slope: float) -> Exact:
    return linear("shear", torch.tensor([[0.0, slope], [0.0, 0.0]], dtype=torch.float64))


def zoom(rate: float) -> Exact:
    return linear("zoom", torch.eye(2, dtype=torch.float64) * rate)


def accelerating(dx: float, dy: float) -> Exact:
    """``v(t) = 2 t (dx, dy)``: depends on time, not on place; moves by ``end^2 - start^2``."""
    way = torch.tensor([dx, dy], dtype=torch.float64).view(1, 2, 1, 1)
    return Exact(
        "accelerating", lambda t, x: (2 * t * way).expand_as(x), lambda g, s, e: ((e**2 - s**2) * way).expand_as(g)
    )


EXACT = [translation(3.5, -2.25), rotation(0.8), shear(0.4), zoom(-0.5), accelerating(4.0, 1.0)]


def swirl(strength: float = 2.0, phase: float = 0.4) -> Callable[[Tensor, Tensor], Tensor]:
    """A smooth velocity (px per unit t) that fades to zero at the frame's edge and changes with time."""

    def velocity(t: Tensor | float, x: Tensor) -> Tensor:
        fade = torch.sin(math.pi * x / EDGE.to(x)).prod(dim=1, keepdim=True)
        return strength * fade * torch.sin(2 * math.pi * x.flip(1) / EDGE.to(x) + phase + t)

    return velocity
