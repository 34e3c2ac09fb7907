"""Structural similarity (Wang et al. 2004) on luma, as scikit-image computes it with Gaussian weights."""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_pipeline.metrics.psnr import to_bytes

RADIUS = 5  # scikit-image cuts the Gaussian of sigma 1.5 at 3.5 sigma: 11 taps
SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def luma(image: Tensor) -> Tensor:
    """BT.601 luma ``0.299 R + 0.587 G + 0.114 B``, rounded to bytes: (B, 1, H, W), float64. One channel passes."""
    codes = to_bytes(image).double()
    if codes.shape[1] == 1:
        return codes
    return (codes * codes.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).round()


def ssim(made: Tensor, truth: Tensor) -> Tensor:
    """Mean structural similarity of each frame's luma.

    Same figures as ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)``: the mean runs over the pixels whose window lies inside the picture.

    Args:
        made, truth: (B, 3 or 1, H, W), uint8 or float in [0, 1]; at least 11 x 11.

    Returns:
        (B,) in [-1, 1], float64; 1 for equal pictures.

    Raises:
        ValueError: if the shapes differ or a side is shorter than 11.
    """
    if made.shape != truth.shape or min(made.shape[-2:]) <= 2 * RADIUS:
        raise ValueError(
            f"ssim compares pictures of one shape, at least {2 * RADIUS + 1} px on each side, "
            f"got {tuple(made.shape)} and {tuple(truth.shape)}."
        )
    x, y = luma(made), luma(truth)
    batch = x.shape[0]
    # Only windows inside the picture count, so no border rule enters and the filter need not pad.
    moments = _smooth(torch.cat((x, y, x * x, y * y, x * y)))
    mx, my, xx, yy, xy = moments.split(batch)
    vx, vy, vxy = xx - mx * mx, yy - my * my, xy - mx * my
    similarity = ((2 * mx * my + C1) * (2 * vxy + C2)) / ((mx * mx + my * my + C1) * (vx + vy + C2))
    return similarity.flatten(1).mean(dim=1)


def _smooth(image: Tensor) -> Tensor:
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=image.dtype)
    taps = torch.exp(-0.5 * (offset / SIGMA) ** 2)
    weights = (taps / taps.sum()).tolist()
    # Shifted sums: conv2d in float64 has no fast path on CPU and takes fifteen times as long.
    for dim in (-1, -2):
        length = image.shape[dim] - 2 * RADIUS
        total = image.narrow(dim, 0, length) * weights[0]
        for shift, weight in enumerate(weights[1:], start=1):
            total.add_(image.narrow(dim, shift, length), alpha=weight)
        image = total
    return image
