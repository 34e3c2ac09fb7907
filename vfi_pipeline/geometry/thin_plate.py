"""Thin-plate splines (Bookstein 1989; smoothing: Wahba 1990): the smoothest map through, or near, given points.

f(x) = A (1, x)  +  sum over i of w_i U(|x - p_i|),   U(r) = r^2 log r^2
minimises  sum over i |f(p_i) - q_i|^2  +  smoothness * integral of the squared second derivatives
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ThinPlate:
    """A fitted spline; call it on points (..., 2).

    Attributes:
        points: (N, 2) the control points.
        weights: (N, 2) of the radial parts.
        affine: (3, 2): constant, x, y.
        scale: px that count as 1 inside.
    """

    points: Tensor
    weights: Tensor
    affine: Tensor
    scale: float

    def __call__(self, at: Tensor) -> Tensor:
        """(..., 2) where points (..., 2), (x, y), are mapped to; of the type of ``at``."""
        flat = at.reshape(-1, 2).double() / self.scale
        made = kernel(flat, self.points) @ self.weights + _affine_terms(flat) @ self.affine
        return (self.scale * made).reshape(at.shape).to(at)


def kernel(one: Tensor, other: Tensor) -> Tensor:
    """(N, M) ``U(|a - b|)``; 0 where the points are the same."""
    squared = (one[:, None] - other[None]).square().sum(dim=2)
    return torch.where(squared > 0, squared * squared.clamp(min=1e-300).log(), torch.zeros_like(squared))


def thin_plate(points: Tensor, targets: Tensor, smoothness: float = 0.0) -> ThinPlate:
    """The spline that maps ``points`` (N, 2) to ``targets`` (N, 2), pixels, in float64.

    Args:
        smoothness: lambda, for points scaled to a spread of 1; 0 meets every target, and as it grows the map becomes
            the affine one that fits best.

    Raises:
        ValueError: for fewer than three points, points on a line, or the same point twice without smoothness.
    """
    if points.shape != targets.shape or points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"A thin-plate spline needs three pairs of points or more, got {tuple(points.shape)}.")
    points, targets = points.double().cpu(), targets.double().cpu()
    scale = max(1e-9, float((points - points.mean(dim=0)).square().sum(dim=1).mean().sqrt()))
    p, q = points / scale, targets / scale
    count = len(p)
    if torch.linalg.matrix_rank(_affine_terms(p), atol=1e-9 * max(1.0, float(p.abs().max()))) < 3:
        raise ValueError("The points of a thin-plate spline lie on a line.")
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count, :count] = kernel(p, p) + smoothness * torch.eye(count, dtype=torch.float64)
    system[:count, count:] = _affine_terms(p)
    system[count:, :count] = _affine_terms(p).T
    wanted = torch.cat((q, torch.zeros(3, 2, dtype=torch.float64)))
    try:
        found = torch.linalg.solve(system, wanted)
    except RuntimeError as error:
        raise ValueError("Two points of a thin-plate spline are the same.") from error
    return ThinPlate(p, found[:count], found[count:], scale)


def displacement(spline: ThinPlate, grid: Tensor, coarse: int = 4) -> Tensor:
    """(1, 2, H, W) px: ``spline(x) - x`` on a pixel grid (1, 2, H, W), for ``warp``.

    Args:
        coarse: it is computed at every so many pixels and interpolated, which a smooth map does not notice; 1 at all.
    """
    height, width = grid.shape[-2:]
    beyond = 0 if coarse == 1 else 2 * coarse  # bicubic reads two nodes on either side
    y, x = (
        float(grid[0, axis, 0, 0]) + torch.arange(-beyond, side - 1 + beyond + coarse, coarse, dtype=torch.float64)
        for axis, side in ((1, height), (0, width))
    )
    at = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    moved = (spline(at) - at).permute(2, 0, 1)[None].to(grid)
    if coarse == 1:
        return moved
    size = [(len(nodes) - 1) * coarse + 1 for nodes in (y, x)]
    moved = F.interpolate(moved, size, mode="bicubic", align_corners=True)
    return moved[..., beyond : beyond + height, beyond : beyond + width]


def _affine_terms(points: Tensor) -> Tensor:
    return torch.cat((torch.ones_like(points[:, :1]), points), dim=1)
