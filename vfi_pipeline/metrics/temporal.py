"""Temporal consistency: does the predicted film move as the true one does, or does it flicker?"""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_pipeline.geometry import warp
from vfi_pipeline.metrics.psnr import to_bytes


def warp_error(frame: Tensor, following: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Masked warp error of neighbouring frames (Lai et al. 2018, eq. 6; Ruder et al. 2016).

    ``sum(visible * (following - warp(frame, flow))^2) / sum(visible)``, mean over channels, pictures in [0, 1]. Flow
    and mask are those of the *true* film, the same for every method. The true film's own value is the aim: grain and
    light change along the motion, and a blurred film can fall below it.

    Args:
        frame, following: (B, C, H, W) neighbouring frames, uint8 or float in [0, 1].
        flow: (B, 2, H, W) pixels, on the grid of ``following``, pointing into ``frame``.
        visible: (B, 1, H, W) weights in [0, 1]: 1 where the point is seen in both true frames.

    Returns:
        (B,) mean squared error per visible pixel, float64; ``nan`` where nothing is visible. A clip's figure is the
        mean over its neighbouring pairs.
    """
    before, after = to_bytes(frame) / 255, to_bytes(following) / 255
    error = (after - warp(before, flow)).square().mean(dim=1, keepdim=True)
    weight = visible.flatten(1).sum(dim=1, dtype=torch.float64)
    return (error * visible).flatten(1).sum(dim=1, dtype=torch.float64) / weight
