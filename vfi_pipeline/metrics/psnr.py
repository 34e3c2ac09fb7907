"""Peak signal-to-noise ratio over RGB bytes."""

from __future__ import annotations

import torch
from torch import Tensor


def to_bytes(image: Tensor) -> Tensor:
    """Code values 0..255 as float32, same shape: a uint8 picture as it is, a float one rounded and clipped."""
    if image.dtype == torch.uint8:
        return image.float()
    return (image * 255).round().clamp(0, 255).float()


def psnr(made: Tensor, truth: Tensor) -> Tensor:
    """``10 log10(255^2 / mse)`` of each frame, the mean squared error running over all its channels and pixels.

    Args:
        made, truth: (B, C, H, W), uint8 or float in [0, 1] (rounded to bytes first, as a file would hold it).

    Returns:
        (B,) in dB, float64; ``inf`` for equal pictures.

    Raises:
        ValueError: if the shapes differ.
    """
    if made.shape != truth.shape:
        raise ValueError(f"psnr compares pictures of one shape, got {tuple(made.shape)} and {tuple(truth.shape)}.")
    # Byte differences are exact in float32; the sum over a 4K frame is not.
    error = (to_bytes(made) - to_bytes(truth)).square().flatten(1).mean(dim=1, dtype=torch.float64)
    return 10 * torch.log10(255.0**2 / error)
