"""OpenCV's dense inverse search flow (Kroeger et al. 2016): where the fit starts, and a rival. The one door to it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Preset:
    """One of OpenCV's presets, and what differs from it: descent steps for a patch, variational refinements, pixels
    between patches, side of the window (px, 0, 3 or 5) whose median the flow becomes in the end."""

    base: int
    descents: int | None = None
    refinements: int | None = None
    stride: int | None = None
    median: int = 0


PRESETS = {
    "ultrafast": Preset(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
    "fast": Preset(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "medium": Preset(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "sparse": Preset(cv2.DISOPTICAL_FLOW_PRESET_FAST, descents=16, refinements=0, stride=6, median=5),
    "denser": Preset(cv2.DISOPTICAL_FLOW_PRESET_FAST, descents=16, refinements=0, stride=5, median=5),
}
"""Ours for ``flow``: few patches, descended on for longer than in ``fast``, and the median of their votes in place of
the variational refinement. ``sparse`` at 5/8 of the size and ``denser`` at the whole are nearly as good there as
``medium``, in a third of its time (docs/training.md)."""

SMALLEST = 32
"""Smaller pictures are padded to this side: the search needs room for its 8 px patches at two scales."""


def dis_flow(
    source: Tensor,
    target: Tensor,
    preset: str = "medium",
    finest: int | None = None,
    start: Tensor | None = None,
    coarsest: int | None = None,
) -> Tensor:
    """Where the pixels of ``source`` are found in ``target``: ``source(x) ~ target(x + flow(x))``.

    The result does not depend on OpenCV's number of threads.

    Args:
        source, target: (1, 3 or 1, H, W), float in [0, 1], or ``luma_bytes`` of these.
        preset: one of ``PRESETS``.
        finest: the search stops at pictures of ``1 / 2**finest`` of the size; None: as the preset says
            (medium: 1, else 2).
        start: (1, 2, H, W) a first guess, e.g. the flow of the pair before.
        coarsest: the search begins at pictures of ``1 / 2**coarsest`` of the size; None, or larger than their patches
            allow: where few patches fill the picture.

    Returns:
        (1, 2, H, W), pixels, float32, on the CPU. Zero for identical pictures.

    Raises:
        ValueError: if the preset is unknown or the sizes differ.
    """
    if preset not in PRESETS:
        raise ValueError(f"No DIS preset {preset!r}. Use one of {', '.join(PRESETS)}.")
    if source.shape != target.shape:
        raise ValueError(f"Flow needs pictures of one size, got {tuple(source.shape)} and {tuple(target.shape)}.")
    height, width = source.shape[-2:]
    a, b = luma_bytes(source)[0, 0], luma_bytes(target)[0, 0]
    if torch.equal(a, b):
        return torch.zeros(1, 2, height, width)
    below, right = max(SMALLEST - height, 0), max(SMALLEST - width, 0)
    a, b = (_padded(x, below, right) for x in (a, b))
    chosen = PRESETS[preset]
    search = cv2.DISOpticalFlow_create(chosen.base)
    if chosen.descents is not None:
        search.setGradientDescentIterations(chosen.descents)
    if chosen.refinements is not None:
        search.setVariationalRefinementIterations(chosen.refinements)
    if chosen.stride is not None:
        search.setPatchStride(chosen.stride)
    if finest is not None:
        search.setFinestScale(finest)
    if coarsest is not None:
        search.setCoarsestScale(coarsest)
    guess = None
    if start is not None:
        padded = _padded(start[0].float().cpu(), below, right)
        guess = padded.permute(1, 2, 0).contiguous().numpy().copy()  # calc may write into it
    found = search.calc(a.numpy(), b.numpy(), guess).transpose(2, 0, 1)
    if chosen.median:
        found = np.stack([cv2.medianBlur(np.ascontiguousarray(part), chosen.median) for part in found])
    return torch.from_numpy(found)[None, :, :height, :width].contiguous()


def _padded(picture: Tensor, below: int, right: int) -> Tensor:
    """(..., H, W), its last row and column drawn out; the picture itself if nothing is to be added."""
    if below:
        picture = torch.cat((picture, picture[..., -1:, :].expand(*picture.shape[:-2], below, -1)), dim=-2)
    if right:
        picture = torch.cat((picture, picture[..., -1:].expand(*picture.shape[:-1], right)), dim=-1)
    return picture


def luma_bytes(image: Tensor) -> Tensor:
    """BT.601 luma of the first picture of a batch, (1, 1, H, W) uint8 on the CPU. What is that already stays so."""
    picture = image[:1].detach().cpu()
    if picture.dtype == torch.uint8 and picture.shape[1] == 1:
        return picture.contiguous()
    picture = picture.float()
    if picture.shape[1] == 3:
        picture = luma_of(picture)
    return (picture * 255).round().clamp(0, 255).byte().contiguous()


def luma_of(image: Tensor) -> Tensor:
    """BT.601 luma (B, 1, H, W) of RGB (B, 3, H, W)."""
    red, green, blue = image.split(1, dim=1)
    return (red * 0.299).add_(green * 0.587).add_(blue * 0.114)
