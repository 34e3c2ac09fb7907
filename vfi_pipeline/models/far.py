"""``model=fit`` for two pictures: one velocity field, searched from many starts, coarse to fine, until it settles.

Film frames are near one another; two pictures may not be. Here one stationary field ``v`` (px per unit t) moves both,

    there = exp(-t v),   back = exp((1 - t) v),   made = share * first(x + there) + (1 - share) * last(x + back),

so that the maps are a group: the part of the way that is gone and the part that is left always meet, nothing tears,
and each map is the other's inverse. ``v`` is found by gradient descent on how well both sides meet at t = 1/2, in
colour and in shape (oriented gradients with their local contrast divided out, which light and tint do not change),
with a smooth change of light and tint fitted beside it. docs/morph.md has the equations and the figures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.bench.dis import dis_flow, luma_of
from vfi_pipeline.bench.splat import splat
from vfi_pipeline.geometry import blur, jacobian_determinant, outside, pixel_grid, resize_flow, sample, warp
from vfi_pipeline.losses.penalties import folding_penalty, out_of_grid_penalty
from vfi_pipeline.models.animation import PairAnimation, Points, Progress, pulled
from vfi_pipeline.models.motion import Inbetween
from vfi_pipeline.ode import SampledVelocity, Solver, flow_maps, scaling_and_squaring

CELLS = (16, 8, 4, 2)
"""Pixels of a level between the nodes of the grids whose sum corrects the field there: each scale has its own grid, so
a step moves large regions and small ones alike."""

LEAST = 16
"""The coarsest level's smaller side is between this and twice this, px."""

TRIED = 48
"""Starts are compared on levels whose longer side is at most this, px."""

ORIENTATIONS, INNER, OUTER, CONTRAST = 6, 0.7, 3.0, 0.02
"""Of the shape: directions, softening of each (px), the region that contrast is measured in (px), and the contrast that
counts as none."""

ALIKE, STRANGE = 0.12, 0.3
"""Share of the shapes that a coarse fit leaves apart: up to the first two pictures show one scene (views, moved
photographs: 0.04 to 0.08), from the second on different things (a face and a cat, a cup and a rocket: 0.32 to 0.47)."""

STIFF, SOFT_BEND = 8.0, 0.3
"""Where pictures are strange to one another, so many times more smoothness, and no creases: what does not match cannot
tell where it goes, and would be torn to pieces."""

FEATHER = 0.06
"""Share of the longer side over which a picture fades in from its border."""

TINTS = 8
"""Nodes on the longer side of the grid that light and tint are given on."""

STALE = 0.25
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Terms:
    """Weights of what the descent lowers; every term is a mean over pixels, differences summed over their channels.

    Attributes:
        colour, shape: how much a difference counts, before the Charbonnier of knee ``knee``.
        smooth: of the field's slope, px per px, quadratic below ``bend`` and linear above.
        folding, out_of_grid: JD (margin 0.2) and OG of the maps to t = 1/2.
        points: how far apart corresponding points meet, px of the level.
        tint: of squared log gains and offsets.
        mult, add: the unit of log gains and of offsets; 0 leaves the map out.
        moving: whether there is any motion at all.
    """

    colour: float = 1.0
    shape: float = 1.0
    knee: float = 0.01
    smooth: float = 0.3
    bend: float = 0.02
    folding: float = 1.0
    out_of_grid: float = 0.001
    points: float = 1.0
    tint: float = 0.1
    mult: float = 1.0
    add: float = 1.0
    moving: bool = True


@dataclass(frozen=True)
class Effort:
    """How long to search: steps of descent a level at most, and at least; the loss's fall over ten steps, as a share,
    at which a level ends; starts that are tried beside standing still, and how many of them are drawn at random."""

    most: int = 60
    least: int = 20
    tolerance: float = 2e-3
    starts: int = 4
    drawn: int = 1


EFFORTS = {"draft": Effort(20, 10, 1e-2, 2, 0), "balanced": Effort(40), "best": Effort(120, 20, 5e-4, 8, 2)}
"""``model.quality``, for pictures."""


@dataclass
class Found:
    """The state of a search: the field (1, 2, h, w) in px of its own grid, and the tint's nodes (1, 2 C, n, m).

    The tint is the log gain and the offset of each channel from the first picture to the last, at the place where a
    point is at t = 1/2, in units of ``Terms.mult`` and ``Terms.add``.
    """

    field: Tensor
    tint: Tensor
    loss: float = math.inf


# ----------------------------------------------------------------------------------------------------- the model


@dataclass
class PictureFit:
    """A ``PairModel``: see ``models.animation``. Random starts come from torch's generator: seed it for one result.

    Args:
        guide_span: longest side, px, of the pictures that the field is fitted to.
        effort: how long to search.
        terms: of the objective.
        solver: of the maps that are shown.
    """

    guide_span: int | None = 640
    effort: Effort = EFFORTS["balanced"]
    terms: Terms = Terms()
    solver: Solver = field(default_factory=lambda: Solver("midpoint", 16))

    name = "fit"

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> FarAnimation:
        """See ``PairModel``; pictures (1, C, H, W) in [0, 1]."""
        told = throttled(progress, lambda found: FarAnimation(found.field, first, last, self.solver))
        found = search(first, last, self.guide_span, self.effort, self.terms, points, told)
        animation = FarAnimation(found.field, first, last, self.solver)
        if progress is not None:
            progress(1.0, animation)
        return animation


def picture_fit(model: Any) -> PictureFit:
    """What ``model=fit`` does for pictures, with the guide and the effort that a ``FitModel`` was given."""
    known = {0: EFFORTS["draft"], 4: EFFORTS["balanced"], 40: EFFORTS["best"]}
    effort = known.get(model.iterations) or Effort(model.iterations, min(20, model.iterations))
    return PictureFit(model.guide_span, effort)


class FarAnimation:
    """Two pictures moved along one field; see ``models.animation.PairAnimation``. Any t, also outside [0, 1]."""

    def __init__(self, velocity: Tensor, first: Tensor, last: Tensor, solver: Solver) -> None:
        self.first, self.last, self.solver = first, last, solver
        self._velocity = velocity
        self._ahead: dict[float, Tensor] = {}

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        if t in (0, 1):
            return self.first if t == 0 else self.last
        maps = self.maps(t)
        share = maps.share.to(self.first)
        share = F.interpolate(share, self.first.shape[-2:], mode="bilinear", align_corners=False)
        a, b = self.sides(t)
        return torch.lerp(b, a, share)

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        return carried(self.first, self.flow(-t)), carried(self.last, self.flow(1 - t))

    @torch.no_grad()
    def maps(self, t: float) -> Inbetween:
        there, back = self.flow(-t), self.flow(1 - t)
        return Inbetween(float(t), there, back, mixed(t, there, back))

    def flow(self, duration: float) -> Tensor:
        """``exp(duration v) - id`` in px of the field's grid."""
        key = round(duration, 9)
        if key not in self._ahead:
            self.expect([], [key])
        return self._ahead[key]

    @torch.no_grad()
    def expect(self, times: Sequence[float], durations: Sequence[float] = ()) -> None:
        """Solves at once for all ``times`` that come next (and ``durations`` of the flow)."""
        wanted = {round(d, 9) for t in times for d in (-t, 1 - t)} | set(durations)
        grid = pixel_grid(*self._velocity.shape[-2:], like=self._velocity)
        # A few that nobody announced are kept: a frame asks for each of its maps more than once.
        kept = {d: u for d, u in self._ahead.items() if d in wanted or (not times and len(self._ahead) < 16)}
        kept.setdefault(0.0, torch.zeros_like(self._velocity))
        for side in (sorted(d for d in wanted if d > 0), sorted((d for d in wanted if d < 0), reverse=True)):
            side = [d for d in side if d not in kept]
            if side:
                kept |= zip(side, flow_maps(SampledVelocity(self._velocity), grid, 0.0, side, self.solver))
        self._ahead = kept

    def velocity(self) -> Tensor:
        return self._velocity

    def shares(self) -> dict[str, float]:
        """Which share of the squared difference between the pictures motion removes, and what is left to fade."""
        moved = self.sides(1.0)[0]
        return shares_of(["warp"], lambda on: moved if on else self.first, self.last)

    def state(self) -> dict[str, Tensor]:
        return {"far.velocity": self._velocity.detach().cpu().contiguous()}


def carried(picture: Tensor, flow: Tensor) -> Tensor:
    """``pulled``, and the picture itself, bit for bit, where nothing moves."""
    return pulled(picture, flow) if bool(flow.any()) else picture


def restore(state: Mapping[str, Tensor], first: Tensor, last: Tensor) -> FarAnimation:
    """The animation whose ``state`` this is, for pictures of any one size."""
    return FarAnimation(state["far.velocity"].to(first), first, last, PictureFit().solver)


def mixed(t: float, there: Tensor, back: Tensor) -> Tensor:
    """Weight of the first picture at ``t``, (1, 1, h, w): ``1 - t``, changed where one picture is pulled from outside
    its frame, and where it is stretched: a picture counts by how many of its own pixels there are for one made."""
    if not 0 <= t <= 1:
        return there.new_full((1, 1, *there.shape[-2:]), float(t < 0))
    first, last = (1 - t) * _dense(there), t * _dense(back)
    return first / (first + last)


def _dense(flow: Tensor) -> Tensor:
    """In (0, 1]: 1 where a map keeps or shrinks areas, less where it stretches them, hardly anything outside the frame.

    Towards the frame's border it fades: a straight edge in the middle of a picture would be seen.
    """
    height, width = flow.shape[-2:]
    at = pixel_grid(height, width, like=flow) + flow
    room = torch.minimum(at, at.new_tensor([width - 1, height - 1]).view(1, 2, 1, 1) - at).amin(dim=1, keepdim=True)
    inside = ((room + 1) / max(1.0, FEATHER * max(height, width))).clamp(0, 1)
    if min(height, width) < 2:
        return inside + 1e-4
    area = jacobian_determinant(flow).clamp(0, 1)
    return inside * F.pad(area, (0, 1, 0, 1), mode="replicate").clamp(min=0.02) + 1e-4


def shares_of(names: Sequence[str], made: Callable[[frozenset[str]], Tensor], last: Tensor) -> dict[str, float]:
    """Which share of the squared difference to ``last`` each map takes away, and what is left to fade; sum 1.

    A map's share is what it takes away on average over all orders in which the maps can be switched on (Shapley 1953):
    alone, two maps may do harm that together do good.

    Args:
        names: of the maps.
        made: the first picture as those maps leave it, at t = 1.
    """
    left = {
        on: float((made(on) - last).square().mean())
        for size in range(len(names) + 1)
        for on in map(frozenset, combinations(names, size))
    }
    before = left[frozenset()]
    if not before:
        return {**dict.fromkeys(names, 0.0), "fade": 0.0}
    found = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        on: frozenset[str] = frozenset()
        for name in order:
            found[name] += (left[on] - left[on | {name}]) / before / len(orders)
            on = on | {name}
    return {**found, "fade": left[frozenset(names)] / before}


def throttled(progress: Progress | None, look: Callable[[Found], PairAnimation]) -> Callable[[float, Found], None]:
    """``progress`` with a picture of what was found so far, at most a few times a second."""
    last = 0.0

    def tell(share: float, found: Found) -> None:
        nonlocal last
        if progress is not None and time.monotonic() - last >= STALE:
            last = time.monotonic()
            progress(share, look(found))

    return tell


# ---------------------------------------------------------------------------------------------------- the search


def search(
    first: Tensor,
    last: Tensor,
    guide_span: int | None = 640,
    effort: Effort = EFFORTS["balanced"],
    terms: Terms = Terms(),
    points: Points | None = None,
    tell: Callable[[float, Found], None] = lambda share, found: None,
) -> Found:
    """The field that carries ``first`` to ``last``, both (1, C, H, W), and the change of tint beside it.

    Starts at several fields (``starting_fields``), follows each on the coarse levels, and goes on with the one whose
    loss is least. Identical pictures stand still, exactly.
    """
    height, width = first.shape[-2:]
    scale = 1.0 if guide_span is None else min(1.0, guide_span / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    channels = first.shape[1]
    still = Found(torch.zeros(1, 2, *size, device=first.device), torch.zeros(1, 2 * channels, 2, 2).to(first))
    if min(size) < 4 or torch.equal(first, last):
        return still
    pictures = resized(first.float(), *size), resized(last.float(), *size)
    if points is not None:
        factor = first.new_tensor([size[1] / width, size[0] / height])
        points = tuple((p.to(first) + 0.5) * factor - 0.5 for p in points)  # type: ignore[assignment]
    sizes = pyramid(*size)
    coarse = [s for s in sizes if max(s) <= TRIED] or sizes[:1]
    work = [h * w for h, w in sizes]
    with torch.no_grad():
        seen = resized(pictures[0], *coarse[-1]), resized(pictures[1], *coarse[-1])
        starts = starting_fields(*seen, effort, _scaled(points, size, coarse[-1])) if terms.moving else [still.field]

    def followed(terms: Terms) -> Found:
        best = None
        for start in starts:
            found = Found(resize_flow(start, *coarse[0]), _no_tint(channels, *coarse[0]).to(first))
            for level in coarse:
                there = _scaled(points, size, level)
                a, b = resized(pictures[0], *level), resized(pictures[1], *level)
                found = descend(a, b, found, effort, terms, there)
            if best is None or found.loss < best.loss * (1 - 1e-3):
                best = found
        assert best is not None
        return best

    best = followed(terms)
    unlike = strangeness(*seen, best.field)
    if unlike > 0 and terms.moving:
        terms = replace(terms, smooth=terms.smooth * (1 + STIFF * unlike), bend=terms.bend + SOFT_BEND * unlike)
        best = followed(terms)
    done = float(sum(work[: len(coarse)]))
    for level in sizes[len(coarse) :]:
        tell(done / sum(work), Found(resize_flow(best.field, *size), best.tint))
        part = level[0] * level[1] / sum(work)

        def step(share: float, now: Found, done: float = done, part: float = part) -> None:
            tell(done / sum(work) + share * part, Found(resize_flow(now.field, *size), now.tint))

        a, b = resized(pictures[0], *level), resized(pictures[1], *level)
        best = descend(a, b, best, effort, terms, _scaled(points, size, level), step)
        done += level[0] * level[1]
    return best


@torch.no_grad()
def strangeness(first: Tensor, last: Tensor, velocity: Tensor) -> float:
    """0 for two views of one scene, 1 for pictures of different things: how much of both shapes a fit leaves apart."""
    maps = scaling_and_squaring(torch.cat((-velocity, velocity)) / 2)
    a, b = shape(warp(first, maps[:1])), shape(warp(last, maps[1:]))
    apart = (a - b).abs().mean() / (a.abs().mean() + b.abs().mean()).clamp(min=1e-6)
    return min(max((float(apart) - ALIKE) / (STRANGE - ALIKE), 0.0), 1.0)


def descend(
    first: Tensor,
    last: Tensor,
    start: Found,
    effort: Effort,
    terms: Terms,
    points: Points | None = None,
    tell: Callable[[float, Found], None] = lambda share, found: None,
) -> Found:
    """One level: Adam on corrections of the field, on grids of ``CELLS``, and on the tint.

    The shapes of small pictures are looked at anew as they turn (a gradient's direction turns with the picture); of
    larger ones they are taken once and carried along, six times as fast.
    """
    height, width = first.shape[-2:]
    base = resize_flow(start.field, height, width)
    grids = [
        torch.zeros(1, 2, max(2, -(-height // cell)), max(2, -(-width // cell)), device=base.device)
        for cell in CELLS
        if cell == CELLS[-1] or 2 * cell <= min(height, width)
    ]
    tint = start.tint.clone()
    rates = [0.1] * len(grids) + [0.02]
    if not terms.moving:
        rates[:-1] = [0.0] * len(grids)
    parameters = [p.requires_grad_() for p in (*grids, tint)]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    anew = max(height, width) <= TRIED
    shapes = None if anew else (shape(first), shape(last))
    past: list[float] = []
    with torch.enable_grad():
        for count in range(1, effort.most + 1):
            velocity = base + _summed(grids, height, width)
            loss = objective(first, last, shapes, velocity, tint, terms, points)
            past.append(float(loss.detach()))
            slopes = torch.autograd.grad(loss, parameters, materialize_grads=True)
            with torch.no_grad():  # Adam, written out: importing torch.optim takes longer than fitting a small pair
                for p, slope, (mean, square), rate in zip(parameters, slopes, moments, rates):
                    mean.lerp_(slope, 1 - 0.9)
                    square.lerp_(slope * slope, 1 - 0.99)
                    p -= rate * (mean / (1 - 0.9**count)) / ((square / (1 - 0.99**count)).sqrt() + 1e-8)
            if count % 5 == 0:
                tell(count / effort.most, Found(velocity.detach(), tint.detach()))
            if count >= effort.least and count % 10 == 0 and past[-11:][0] - past[-1] < effort.tolerance * past[-1]:
                break
    velocity = (base + _summed(grids, height, width)).detach()
    with torch.no_grad():
        final = objective(first, last, shapes, velocity, tint, terms, points)
    return Found(velocity, tint.detach(), float(final))


def objective(
    first: Tensor,
    last: Tensor,
    shapes: tuple[Tensor, Tensor] | None,
    velocity: Tensor,
    tint: Tensor,
    terms: Terms,
    points: Points | None,
) -> Tensor:
    """What the descent lowers at one level. A scalar."""
    # Enough squarings that the first step stays within half a pixel.
    squarings = min(7, max(3, 1 + math.ceil(math.log2(max(float(velocity.detach().abs().max()), 1.0)))))
    maps = scaling_and_squaring(torch.cat((-velocity, velocity)) / 2, squarings=squarings)
    there, back = maps[:1], maps[1:]
    a, b = warp(first, there), warp(last, back)
    if shapes is None:
        forms = shape(a), shape(b)
    else:
        forms = warp(shapes[0], there), warp(shapes[1], back)
    lit = a, b
    if terms.mult or terms.add:
        colours = spread_tint(tint, terms, *a.shape[-2:])
        lit = tinted(a, colours, 0.5), tinted(b, colours, -0.5)
    difference = torch.cat((terms.colour * (lit[0] - lit[1]), terms.shape * (forms[0] - forms[1])), dim=1)
    seen = (outside(maps) == 0).all(dim=1, keepdim=True).all(dim=0, keepdim=True).to(a.dtype) + 1e-3
    data = (_charbonnier(difference, terms.knee).sum(dim=1, keepdim=True) * seen).sum() / seen.sum()
    # A place that only one picture shows is no gain: else pictures would slide off one another.
    data = data + 0.5 * (1 - seen).clamp(min=0).mean()
    steps = [_charbonnier(torch.diff(velocity, dim=axis), terms.bend).mean() for axis in (-1, -2)]
    loss = (
        data
        + terms.smooth * (steps[0] + steps[1])
        + terms.folding * folding_penalty(maps, 0.2)
        + terms.out_of_grid * out_of_grid_penalty(maps)
        + terms.tint * (tint.square().mean() + _roughness(tint))
    )
    if points is not None:
        loss = loss + terms.points * _meeting(points, there, back)
    return loss


def tinted(image: Tensor, tint: Tensor, duration: float) -> Tensor:
    """``exp(s A) X`` for the change of colour ``dX/ds = m X + d``: ``e^(s m) X + s d (e^(s m) - 1) / (s m)``.

    A group as well: what is done in s and then in s' is done in s + s'.

    Args:
        image: (1, C, h, w).
        tint: (1, 2 C, h, w): m and d.
        duration: s; negative undoes.
    """
    gain, offset = (duration * tint).chunk(2, dim=1)
    # (e^z - 1) / z by its series near 0, where the quotient is 0 / 0.
    near = gain.abs() < 1e-3
    z = torch.where(near, torch.ones_like(gain), gain)
    ratio = torch.where(near, 1 + gain / 2, torch.expm1(z) / z)
    return gain.exp() * image + offset * ratio


def spread_tint(nodes: Tensor, terms: Terms, height: int, width: int) -> Tensor:
    """The tint on every pixel, (1, 2 C, height, width), from its nodes (1, 2 C, n, m) in units of the strengths."""
    gain, offset = nodes.chunk(2, dim=1)
    scaled = torch.cat((terms.mult * gain, terms.add * offset), dim=1)
    return F.interpolate(scaled, (height, width), mode="bicubic", align_corners=False)


def shape(image: Tensor) -> Tensor:
    """What lies where, whatever the light: (1, C, H, W) -> (1, ORIENTATIONS, H, W).

    The luma's gradient in each direction, its negative part cut off, softened, and divided by the contrast around.
    """
    grey = image[:, :1]
    if image.shape[1] >= 3:
        grey = luma_of(image[:, :3])
        if image.shape[1] == 4:  # premultiplied: an edge of the cover is an edge, whatever the colour
            grey = (grey + image[:, 3:]) / 2
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    angles = [2 * math.pi * k / ORIENTATIONS for k in range(ORIENTATIONS)]
    parts = torch.cat([(math.cos(a) * along_x + math.sin(a) * along_y).clamp(min=0) for a in angles], dim=1)
    parts = blur(parts, INNER)
    # The small number keeps the root's slope finite where a picture is flat.
    around = (blur(parts.square().sum(dim=1, keepdim=True), OUTER) + 1e-8).sqrt()
    return parts / (around + CONTRAST)


def starting_fields(first: Tensor, last: Tensor, effort: Effort, points: Points | None = None) -> list[Tensor]:
    """Velocities (1, 2, h, w) worth a try, standing still first: the search of optical flow, the best turns, zooms and
    shifts of the whole picture, the affine motion of ``points``, and smooth ones drawn at random."""
    height, width = first.shape[-2:]
    fields = [torch.zeros(1, 2, height, width, device=first.device)]
    if points is not None:
        fields.append(affine_field(*points, height, width))
    fields.append(_searched(first, last))
    fields += similarities(first, last, max(0, effort.starts - 1))
    for _ in range(effort.drawn):
        coarse = 0.05 * max(height, width) * torch.randn(1, 2, 3, 3).to(first)
        fields.append(F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True))
    return fields


def _searched(first: Tensor, last: Tensor) -> Tensor:
    """Optical flow of both directions, carried to the middle, softened."""
    total, weight = torch.zeros_like(first[:, :1]), torch.full_like(first[:, :1], 1e-3)
    for a, b, sign in ((first, last, 1), (last, first, -1)):
        flow = dis_flow(a[:, :3] if a.shape[1] > 3 else a, b[:, :3] if b.shape[1] > 3 else b, finest=0).to(first)
        pushed, count = splat(sign * flow, flow / 2, torch.ones_like(flow[:, :1]))
        total, weight = total + pushed, weight + count
    return blur(total, 1.5) / blur(weight, 1.5)


def similarities(first: Tensor, last: Tensor, count: int) -> list[Tensor]:
    """The ``count`` best of turns by up to 45 degrees with zooms and whatever shift matches most, as velocities."""
    if not count:
        return []
    height, width = last.shape[-2:]
    side = 32 / max(height, width)
    small = [resized(p, max(4, round(height * side)), max(4, round(width * side))) for p in (first, last)]
    h, w = small[0].shape[-2:]
    grid, centre = pixel_grid(h, w, like=first), first.new_tensor([(w - 1) / 2, (h - 1) / 2]).view(1, 2, 1, 1)
    goal = torch.fft.rfft2(shape(small[1]), s=(2 * h, 2 * w))
    found = []
    for degrees in (0, -15, 15, -30, 30, -45, 45):
        for zoom in (1.0, 0.75, 1.33, 0.55, 1.8):
            turn = math.radians(degrees)
            # The exponential of this turns and zooms the content about the centre.
            generator = first.new_tensor([[math.log(zoom), -turn], [turn, math.log(zoom)]])
            inverse = torch.matrix_exp(-generator)
            source = torch.einsum("ij,bjhw->bihw", inverse, grid - centre) + centre
            inside = (outside(source - grid).amax(dim=1, keepdim=True) == 0).to(first)
            moved = shape(sample(small[0], source)) * inside
            match = torch.fft.irfft2((goal * torch.fft.rfft2(moved, s=(2 * h, 2 * w)).conj()).sum(dim=1)[0])
            # No further than a third of the side: at a small overlap chance decides.
            reach_y, reach_x = torch.meshgrid(
                torch.fft.fftfreq(2 * h).abs() * 2 * h <= h / 3, torch.fft.fftfreq(2 * w).abs() * 2 * w <= w / 3,
                indexing="ij",
            )  # fmt: skip
            match = torch.where((reach_y & reach_x).to(match.device), match, torch.full_like(match, -math.inf))
            at = int(match.argmax())
            dy, dx = (at // (2 * w) + h) % (2 * h) - h, (at % (2 * w) + w) % (2 * w) - w
            score = float(match.flatten()[at]) / float((moved.square().sum() + 1e-6).sqrt())
            found.append((score, generator, first.new_tensor([dx, dy])))
    found.sort(key=lambda item: -item[0])
    fields = []
    for _, generator, shift in found[:count]:
        forward = torch.matrix_exp(generator)
        fields.append(_affine_velocity(forward, shift * (width / w), centre * (width / w), height, width))
    return fields


def affine_field(source: Tensor, goal: Tensor, height: int, width: int) -> Tensor:
    """The velocity whose flow takes points to points as well as an affine map can; (N, 2) each.

    Fewer than three points: their mean shift.
    """
    shift = (goal - source).mean(dim=0)
    centre = source.mean(dim=0)
    forward = torch.eye(2).to(source)
    if len(source) >= 3:
        offset, aim = source - centre, goal - goal.mean(dim=0)
        # A little of the identity: points in a line say nothing about the other direction.
        ridge = 1e-2 * offset.square().sum().clamp(min=1e-6) * torch.eye(2).to(source)
        forward = torch.linalg.solve(offset.T @ offset + ridge, offset.T @ aim + ridge).T
        if float(torch.linalg.det(forward)) < 0.05:
            forward = torch.eye(2).to(source)  # mirrored or flat: no flow does that
    return _affine_velocity(forward, shift, centre.view(1, 2, 1, 1), height, width)


def _affine_velocity(forward: Tensor, shift: Tensor, centre: Tensor, height: int, width: int) -> Tensor:
    """The stationary velocity that takes ``x`` to ``forward (x - centre) + centre + shift`` in unit time."""
    whole = torch.eye(3, dtype=torch.float64)
    whole[:2, :2], whole[:2, 2] = forward, shift
    # The logarithm of a matrix by repeated square roots (Denman and Beavers), then one term of the series.
    root = whole
    for _ in range(12):
        y, z = root, torch.eye(3, dtype=torch.float64)
        for _ in range(12):
            y, z = (y + torch.linalg.inv(z)) / 2, (z + torch.linalg.inv(y)) / 2
        root = y
    generator = (root - torch.eye(3, dtype=torch.float64)) * 2**12
    generator = generator.to(shift)
    grid = pixel_grid(height, width, like=shift) - centre
    return torch.einsum("ij,bjhw->bihw", generator[:2, :2], grid) + generator[:2, 2].view(1, 2, 1, 1)


# ---------------------------------------------------------------------------------------------------- small parts


def pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from coarse to fine, each half the next, the smaller side at least ``LEAST`` where it can be."""
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * LEAST:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes[::-1]


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """A smaller (or larger) picture of the same area, antialiased."""
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=True)


def _summed(grids: Sequence[Tensor], height: int, width: int) -> Tensor:
    """The grids, coarse to fine, each spread onto the next, and the last onto the picture."""
    total = grids[0]
    for grid in grids[1:]:
        total = grid + F.interpolate(total, grid.shape[-2:], mode="bicubic", align_corners=False)
    return F.interpolate(total, (height, width), mode="bicubic", align_corners=False)


def _no_tint(channels: int, height: int, width: int) -> Tensor:
    nodes = [max(2, round(TINTS * side / max(height, width))) for side in (height, width)]
    return torch.zeros(1, 2 * channels, *nodes)


def _roughness(tint: Tensor) -> Tensor:
    return torch.diff(tint, dim=-1).square().mean() + torch.diff(tint, dim=-2).square().mean()


def _scaled(points: Points | None, size: tuple[int, int], level: tuple[int, int]) -> Points | None:
    if points is None:
        return None
    factor = points[0].new_tensor([level[1] / size[1], level[0] / size[0]])
    return (points[0] + 0.5) * factor - 0.5, (points[1] + 0.5) * factor - 0.5


def _meeting(points: Points, there: Tensor, back: Tensor) -> Tensor:
    """How far apart corresponding points are when both have come to t = 1/2: ``back`` is the way forward from first."""
    source, goal = (p.T[None, :, None, :].to(there) for p in points)  # (1, 2, 1, N)
    apart = (source + sample(back, source)) - (goal + sample(there, goal))
    return _charbonnier(apart, 0.5).mean()


def _charbonnier(x: Tensor, knee: float) -> Tensor:
    return (x.square() + knee**2).sqrt() - knee
