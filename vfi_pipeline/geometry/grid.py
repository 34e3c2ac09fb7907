"""Pixel grids."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_grid(height: int, width: int, *, like: Tensor) -> Tensor:
    """Coordinates of the pixel centres, ``(1, 2, height, width)``, channels (x, y), dtype and device of ``like``.

    ``grid[0, :, r, c] == (c, r)``.
    """
    y, x = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack((x, y))[None]
