"""Planes weighted by their opacity: what may be filtered, moved and averaged without invisible colours showing.

Colours ``c`` of opacity ``a`` become the channels ``(a c, a, c)``; a mean of those is turned back by
``sum(w a c) / sum(w a)``. The ratio is unchanged by an offset of the colours, so it holds for Y, U and V (whose black
is not 0) as for R, G and B. Where nothing is visible, it is the plain mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.synthesis.planes import Group, Layout


def is_opaque(groups: list[Tensor], layout: Layout) -> bool:
    assert layout.alpha is not None
    return bool((groups[0][:, layout.alpha] == layout.format.peak).all())


def weighted(groups: list[Tensor], layout: Layout) -> list[Tensor]:
    """Per group the channels (a * c, a, c): premultiplied colours, opacity in [0, 1], plain colours."""
    assert layout.alpha is not None
    opacity = groups[0][:, layout.alpha : layout.alpha + 1] / layout.format.peak
    weighted = []
    for colour, group in zip(groups, layout.groups):
        weight = opacity
        if group.sub != (1, 1):
            weight = F.avg_pool2d(opacity, group.sub[::-1], ceil_mode=True, count_include_pad=False)
        weighted.append(torch.cat((colour * weight, weight, colour), dim=1))
    return weighted


def weighted_by_opacity(groups: list[Tensor], layout: Layout) -> list[Tensor]:
    """What may be averaged: planes as they are, or, where one is not opaque, with their opacities beside them."""
    return groups if layout.alpha is None else weighted(groups, layout)


def unweighted_by_opacity(groups: list[Tensor], layout: Layout) -> list[Tensor]:
    """The planes back from what ``weighted_by_opacity`` gave."""
    if layout.alpha is None:
        return groups
    return [unweighted(both, group, layout) for both, group in zip(groups, layout.groups)]


def unweighted(both: Tensor, group: Group, layout: Layout) -> Tensor:
    """Colours back from (a * c, a, c); where the alpha will be rounded to nothing, the plain colours."""
    channels, peak = both.shape[1] // 2, layout.format.peak
    weighted, weight, plain = both[:, :channels], both[:, channels : channels + 1], both[:, channels + 1 :]
    colour = torch.where(weight * peak >= 0.5, weighted / weight.clamp(min=0.5 / peak), plain)
    if group.sub == (1, 1) and layout.alpha is not None:
        colour[:, layout.alpha] = plain[:, layout.alpha]  # alpha itself blends as it is
    return colour
