"""Paths that bend: what the frames around a pair tell of its acceleration (quadratic motion, Xu et al. 2019).

Between two frames alone, every path is as good as any other and a straight one at constant speed is the best guess.
With the frame before and the frame after, a pixel's velocity is known in three intervals in a row; the change from one
to the next is its acceleration ``a``. The content velocity within the pair then is ``v + (t - 1/2) a``: integrated to
either frame it displaces by

    there(t) = exp(-t v) + t (1 - t) / 2 * a,      back(t) = exp((1 - t) w) + t (1 - t) / 2 * a

to first order in ``a``. Both ends stay where they are, and all t still come from the one solve of the fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import blur, pixel_grid, resize_flow, sample, warp
from vfi_pipeline.models.search import Pair

SPREAD = 0.03
"""Trust below which the acceleration falls to 0."""

LONE = 0.6
"""Share of the acceleration that is believed where only one of the two neighbours tells it."""

RANGE, FLOOR = 3.0, 0.02
"""Pixels (sigma) over which the two estimates are compared, and the power, px^2, below which they count as equal."""

DOUBT = 0.1
"""How much of the power of the two estimates' difference is taken off that of their mean."""

FARTHEST = 3.0
"""A neighbouring interval this many times longer or shorter tells nothing."""


@dataclass(frozen=True)
class Bend:
    """A pair's acceleration and velocity where its pixels are at t = 1/2, both (1, 2, h, w), pixels of this grid."""

    acceleration: Tensor
    velocity: Tensor

    def at(self, t: float, height: int, width: int) -> Tensor:
        """What to add to both displacements at ``t``, (1, 2, height, width)."""
        middle = pixel_grid(*self.velocity.shape[-2:], like=self.velocity) + (0.5 - t) * self.velocity
        return resize_flow(t * (1 - t) / 2 * sample(self.acceleration, middle), height, width)


def bend(
    pair: Pair, before: Pair | None, after: Pair | None, spans: tuple[float, float], velocity: Tensor, cells: int = 2
) -> Bend | None:
    """The acceleration of a pair from the pairs before and after it; None where there is neither.

    Args:
        pair, before, after: looked at with the same size (H, W).
        spans: the neighbours' lengths in time, in units of the pair's.
        velocity: (1, 2, H, W) of the pair at t = 1/2, pixels per unit t.
        cells: the result's grid has H // cells x W // cells cells; the acceleration is no finer than that.

    Where both neighbours tell it, their mean counts by how far they agree around the place (a Wiener filter: power of
    the mean less that of the difference); a jump in one interval, such as a repeated frame, gives opposite signs and
    cancels.
    """
    before, after = (
        near if near is not None and 1 / FARTHEST <= span <= FARTHEST else None
        for near, span in zip((before, after), spans)
    )
    if before is None and after is None:
        return None
    height, width = (max(1, n // cells) for n in velocity.shape[-2:])
    velocity = resize_flow(velocity, height, width)
    told = []
    if before is not None:
        change = pair.forward + before.backward / spans[0]
        told.append((change * (2 / (1 + spans[0])), pair.sure_first * before.sure_last, -0.5))
    if after is not None:
        change = pair.backward + after.forward / spans[1]
        told.append((change * (2 / (1 + spans[1])), pair.sure_last * after.sure_first, 0.5))
    parts = []
    for change, trust, way in told:
        small = torch.cat((resize_flow(change, height, width), _resized(trust, height, width)), dim=1)
        parts.append(warp(small, way * velocity).split((2, 1), dim=1))
    if len(parts) == 1:
        ((change, trust),) = parts
        acceleration = LONE * change * trust / (trust + SPREAD)
    else:
        (one, sure_one), (two, sure_two) = parts
        mean = (one * sure_one + two * sure_two) / (sure_one + sure_two + SPREAD)
        acceleration = mean * _agreement(one, two, sure_one * sure_two)
    return Bend(blur(acceleration, 1.0), velocity)


def _agreement(one: Tensor, two: Tensor, trust: Tensor) -> Tensor:
    """(1, 1, h, w) in (0, 1]."""
    weight = trust + 1e-3
    powers = torch.cat(((one + two).square().sum(1, keepdim=True), (one - two).square().sum(1, keepdim=True)), 1) / 4
    signal, noise = (blur(powers * weight, RANGE) / blur(weight, RANGE)).chunk(2, dim=1)
    return ((signal - DOUBT * noise).clamp(min=0) + FLOOR) / (signal + FLOOR)


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    shrinks = height < image.shape[-2] or width < image.shape[-1]
    return F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=shrinks)
