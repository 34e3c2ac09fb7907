"""Small things that move by more than their size: what the motion so far leaves unexplained in both frames is matched.

A ball that leaves one place and arrives at another is invisible to a coarse-to-fine estimate: at the level where the
displacement is small, the ball is smaller than a cell. Here each frame's features are weighed by how badly the motion so
far explains them, and the weighed features are compared symmetrically about the middle (a bilateral cost volume, Park et
al. 2020): ``C(x, k) = <a(x - k), b(x + k)>``. Where the best match is good, the velocity there becomes ``2 k``.
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


@dataclass(frozen=True)
class Matching:
    """How far is searched and what is accepted. docs/results.md has the measurements.

    Attributes:
        radius: of the search on each side of the middle, in steps.
        step: cells between two candidates; a second search one cell around the best one refines it.
        tolerance: cosine distance of features that counts as explained.
        sharpness: inverse temperature of the softmax over candidates.
        accepted: score from which on a match begins to replace the velocity, and at which it has replaced it.
    """

    radius: int = 3
    step: int = 2
    tolerance: float = 0.15
    sharpness: float = 96.0
    accepted: tuple[float, float] = (0.1, 0.3)


class Matched(NamedTuple):
    """A state after matching.

    Attributes:
        state: (2 * B, STATE, h, w), see ``nets.flow``.
        departed: (2 * B, 1, h, w) in [0, 1], how well what is pulled here from a frame matches something elsewhere in
            the other frame: such a pixel has moved on and does not show what is here at t = 1/2.
    """

    state: Tensor
    departed: Tensor


def match_unexplained(first: Tensor, last: Tensor, state: Tensor, settings: Matching = Matching()) -> Matched:
    """Replaces velocities where a good match of unexplained features says so.

    Args:
        first, last: (B, C, h, w) features by which frames are matched, on the state's grid.
        state: (2 * B, STATE, h, w); its first two channels are velocities away from the half's own frame.
    """
    batch, channels, h, w = first.shape
    features = normalized(torch.cat((first, last)).float()) * channels**-0.5  # of unit length
    grid = pixel_grid(h, w, like=features)
    velocity = state[:, :2]
    whole, half = stationary_flow(velocity, 1.0, _COARSE), stationary_flow(velocity, -0.5, _COARSE)
    opposite = sample(features.roll(batch, dims=0), grid + whole)
    unexplained = (1 - (features * opposite).sum(dim=1, keepdim=True) - settings.tolerance).clamp(min=0)
    one, two = (unexplained * features).chunk(2)

    costs = bilateral_costs(one, two, settings.radius, settings.step)
    offset = _expected(costs, settings.radius, settings.step, settings.sharpness)
    near = bilateral_costs(sample(one, grid - offset), sample(two, grid + offset), 1, 1)
    offset = offset + _expected(near, 1, 1, settings.sharpness)
    score = torch.maximum(costs.amax(dim=1, keepdim=True), near.amax(dim=1, keepdim=True))
    low, high = settings.accepted
    gate = ((score - low) / (high - low)).clamp(0, 1)

    proposed = torch.cat((2 * offset, -2 * offset))
    moved = velocity + torch.cat((gate, gate)) * (proposed - velocity)
    departed = sample(_matched_elsewhere(costs, settings.radius, settings.step), grid + half)
    return Matched(torch.cat((moved, state[:, 2:]), dim=1), departed)


_COARSE = Solver("midpoint", steps=2)


def bilateral_costs(first: Tensor, last: Tensor, radius: int, step: int) -> Tensor:
    """``C(x, k) = sum_c first(x - k) last(x + k)`` for ``k = step * (-radius .. radius)^2``, y before x.

    Both (B, C, h, w); returns (B, (2 * radius + 1)**2, h, w). Zero outside the frame.
    """
    h, w = first.shape[-2:]
    pad = radius * step
    first, last = F.pad(first, (pad,) * 4), F.pad(last, (pad,) * 4)
    return torch.stack(
        [
            (first[..., pad - y : pad - y + h, pad - x : pad - x + w] * last[..., pad + y : pad + y + h, pad + x : pad + x + w]).sum(1)
            for y, x in _offsets(radius, step)
        ],
        dim=1,
    )  # fmt: skip


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


def _expected(costs: Tensor, radius: int, step: int, sharpness: float) -> Tensor:
    """The mean offset (x, y) under a softmax over the candidates: (B, 2, h, w), cells."""
    share = (sharpness * costs).softmax(dim=1)
    return torch.einsum("bkhw,kc->bchw", share, _offset_table(radius, step, costs.device))


def _offsets(radius: int, step: int) -> list[tuple[int, int]]:
    reached = range(-radius * step, radius * step + 1, step)
    return [(y, x) for y in reached for x in reached]


@lru_cache(maxsize=16)
def _offset_table(radius: int, step: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor([(x, y) for y, x in _offsets(radius, step)], dtype=torch.float32, device=device)
