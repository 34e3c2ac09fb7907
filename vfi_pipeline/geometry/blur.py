"""Smoothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian, border replicated; (B, C, H, W)."""
    radius = int(2.5 * sigma + 0.5)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    taps = torch.exp(-0.5 * (offset / sigma) ** 2)
    taps = taps / taps.sum()
    batch, channels, height, width = image.shape
    flat = F.pad(image.reshape(batch * channels, 1, height, width), (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(flat, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1)).view_as(image)
