"""The position and size of a picture's content beside the mean of a set, by normalised cross-correlation.

An attribute is a difference of aligned sets: on a picture that is not aligned with them, it appears in the wrong place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid, sample


@dataclass(frozen=True)
class AlignmentSearch:
    """The shifts and sizes to compare. No measurement of the values is recorded.

    Attributes:
        side: longest side, px, of the pictures compared.
        max_shift: as a share of each side.
        sizes: factors on the size.
        overlap: smallest share of the pixels that both pictures must show.
    """

    side: int = 48
    max_shift: float = 0.25
    sizes: tuple[float, ...] = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4)
    overlap: float = 0.4


SEARCH = AlignmentSearch()


class Placement(NamedTuple):
    """The position and size of a picture's content relative to the mean's.

    Attributes:
        right, down: shift to the right and downward, as shares of width and height.
        size: ratio of the sizes.
        likeness: correlation at that shift and size, -1 .. 1.
        likeness_unmoved: correlation without shift and at size 1.
    """

    right: float
    down: float
    size: float
    likeness: float
    likeness_unmoved: float

    def aligned(self, tolerance: float = 0.07, gain: float = 0.06) -> bool:
        """Whether the best shift is within ``tolerance`` (of the side) at about the same size, or improves the
        correlation by less than ``gain``."""
        close = max(abs(self.right), abs(self.down)) <= tolerance and 0.85 < self.size < 1.2
        return close or self.likeness - self.likeness_unmoved < gain

    def described(self) -> str:
        """The shift and size in words, for a message."""
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
    """The placement of ``picture`` (1, C, H, W) relative to ``mean`` (1, C, H, W) of the same size."""
    height, width = picture.shape[-2:]
    ratio = SEARCH.side / max(height, width)
    size = (max(8, round(height * ratio)), max(8, round(width * ratio)))
    small = [
        F.interpolate(_grey(p), size, mode="bilinear", antialias=True, align_corners=False) for p in (picture, mean)
    ]
    max_shift = (int(size[0] * SEARCH.max_shift), int(size[1] * SEARCH.max_shift))
    best, unmoved = (-2.0, 0, 0, 1.0), -1.0
    for scale in SEARCH.sizes:
        scaled, valid = _scaled(small[0], scale)
        scores = _correlations(_detail(scaled), _detail(small[1]), valid, max_shift)
        peak = int(scores.argmax())
        dy, dx = peak // scores.shape[1] - max_shift[0], peak % scores.shape[1] - max_shift[1]
        if float(scores.max()) > best[0]:
            best = (float(scores.max()), dx, dy, scale)
        if scale == 1:
            unmoved = float(scores[max_shift[0], max_shift[1]])
    return Placement(best[1] / size[1], best[2] / size[0], best[3], best[0], unmoved)


def _grey(picture: Tensor) -> Tensor:
    return picture[:, :3].float().mean(dim=1, keepdim=True)


def _detail(picture: Tensor) -> Tensor:
    """The picture minus its local mean, which removes light from one side."""
    kernel = 2 * (SEARCH.side // 8) + 1
    padded = F.pad(picture, [kernel // 2] * 4, mode="replicate")
    return picture - F.avg_pool2d(padded, kernel, stride=1)


def _scaled(picture: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """The picture with its content scaled by ``1 / size``, and the mask of the pixels that it determines."""
    height, width = picture.shape[-2:]
    grid = pixel_grid(height, width, like=picture)
    middle = picture.new_tensor([(width - 1) / 2, (height - 1) / 2]).view(1, 2, 1, 1)
    positions = middle + (grid - middle) * size
    last = 2 * middle
    valid = ((positions >= -0.5) & (positions <= last + 0.5)).all(dim=1, keepdim=True).to(picture)
    return sample(picture, positions), valid


def _correlations(picture: Tensor, mean: Tensor, valid: Tensor, max_shift: tuple[int, int]) -> Tensor:
    """Zero-mean normalised cross-correlation over the pixels that both show, for each shift of the picture downward and
    to the right: (2 max_shift + 1, 2 max_shift + 1)."""
    padding = (max_shift[1], max_shift[1], max_shift[0], max_shift[0])

    def summed(a: Tensor, b: Tensor) -> Tensor:
        # out[y, x] = sum a(p + (y, x) - max_shift) b(p)
        return F.conv2d(F.pad(a, padding), b)[0, 0]

    ones = torch.ones_like(mean)
    picture = picture * valid
    count = summed(valid, ones).clamp(min=1)
    sum_p, sum_m = summed(picture, ones), summed(valid, mean)
    cross = summed(picture, mean) - sum_p * sum_m / count
    var_p = summed(picture.square(), ones) - sum_p.square() / count
    var_m = summed(valid, mean.square()) - sum_m.square() / count
    score = cross / (var_p.clamp(min=1e-6) * var_m.clamp(min=1e-6)).sqrt()
    return torch.where(count > SEARCH.overlap * ones.numel(), score, torch.full_like(score, -1.0))
