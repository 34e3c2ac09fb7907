"""One rule for mixing two warped frames; composition (``synthesis.compose``) and training share it.

    moved     = w * first(x + u_first) + (1 - w) * last(x + u_last)
    unmoved   = w * first(x) + (1 - w) * last(x)
    frame     = c * moved + (1 - c) * unmoved

``w`` is the blend weight, corrected for the moved frames at the frame's border by ``visible_weight``; ``c`` is the
confidence in the motion. With ``w = 1 - t`` the unmoved frames make the cross-fade.
Every output is a convex combination of the sources' samples: no value lies outside of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry.grid import constant, pixel_grid
from vfi_pipeline.geometry.warp import resize_flow, sample


class Blended(NamedTuple):
    """A synthesised frame and the two one-sided warps it was mixed from, (B, C, H, W) each."""

    frame: Tensor
    from_first: Tensor
    from_last: Tensor


def inside(position: Tensor, height: int, width: int) -> Tensor:
    """1 where a position lies in a frame of ``height`` x ``width``, falling to 0 within one pixel outside.

    Args:
        position: (B, 2, h, w) pixel coordinates (x, y); any h, w.

    Returns:
        (B, 1, h, w) in [0, 1].
    """
    excess = torch.maximum(-position, position - constant((width - 1, height - 1), position))
    return 1 - excess.amax(dim=1, keepdim=True).clamp(0, 1)


def visible_weight(weight: Tensor, in_first: Tensor, in_last: Tensor) -> Tensor:
    """The first frame's weight, corrected where only one of the frames contains the point.

    ``w + p (1 - q) (1 - w) - q (1 - p) w`` for visibilities p and q: unchanged where both or none contain the point, 1
    or 0 where only one does, and the same rule for either order of the frames.

    Args:
        weight: (B, 1, H, W) in [0, 1].
        in_first, in_last: (B, 1, H, W) in [0, 1], see ``inside``.
    """
    only_first, only_last = in_first * (1 - in_last), in_last * (1 - in_first)
    return weight + only_first - weight * (only_first + only_last)


def synthesise(
    first: Tensor,
    last: Tensor,
    flow_to_first: Tensor,
    flow_to_last: Tensor,
    blend_weight: Tensor,
    confidence: Tensor | None = None,
) -> Blended:
    """The frame at ``t`` by the rule above, differentiable in everything.

    Args:
        first, last: (B, C, H, W).
        flow_to_first, flow_to_last: (B, 2, h, w) displacements, in pixels of their own grid, which covers the frame.
        blend_weight: (B, 1, h, w), weight of the first frame.
        confidence: (B, 1, h, w) in [0, 1]; None is 1 everywhere.
    """
    height, width = first.shape[-2:]
    grid = pixel_grid(height, width, like=flow_to_first)
    in_first, in_last = (grid + resize_flow(flow, height, width) for flow in (flow_to_first, flow_to_last))
    plain = _resized(blend_weight, height, width)
    weight = visible_weight(plain, inside(in_first, height, width), inside(in_last, height, width))
    from_first, from_last = sample(first, in_first), sample(last, in_last)
    frame = from_last + weight * (from_first - from_last)
    if confidence is not None:
        unmoved = last + plain * (first - last)
        frame = unmoved + _resized(confidence, height, width) * (frame - unmoved)
    return Blended(frame, from_first, from_last)


def _resized(field: Tensor, height: int, width: int) -> Tensor:
    if field.shape[-2:] == (height, width):
        return field
    return F.interpolate(field, (height, width), mode="bilinear", align_corners=False)
