"""Laplacian pyramids, and the transfer of local energy in them (Shih et al. 2014, "Style Transfer for Headshot
Portraits").

    S_l[x] = G(2^(l+1)) * L_l[x]^2                 local energy of a level
    L_l[out] = L_l[x] sqrt(S_l[e] / S_l[x])        gain, clamped
    residual[out] = residual[e]
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 6

GAIN = (0.9, 2.8)
"""Bounds of the gain of one level (Shih et al. 2014): below, detail would vanish; above, noise would show."""

EPSILON = 1e-4
"""Added to both energies, as in the paper: 0.01^2 of a range of 1."""


def laplacian(picture: Tensor, levels: int = LEVELS) -> list[Tensor]:
    """``levels`` bands (B, C, H, W) of the picture's own size, finest first, and the residual: they add up to it.

    The pyramid is not decimated, as in Shih et al.: band l is between Gaussians of 2^l and 2^(l+1) px (the first of 0
    and 2).
    """
    bands, smooth = [], picture
    for level in range(levels):
        coarser = gaussian(picture, 2.0 ** (level + 1))
        bands.append(smooth - coarser)
        smooth = coarser
    return [*bands, smooth]


def reconstructed(bands: Sequence[Tensor]) -> Tensor:
    """The picture whose pyramid is ``bands``."""
    total = bands[-1]
    for band in reversed(bands[:-1]):
        total = total + band
    return total


def energy(band: Tensor, level: int) -> Tensor:
    """The local mean of the band's square, over a Gaussian of 2^(level+1) px."""
    return gaussian(band.square(), 2.0 ** (level + 1))


def gain(of: Tensor, to: Tensor, bounds: tuple[float, float] | None = GAIN, epsilon: float = EPSILON) -> Tensor:
    """``sqrt(to / of)``, of two energies, within ``bounds``; 1 where they are equal."""
    ratio = ((to + epsilon) / (of + epsilon)).sqrt()
    return ratio if bounds is None else ratio.clamp(*bounds)


def gaussian(picture: Tensor, sigma: float) -> Tensor:
    """(B, C, H, W) smoothed by a Gaussian of ``sigma`` px, borders replicated.

    Wide Gaussians are computed on a reduced picture: their result is smooth, so that an eighth of the work suffices.
    """
    if sigma <= 8:
        return _convolved(picture, sigma)
    step = 4 if sigma < 32 else 8
    height, width = picture.shape[-2:]
    margin = step * -(-int(3 * sigma) // step)
    below, right = (margin + -side % step for side in (height, width))
    small = F.avg_pool2d(F.pad(picture, (margin, right, margin, below), mode="replicate"), step)
    # A box of n px has the variance (n^2 - 1) / 12; interpolating adds about step^2 / 6.
    left = (sigma**2 - (step**2 - 1) / 12 - step**2 / 6) ** 0.5 / step
    wide = F.interpolate(_convolved(small, left), scale_factor=step, mode="bilinear", align_corners=False)
    return wide[..., margin : margin + height, margin : margin + width]


def _convolved(picture: Tensor, sigma: float) -> Tensor:
    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=picture.dtype, device=picture.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    channels = picture.shape[1]
    flat = picture.reshape(-1, 1, *picture.shape[-2:])
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="replicate"), kernel)
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="replicate"), kernel.transpose(2, 3))
    return flat.view(-1, channels, *picture.shape[-2:])


def transferred(picture: Tensor, exemplar: Tensor, levels: int = LEVELS) -> Tensor:
    """The picture in the look of a single exemplar that is aligned with it: both (1, C, H, W). Not clamped."""
    return transferred_by(picture, exemplar, torch.ones_like(picture[:, :1]), levels)


def transferred_by(picture: Tensor, exemplars: Tensor, weights: Tensor, levels: int = LEVELS) -> Tensor:
    """The picture in the look of several exemplars, mixed by their weights.

    Args:
        picture: (1, C, H, W).
        exemplars: (K, C, H, W).
        weights: (1, K, H, W), adding up to 1 at every pixel.

    Returns:
        (1, C, H, W), not clamped. Energies and residuals are mixed, not pictures, so that no detail of an exemplar
        appears in the result.
    """
    bands = laplacian(picture, levels)
    exemplar_bands = laplacian(exemplars, levels)
    weight = weights[0][:, None]
    transferred_bands = []
    for level, (band, exemplar_band) in enumerate(zip(bands[:-1], exemplar_bands[:-1])):
        to = (weight * energy(exemplar_band, level)).sum(dim=0, keepdim=True)
        transferred_bands.append(band * gain(energy(band, level), to))
    return reconstructed([*transferred_bands, (weight * exemplar_bands[-1]).sum(dim=0, keepdim=True)])
