"""What a good motion avoids: folding (JD), leaving the frame (OG), roughness, and a round trip that does not close.

Displacements are accumulated maps ``u`` of ``x -> x + u(x)``, pixels, (..., 2, H, W) with any leading axes: give all
times of a solve, (T, B, 2, H, W), and the penalty is the mean over time, batch and pixels. It then depends neither on
the number of solver steps nor on the picture's size. (The reference code of the Warping Neural ODE penalises the
velocity instead of the map, differentiates along the wrong axes, and sums; none of that is here.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_pipeline.geometry import compose, jacobian_determinant, outside, warp


def folding_penalty(displacement: Tensor, margin: float = 0.0) -> Tensor:
    """JD: ``mean relu(margin - det(I + grad u))`` (Kuang and Schmah 2019, with time averaged). A scalar.

    Args:
        displacement: (..., 2, H, W), H and W at least 2.
        margin: determinants below this are penalised; 0 is the paper's, a small positive one keeps a distance to folds.

    Returns:
        1 for a mirror (det -1 everywhere), 0 for shifts, rotations, zooms and shears.
    """
    return (margin - jacobian_determinant(_flat(displacement))).clamp(min=0).mean()


def out_of_grid_penalty(displacement: Tensor) -> Tensor:
    """OG: how far ``x + u(x)`` lies outside the frame, ``|dx| + |dy|`` in pixels, mean over time, batch and pixels.

    A shift by s columns on a frame W wide gives ``s (s + 1) / (2 W)``.
    """
    return outside(_flat(displacement)).sum(dim=1).mean()


def smoothness(field: Tensor) -> Tensor:
    """Mean squared forward difference of a velocity or displacement, summed over the axes: mean ``|grad u|^2``.

    Args:
        field: (..., C, H, W). Zero for a constant; ``a**2`` for one channel that rises by ``a`` a pixel along one axis
            (other channels zero, C = 1).
    """
    return _squared_steps(field, -1).mean() + _squared_steps(field, -2).mean()


def edge_aware_smoothness(field: Tensor, image: Tensor, sharpness: float = 10.0, epsilon: float = 1e-3) -> Tensor:
    """Charbonnier of the field's forward differences, weighted by ``exp(-sharpness * |grad image|)``.

    Motion may jump where the picture has an edge, and is smooth elsewhere.

    Args:
        field: (B, C, H, W) of the image's size.
        image: (B, C', H, W) in [0, 1]; its gradient is the mean over channels.
    """
    total = field.new_zeros(())
    for axis in (-1, -2):
        edge = torch.diff(image, dim=axis).abs().mean(dim=-3, keepdim=True)
        step = (torch.diff(field, dim=axis) ** 2 + epsilon**2).sqrt() - epsilon
        total = total + (torch.exp(-sharpness * edge) * step).mean()
    return total


def round_trip_penalty(forward: Tensor, backward: Tensor) -> Tensor:
    """Mean squared distance, px^2, between each pixel and its place after ``backward``, then ``forward``.

    0 for maps that are inverse to one another.

    Pixels that ``backward`` sends outside the frame do not count: ``forward`` is not defined there.
    Both (..., 2, H, W) with the same leading axes. See ``geometry.compose`` for the order.
    """
    forward, backward = _flat(forward), _flat(backward)
    inside = (outside(backward) == 0).all(dim=1, keepdim=True).to(backward.dtype)
    squared = (compose(forward, backward) ** 2).sum(dim=1, keepdim=True)
    return (squared * inside).sum() / inside.sum().clamp(min=1)


def picture_round_trip(image: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """Mean squared difference between a picture and itself warped by both (the paper's code sums it).

    ``image`` (B, C, H, W); both displacements (B, 2, H, W).
    """
    return ((warp(warp(image, forward), backward) - image) ** 2).mean()


def _flat(displacement: Tensor) -> Tensor:
    return displacement.flatten(end_dim=-4) if displacement.dim() > 4 else displacement


def _squared_steps(field: Tensor, axis: int) -> Tensor:
    return torch.diff(field, dim=axis) ** 2
