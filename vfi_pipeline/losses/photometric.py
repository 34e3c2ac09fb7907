"""How far predicted frames are from true ones. Every loss is a mean, so its weight does not depend on size or batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import constant


def mean_squared(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """``mean((prediction - target)**2)``, or the mean weighted by ``weight``. A scalar.

    Args:
        prediction, target: (..., C, H, W), same shape.
        weight: (..., 1, H, W) >= 0, e.g. 1 where a pixel is visible; None counts all pixels alike.
    """
    return _mean((prediction - target) ** 2, weight)


def negative_psnr(prediction: Tensor, target: Tensor, floor: float = 1e-5) -> Tensor:
    """Mean over frames of ``10 log10(mean((prediction - target)**2) + floor)``, dB: lower is better.

    Both (..., C, H, W).

    Reports average decibels, in which a nearly correct frame weighs as much as a poor one; a mean of errors neglects
    it (Chen et al. 2021). ``floor`` ends that at 50 dB.
    """
    return 10 * ((prediction - target).square().mean(dim=(-3, -2, -1)) + floor).log10().mean()


def charbonnier(prediction: Tensor, target: Tensor, weight: Tensor | None = None, epsilon: float = 1e-3) -> Tensor:
    """``mean(sqrt((prediction - target)**2 + epsilon**2) - epsilon)``: L1 with a smooth foot (Charbonnier et al. 1994).

    Exactly 0 for equal images. Shapes as in ``mean_squared``.
    """
    return _mean(((prediction - target) ** 2 + epsilon**2).sqrt() - epsilon, weight)


def laplacian_pyramid(prediction: Tensor, target: Tensor, levels: int = 5) -> Tensor:
    """Mean absolute difference of Laplacian pyramids, level k counted 2**k times (Bojanowski et al. 2018).

    A level is a mean over its own pixels. Levels stop early where a side would fall under 2 px; the last, low-pass,
    level counts as well, so that a constant offset is seen.

    Args:
        prediction, target: (..., C, H, W), same shape.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"Cannot compare frames of shapes {tuple(prediction.shape)} and {tuple(target.shape)}.")
    # The pyramid is linear: that of the difference is the difference of the pyramids.
    rest = (prediction - target).flatten(end_dim=-4) if prediction.dim() > 3 else (prediction - target)[None]
    total = rest.new_zeros(())
    for level in range(levels - 1):
        if min(rest.shape[-2:]) < 4:
            break
        coarse = _blur(rest)[..., ::2, ::2]
        detail = rest - F.interpolate(coarse, rest.shape[-2:], mode="bilinear", align_corners=False)
        total = total + 2**level * detail.abs().mean()
        rest = coarse
    else:
        level = levels - 1
    return total + 2**level * rest.abs().mean()


def census(prediction: Tensor, target: Tensor, weight: Tensor | None = None, radius: int = 3) -> Tensor:
    """Soft Hamming distance of census transforms: blind to brightness (Zabih 1994; Meister et al. 2018).

    Each pixel is described by the signs, softened, of its differences to its (2 radius + 1)^2 - 1 neighbours in luma.
    Pixels whose window leaves the frame do not count.

    Args:
        prediction, target: (..., C, H, W) with C of 1 or more (3: RGB), values in [0, 1].
        weight: (..., 1, H, W) or None.
    """
    size = 2 * radius + 1
    if min(prediction.shape[-2:]) < size:
        raise ValueError(
            f"A census of radius {radius} needs frames of {size} px or more, got {tuple(prediction.shape[-2:])}."
        )
    a, b = _ternary(prediction, radius), _ternary(target, radius)
    squared = (a - b) ** 2
    distance = (squared / (0.1 + squared)).mean(dim=-3, keepdim=True)
    inside = slice(radius, -radius)
    return _mean(distance, None if weight is None else weight[..., inside, inside])


def _mean(error: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return error.mean()
    weight = weight.expand_as(error)
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def _blur(image: Tensor) -> Tensor:
    """The 5-tap binomial filter of Burt and Adelson (1983), border replicated; (N, C, H, W)."""
    taps = constant((1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), image)
    channels = image.shape[1]
    padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
    rows = F.conv2d(padded, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return F.conv2d(rows, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)


def _ternary(image: Tensor, radius: int) -> Tensor:
    """(..., neighbours, H - 2 radius, W - 2 radius) soft signs in (-1, 1)."""
    if image.shape[-3] == 3:
        luma = (image * constant((0.299, 0.587, 0.114), image)[0]).sum(dim=-3)
    else:
        luma = image.mean(dim=-3)
    height, width = luma.shape[-2] - 2 * radius, luma.shape[-1] - 2 * radius
    centre = luma[..., radius : radius + height, radius : radius + width]
    shifts = [(y, x) for y in range(2 * radius + 1) for x in range(2 * radius + 1) if (y, x) != (radius, radius)]
    difference = torch.stack([luma[..., y : y + height, x : x + width] - centre for y, x in shifts], dim=-3)
    # The constants of Meister et al., who count in 8-bit values: a difference of about 1 / 255 is half a sign.
    return difference / (0.81 / 255**2 + difference**2).sqrt()
