"""Whether a picture lies where the pictures of a set lie: shift and size by normalised cross-correlation with their
mean. What is added by differences of aligned sets would else appear beside the place where it belongs."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid, sample

SIDE = 48
"""Pixels of the longest side at which pictures are compared."""

REACH = 0.25
"""Largest shift that is tried, as a share of the side."""

SIZES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4)
"""Sizes that are tried."""


class Placement(NamedTuple):
    """Where a picture's content lies beside the mean's.

    Attributes:
        right, down: how far it lies to the right and below, as shares of width and height.
        size: its size beside the mean's.
        likeness: correlation there, -1 .. 1.
        as_it_is: correlation without moving it.
    """

    right: float
    down: float
    size: float
    likeness: float
    as_it_is: float

    def aligned(self, tolerance: float = 0.07, gain: float = 0.06) -> bool:
        """Whether moving it by more than ``tolerance``, or by a size, would not make it more alike by ``gain``."""
        near = max(abs(self.right), abs(self.down)) <= tolerance and 0.85 < self.size < 1.2
        return near or self.likeness - self.as_it_is < gain

    def described(self) -> str:
        """Where it lies, in words."""
        parts = [
            f"{round(100 * abs(by))} % {word}"
            for by, word in ((self.right, "to the right" if self.right > 0 else "to the left"),
                             (self.down, "too low" if self.down > 0 else "too high"))
            if abs(by) > 0.03
        ]  # fmt: skip
        if not 0.85 < self.size < 1.2:
            parts.append("too large" if self.size > 1 else "too small")
        return ", ".join(parts) or "elsewhere"


def placement(picture: Tensor, mean: Tensor) -> Placement:
    """Where ``picture`` (1, C, H, W) lies beside ``mean`` (1, C, H, W) of one size."""
    height, width = picture.shape[-2:]
    share = SIDE / max(height, width)
    size = (max(8, round(height * share)), max(8, round(width * share)))
    small = [
        F.interpolate(_grey(p), size, mode="bilinear", antialias=True, align_corners=False) for p in (picture, mean)
    ]
    reach = (int(size[0] * REACH), int(size[1] * REACH))
    best, here = (-2.0, 0, 0, 1.0), -1.0
    for scale in SIZES:
        looked, known = _scaled(small[0], scale)
        scores = _correlations(_detail(looked), _detail(small[1]), known, reach)
        top = int(scores.argmax())
        dy, dx = top // scores.shape[1] - reach[0], top % scores.shape[1] - reach[1]
        if float(scores.max()) > best[0]:
            best = (float(scores.max()), dx, dy, scale)
        if scale == 1:
            here = float(scores[reach[0], reach[1]])
    return Placement(best[1] / size[1], best[2] / size[0], best[3], best[0], here)


def _grey(picture: Tensor) -> Tensor:
    return picture[:, :3].float().mean(dim=1, keepdim=True)


def _detail(picture: Tensor) -> Tensor:
    """What differs from the surroundings: light from one side says nothing of where a face is."""
    kernel = 2 * (SIDE // 8) + 1
    padded = F.pad(picture, [kernel // 2] * 4, mode="replicate")
    return picture - F.avg_pool2d(padded, kernel, stride=1)


def _scaled(picture: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """The picture as it would be if its content were ``1 / size`` as large, and where it is known."""
    height, width = picture.shape[-2:]
    grid = pixel_grid(height, width, like=picture)
    middle = picture.new_tensor([(width - 1) / 2, (height - 1) / 2]).view(1, 2, 1, 1)
    at = middle + (grid - middle) * size
    last = 2 * middle
    known = ((at >= -0.5) & (at <= last + 0.5)).all(dim=1, keepdim=True).to(picture)
    return sample(picture, at), known


def _correlations(picture: Tensor, mean: Tensor, known: Tensor, reach: tuple[int, int]) -> Tensor:
    """(2 reach + 1, 2 reach + 1): zero-mean normalised cross-correlation where the picture lies so far below and to the
    right of the mean, over the pixels that both show."""
    padding = (reach[1], reach[1], reach[0], reach[0])

    def summed(a: Tensor, b: Tensor) -> Tensor:
        # out[y, x] = sum a(p + (y, x) - reach) b(p)
        return F.conv2d(F.pad(a, padding), b)[0, 0]

    ones = torch.ones_like(mean)
    picture = picture * known
    count = summed(known, ones).clamp(min=1)
    sum_p, sum_m = summed(picture, ones), summed(known, mean)
    cross = summed(picture, mean) - sum_p * sum_m / count
    var_p = summed(picture.square(), ones) - sum_p.square() / count
    var_m = summed(known, mean.square()) - sum_m.square() / count
    score = cross / (var_p.clamp(min=1e-6) * var_m.clamp(min=1e-6)).sqrt()
    return torch.where(count > 0.4 * ones.numel(), score, torch.full_like(score, -1.0))
