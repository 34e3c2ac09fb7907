"""Structural similarity (Wang et al. 2004) in three forms: on luma, on RGB as a volume, and on RGB by a square window.

They give different figures for the same pictures: say which one is meant.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.metrics.psnr import to_bytes, to_codes

SIGMA = 1.5
GAUSSIAN = tuple(float(x) for x in torch.softmax(-0.5 * (torch.arange(-5.0, 6.0).double() / SIGMA) ** 2, dim=0))
"""Weights of the 11 taps of Wang et al.; scikit-image cuts its Gaussian at 3.5 sigma, which is the same."""
UNIFORM = (1 / 7,) * 7
"""scikit-image's default: a window of 7 x 7, every pixel alike."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
ROWS_AT_ONCE = 128
"""Rows of windows computed at a time: ten pictures of float64 are held for each."""


def luma(image: Tensor) -> Tensor:
    """BT.601 luma ``0.299 R + 0.587 G + 0.114 B``, rounded to bytes: (B, 1, H, W), float64. One channel passes."""
    codes = to_bytes(image).double()
    if codes.shape[1] == 1:
        return codes
    return (codes * codes.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).round()


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean structural similarity of each frame's luma.

    Same figures as ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)``: the mean runs over the pixels whose window lies inside the picture.

    Args:
        prediction, target: (B, 3 or 1, H, W), uint8 or float in [0, 1] (rounded first); at least 11 x 11.

    Returns:
        (B,) in [-1, 1], float64; 1 for equal pictures.

    Raises:
        ValueError: if the shapes differ or a side is shorter than 11.
    """
    _check("ssim", prediction, target, GAUSSIAN)
    return _similarity(luma(prediction), luma(target), GAUSSIAN)


def ssim_matlab(prediction: Tensor, target: Tensor, rounded: bool = True) -> Tensor:
    """The similarity that papers on frame interpolation print: RGB as one volume, a Gaussian window of 11 x 11 x 11.

    Their code calls it ``ssim_matlab`` (CAIN, RIFE, EMA-VFI, UPR-Net, M2M: ``pytorch_msssim``). The window also runs
    over the three channels; all three borders are replicated, so every pixel of every channel counts. (MATLAB's own
    ``ssim`` treats a colour picture so.) They compute in float32, this in float64: the same to about 1e-5.

    Args:
        prediction, target: (B, 3, H, W), uint8 or float in [0, 1]; at least 11 x 11.
        rounded: float pictures are rounded to bytes first; False: compared as they are.

    Returns, Raises: as ``ssim``.
    """
    _check("ssim_matlab", prediction, target, GAUSSIAN)
    x, y = (F.pad(to_codes(image, rounded), (5, 5, 5, 5), mode="replicate") for image in (prediction, target))
    channels = x.shape[1]
    # With the border replicated, the pass over the channels is a small matrix: row c has the weight of each channel.
    across = x.new_zeros(channels, channels)
    for centre in range(channels):
        for offset, weight in enumerate(GAUSSIAN, start=-5):
            across[centre, min(max(centre + offset, 0), channels - 1)] += weight
    return _similarity(x, y, GAUSSIAN, across)


def ssim_uniform(prediction: Tensor, target: Tensor, rounded: bool = True) -> Tensor:
    """scikit-image's default on colour pictures, as the Xiph benchmark of SoftSplat (Niklaus and Liu 2020) has it.

    Same figures as ``skimage.metrics.structural_similarity(channel_axis=..., data_range=255)``: a uniform window of
    7 x 7 inside the picture, sample covariance (divided by 48, not 49), the mean of the channels.

    Args:
        prediction, target: (B, C, H, W), uint8 or float in [0, 1]; at least 7 x 7.
        rounded: float pictures are rounded to bytes first; False: compared as they are.

    Returns, Raises: as ``ssim``, with 7 for 11.
    """
    _check("ssim_uniform", prediction, target, UNIFORM)
    return _similarity(to_codes(prediction, rounded), to_codes(target, rounded), UNIFORM, covariance_scale=49 / 48)


def _check(name: str, prediction: Tensor, target: Tensor, taps: tuple[float, ...]) -> None:
    if prediction.shape != target.shape or min(prediction.shape[-2:]) < len(taps):
        raise ValueError(
            f"{name} compares pictures of one shape, at least {len(taps)} px on each side, "
            f"got {tuple(prediction.shape)} and {tuple(target.shape)}."
        )


def _similarity(
    x: Tensor, y: Tensor, taps: tuple[float, ...], across: Tensor | None = None, covariance_scale: float = 1.0
) -> Tensor:
    """Mean over channels and windows inside the pictures; ``across`` (C, C) mixes the moments of the channels."""
    batch, around = x.shape[0], len(taps) - 1
    rows = x.shape[-2] - around
    total = x.new_zeros(batch)
    for top in range(0, rows, ROWS_AT_ONCE):
        a, b = (image[..., top : min(top + ROWS_AT_ONCE, rows) + around, :] for image in (x, y))
        moments = torch.cat((a, b, a * a, b * b, a * b))
        if across is not None:
            moments = torch.einsum("ck,bkhw->bchw", across, moments)
        mx, my, xx, yy, xy = _smooth(moments, taps).split(batch)
        vx, vy, vxy = ((m - n) * covariance_scale for m, n in ((xx, mx * mx), (yy, my * my), (xy, mx * my)))
        similarity = ((2 * mx * my + C1) * (2 * vxy + C2)) / ((mx * mx + my * my + C1) * (vx + vy + C2))
        total += similarity.flatten(1).sum(dim=1)
    return total / (x.shape[1] * rows * (x.shape[-1] - around))


def _smooth(image: Tensor, taps: tuple[float, ...]) -> Tensor:
    # Shifted sums: conv2d in float64 has no fast path on CPU and takes fifteen times as long.
    for dim in (-1, -2):
        length = image.shape[dim] - len(taps) + 1
        total = image.narrow(dim, 0, length) * taps[0]
        for shift, weight in enumerate(taps[1:], start=1):
            total.add_(image.narrow(dim, shift, length), alpha=weight)
        image = total
    return image
