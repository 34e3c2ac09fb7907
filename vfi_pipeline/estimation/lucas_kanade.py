"""Sub-pixel velocities without weights: symmetric Lucas-Kanade steps at t = 1/2 (Lucas and Kanade 1981).

Both frames are pulled to the middle. A velocity that explains the remaining difference is added to both fields. With A
and B the pulled lumas, g = grad (A + B) / 2 and r = B - A, each step solves

    (sum w g g' + ridge) dv = -sum w g r,      w = 1 / (1 + (r / robust)^2)

over a Gaussian window around each cell. The steps run coarse to fine on the pictures' own pyramid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import blur, constant, pixel_grid, resize_flow, sample
from vfi_pipeline.ode import Solver, stationary_flow

LUMA = (0.299, 0.587, 0.114)
"""BT.601."""


@dataclass(frozen=True)
class LucasKanade:
    """Steps and weights. docs/results.md names the clips that the values were chosen on.

    Attributes:
        steps: (shrink, count), coarse to fine: ``count`` steps on pictures at 1 / ``shrink`` of their size.
        window: standard deviation, cells, of the window that an equation is summed over (after the sum over the cell).
        ridge: added to the diagonal of the structure tensor, squared luma of 1, so that flat regions do not change.
        robust: luma difference (of 1) at which a pixel has half its weight.
        longest: the longest step, cells, at which the linearisation holds.
        solver: of the displacements to t = 1/2.
    """

    steps: tuple[tuple[int, int], ...] = ((2, 1), (1, 1))
    window: float = 1.0
    ridge: float = 1e-5
    robust: float = 0.03
    longest: float = 0.25
    solver: Solver = Solver("midpoint", steps=4)

    def __post_init__(self) -> None:
        if any(shrink not in (1, 2, 4) or count < 0 for shrink, count in self.steps):
            raise ValueError(f"Steps are (shrink, count) with a shrink of 1, 2 or 4, got {self.steps}.")


def luma(image: Tensor) -> Tensor:
    """BT.601 luma of RGB (B, 3, H, W): (B, 1, H, W)."""
    return (image * constant(LUMA, image)).sum(dim=1, keepdim=True)


def refine_velocities(
    velocity_first: Tensor, velocity_last: Tensor, first: Tensor, last: Tensor, settings: LucasKanade = LucasKanade()
) -> tuple[Tensor, Tensor]:
    """Both velocity fields after Lucas-Kanade steps.

    Args:
        velocity_first, velocity_last: (B, 2, h, w) velocities of both frames' pixels on the grid at t = 1/2, in cells
            of that grid per unit t, forward in time.
        first, last: (B, 3, H, W) in [0, 1]; H and W are one multiple of 4 times h and w.

    Returns:
        The two fields; swapping the frames (and the signs) swaps them.
    """
    h, w = velocity_first.shape[-2:]
    lumas = [luma(first), luma(last)]
    signs = torch.cat((-0.5 * velocity_first, 0.5 * velocity_last))
    to_first, to_last = stationary_flow(signs, 1.0, settings.solver).chunk(2)
    change = torch.zeros_like(velocity_first)
    for shrink, count in settings.steps:
        if not count:
            continue
        luma_first, luma_last = (F.avg_pool2d(image, shrink) if shrink > 1 else image for image in lumas)
        height, width = luma_first.shape[-2:]
        grid, cell = pixel_grid(height, width, like=luma_first), height // h
        for _ in range(count):
            # A change of velocity dv moves both sides by dv / 2, to first order: the ODE is solved once.
            pulled_first = sample(luma_first, grid + resize_flow(to_first - change / 2, height, width))
            pulled_last = sample(luma_last, grid + resize_flow(to_last + change / 2, height, width))
            change = change + _step(pulled_first, pulled_last, cell, settings)
    return velocity_first + change, velocity_last + change


def align(flow: Tensor, image: Tensor, target: Tensor, settings: LucasKanade = LucasKanade()) -> Tensor:
    """A displacement after Lucas-Kanade steps that bring the pulled image nearer to a known one.

    Args:
        flow: (B, 2, h, w) pulls ``image`` to ``target``, in cells of its own grid.
        image, target: (B, 3, H, W) in [0, 1]; H and W are one multiple of h and w, and of the largest shrink.

    Returns:
        (B, 2, h, w), cells.
    """
    h = flow.shape[-2]
    lumas = [luma(image), luma(target)]
    for shrink, count in settings.steps:
        luma_image, luma_target = (F.avg_pool2d(picture, shrink) if shrink > 1 else picture for picture in lumas)
        height, width = luma_image.shape[-2:]
        grid = pixel_grid(height, width, like=luma_image)
        for _ in range(count):
            pulled = sample(luma_image, grid + resize_flow(flow, height, width))
            flow = flow + _step(luma_target, pulled, height // h, settings)
    return flow


def _step(a: Tensor, b: Tensor, cell: int, settings: LucasKanade) -> Tensor:
    """One increment of the velocity from two pulled lumas (B, 1, H, W): (B, 2, H / cell, W / cell), in cells."""
    mean, residual = (a + b) / 2, b - a
    along_x = F.pad((mean[..., 2:] - mean[..., :-2]) / 2, (1, 1, 0, 0))
    along_y = F.pad((mean[..., 2:, :] - mean[..., :-2, :]) / 2, (0, 0, 1, 1))
    weight = 1 / (1 + (residual / settings.robust).square())
    wx, wy = weight * along_x, weight * along_y
    sums = torch.cat((wx * along_x, wx * along_y, wy * along_y, wx * residual, wy * residual), dim=1)
    if cell > 1:
        sums = F.avg_pool2d(sums, cell)
    xx, xy, yy, xr, yr = blur(sums, settings.window).split(1, dim=1)
    xx, yy = xx + settings.ridge, yy + settings.ridge
    step = torch.cat((xy * yr - yy * xr, xy * xr - xx * yr), dim=1) / ((xx * yy - xy * xy) * cell)
    length = step.square().sum(dim=1, keepdim=True).sqrt()
    return step * (settings.longest / length.clamp(min=settings.longest))
