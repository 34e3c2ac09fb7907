"""Change of light and tint along a path: ``dX/dt = m X + d`` for every channel, a one-parameter group like the motion.

``m`` (log gain) and ``d`` (offset) vary slowly over the picture. They are given where a point is at t = 1/2, on a grid
of few nodes, (1, 2 C, n, m): log gains first, then offsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.adam import Adam
from vfi_pipeline.losses import charbonnier


@dataclass(frozen=True)
class ColourUnits:
    """The value of one unit of the nodes; the penalty on a map is smaller for a larger unit, and 0 leaves the map out.

    Attributes:
        mult: of the log gains.
        add: of the offsets, in image values (white is 1).
    """

    mult: float = 1.0
    add: float = 1.0

    def __bool__(self) -> bool:
        return bool(self.mult or self.add)


@dataclass(frozen=True)
class ColourFit:
    """The fit of the colour change along a given motion. Values chosen by eye on the pairs of ``benchmarks.pairs``.

    Attributes:
        nodes: on the longer side; light and tint have no finer detail than 24 nodes hold.
        span: longest side, px, of the pictures compared.
        steps: of descent.
        rate: step size, in units of the nodes.
        knee: difference (of 1) above which the cost grows linearly.
        size: weight of the squared values.
        roughness: weight of the squared differences between neighbouring nodes.
    """

    nodes: int = 24
    span: int = 256
    steps: int = 60
    rate: float = 0.02
    knee: float = 0.1
    size: float = 0.003
    roughness: float = 0.03


def apply_colour_change(image: Tensor, change: Tensor, duration: float) -> Tensor:
    """``exp(s A) X`` for ``dX/ds = m X + d``: ``e^(s m) X + s d (e^(s m) - 1) / (s m)``.

    A group: a change for s and then for s' is one for s + s'.

    Args:
        image: (1, C, h, w).
        change: (1, 2 C, h, w): m and d.
        duration: s; -s reverses the change.
    """
    gain, offset = (duration * change).chunk(2, dim=1)
    # (e^z - 1) / z by its series near 0, where the quotient is 0 / 0.
    small = gain.abs() < 1e-3
    z = torch.where(small, torch.ones_like(gain), gain)
    ratio = torch.where(small, 1 + gain / 2, torch.expm1(z) / z)
    return gain.exp() * image + offset * ratio


def interpolate_colour_change(nodes: Tensor, units: ColourUnits, height: int, width: int) -> Tensor:
    """``m`` and ``d`` on every pixel, (1, 2 C, height, width), from nodes (1, 2 C, n, m) in ``units``."""
    gain, offset = nodes.chunk(2, dim=1)
    scaled = torch.cat((units.mult * gain, units.add * offset), dim=1)
    return F.interpolate(scaled, (height, width), mode="bicubic", align_corners=False)


def no_colour_change(channels: int, height: int, width: int, nodes: int) -> Tensor:
    """Nodes of 0, (1, 2 channels, n, m), ``nodes`` of them on the longer side of a picture of that size."""
    counts = [max(2, round(nodes * side / max(height, width))) for side in (height, width)]
    return torch.zeros(1, 2 * channels, *counts)


def roughness(nodes: Tensor) -> Tensor:
    """Mean squared difference between neighbouring nodes, both axes. A scalar."""
    return torch.diff(nodes, dim=-1).square().mean() + torch.diff(nodes, dim=-2).square().mean()


def fit_colour_change(
    first: Tensor, last: Tensor, start: Tensor, units: ColourUnits, settings: ColourFit = ColourFit()
) -> Tensor:
    """Nodes (1, 2 C, n, m) of the change that leads from ``first`` to ``last``, both (1, C, h, w) warped to t = 1/2.

    Args:
        start: nodes to start from, of any count.
    """
    height, width = first.shape[-2:]
    counts = [max(2, round(settings.nodes * side / max(height, width))) for side in (height, width)]
    nodes = F.interpolate(start, counts, mode="bicubic", align_corners=True).detach().requires_grad_()
    adam = Adam([nodes], [settings.rate])
    with torch.enable_grad():
        for _ in range(settings.steps):
            change = interpolate_colour_change(nodes, units, height, width)
            changed = apply_colour_change(first, change, 0.5), apply_colour_change(last, change, -0.5)
            adam.step(
                charbonnier(*changed, epsilon=settings.knee)
                + settings.size * nodes.square().mean()
                + settings.roughness * roughness(nodes)
            )
    return nodes.detach()


def clip_colours(picture: Tensor) -> Tensor:
    """A picture (1, C, H, W) clipped to [0, 1]; premultiplied colours are clipped to their alpha."""
    if picture.shape[1] != 4:
        return picture.clamp(0, 1)
    alpha = picture[:, 3:].clamp(0, 1)
    return torch.cat((torch.minimum(picture[:, :3].clamp(min=0), alpha), alpha), dim=1)
