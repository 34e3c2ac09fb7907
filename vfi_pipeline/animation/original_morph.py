"""Differentiable Morphing as published (volotat 2020): maps from a small network, and a cross-fade.

For pictures X in [-1, 1] and ``W(X, f)(p) = X(p - f)``, maps M (multiply), D (add) and F (warp) of each direction make

    T(X; M, D, F) = W(X max(0.1, 1 + m M) + 2 a D, w F)
    frame = (1 - t) clip T(first; t maps) + t clip T(last; (1 - t) maps)

docs/morph.md lists the intended differences from the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.animation.colour import clip_colours
from vfi_pipeline.animation.shares import shapley_shares
from vfi_pipeline.geometry import compose, constant, pixel_grid, warp
from vfi_pipeline.models.motion import IntermediateMotion

STEPS = 1000
"""Of descent, as published."""


@dataclass(frozen=True)
class Strengths:
    """Of the maps; 0 leaves one out. The published defaults.

    Attributes:
        mult: m, factor on the network's output.
        add: a, factor on the network's output.
        warp: w; an output of 1 is this share of the side, each axis its own.
        add_first: add before multiplying: ``W((X + 2 a D) max(0.1, 1 + m M), w F)``.
    """

    mult: float = 0.4
    add: float = 0.4
    warp: float = 0.05
    add_first: bool = False


class MapNet(nn.Module):
    """Draws the maps of both directions from coordinates and both pictures, all seen at 96x96.

    Three 5x5 convolutions without padding, LeakyReLU 0.2 between them, 84x84 out; Glorot-uniform weights, no bias at
    first.
    """

    SIDE, WIDTH = 96, 64

    def __init__(self, channels: int) -> None:
        """``channels`` of the pictures; draws ``2 (2 channels + 2)``."""
        super().__init__()
        sizes = ((2 + 2 * channels, self.WIDTH), (self.WIDTH, self.WIDTH), (self.WIDTH, 4 * channels + 4))
        layers = [nn.Conv2d(inputs, outputs, 5) for inputs, outputs in sizes]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)

    def forward(self, guide: Tensor) -> Tensor:
        """(1, 2 + 2 C, h, w) -> (2, 2 C + 2, h, w): first to last, last to first; mult, add, warp (dx, dy)."""
        x = F.interpolate(guide, (self.SIDE, self.SIDE), mode="bilinear", align_corners=False)
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        x = F.interpolate(self.layers[-1](x), guide.shape[-2:], mode="bilinear", align_corners=False)
        return x.view(2, -1, *guide.shape[-2:])


def fit_maps(
    first: Tensor,
    last: Tensor,
    strengths: Strengths,
    steps: int = STEPS,
    report: Callable[[float, Tensor], None] = lambda share, maps: None,
) -> Tensor:
    """The maps (2, 2 C + 2, h, w) of a pair in [-1, 1], by Adam on the network, with the published loss

    ``MSE(G, W(W(G, f_ab), f_ba)) + 0.3 MSE(T_ab(A), B) + 0.3 MSE(T_ba(B), A)``, ``G`` the coordinates and pictures.
    """
    height, width = first.shape[-2:]
    grid = pixel_grid(height, width, like=first)
    guide = torch.cat(
        (2 * grid / constant((max(width - 1, 1), max(height - 1, 1)), first) - 1, 0.1 * first, 0.1 * last), dim=1
    )
    with torch.enable_grad():
        net = MapNet(first.shape[1]).to(first)
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-4)
        for count in range(1, steps + 1):
            maps = net(guide)
            to_last, to_first = (displacement(m, strengths, height, width) for m in maps.split(1))
            loss = (
                F.mse_loss(warp(guide, compose(to_last, to_first)), guide)
                + 0.3 * F.mse_loss(transform(first, maps[:1], strengths), last)
                + 0.3 * F.mse_loss(transform(last, maps[1:], strengths), first)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if count % 10 == 0:
                report(count / steps, maps.detach())
        return net(guide).detach()


def displacement(maps: Tensor, strengths: Strengths, height: int, width: int) -> Tensor:
    """The displacement that pulls, px of height x width, of one direction's maps (1, 2 C + 2, h, w)."""
    unit = maps[:, -2:]
    if unit.shape[-2:] != (height, width):
        unit = F.interpolate(unit, (height, width), mode="bilinear", align_corners=False)
    return -strengths.warp * unit * constant((width, height), unit)


def transform(image: Tensor, maps: Tensor, strengths: Strengths, alpha: float = 1.0) -> Tensor:
    """``T(X; alpha M, alpha D, alpha F)`` for X (1, C, H, W) in [-1, 1] and one direction's maps of any size."""
    height, width = image.shape[-2:]
    if maps.shape[-2:] != (height, width):
        maps = F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)
    maps = alpha * maps
    mult, add = maps[:, :-2].chunk(2, dim=1)
    gain, offset = (1 + strengths.mult * mult).clamp(min=0.1), 2 * strengths.add * add
    image = (image + offset) * gain if strengths.add_first else image * gain + offset
    return warp(image, displacement(maps, strengths, height, width))


class OriginalMorph:
    """Two pictures changed by maps that grow with t and shrink with 1 - t, cross-faded; see ``PairAnimation``."""

    def __init__(self, drawn: Tensor, strengths: Strengths, first: Tensor, last: Tensor) -> None:
        """``drawn``: (2, 2 C + 2, h, w) as ``MapNet`` draws them."""
        self.drawn, self.strengths, self.first, self.last = drawn, strengths, first, last

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        if t in (0, 1):
            return self.first if t == 0 else self.last
        from_first, from_last = self.sides(t)
        return torch.lerp(from_first, from_last, min(max(t, 0.0), 1.0))

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        from_first = transform(2 * self.first - 1, self.drawn[:1], self.strengths, t)
        from_last = transform(2 * self.last - 1, self.drawn[1:], self.strengths, 1 - t)
        return clip_colours((from_first + 1) / 2), clip_colours((from_last + 1) / 2)

    @torch.no_grad()
    def maps(self, t: float) -> IntermediateMotion:
        to_first, to_last = (displacement(m, self.strengths, *self.drawn.shape[-2:]) for m in self.drawn.split(1))
        weight = to_first.new_full((1, 1, *to_first.shape[-2:]), min(max(1 - t, 0.0), 1.0))
        return IntermediateMotion(float(t), t * to_first, (1 - t) * to_last, weight)

    def velocity(self) -> Tensor:
        half = self.maps(0.5)
        return half.flow_to_last - half.flow_to_first

    @torch.no_grad()
    def shares(self) -> dict[str, float]:
        """Shares of ``warp``, ``mult`` and ``add``, and of ``fade``, the rest."""

        def render(on: frozenset[str]) -> Tensor:
            switched = {name: getattr(self.strengths, name) * (name in on) for name in ("mult", "add", "warp")}
            changed = transform(2 * self.first - 1, self.drawn[:1], replace(self.strengths, **switched))
            return clip_colours((changed + 1) / 2)

        return shapley_shares(("warp", "mult", "add"), render, self.last)

    def prepare(self, times: Sequence[float]) -> None:
        """Does nothing: the maps of all times are the same maps, scaled."""
