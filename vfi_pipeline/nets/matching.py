"""Matches small objects that move by more than their size over static ground and that the motion leaves unexplained.

A ball that leaves one place and arrives at another is invisible to a coarse-to-fine estimate: at the level where its
displacement is small, the ball is smaller than a cell. Here each frame's features are weighted by the error that the
motion so far leaves, and compared symmetrically about the middle (a bilateral cost volume, Park et al. 2020):
``C(x, k) = <a(x - k), b(x + k)>``. A good match sets the velocity to ``2 k`` all along its path, so that the flow of
the stationary field carries the object from end to end. Matches are accepted where the ground around is static: under a
moving camera, an unexplained pixel is mostly occluded in the other frame and has no match.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid, sample
from vfi_pipeline.nets.flow import normalized
from vfi_pipeline.ode import Solver, stationary_flow

Ramp = tuple[float, float]
"""Where a criterion begins to hold, and where it holds in full; in falling order where less is better."""


@dataclass(frozen=True)
class Matching:
    """The range of the search and the criteria for a match. docs/results.md names the clips that set the values.

    Attributes:
        radius: of the search on each side of the middle, in steps.
        step: cells between two candidates; a second search one cell around the best one refines it.
        tolerance: cosine distance of features that counts as explained.
        surroundings: cells to each side; an object's features must differ from their mean.
        sharpness: inverse temperature of the softmax over candidates.
        score: of a match: product of both frames' unexplained part and of the cosine of their features.
        colour: mean absolute difference of the matched colours, of 1.
        unexplained: mean absolute difference of colour, of 1, that the motion so far leaves at both ends of the match.
        news: mean absolute difference of colour, of 1, between the match and what the motion so far pulls here.
        still: share of the ground around (``ground`` cells to each side) that does not change.
        unchanged: mean absolute difference of colour, of 1, and velocity, cells, below which ground does not change.
        length: of the match, cells: shorter ones are for the network.
    """

    radius: int = 3
    step: int = 2
    tolerance: float = 0.15
    surroundings: int = 4
    sharpness: float = 96.0
    score: Ramp = (0.15, 0.3)
    colour: Ramp = (0.12, 0.06)
    unexplained: Ramp = (0.04, 0.10)
    news: Ramp = (0.05, 0.10)
    still: Ramp = (0.5, 0.7)
    ground: int = 10
    unchanged: tuple[float, float] = (0.03, 0.3)
    length: Ramp = (0.75, 1.25)


class Matched(NamedTuple):
    """A state after matching.

    Attributes:
        state: (2 * B, STATE, h, w), see ``nets.flow``.
        departed: (2 * B, 1, h, w), how well the pixel that is pulled here from a frame matches another place in the
            other frame: such a pixel has moved on and is not here at t = 1/2. 0 in pairs without a match.
    """

    state: Tensor
    departed: Tensor


def match_unexplained(
    features: tuple[Tensor, Tensor], colours: tuple[Tensor, Tensor], state: Tensor, settings: Matching = Matching()
) -> Matched:
    """Replaces velocities where unexplained features have a good match.

    Args:
        features: of both frames, for matching, (B, C, h, w) each, on the state's grid.
        colours: both frames at that size, (B, 3, h, w) each, in [0, 1].
        state: (2 * B, STATE, h, w); its first two channels are velocities away from the half's own frame.
    """
    batch, channels, h, w = features[0].shape
    colour = torch.cat(colours).float()
    velocity = state[:, :2]
    ground = _ramp(_still_ground(colour, velocity, settings), settings.still)
    nothing = Matched(state, torch.zeros_like(state[:, :1]))
    on_cpu = state.device.type == "cpu"  # on a GPU, waiting for the answer takes longer than the work
    if on_cpu and not bool(ground.any()):
        return nothing
    both = normalized(torch.cat(features).float()) * channels**-0.5  # of unit length
    grid = pixel_grid(h, w, like=both)
    whole, half = stationary_flow(velocity, 1.0, PATH_SOLVER), stationary_flow(velocity, -0.5, PATH_SOLVER)
    opposite = sample(torch.cat((both, colour), dim=1).roll(batch, dims=0), grid + whole)
    distance = 1 - (both * opposite[:, :channels]).sum(dim=1, keepdim=True)
    missed = (colour - opposite[:, channels:]).abs().mean(dim=1, keepdim=True)
    # An object differs from the ground around it in its own frame; the ground that it hides does not.
    distinct = both - _box(both, settings.surroundings)
    first_unexplained, last_unexplained = ((distance - settings.tolerance).clamp(min=0) * distinct).chunk(2)

    costs = bilateral_costs(first_unexplained, last_unexplained, settings.radius, settings.step)
    offset = _expected(costs, settings.radius, settings.step, settings.sharpness)
    score = costs.amax(dim=1, keepdim=True)
    if on_cpu and not bool((score * ground > settings.score[0]).any()):
        return nothing
    near = _costs_near(first_unexplained, last_unexplained, offset)
    offset = offset + _expected(near, 1, 1, settings.sharpness)
    score = torch.maximum(score, near.amax(dim=1, keepdim=True))

    ends = sample(torch.cat((colour, missed), dim=1), grid + torch.cat((-offset, offset)))
    news = (ends[:, :3] - sample(colour, grid + half)).abs().mean(dim=1, keepdim=True)
    a, b = ends.chunk(2)
    accepted = (
        _ramp(score, settings.score)
        * _ramp((a[:, :3] - b[:, :3]).abs().mean(dim=1, keepdim=True), settings.colour)
        * _ramp(torch.minimum(a[:, 3:], b[:, 3:]), settings.unexplained)
        * _ramp(torch.minimum(*news.chunk(2)), settings.news)
        * ground
        * _ramp(2 * offset.square().sum(dim=1, keepdim=True).sqrt(), settings.length)
    )
    offset, accepted = _along_path(*_spread(offset, accepted))
    proposed = torch.cat((2 * offset, -2 * offset))
    moved = velocity + torch.cat((accepted, accepted)) * (proposed - velocity)
    departed = sample(_matched_elsewhere(costs, settings.radius, settings.step), grid + half)
    any_match = (accepted.amax(dim=(1, 2, 3), keepdim=True) > 0).to(departed.dtype)
    return Matched(torch.cat((moved, state[:, 2:]), dim=1), departed * any_match.repeat(2, 1, 1, 1))


PATH_SOLVER = Solver("midpoint", steps=2)


def bilateral_costs(first: Tensor, last: Tensor, radius: int, step: int) -> Tensor:
    """``C(x, k) = sum_c first(x - k) last(x + k)`` for ``k = step * (-radius .. radius)^2``, y before x.

    Both (B, C, h, w); returns (B, (2 * radius + 1)**2, h, w). Zero outside the frame.
    """
    h, w = first.shape[-2:]
    pad = radius * step
    first, last = F.pad(first, (pad,) * 4), F.pad(last, (pad,) * 4)

    def at(image: Tensor, y: int, x: int) -> Tensor:
        return image[..., pad + y : pad + y + h, pad + x : pad + x + w]

    return torch.stack([(at(first, -y, -x) * at(last, y, x)).sum(dim=1) for y, x in _offsets(radius, step)], dim=1)


def _costs_near(first: Tensor, last: Tensor, offset: Tensor) -> Tensor:
    """``C(x, offset(x) + k)`` for the nine k of one cell, (B, 9, h, w)."""
    grid = pixel_grid(*first.shape[-2:], like=first)
    costs = []
    for step in _offset_table(1, 1, first.device).view(9, 1, 2, 1, 1):
        at = offset + step
        costs.append((sample(first, grid - at) * sample(last, grid + at)).sum(dim=1))
    return torch.stack(costs, dim=1)


def _matched_elsewhere(costs: Tensor, radius: int, step: int) -> Tensor:
    """The best score of each frame's own pixels: (2 * B, 1, h, w). A pixel of the first frame at y meets k at y + k."""
    h, w = costs.shape[-2:]
    pad = radius * step
    padded = F.pad(costs, (pad,) * 4)
    halves = []
    for sign in (1, -1):
        parts = [
            padded[:, index, pad + sign * y : pad + sign * y + h, pad + sign * x : pad + sign * x + w]
            for index, (y, x) in enumerate(_offsets(radius, step))
        ]
        halves.append(torch.stack(parts, dim=1).amax(dim=1, keepdim=True))
    return torch.cat(halves)


def _still_ground(colour: Tensor, velocity: Tensor, settings: Matching) -> Tensor:
    """The share of the cells around that keep their colour and do not move, (B, 1, h, w)."""
    first, last = colour.chunk(2)
    fastest = torch.maximum(*velocity.square().sum(dim=1, keepdim=True).chunk(2))
    least_change, least_speed = settings.unchanged
    still = ((first - last).abs().mean(dim=1, keepdim=True) < least_change) & (fastest < least_speed**2)
    return _box(still.to(colour.dtype), settings.ground)


def _box(image: Tensor, radius: int) -> Tensor:
    """The mean of the cells up to ``radius`` away along each axis, border replicated."""
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (1, 2 * radius + 1), 1), (2 * radius + 1, 1), 1)


def _spread(offset: Tensor, accepted: Tensor) -> tuple[Tensor, Tensor]:
    """A match extends by one cell: at the rim of a small object features mix with the ground's."""
    around = F.avg_pool2d(F.pad(torch.cat((accepted * offset, accepted), dim=1), (1,) * 4), 3, 1)
    mean = around[:, :2] / (around[:, 2:] + 1e-6)
    return torch.where(accepted > 0.5, offset, mean), F.max_pool2d(accepted, 3, 1, 1)


def _along_path(offset: Tensor, accepted: Tensor) -> tuple[Tensor, Tensor]:
    """Matches on every cell from ``x - offset`` to ``x + offset``; where two paths cross, their weighted mean."""
    batch, _, h, w = offset.shape
    grid = pixel_grid(h, w, like=offset)
    carried = torch.cat((accepted * offset, accepted), dim=1).flatten(2)
    sums = torch.zeros_like(carried)
    most = torch.zeros_like(accepted).flatten(2)
    for part in PATH_FRACTIONS:
        at = (grid + part * offset).round()
        x, y = at[:, :1].clamp(0, w - 1), at[:, 1:].clamp(0, h - 1)
        place = (y * w + x).long().flatten(2)
        sums.scatter_add_(2, place.expand(-1, 3, -1), carried)
        most.scatter_reduce_(2, place, accepted.flatten(2), "amax")
    mean = sums[:, :2] / (sums[:, 2:] + 1e-6)
    return mean.view(batch, 2, h, w), most.view(batch, 1, h, w)


PATH_FRACTIONS = tuple(k / 8 for k in range(-8, 9))
"""Fractions of the offset at which a path is marked: every cell of paths of up to 8 cells to each side."""


def _ramp(value: Tensor, bounds: Ramp) -> Tensor:
    begin, full = bounds
    return ((value - begin) / (full - begin)).clamp(0, 1)


def _expected(costs: Tensor, radius: int, step: int, sharpness: float) -> Tensor:
    """The mean offset (x, y) under a softmax over the candidates: (B, 2, h, w), cells."""
    share = (sharpness * costs).softmax(dim=1)
    return torch.einsum("bkhw,kc->bchw", share, _offset_table(radius, step, costs.device))


def _offsets(radius: int, step: int) -> list[tuple[int, int]]:
    line = range(-radius * step, radius * step + 1, step)
    return [(y, x) for y in line for x in line]


@lru_cache(maxsize=16)
def _offset_table(radius: int, step: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor([(x, y) for y, x in _offsets(radius, step)], dtype=torch.float32, device=device)
