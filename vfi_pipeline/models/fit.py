"""``model=fit``: the motion of one pair, found by fitting two velocity fields to that pair. No training, no weights.

Two stationary fields live on the grid of the frame at t = 1/2: ``v`` is the motion (pixels per unit t) of what the
first frame shows there, ``w`` of what the last frame shows. Their flow maps pull the in-between from both frames:

    there = exp(-t v),   back = exp((1 - t) w),   made = share * first(x + there) + (1 - share) * last(x + back)

One field could not serve both: where something comes into sight, the first frame shows the thing in front and the last
frame what was behind it. The fields start from optical flow of both directions, splatted to t = 1/2, and are then
improved by gradient descent on what the maps produce. ``share`` follows from which frame really sees the point.
docs/fit.md has the figures behind each constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import blur, folding, pixel_grid, warp
from vfi_pipeline.losses.penalties import edge_aware_smoothness, folding_penalty, out_of_grid_penalty
from vfi_pipeline.losses.photometric import charbonnier
from vfi_pipeline.models.acceleration import Bend, bend
from vfi_pipeline.models.motion import ALONE, Context, Inbetween, MotionReport
from vfi_pipeline.models.search import Pair, Search
from vfi_pipeline.models.splat import pushed
from vfi_pipeline.ode import Counted, SampledVelocity, Solver, flow_maps, scaling_and_squaring

QUALITY = {"draft": 0, "balanced": 4, "best": 40}
"""Steps of gradient descent a pair."""

SOLVER = Solver("midpoint", steps=16)
"""The fields are steep where things move past one another; with fewer steps the maps fold there."""

DOUBT, REFUTED = 0.3, 0.1
"""Weight of a pixel that comes here by its own motion but is not found in the other frame (it is hidden there, or was
matched badly), and of one that goes elsewhere, beside 1 for a pixel that does both."""

REACH = 0.5
"""A frame's word loses weight by the squared distance, px^2, by which a pixel that is pulled misses the place that its
own motion takes it to."""

NEEDLE = 20.0
"""Of points that meet at t = 1/2 the better matched one counts: ``exp(-NEEDLE * mean absolute difference)``."""

CELL, RATE, DAMPING, NOISE = 2, 0.1, 0.2, 0.04
"""The descent: guide pixels per side of a cell, Adam's step in pixels, the gradient (per cell) below which steps
shrink, and the difference between the two sides that is no error. Without the last two the fields follow the grain:
both sides then show the same grain, and their mean no longer averages it out."""


@dataclass(frozen=True)
class Weights:
    """Weights of the terms that the descent lowers; every term is a mean over pixels.

    Attributes:
        middle: the two sides at t = 1/2 differ (Charbonnier).
        ends: each frame differs from the other one, warped all the way; 0 leaves the term out.
        smooth: the fields vary where the picture does not.
        apart: the two fields differ.
        folding, out_of_grid: JD and OG of the maps to t = 1/2.
    """

    middle: float = 1.0
    ends: float = 0.0
    smooth: float = 0.02
    apart: float = 0.05
    folding: float = 1.0
    out_of_grid: float = 0.001


class FitModel:
    """Fits each pair's motion; see ``models.motion.MotionModel``. Deterministic for the same pictures and history.

    Args:
        guide_span: longest side, px, of the pictures that it sees.
        quality: how many steps of descent, by name: one of ``QUALITY``.
        iterations: the same as a number; None: as ``quality`` says.
        weights: of the terms of the objective.
        warm_start: let the search begin at the previous pair's motion, until ``reset``.
        solver: of the ODE.
        device: where the descent and the maps are computed; the initial search always runs on the CPU.
    """

    name = "fit"

    def __init__(
        self,
        guide_span: int | None = 640,
        quality: str = "balanced",
        iterations: int | None = None,
        weights: Weights = Weights(),
        warm_start: bool = True,
        solver: Solver = SOLVER,
        device: str | torch.device = "cpu",
    ) -> None:
        if quality not in QUALITY:
            raise ValueError(f"No quality {quality!r}. Use one of {', '.join(QUALITY)}.")
        self.guide_span, self.weights = guide_span, weights
        self.iterations = QUALITY[quality] if iterations is None else iterations
        self.solver, self.device = solver, device
        self._search = Search(warm_start, device, far=True)

    def motion(self, first: Tensor, last: Tensor, context: Context = ALONE) -> FitMotion:
        with torch.no_grad():
            before, pair, after = self._search.around(first, last, context)
            fields = middle_velocities(pair)
        if self.iterations and pair.forward.abs().max() + pair.backward.abs().max() > 0:
            fields = descend(pair, fields, self.iterations, self.weights)
        with torch.no_grad():
            bent = bend(pair, before, after, (context.span_before, context.span_after), fields.mean(0, keepdim=True))
        return FitMotion(pair, fields, self.solver, bent)

    def reset(self) -> None:
        self._search.reset()


class FitMotion:
    """A fitted pair; see ``models.motion.PairMotion``. ``fields`` is (2, 2, H, W): ``v`` and ``w``."""

    def __init__(self, pair: Pair, fields: Tensor, solver: Solver = SOLVER, bent: Bend | None = None) -> None:
        self.pair, self.fields, self.solver, self.bent = pair, fields, solver, bent
        self._nfe = 0
        self._worst: list[tuple[float, float]] = []

    def at(self, times: Sequence[float]) -> list[Inbetween]:
        with torch.no_grad():
            there = self._maps(-self.fields[:1], list(times))
            back = self._maps(self.fields[1:], [1 - t for t in times])
            made = []
            for t in times:
                maps = there[t], back[1 - t]
                share = share_at(self.pair, t, *maps)
                if self.bent is not None:
                    aside = self.bent.at(t, *maps[0].shape[-2:])
                    maps = maps[0] + aside, maps[1] + aside
                self._worst += [_folds(u) for u in maps]
                made.append(Inbetween(t, *maps, share))
        return made

    def _maps(self, field: Tensor, durations: list[float]) -> dict[float, Tensor]:
        """The displacement after each duration, all from one solve. Keys are the durations as given."""
        velocity = Counted(SampledVelocity(field))
        ordered = sorted(set(durations))
        maps = flow_maps(velocity, pixel_grid(*field.shape[-2:], like=field), 0.0, ordered, self.solver)
        self._nfe += velocity.nfe
        return dict(zip(ordered, maps))

    def report(self) -> MotionReport:
        if not self._worst:
            self.at([0.5])
        least, folded = zip(*self._worst)
        return MotionReport(self._nfe, min(least), sum(folded) / len(folded))


def _folds(flow: Tensor) -> tuple[float, float]:
    """Smallest determinant and share of folded cells; a line of pixels cannot fold."""
    if min(flow.shape[-2:]) < 2:
        return 1.0, 0.0
    least, share = folding(flow)
    return float(least), float(share)


def middle_velocities(pair: Pair) -> Tensor:
    """Both fields at t = 1/2, (2, 2, H, W), by pushing each frame's flow half its way. Holes take the other's."""
    ones = torch.ones_like(pair.sure_first)
    sides = []
    for flow, sure, image, other in (
        (pair.forward, pair.sure_first, pair.first, pair.last),
        (pair.backward, pair.sure_last, pair.last, pair.first),
    ):
        difference = blur((image - warp(other, flow)).abs().mean(dim=1, keepdim=True), 0.8)
        weight = torch.exp(-NEEDLE * difference) * (sure + 1e-3)
        there = pushed(torch.cat((flow * weight, sure * weight, weight, ones), dim=1), flow / 2)
        mean = there[:, :3] / (there[:, 3:4] + 1e-8)
        covered = there[:, 4:].clamp(max=1)
        sides.append((mean[:, :2], covered * (covered * mean[:, 2:] + 1e-4)))
    (v, trust_v), (w, trust_w) = sides
    w = -w  # the backward flow of a point is minus its velocity
    both = (trust_v * v + trust_w * w) / (trust_v + trust_w + 1e-9)
    both = spread(both, (trust_v + trust_w > 1e-5).to(v.dtype))
    return torch.cat((both, both))


def spread(field: Tensor, known: Tensor) -> Tensor:
    """Fills where ``known`` is 0 with weighted means of ever wider surroundings; (1, C, H, W) and (1, 1, H, W)."""
    filled = field * known
    for sigma in (2.0, 6.0, 18.0):
        if bool((known > 0).all()):
            break
        weight = blur(known, sigma)
        reached = (known == 0) & (weight > 1e-3)
        filled = torch.where(reached, blur(filled, sigma) / weight.clamp(min=1e-3), filled)
        known = torch.where(reached, torch.ones_like(known), known)
    return filled


def share_at(pair: Pair, t: float, there: Tensor, back: Tensor) -> Tensor:
    """Weight of the first frame at ``t``, (1, 1, H, W): ``1 - t`` where both frames see the point.

    A frame shows the point if the pixel that is pulled from it really comes here, by its own flow; it is believed more
    if that pixel is also found in the other frame.
    """
    first = (1 - t) * sees(pair.forward, pair.sure_first, there, t)
    last = t * sees(pair.backward, pair.sure_last, back, 1 - t)
    return first / (first + last)


def sees(flow: Tensor, sure: Tensor, pull: Tensor, way: float) -> Tensor:
    """How well a frame shows the point whose colour is taken at ``pull``, (1, 1, H, W) in (0, 1.4].

    ``flow`` and ``sure`` are on that frame's grid, ``way`` is the part of the flow from there to here.
    """
    pulled = warp(torch.cat((flow, sure), dim=1), pull)
    miss = (pull + way * pulled[:, :2]).square().sum(dim=1, keepdim=True)
    return torch.exp(-miss / REACH) * (pulled[:, 2:] + DOUBT) + REFUTED


def descend(pair: Pair, fields: Tensor, iterations: int, weights: Weights) -> Tensor:
    """Gradient descent (Adam) on a correction of the fields (2, 2, H, W), given on cells of ``CELL`` guide pixels.

    Only where both frames see a point do the two sides have to agree. JD and OG are of the accumulated maps.
    """
    height, width = fields.shape[-2:]
    with torch.no_grad():
        pulls = _SIGNS.to(fields) * fields
        first_sees = sees(pair.forward, pair.sure_first, pulls[:1], 0.5)
        seen = torch.minimum(first_sees, sees(pair.backward, pair.sure_last, pulls[1:], 0.5))
    sure = (pair.sure_first, pair.sure_last)
    correction = improvement(pair.first, pair.last, fields, seen, iterations, weights, sure)
    return fields + _spread_cells(correction, height, width)


def improvement(
    first: Tensor,
    last: Tensor,
    fields: Tensor,
    seen: Tensor,
    iterations: int,
    weights: Weights,
    sure: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The correction that ``descend`` adds, as cells: (2, 2, H // CELL, W // CELL), in pixels of (H, W).

    Args:
        first, last: pictures (1, 3, H, W).
        fields: (2, 2, H, W), both velocities on the pictures' grid.
        seen: (1, 1, H, W), how far both frames see the point at t = 1/2.
        sure: how far a point of each frame is found in the other; for the term ``ends`` alone.
    """
    height, width = fields.shape[-2:]
    rows, columns = max(height // CELL, 2), max(width // CELL, 2)
    signs = _SIGNS.to(fields)
    with torch.no_grad():
        pulls = signs * fields
        halfway = (warp(first, pulls[:1]) + warp(last, pulls[1:])) / 2
        picture = F.interpolate(halfway, (rows, columns), mode="bilinear", antialias=True).expand(2, -1, -1, -1)
        coarse = F.interpolate(fields, (rows, columns), mode="bilinear", antialias=True)
    with torch.enable_grad():
        correction = torch.zeros_like(coarse, requires_grad=True)
        mean, square = torch.zeros_like(coarse), torch.zeros_like(coarse)
        for step in range(1, iterations + 1):
            moved = fields + _spread_cells(correction, height, width)
            maps = scaling_and_squaring(signs * moved, squarings=2)
            here = coarse + correction
            loss = (
                weights.middle * _differ(warp(first, maps[:1]), warp(last, maps[1:]), seen)
                + weights.smooth * edge_aware_smoothness(here, picture, 10.0, 0.05)
                + weights.apart * charbonnier(here[:1], here[1:], epsilon=0.1)
                + weights.folding * folding_penalty(maps, 0.1)
                + weights.out_of_grid * out_of_grid_penalty(maps)
            )
            if weights.ends and sure is not None:
                whole = scaling_and_squaring(2 * signs * moved, squarings=3)
                loss = loss + weights.ends * (
                    _differ(warp(first, whole[:1]), last, sure[1]) + _differ(warp(last, whole[1:]), first, sure[0])
                )
            # A cell's gradient then does not depend on the picture's size.
            (slope,) = torch.autograd.grad(rows * columns * loss, correction)
            with torch.no_grad():  # Adam, written out: importing torch.optim takes longer than fitting a few pairs
                mean.lerp_(slope, 1 - 0.9)
                square.lerp_(slope * slope, 1 - 0.99)
                correction -= RATE * (mean / (1 - 0.9**step)) / ((square / (1 - 0.99**step)).sqrt() + DAMPING)
    return correction.detach()


_SIGNS = torch.tensor([-0.5, 0.5]).view(2, 1, 1, 1)
"""From t = 1/2 to the first frame against its velocity, to the last along its own."""


def _spread_cells(cells: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(cells, (height, width), mode="bilinear", align_corners=False)


def _differ(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Weighted Charbonnier of what the difference exceeds ``NOISE`` by."""
    excess = ((made - true).abs() - NOISE).clamp(min=0)
    return charbonnier(excess, torch.zeros_like(excess), weight, 0.02)
