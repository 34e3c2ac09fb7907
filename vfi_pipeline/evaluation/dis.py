"""OpenCV's dense inverse search flow (Kroeger et al. 2016), as a baseline. The one door to it."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor

from vfi_pipeline.estimation.lucas_kanade import luma

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

SMALLEST = 32
"""Smaller pictures are padded to this side: the search needs room for its 8 px patches at two scales."""


def dis_flow(source: Tensor, target: Tensor, preset: str = "medium", finest: int | None = None) -> Tensor:
    """Where the pixels of ``source`` are found in ``target``: ``source(x) ~ target(x + flow(x))``.

    The result does not depend on OpenCV's number of threads.

    Args:
        source, target: (1, 3 or 1, H, W), float in [0, 1].
        preset: one of ``PRESETS``.
        finest: the search stops at pictures of ``1 / 2**finest`` of the size; None: as the preset says
            (medium: 1, else 2).

    Returns:
        (1, 2, H, W), pixels.

    Raises:
        ValueError: if the preset is unknown or the sizes differ.
    """
    if preset not in PRESETS:
        raise ValueError(f"No DIS preset {preset!r}. Use one of {', '.join(PRESETS)}.")
    if source.shape != target.shape:
        raise ValueError(f"Flow needs pictures of one size, got {tuple(source.shape)} and {tuple(target.shape)}.")
    height, width = source.shape[-2:]
    a, b = _luma_bytes(source)[0, 0], _luma_bytes(target)[0, 0]
    if torch.equal(a, b):
        return torch.zeros(1, 2, height, width)
    below, right = max(SMALLEST - height, 0), max(SMALLEST - width, 0)
    a, b = (_padded(x, below, right) for x in (a, b))
    search = cv2.DISOpticalFlow.create(PRESETS[preset])
    if finest is not None:
        search.setFinestScale(finest)
    flow = search.calc(a.numpy(), b.numpy(), None).transpose(2, 0, 1)  # type: ignore[call-overload]
    return torch.from_numpy(flow)[None, :, :height, :width].contiguous()


def _padded(picture: Tensor, below: int, right: int) -> Tensor:
    """(..., H, W), its last row and column drawn out; the picture itself if nothing is to be added."""
    if below:
        picture = torch.cat((picture, picture[..., -1:, :].expand(*picture.shape[:-2], below, -1)), dim=-2)
    if right:
        picture = torch.cat((picture, picture[..., -1:].expand(*picture.shape[:-1], right)), dim=-1)
    return picture


def _luma_bytes(image: Tensor) -> Tensor:
    """BT.601 luma of a picture (1, 3 or 1, H, W): the same shape with one channel, uint8 on the CPU."""
    picture = image.detach().float().cpu()
    if picture.shape[1] == 3:
        picture = luma(picture)
    return (picture * 255).round().clamp(0, 255).byte().contiguous()
