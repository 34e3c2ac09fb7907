"""What a warp does to area: Jacobian determinant, folding, and distance outside the frame."""

from __future__ import annotations

from torch import Tensor

from vfi_pipeline.geometry.grid import constant, pixel_grid


def jacobian_determinant(flow: Tensor) -> Tensor:
    """``det(I + grad u)`` of ``x -> x + u(x)`` by forward differences.

    Args:
        flow: (B, 2, H, W) displacement in pixels, (dx, dy).

    Returns:
        (B, 1, H-1, W-1). 1 for a translation, the area factor for a zoom, negative where the map folds.
    """
    along_x = flow[..., :-1, 1:] - flow[..., :-1, :-1]  # d(dx, dy)/dx
    along_y = flow[..., 1:, :-1] - flow[..., :-1, :-1]  # d(dx, dy)/dy
    return (1 + along_x[:, :1]) * (1 + along_y[:, 1:]) - along_y[:, :1] * along_x[:, 1:]


def folding(flow: Tensor) -> tuple[Tensor, Tensor]:
    """(smallest determinant, share of cells with det <= 0) per sample, each (B,)."""
    det = jacobian_determinant(flow).flatten(1)
    return det.amin(dim=1), (det <= 0).to(flow.dtype).mean(dim=1)


def outside(flow: Tensor) -> Tensor:
    """How far each target ``x + u(x)`` lies outside the frame, in pixels: (B, 2, H, W), zero inside."""
    height, width = flow.shape[-2:]
    target = pixel_grid(height, width, like=flow) + flow
    last = constant((width - 1, height - 1), flow)
    return (target - last).clamp(min=0) + (-target).clamp(min=0)
