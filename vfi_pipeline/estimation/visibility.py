"""Which pixels of one frame are seen in the other: the forward-backward test (Sundaram 2010; Ruder et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_pipeline.geometry import outside, warp

RELATIVE, ABSOLUTE = 0.01, 0.5
"""A point is lost if its round trip misses by ``|f + g|^2 >= 0.01 (|f|^2 + |g|^2) + 0.5``, in squared pixels."""


def round_trip(flow: Tensor, returning: Tensor) -> tuple[Tensor, Tensor]:
    """``|f + g|^2`` and the test's threshold, with ``g(x) = returning(x + f(x))``: two (B, 1, H, W), px^2."""
    returned = warp(returning, flow)
    miss = (flow + returned).square().sum(dim=1, keepdim=True)
    length = flow.square().sum(dim=1, keepdim=True) + returned.square().sum(dim=1, keepdim=True)
    return miss, RELATIVE * length + ABSOLUTE


def seen(flow: Tensor, returning: Tensor) -> Tensor:
    """The test as published: 1 where the point ``x`` is also in the other frame, else 0; (B, 1, H, W).

    Args:
        flow: (B, 2, H, W) pixels, from this frame's grid to the other frame.
        returning: (B, 2, H, W) from the other frame's grid to this one.

    A point that leaves the frame is not seen. (The reference code also loses the last row and column at zero flow; not
    here.)
    """
    miss, threshold = round_trip(flow, returning)
    return ((miss < threshold) & inside(flow)).to(flow.dtype)


def reliability(flow: Tensor, returning: Tensor, softness: float = 1.0) -> Tensor:
    """The test with a smooth verdict: ``exp(-miss / (softness * threshold))`` in (0, 1], 0 outside the frame."""
    miss, threshold = round_trip(flow, returning)
    return torch.exp(-miss / (softness * threshold)) * inside(flow)


def motion_boundary(flow: Tensor) -> Tensor:
    """Ruder's second test: 1 where ``|grad u|^2 + |grad v|^2 > 0.01 |f|^2 + 0.002`` (central differences), else 0."""
    padded = torch.nn.functional.pad(flow, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    steep = (along_x.square() + along_y.square()).sum(dim=1, keepdim=True)
    return (steep > 0.01 * flow.square().sum(dim=1, keepdim=True) + 0.002).to(flow.dtype)


def inside(flow: Tensor) -> Tensor:
    """(B, 1, H, W) bool: whether ``x + flow(x)`` lies in the frame."""
    return (outside(flow) == 0).all(dim=1, keepdim=True)
