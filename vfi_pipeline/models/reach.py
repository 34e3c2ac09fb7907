"""Motion further than descent finds: every small patch of a tiny picture compared with every one of the other's.

A search from coarse to fine (``models.dis``) starts where the pictures are a few patches wide. What moves by more than
a patch there, or is seen against something that moves otherwise, is lost. All pairs of patches of a picture 40 px wide
are a million: one matrix product. It finds the way where a camera pans by a third of the picture (docs/training.md).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import blur, pixel_grid, resize_flow, shrunk, warp
from vfi_pipeline.models.dis import dis_flow, luma_bytes

SPAN = 40
"""Longer side of the tiny picture, px. Pictures less than twice as large are not looked at in this way."""

WINDOW, CONTRAST, STEPS = 7, 8.0, 32
"""Side of a patch, px; the contrast that counts as little, in codes of 255; steps that a patch's contrast is cut into.
Integers make sums exact, so that both directions are the same numbers and swapping the pictures swaps the results."""

WAY = 8
"""What a match costs for its squared distance in px, in squared steps."""

RETURNS = 1.5
"""A match is believed if the other direction's leads back to within so many px."""

BETTER, BY = 1.3, 0.5
"""How much smaller the difference must be for a distant match to be preferred: by this factor and so many codes."""

AROUND, LARGEST = 8 / 90, 40.0
"""That difference is averaged around a place (sigma, of the longer side), and no pixel counts for more than so many
codes."""

QUARTER, LEVEL = 4, 2
"""Which start is better is decided on pictures of this part of the size: the search goes on from that level."""


Starts = tuple[Tensor | None, Tensor | None]


def far_starts(first: Tensor, last: Tensor, preset: str, starts: Starts = (None, None)) -> tuple[Starts, int | None]:
    """Where ``models.dis.dis_flow`` had better begin, both ways, and at which level (``coarsest``).

    Everywhere the better of two starts: its own or the one given, and ``distant_matches``.

    Args:
        first, last: (1, 3 or 1, H, W) in [0, 1], or ``models.dis.luma_bytes`` of these. Small ones keep the starts
            given: descent reaches far enough there.
        preset: see ``models.dis``.
        starts: first guesses of both flows, (1, 2, H, W).
    """
    height, width = first.shape[-2:]
    if max(height, width) < 2 * SPAN:
        return starts, None
    lumas = [luma_bytes(image).float() for image in (first, last)]
    small = [shrunk(luma, 1 / QUARTER) for luma in lumas]
    there, back = distant_matches(*(shrunk(luma, SPAN / max(height, width)) for luma in lumas))
    searched = [luma_bytes(luma / 255) for luma in small]
    forward = _better_start(small, searched, starts[0], there, preset)
    backward = _better_start(small[::-1], searched[::-1], starts[1], back, preset)
    return (resize_flow(forward, height, width), resize_flow(backward, height, width)), LEVEL


def _better_start(
    lumas: list[Tensor], searched: list[Tensor], start: Tensor | None, far: Tensor, preset: str
) -> Tensor:
    """Flow of two lumas (1, 1, h, w) in codes: of a search from ``start``, or of one from ``far``, place by place.
    ``searched`` are the same as bytes."""
    (source, target), (one, two), size = lumas, searched, lumas[0].shape[-2:]
    near = dis_flow(one, two, preset, finest=0, start=None if start is None else resize_flow(start, *size))
    far = dis_flow(one, two, preset, finest=0, start=resize_flow(far, *size), coarsest=1)
    differences = [(source - warp(target, flow)).abs().clamp(max=LARGEST) for flow in (near, far)]
    by_near, by_far = (blur(difference, AROUND * max(size)) for difference in differences)
    return torch.where(by_far * BETTER + BY < by_near, far, near)


def distant_matches(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Flow forward and backward, (1, 2, h, w) px, of tiny lumas (1, 1, h, w) in codes, by comparing all patches.

    Patches without their mean, divided by their contrast, by squared difference. What is not found both ways takes the
    mean around it.
    """
    height, width = first.shape[-2:]
    one, two = _patches(first), _patches(last)
    ones, twos = (patches.square().sum(1, keepdim=True) for patches in (one, two))
    left = torch.cat((-2 * one, torch.ones_like(ones), ones), dim=1)
    right = torch.cat((two, twos, torch.ones_like(twos)), dim=1)
    cost = torch.addmm(_ways(height, width), left, right.T).numpy()
    there, back = torch.from_numpy(cost.argmin(1)), torch.from_numpy(cost.argmin(0))
    return _flow(there, back, height, width), _flow(back, there, height, width)


def _patches(luma: Tensor) -> Tensor:
    """The patch around every pixel, (h w, WINDOW**2), in whole steps of its contrast."""
    around = F.unfold(F.pad(luma, (WINDOW // 2,) * 4, mode="replicate"), WINDOW)[0].T
    around = around - around.mean(1, keepdim=True)
    contrast = (around.square().mean(1, keepdim=True) + CONTRAST**2).sqrt()
    return (around * (STEPS / contrast)).round().clamp(-4 * STEPS, 4 * STEPS)


@lru_cache(maxsize=2)
def _ways(height: int, width: int) -> Tensor:
    """What the distance between any two pixels costs, (h w, h w)."""
    with torch.inference_mode(False):
        at = pixel_grid(height, width, like=torch.empty(0))[0].flatten(1).T
        return WAY * (at[:, None] - at[None]).square().sum(-1)


def _flow(matched: Tensor, back: Tensor, height: int, width: int) -> Tensor:
    """From the number of each pixel's match to a smooth flow (1, 2, h, w)."""
    at = pixel_grid(height, width, like=torch.empty(0))[0].flatten(1)
    flow = (at[:, matched] - at).view(1, 2, height, width)
    away = (at[:, back[matched]] - at).square().sum(0).sqrt()
    sure = (away <= RETURNS).to(flow.dtype).view(1, 1, height, width)
    around = blur(torch.cat((flow * sure, sure), dim=1), 2.0)
    flow = torch.where(sure > 0, flow, around[:, :2] / (around[:, 2:] + 1e-3))
    windows = F.unfold(F.pad(flow, (2,) * 4, mode="replicate"), 5).view(2, 25, -1)
    return windows.median(dim=1).values.view_as(flow)
