"""Pixels of one frame that the other shows too: the forward-backward test (Sundaram et al. 2010; Ruder et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vfi_pipeline.geometry import outside, warp


@dataclass(frozen=True)
class VisibilityTest:
    """Thresholds of Ruder et al. 2016 (section 4, after Sundaram et al. 2010), ``f`` and ``g`` the flows of both ways.

    Attributes:
        relative, absolute: a point is occluded if ``|f + g|^2 >= relative (|f|^2 + |g|^2) + absolute``, px^2.
        boundary_relative, boundary_absolute: a motion boundary has ``|grad u|^2 + |grad v|^2`` above
            ``boundary_relative |f|^2 + boundary_absolute``.
    """

    relative: float = 0.01
    absolute: float = 0.5
    boundary_relative: float = 0.01
    boundary_absolute: float = 0.002


RUDER = VisibilityTest()


def round_trip(flow: Tensor, returning: Tensor) -> tuple[Tensor, Tensor]:
    """``|f + g|^2`` and the test's threshold, with ``g(x) = returning(x + f(x))``: two (B, 1, H, W), px^2."""
    returned = warp(returning, flow)
    miss = (flow + returned).square().sum(dim=1, keepdim=True)
    length = flow.square().sum(dim=1, keepdim=True) + returned.square().sum(dim=1, keepdim=True)
    return miss, RUDER.relative * length + RUDER.absolute


def visible(flow: Tensor, returning: Tensor) -> Tensor:
    """The test as published: 1 where the point ``x`` is also in the other frame, else 0; (B, 1, H, W).

    Args:
        flow: (B, 2, H, W) pixels, from this frame's grid to the other frame.
        returning: (B, 2, H, W) from the other frame's grid to this one.

    A point that leaves the frame is not visible. (The reference code also rejects the last row and column at zero flow;
    this one does not.)
    """
    miss, threshold = round_trip(flow, returning)
    return ((miss < threshold) & inside(flow)).to(flow.dtype)


def reliability(flow: Tensor, returning: Tensor, softness: float = 1.0) -> Tensor:
    """The test as a smooth value, (B, 1, H, W): ``exp(-miss / (softness * threshold))`` in (0, 1], 0 outside the frame.

    Args:
        flow, returning: as in ``visible``.
        softness: the miss, in thresholds, at which the value is 1/e.
    """
    miss, threshold = round_trip(flow, returning)
    return torch.exp(-miss / (softness * threshold)) * inside(flow)


def motion_boundary(flow: Tensor) -> Tensor:
    """1 on motion boundaries, see ``VisibilityTest`` (central differences), else 0: (B, 1, H, W)."""
    padded = torch.nn.functional.pad(flow, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    steep = (along_x.square() + along_y.square()).sum(dim=1, keepdim=True)
    length = flow.square().sum(dim=1, keepdim=True)
    return (steep > RUDER.boundary_relative * length + RUDER.boundary_absolute).to(flow.dtype)


def inside(flow: Tensor) -> Tensor:
    """(B, 1, H, W) bool: whether ``x + flow(x)`` lies in the frame."""
    return (outside(flow) == 0).all(dim=1, keepdim=True)
