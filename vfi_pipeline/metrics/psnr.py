"""Errors of single pixels: peak signal-to-noise ratio, and the interpolation error of Middlebury, over RGB."""

from __future__ import annotations

import torch
from torch import Tensor


def to_bytes(image: Tensor) -> Tensor:
    """Code values 0..255 as float32, same shape: a uint8 picture as it is, a float one rounded and clipped."""
    if image.dtype == torch.uint8:
        return image.float()
    return (image * 255).round().clamp(0, 255).float()


def to_codes(image: Tensor, rounded: bool) -> Tensor:
    """Code values 0..255 as float64, same shape: ``to_bytes``, or a float picture's own values, only clipped."""
    if rounded or image.dtype == torch.uint8:
        return to_bytes(image).double()
    return (image.double() * 255).clamp(0, 255)


def psnr(prediction: Tensor, target: Tensor, rounded: bool = True, offset: float = 0.0) -> Tensor:
    """``10 log10(1 / (mse + offset))`` of each frame, the mean squared error of all its channels and pixels in [0, 1].

    Args:
        prediction, target: (B, C, H, W), uint8 or float in [0, 1].
        rounded: float pictures are rounded to bytes first, as a file would hold them; False: compared as they are.
        offset: what some add so that equal pictures have a finite value (CAIN: 1e-8).

    Returns:
        (B,) in dB, float64; ``inf`` for equal pictures without an offset.

    Raises:
        ValueError: if the shapes differ.
    """
    error = _difference("psnr", prediction, target, rounded).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error / 255.0**2 + offset)


def interpolation_error(prediction: Tensor, target: Tensor, rounded: bool = True) -> Tensor:
    """IE as papers give it for Middlebury's OTHER set: the mean absolute difference in code values, (B,), float64.

    Baker et al. 2011 define IE as the root of the mean *square*, and their site uses that; the figures that papers
    print for OTHER (RIFE, EMA-VFI: ``benchmark/MiddleBury*.py``) are the mean absolute difference.

    Args, Raises: as ``psnr``.
    """
    return _difference("interpolation_error", prediction, target, rounded).abs().flatten(1).mean(dim=1)


def _difference(name: str, prediction: Tensor, target: Tensor, rounded: bool) -> Tensor:
    if prediction.shape != target.shape:
        raise ValueError(
            f"{name} compares pictures of one shape, got {tuple(prediction.shape)} and {tuple(target.shape)}."
        )
    return to_codes(prediction, rounded) - to_codes(target, rounded)
