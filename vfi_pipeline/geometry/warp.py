"""Warping and what follows from it. ``sample`` holds the package's one call to ``grid_sample``."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry.grid import constant, pixel_grid


def sample(field: Tensor, position: Tensor, cubic: bool = False) -> Tensor:
    """Bilinear lookup ``field(position)``, the nearest border value outside; ``cubic``: Keys' kernel, a = -0.75.

    Args:
        field: (B, C, H, W).
        position: (B, 2, h, w) pixel coordinates (x, y) on the field's own grid; any h, w.

    Returns:
        (B, C, h, w), differentiable in both. A batch of one field is shared by all positions.
    """
    unit = position.permute(0, 2, 3, 1) * _per_pixel(*field.shape[-2:], position.dtype, position.device) - 1
    if field.shape[0] == 1 and unit.shape[0] > 1:
        field = field.expand(unit.shape[0], -1, -1, -1)
    mode, padding = "bicubic" if cubic else "bilinear", "border"
    if not cubic and unit.device.type == "mps":
        # Older versions for Apple's devices lack this padding. Clamped positions need none.
        unit, padding = unit.clamp(-1, 1), "zeros"
    return F.grid_sample(field, unit, mode=mode, padding_mode=padding, align_corners=True)


@lru_cache(maxsize=32)
def _per_pixel(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A pixel in units of ``grid_sample``'s [-1, 1], (x, y). On an axis of one pixel any position reads that pixel."""
    with torch.inference_mode(False):  # the first caller may be in inference mode, later ones may need gradients
        return 2 / torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=dtype, device=device)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Backward-warp: ``out(x) = image(x + flow(x))``, bilinear, border replicated.

    Args:
        image: (B, C, H, W), any float range.
        flow: (B, 2, H, W) displacement in pixels, channels (dx, dy).

    Returns:
        (B, C, H, W), differentiable in both arguments. Zero flow returns ``image`` to rounding.

    Raises:
        ValueError: if ``flow`` has not two channels and the image's height and width.
    """
    if image.shape[-2:] != flow.shape[-2:] or flow.shape[1] != 2:
        raise ValueError(
            f"warp needs a (B, 2, H, W) flow of the image's size, got image {tuple(image.shape)} and flow "
            f"{tuple(flow.shape)}. Resize the flow with geometry.resize_flow, which also rescales its values."
        )
    return sample(image, pixel_grid(*flow.shape[-2:], like=flow) + flow)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The displacement of ``x -> (id + outer)((id + inner)(x))``: ``inner(x) + outer(x + inner(x))``.

    Two pull-back displacements compose like this; they do not add. Both are (B, 2, H, W).
    ``warp(warp(I, outer), inner) = warp(I, compose(outer, inner))`` up to interpolation.
    """
    return inner + warp(outer, inner)


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Resizes a displacement to another grid and rescales its values to that grid's pixels.

    Args:
        flow: (B, 2, h, w) in pixels of its own grid.

    Returns:
        (B, 2, height, width) in pixels of the new grid. Half-pixel centres; antialiased when it shrinks.
    """
    h, w = flow.shape[-2:]
    if (h, w) == (height, width):
        return flow
    shrinks = height < h or width < w
    resized = F.interpolate(flow, (height, width), mode="bilinear", align_corners=False, antialias=shrinks)
    return resized * constant((width / w, height / h), resized)


def shrunk(image: Tensor, scale: float) -> Tensor:
    """The image (B, C, H, W) at ``scale`` (1 or less) of its size, at least one pixel: averaged over areas."""
    size = tuple(max(1, round(n * scale)) for n in image.shape[-2:])
    return image if size == image.shape[-2:] else F.interpolate(image, size, mode="area")
