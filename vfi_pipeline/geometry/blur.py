"""Gaussian blur."""

from __future__ import annotations

import math
from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry.grid import constant


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W), border replicated; ``sigma`` in pixels, cut off at ``2.5 * sigma``."""
    weights = _weights(sigma)
    radius = len(weights) - 1
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    if radius > SHORT_RADIUS:
        batch, channels, height, width = padded.shape
        taps = constant((*weights[:0:-1], *weights), image)
        flat = padded.reshape(batch * channels, 1, height, width)
        return F.conv2d(F.conv2d(flat, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1)).view_as(image)
    for dim, size in ((2, image.shape[2]), (3, image.shape[3])):
        total = padded.narrow(dim, radius, size) * weights[0]
        for distance, weight in enumerate(weights[1:], start=1):
            both_sides = padded.narrow(dim, radius - distance, size) + padded.narrow(dim, radius + distance, size)
            total = total.add_(both_sides, alpha=weight)
        padded = total
    return padded


SHORT_RADIUS = 8
"""Pixels. Up to this radius, adding shifted pictures takes a third of the time of a convolution, whose code is for many
channels."""


@lru_cache(maxsize=32)
def _weights(sigma: float) -> list[float]:
    """Weights of the middle and of the pixels on one side, up to ``2.5 * sigma``; with both sides they add up to 1."""
    half = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(int(2.5 * sigma + 0.5) + 1)]
    total = 2 * sum(half) - half[0]
    return [weight / total for weight in half]
