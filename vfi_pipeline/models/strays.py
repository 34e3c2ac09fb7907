"""Small things that move by more than their size: a ball, a bird. What the search left unexplained in one picture is
compared with what it left unexplained in the other.

A search from coarse to fine (``models.dis``) does not see them where its steps are long enough, and all pairs of
patches of a tiny picture (``models.reach``) are mostly background. But where such a thing was and where it is, both
pictures show something that no motion explains, and there are few such places.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import blur, pixel_grid, resize_flow, shrunk, warp
from vfi_pipeline.models.dis import dis_flow, luma_bytes

PART = 4
"""Places are compared in pictures of this part of the size."""

MOST, WINDOW = 384, 7
"""Places compared, those explained worst; side of the patch around a place, px."""

UNEXPLAINED = 25.0
"""Mean difference around a place, in codes of 255, from which on it counts as unexplained. At 15, and with smaller
patches, hands that open and shadows that come were matched with whatever looked like them (docs/training.md)."""

CLOSER, BY = 2.0, 2.0
"""How much nearer a match must be than what the search found there: by this factor and so many codes (RMS)."""

ALIKE, AROUND, VOTES = 1.5, 5.0, 8
"""A match is believed if each is the other's nearest, and if so many matches around it in both pictures, it among them,
move alike to within so many px. Swapping the pictures swaps these conditions, too."""

WIDER = 4.0
"""So far around believed matches, px, pixels may belong to the same thing."""

BETTER, MARGIN = 1.6, 1.0
"""Pixel by pixel, how much smaller the difference around it must become: by this factor and so many codes."""


def mended(first: Tensor, last: Tensor, forward: Tensor, backward: Tensor, preset: str) -> tuple[Tensor, Tensor]:
    """The flows of a pair after what was left unexplained has been matched, both ways.

    Args:
        first, last: (1, 3 or 1, H, W) in [0, 1], or ``models.dis.luma_bytes`` of these.
        forward, backward: (1, 2, H, W) as found by a search; pixels.
        preset: of the search that refines the matches, see ``models.dis``.
    """
    height, width = first.shape[-2:]
    if min(height, width) < PART * 2 * WINDOW:
        return forward, backward
    searched = [luma_bytes(image) for image in (first, last)]
    lumas = [luma.float() for luma in searched]
    small = shrunk(torch.cat(lumas), 1 / PART).round()
    flows = resize_flow(torch.cat((forward, backward)), *small.shape[-2:])
    here, there = matches(small, flows)
    if not len(here):
        return forward, backward
    forward = _with(here, there, forward, lumas, searched, preset)
    return forward, _with(there, here, backward, lumas[::-1], searched[::-1], preset)


def matches(pictures: Tensor, flows: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the first picture that the flow does not explain, and where each is found in the last one, (n, 2) x, y.

    Args:
        pictures: (2, 1, h, w) the first and the last one in whole codes: sums are exact, so that swapping the pictures
            swaps the results.
        flows: (2, 2, h, w) px, forward and backward.
    """
    left = pictures - warp(pictures.flip(0), flows)
    around = blur(left.abs(), 0.8).flatten(1)
    if not bool((around.amax(1) > UNEXPLAINED).all()):
        return flows.new_zeros(0, 2), flows.new_zeros(0, 2)
    at = pixel_grid(*pictures.shape[-2:], like=pictures)[0].flatten(1).T
    one, two = (_unexplained(pictures[k : k + 1], left[k : k + 1], around[k]) for k in (0, 1))
    here, there = at[one.number], at[two.number]
    apart = one.patches.square().sum(1)[:, None] + two.patches.square().sum(1) - 2 * one.patches @ two.patches.T
    # A px of way costs as much as a code of difference in one pixel of the patch.
    cost = apart + (here[:, None] - there).square().sum(-1)
    to, fro = cost.argmin(1), cost.argmin(0)
    rms = (apart.gather(1, to[:, None])[:, 0] / WINDOW**2).sqrt()
    least = torch.minimum(one.left, two.left[to])
    believed = (fro[to] == torch.arange(len(to))) & (rms * CLOSER + BY < least)
    here, there = here[believed], there[to[believed]]
    way = there - here
    near = (_squares(here) <= AROUND**2) & (_squares(there) <= AROUND**2)
    voted = (near & (_squares(way) <= ALIKE**2)).sum(1) >= VOTES
    return here[voted], there[voted]


def _squares(places: Tensor) -> Tensor:
    """Squared distances between any two of (n, 2), exact for whole pixels."""
    return (places[:, None] - places).square().sum(-1)


class _Unexplained(NamedTuple):
    """Pixels that are explained worst: their numbers, the patches around them and the RMS difference left in these."""

    number: Tensor
    patches: Tensor
    left: Tensor


def _unexplained(picture: Tensor, left: Tensor, around: Tensor) -> _Unexplained:
    worst = around.topk(min(MOST, len(around)))
    index = worst.indices[worst.values > UNEXPLAINED]
    return _Unexplained(index, _patches(picture, index), _patches(left, index).square().mean(1).sqrt())


def _patches(image: Tensor, index: Tensor) -> Tensor:
    """The patches around those pixels, (n, WINDOW**2)."""
    around = F.pad(image, (WINDOW // 2,) * 4, mode="replicate")[0, 0].unfold(0, WINDOW, 1).unfold(1, WINDOW, 1)
    width = image.shape[-1]
    return around[index // width, index % width].flatten(1)


def _with(
    here: Tensor, there: Tensor, flow: Tensor, lumas: list[Tensor], searched: list[Tensor], preset: str
) -> Tensor:
    """The flow with the matches in it, refined, where that explains the source better."""
    height, width = flow.shape[-2:]
    rows, columns = (max(1, round(n / PART)) for n in (height, width))
    order = (here[:, 1] * columns + here[:, 0]).argsort()  # which of two equally near is taken must not hang on chance
    here, there = here[order], there[order]
    at = pixel_grid(rows, columns, like=flow)[0].flatten(1).T
    distance, nearest = torch.cdist(at, here).min(1)
    near = (distance <= WIDER).to(flow.dtype).view(1, 1, rows, columns)
    way = (there - here)[nearest].T.view(1, 2, rows, columns)
    scale = flow.new_tensor([width / columns, height / rows]).view(1, 2, 1, 1)
    near, way = F.interpolate(near, (height, width)), F.interpolate(way * scale, (height, width))
    start = torch.where(near > 0, way, flow)
    refined = dis_flow(searched[0], searched[1], preset, finest=0, start=start, coarsest=1)
    by_flow, by_refined = (blur((lumas[0] - warp(lumas[1], f)).abs(), 2.0) for f in (flow, refined))
    return torch.where((near > 0) & (by_refined * BETTER + MARGIN < by_flow), refined, flow)
