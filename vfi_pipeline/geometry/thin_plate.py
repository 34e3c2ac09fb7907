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
        scale: px per unit of ``points``.
    """

    points: Tensor
    weights: Tensor
    affine: Tensor
    scale: float

    def __call__(self, positions: Tensor) -> Tensor:
        """The images (..., 2) of ``positions`` (..., 2), (x, y), px, in their type."""
        flat = positions.reshape(-1, 2).double() / self.scale
        mapped = kernel(flat, self.points) @ self.weights + _affine_terms(flat) @ self.affine
        return (self.scale * mapped).reshape(positions.shape).to(positions)


def kernel(points: Tensor, centres: Tensor) -> Tensor:
    """``U(|p - c|)``, (N, M), for points (N, 2) and centres (M, 2); 0 where they are the same."""
    squared = (points[:, None] - centres[None]).square().sum(dim=2)
    return torch.where(squared > 0, squared * squared.clamp(min=1e-300).log(), torch.zeros_like(squared))


def thin_plate(points: Tensor, targets: Tensor, smoothness: float = 0.0) -> ThinPlate:
    """The spline that maps ``points`` (N, 2) to ``targets`` (N, 2), pixels, in float64.

    Args:
        smoothness: lambda, for points scaled to a root mean square distance of 1 from their mean; 0 meets every target,
            and as it grows the map becomes the affine one that fits best.

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
    right_side = torch.cat((q, torch.zeros(3, 2, dtype=torch.float64)))
    try:
        solution = torch.linalg.solve(system, right_side)
    except RuntimeError as error:
        raise ValueError("Two points of a thin-plate spline are the same.") from error
    return ThinPlate(p, solution[:count], solution[count:], scale)


def displacement(spline: ThinPlate, grid: Tensor, coarse: int = 4) -> Tensor:
    """(1, 2, H, W) px: ``spline(x) - x`` on a pixel grid (1, 2, H, W), for ``warp``.

    Args:
        coarse: distance, px, of the nodes where the spline is computed; between them it is interpolated (bicubic).
    """
    height, width = grid.shape[-2:]
    beyond = 0 if coarse == 1 else 2 * coarse  # bicubic reads two nodes on either side
    y, x = (
        float(grid[0, axis, 0, 0]) + torch.arange(-beyond, side - 1 + beyond + coarse, coarse, dtype=torch.float64)
        for axis, side in ((1, height), (0, width))
    )
    positions = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    field = (spline(positions) - positions).permute(2, 0, 1)[None].to(grid)
    if coarse == 1:
        return field
    size = [(len(nodes) - 1) * coarse + 1 for nodes in (y, x)]
    field = F.interpolate(field, size, mode="bicubic", align_corners=True)
    return field[..., beyond : beyond + height, beyond : beyond + width]


def _affine_terms(points: Tensor) -> Tensor:
    return torch.cat((torch.ones_like(points[:, :1]), points), dim=1)
