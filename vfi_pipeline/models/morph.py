"""``model=morph``: two pictures joined by three maps - multiply, add, warp - found by gradient descent for that pair.

``variant=original`` is Differentiable Morphing (volotat, 2020): maps of both directions that a small network draws,
scaled by the time, and a cross-fade between the two results. ``variant=flow`` is the version we believe in: the motion
is the flow of an ODE, light and tint are an affine ODE along each path, and both are groups,

    dx/dt = v(x),   dX/dt = m X + d,   made = share * G_t(first(x + there)) + (1 - share) * G_(t - 1)(last(x + back)),

so the two halves meet at every t. The maps m and d are smooth: they explain light and tint, and what neither they nor
motion explain is faded. docs/morph.md has the equations and figures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import compose, pixel_grid, resize_flow, warp
from vfi_pipeline.models.animation import Points, Progress
from vfi_pipeline.models.far import (
    EFFORTS,
    Effort,
    FarAnimation,
    Found,
    Terms,
    carried,
    resized,
    search,
    shares_of,
    spread_tint,
    throttled,
    tinted,
)
from vfi_pipeline.models.motion import Inbetween
from vfi_pipeline.ode import Solver

log = logging.getLogger(__name__)

VARIANTS = ("flow", "original")
STRENGTHS = {"mult": 0.4, "add": 0.4, "warp": 0.05}
"""The original's defaults. In ``variant=flow`` they stand for maps that are as free as they should be."""

STEPS = 1000
"""Of the original."""

NODES = 24
"""Nodes of the final tint on the longer side: finer detail than that is not light."""

PATH = Solver("midpoint", 16)


class MorphModel:
    """A ``PairModel``; see ``models.animation``. What is drawn at random comes from torch's generator: seed it.

    Args:
        variant: ``flow`` or ``original``.
        mult, add, warp: strengths of the three maps; 0 leaves one out. In ``original`` a map is this times what the
            network draws (a warp of 1 is 5 % of the side, for 0.05); in ``flow`` twice the strength makes a map
            twice as easy to use.
        add_first: ``original`` adds before it multiplies. In ``flow`` both go on at once: there is no order.
        steps: of descent; None: 1000 in ``original``, until it settles in ``flow``; else at most so many a level.
        span: longest side, px, of the pictures that the maps are fitted to.
    """

    name = "morph"

    def __init__(
        self,
        variant: str = "flow",
        mult: float = STRENGTHS["mult"],
        add: float = STRENGTHS["add"],
        warp: float = STRENGTHS["warp"],
        add_first: bool = False,
        steps: int | None = None,
        span: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if variant not in VARIANTS:
            raise UserError(f"model=morph has no variant {variant!r}.", f"model.variant={' or '.join(VARIANTS)}.")
        for name, value in (("mult", mult), ("add", add), ("warp", warp)):
            if not 0 <= value < 100:
                raise UserError(f"{name}={value} is no strength.", f"{name}= from 0 (off); {STRENGTHS[name]} is usual.")
        if steps is not None and steps < 1:
            raise UserError(f"steps={steps} finds no maps.", "steps=100 or more.")
        self.variant, self.mult, self.add, self.warp = variant, float(mult), float(add), float(warp)
        self.add_first, self.steps, self.device = bool(add_first), steps, device
        self.span = span or (640 if variant == "flow" else 256)
        if self.add_first and variant == "flow":
            log.warning("add_first= has no effect in model.variant=flow: it adds and multiplies at once.")

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> MorphFlow | OriginalMorph:
        """See ``PairModel``; pictures (1, C, H, W) in [0, 1].

        Raises:
            UserError: if ``variant=original`` is given points.
        """
        if points is not None and self.variant == "original":
            raise UserError("model.variant=original takes no points.", "model.variant=flow, or no points=.")
        made: MorphFlow | OriginalMorph
        if self.variant == "flow":
            made = self._flow(first, last, points, progress)
        else:
            made = self._original(first, last, progress)
        if progress is not None:
            progress(1.0, made)
        return made

    def _flow(self, first: Tensor, last: Tensor, points: Points | None, progress: Progress | None) -> MorphFlow:
        terms = Terms(
            mult=self.mult / STRENGTHS["mult"], add=self.add / STRENGTHS["add"], moving=self.warp > 0,
            smooth=Terms.smooth * STRENGTHS["warp"] / (self.warp or 1.0),
        )  # fmt: skip
        effort = EFFORTS["balanced"] if self.steps is None else Effort(self.steps, min(20, self.steps))

        def animation(found: Found) -> MorphFlow:
            tint = spread_tint(found.tint, terms, *found.field.shape[-2:])
            return MorphFlow(found.field, tint, first, last)

        found = search(first, last, self.span, effort, terms, points, throttled(progress, animation))
        if terms.mult or terms.add:
            found = replace(found, tint=finer_tint(first, last, found, terms, 60 if self.steps is None else self.steps))
        return animation(found)

    def _original(self, first: Tensor, last: Tensor, progress: Progress | None) -> OriginalMorph:
        strengths = first.new_tensor([self.mult, self.add, self.warp, float(self.add_first)])
        height, width = first.shape[-2:]
        scale = min(1.0, self.span / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        a, b = (2 * resized(picture.float(), *size) - 1 for picture in (first, last))
        tell = throttled(progress, lambda found: OriginalMorph(found.field, strengths, first, last))
        maps = draw_maps(a, b, strengths, self.steps or STEPS, lambda share, now: tell(share, Found(now, now)))
        return OriginalMorph(maps, strengths, first, last)


# ------------------------------------------------------------------------------------------------- the flow variant


class MorphFlow(FarAnimation):
    """Two pictures moved along one field while their light and tint change; see ``models.animation.PairAnimation``."""

    def __init__(self, velocity: Tensor, tint: Tensor, first: Tensor, last: Tensor, solver: Solver = PATH) -> None:
        """``velocity`` (1, 2, h, w) in px of its grid; ``tint`` (1, 2 C, h, w): m and d where a point is at t = 1/2."""
        super().__init__(velocity, first, last, solver)
        self.tint = tint

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        moved = super().sides(t)
        if not bool(self.tint.any()):
            return moved
        size = self.first.shape[-2:]
        here = F.interpolate(warp(self.tint, self.flow(0.5 - t)), size, mode="bilinear", align_corners=False)
        a, b = (tinted(side, here.to(side), s) for side, s in zip(moved, (t, t - 1)))
        return shown(a), shown(b)

    def expect(self, times: Sequence[float], durations: Sequence[float] = ()) -> None:
        """See ``FarAnimation``; the tint is read at t = 1/2."""
        super().expect(times, [*durations, *(round(0.5 - t, 9) for t in times)])

    @torch.no_grad()
    def shares(self) -> dict[str, float]:
        """Shares of ``warp``, ``mult``, ``add`` and of what is left to ``fade``; see ``far.shares_of``."""

        def made(on: frozenset[str]) -> Tensor:
            picture = carried(self.first, self.flow(-1.0)) if "warp" in on else self.first
            gain, offset = self.tint.chunk(2, dim=1)
            kept = torch.cat((gain * ("mult" in on), offset * ("add" in on)), dim=1)
            kept = F.interpolate(warp(kept, self.flow(-0.5)), picture.shape[-2:], mode="bilinear", align_corners=False)
            return shown(tinted(picture, kept.to(picture), 1.0))

        return shares_of(("warp", "mult", "add"), made, self.last)

    def state(self) -> dict[str, Tensor]:
        gain, offset = (part.detach().cpu().contiguous() for part in self.tint.chunk(2, dim=1))
        return {"flow.velocity": self._velocity.detach().cpu().contiguous(), "flow.mult": gain, "flow.add": offset}


def finer_tint(first: Tensor, last: Tensor, found: Found, terms: Terms, steps: int) -> Tensor:
    """The tint on ``NODES`` (1, 2 C, n, m), fitted by descent along the motion as found."""
    height, width = found.field.shape[-2:]
    scale = min(1.0, 256 / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    nodes = [max(2, round(NODES * side / max(size))) for side in size]
    with torch.no_grad():
        still = FarAnimation(found.field, first, last, PATH)
        maps = [resize_flow(still.flow(s), *size) for s in (-0.5, 0.5)]
        a, b = (warp(resized(p.float(), *size), u) for p, u in zip((first, last), maps))
        tint = F.interpolate(found.tint, nodes, mode="bicubic", align_corners=True)
        mean, square = torch.zeros_like(tint), torch.zeros_like(tint)
    with torch.enable_grad():
        tint.requires_grad_()
        for count in range(1, steps + 1):
            spread = spread_tint(tint, terms, *size)
            off = tinted(a, spread, 0.5) - tinted(b, spread, -0.5)
            rough = torch.diff(tint, dim=-1).square().mean() + torch.diff(tint, dim=-2).square().mean()
            loss = ((off.square() + 0.01).sqrt() - 0.1).mean() + 0.003 * tint.square().mean() + 0.03 * rough
            (slope,) = torch.autograd.grad(loss, tint)
            with torch.no_grad():
                mean.lerp_(slope, 1 - 0.9)
                square.lerp_(slope * slope, 1 - 0.99)
                tint -= 0.02 * (mean / (1 - 0.9**count)) / ((square / (1 - 0.99**count)).sqrt() + 1e-8)
    return tint.detach()


def shown(picture: Tensor) -> Tensor:
    """Cut off to [0, 1]; premultiplied colours to their alpha."""
    if picture.shape[1] != 4:
        return picture.clamp(0, 1)
    alpha = picture[:, 3:].clamp(0, 1)
    return torch.cat((torch.minimum(picture[:, :3].clamp(min=0), alpha), alpha), dim=1)


# ------------------------------------------------------------------------------------------------------ the original


class MapNet(nn.Module):
    """Draws the maps of both directions from coordinates and both pictures, all seen at 96x96.

    Three 5x5 convolutions without padding, LeakyReLU 0.2 between them, 84x84 out; Glorot-uniform weights, no bias at
    first.
    """

    SIDE, WIDTH = 96, 64

    def __init__(self, channels: int) -> None:
        """``channels`` of the pictures; draws ``2 (2 channels + 2)``."""
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(i, o, 5)
            for i, o in ((2 + 2 * channels, self.WIDTH), (self.WIDTH, self.WIDTH), (self.WIDTH, 4 * channels + 4))
        )
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, seen: Tensor) -> Tensor:
        """(1, 2 + 2 C, h, w) -> (2, 2 C + 2, h, w): first to last, last to first; mult, add, warp (dx, dy)."""
        x = F.interpolate(seen, (self.SIDE, self.SIDE), mode="bilinear", align_corners=False)
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        x = F.interpolate(self.layers[-1](x), seen.shape[-2:], mode="bilinear", align_corners=False)
        return x.view(2, -1, *seen.shape[-2:])


def draw_maps(
    first: Tensor,
    last: Tensor,
    strengths: Tensor,
    steps: int,
    tell: Callable[[float, Tensor], None] = lambda share, maps: None,
) -> Tensor:
    """The maps (2, 2 C + 2, h, w) of a pair in [-1, 1], by Adam on the network: the loss of the original,

    ``MSE(G, W(W(G, f_ab), f_ba)) + 0.3 MSE(T_ab(A), B) + 0.3 MSE(T_ba(B), A)``, ``G`` the coordinates and pictures.
    """
    height, width = first.shape[-2:]
    grid = pixel_grid(height, width, like=first)
    span = first.new_tensor([max(width - 1, 1), max(height - 1, 1)]).view(1, 2, 1, 1)
    seen = torch.cat((2 * grid / span - 1, 0.1 * first, 0.1 * last), dim=1)
    with torch.enable_grad():
        net = MapNet(first.shape[1]).to(first)
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-4)
        for count in range(1, steps + 1):
            maps = net(seen)
            there, back = (pull(m, strengths, height, width) for m in maps.split(1))
            loss = (
                F.mse_loss(warp(seen, compose(there, back)), seen)
                + 0.3 * F.mse_loss(changed(first, maps[:1], strengths), last)
                + 0.3 * F.mse_loss(changed(last, maps[1:], strengths), first)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if count % 10 == 0:
                tell(count / steps, maps.detach())
        return net(seen).detach()


def pull(maps: Tensor, strengths: Tensor, height: int, width: int) -> Tensor:
    """The displacement, px of height x width, of a direction's maps (1, 2 C + 2, h, w). The original samples at
    ``p - f``; a warp of 1 is ``strengths[2]`` of the side, each axis its own."""
    unit = maps[:, -2:]
    if unit.shape[-2:] != (height, width):
        unit = F.interpolate(unit, (height, width), mode="bilinear", align_corners=False)
    return -strengths[2] * unit * unit.new_tensor([width, height]).view(1, 2, 1, 1)


def changed(image: Tensor, maps: Tensor, strengths: Tensor, alpha: float = 1.0, warped: bool = True) -> Tensor:
    """``T(X; alpha M, alpha D, alpha F)`` for X in [-1, 1]: ``W(X max(0.1, 1 + m M) + 2 a D, f)``, or the sum first."""
    height, width = image.shape[-2:]
    if maps.shape[-2:] != (height, width):
        maps = F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)
    maps = alpha * maps
    mult, add = maps[:, :-2].chunk(2, dim=1)
    gain, offset = (1 + strengths[0] * mult).clamp(min=0.1), 2 * strengths[1] * add
    image = (image + offset) * gain if strengths[3] else image * gain + offset
    return warp(image, pull(maps, strengths, height, width)) if warped else image


class OriginalMorph:
    """Two pictures changed by maps that grow with t and shrink with 1 - t, cross-faded; see ``PairAnimation``."""

    def __init__(self, maps: Tensor, strengths: Tensor, first: Tensor, last: Tensor) -> None:
        """``maps`` (2, 2 C + 2, h, w) as ``MapNet`` draws them; ``strengths``: mult, add, warp, 1 for add_first."""
        self.drawn, self.strengths, self.first, self.last = maps, strengths, first, last

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        if t in (0, 1):
            return self.first if t == 0 else self.last
        a, b = self.sides(t)
        return torch.lerp(a, b, min(max(t, 0.0), 1.0))

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        a = changed(2 * self.first - 1, self.drawn[:1], self.strengths, t)
        b = changed(2 * self.last - 1, self.drawn[1:], self.strengths, 1 - t)
        return shown((a + 1) / 2), shown((b + 1) / 2)

    @torch.no_grad()
    def maps(self, t: float) -> Inbetween:
        there, back = (pull(m, self.strengths, *self.drawn.shape[-2:]) for m in self.drawn.split(1))
        share = there.new_full((1, 1, *there.shape[-2:]), min(max(1 - t, 0.0), 1.0))
        return Inbetween(float(t), t * there, (1 - t) * back, share)

    def velocity(self) -> Tensor:
        half = self.maps(0.5)
        return half.back - half.there

    @torch.no_grad()
    def shares(self) -> dict[str, float]:
        """Shares of ``warp``, ``mult``, ``add`` and of what is left to ``fade``; see ``far.shares_of``."""

        def made(on: frozenset[str]) -> Tensor:
            kept = self.strengths.clone()
            kept[:3] *= kept.new_tensor([float(name in on) for name in ("mult", "add", "warp")])
            return shown((changed(2 * self.first - 1, self.drawn[:1], kept) + 1) / 2)

        return shares_of(("warp", "mult", "add"), made, self.last)

    def state(self) -> dict[str, Tensor]:
        named = {}
        for maps, way in zip(self.drawn.detach().cpu().split(1), ("there", "back")):
            mult, add = maps[:, :-2].chunk(2, dim=1)
            parts = {"mult": mult, "add": add, "warp": maps[:, -2:]}
            named |= {f"original.{way}.{name}": part.contiguous() for name, part in parts.items()}
        return {**named, "original.strengths": self.strengths.cpu()}


def restore(state: Mapping[str, Tensor], first: Tensor, last: Tensor) -> MorphFlow | OriginalMorph:
    """The animation whose ``state`` this is, for pictures of any one size and as many channels."""
    if "flow.velocity" in state:
        tint = torch.cat((state["flow.mult"], state["flow.add"]), dim=1).to(first)
        if tint.shape[1] != 2 * first.shape[1]:
            raise ValueError(f"the maps are for pictures of {tint.shape[1] // 2} channels, not {first.shape[1]}")
        return MorphFlow(state["flow.velocity"].to(first), tint, first, last)
    ways = [
        torch.cat([state[f"original.{way}.{name}"] for name in ("mult", "add", "warp")], dim=1)
        for way in ("there", "back")
    ]
    if ways[0].shape[1] != 2 * first.shape[1] + 2:
        raise ValueError(f"the maps are for pictures of {ways[0].shape[1] // 2 - 1} channels, not {first.shape[1]}")
    return OriginalMorph(torch.cat(ways).to(first), state["original.strengths"].to(first), first, last)
