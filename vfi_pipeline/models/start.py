"""Where ``model=flow`` starts: optical flow of small pictures, pushed to t = 1/2 on the network's own grid.

A search (OpenCV's DIS, 30 ms a pair on one core) finds most of the motion. Learning to find it as well would
take the network most of its training; it spends that on what the search gets wrong and on visibility instead.
docs/training.md has both figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid, shrunk
from vfi_pipeline.models.acceleration import bend
from vfi_pipeline.models.dis import luma_of
from vfi_pipeline.models.fit import middle_velocities, sees
from vfi_pipeline.models.search import Pair, look, pair_of
from vfi_pipeline.nets.flow import start_state
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map

HALFWAY = Solver("midpoint", steps=2)
SHARE = 0.625
"""The search sees the frames at this share of their size: 400 px of 640. Shares that give odd sizes make it find motion
in grain."""

CELL = 4
"""Pixels of the frames a side of a cell of the network's finest grid, on which the search's results are given."""


@torch.no_grad()
def searched_start(first: Tensor, last: Tensor, searched: Tensor | None = None) -> Tensor:
    """The network's first guess from two frames (B, 3, H, W), H and W multiples of 4: see ``nets.flow.start_state``.

    Runs on the CPU, pair by pair; the result is on the frames' device. Swapping the frames swaps its halves, to
    rounding.

    Args:
        searched: (B, 3, 4, H/4, W/4): what was found on whole frames beforehand, see ``data.batch.Triplet``. None: the
            frames themselves are searched, and there is no acceleration.
    """
    ones, twos = (small_picture(image).split(1) for image in (first, last))
    if searched is None:
        states = [pair_start(_look(a, b)) for a, b in zip(ones, twos)]
    else:
        states = [_known_start(a, b, flows) for a, b, flows in zip(ones, twos, searched.float().cpu())]
    return torch.cat(states).to(first.device)


def _known_start(first: Tensor, last: Tensor, flows: Tensor) -> Tensor:
    before, pair, after = (
        None if bool(torch.isnan(both).any()) else pair_of(first, last, *both.split(2, dim=1))
        for both in flows[:, None]
    )
    return pair_start(_look(first, last) if pair is None else pair, before, after)


def searched_pair(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """What ``searched_start`` looks for first, of two whole pictures (H, W, 3) uint8: flow forward and backward,
    (4, H/4, W/4) rounded up, in cells of 4 px. ``data.batch.Triplet.searched`` is made of these."""
    images = torch.from_numpy(np.stack((first, last))).permute(0, 3, 1, 2).float() / 255
    below, right = (-n % CELL for n in images.shape[-2:])
    return both_ways(*F.pad(images, (0, right, 0, below), mode="replicate").split(1)).numpy()


def both_ways(first: Tensor, last: Tensor) -> Tensor:
    """The same of two whole frames (1, 3, H, W), multiples of 4."""
    pair = _look(small_picture(first), small_picture(last))
    return torch.cat((pair.forward, pair.backward), dim=1)[0]


def _look(first: Tensor, last: Tensor) -> Pair:
    return look(first, last, cells=CELL * SHARE, preset=preset_at(SHARE), far=True)


def preset_at(share: float) -> str:
    """The preset (``models.dis``) that finds most at this share of the size, for its time (docs/training.md)."""
    return "denser" if share > SHARE else "sparse"


def small_picture(image: Tensor, share: float = SHARE) -> Tensor:
    """What the search looks at, on the CPU: BT.601 luma (B, 1, h, w) at ``share`` of the size."""
    return shrunk(luma_of(image.float().cpu()), share)


@dataclass(frozen=True)
class Begin:
    """What a pair says of its own start: both velocities at t = 1/2, (2, 2, h, w), and how well each frame sees the
    point there, (1, 1, h, w)."""

    velocity: Tensor
    sees_first: Tensor
    sees_last: Tensor


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
def pair_begin(pair: Pair) -> Begin:
    """The part of ``pair_start`` that needs no neighbours, so that it can be done ahead."""
    velocity = middle_velocities(pair)
    grid = pixel_grid(*velocity.shape[-2:], like=velocity).expand_as(velocity)
    signs = velocity.new_tensor([-0.5, 0.5]).view(2, 1, 1, 1)
    there, back = flow_map(SampledVelocity(signs * velocity), grid, 0, 1, HALFWAY).chunk(2)
    sees_first, sees_last = (
        sees(pair.forward, pair.sure_first, there, 0.5),
        sees(pair.backward, pair.sure_last, back, 0.5),
    )
    return Begin(velocity, sees_first, sees_last)


@torch.autocast("cpu", enabled=False)
def pair_start(
    pair: Pair,
    before: Pair | None = None,
    after: Pair | None = None,
    spans: tuple[float, float] = (1.0, 1.0),
    begin: Begin | None = None,
) -> Tensor:
    """The first guess from a pair that was looked at on the network's grid, and from its neighbours (see ``bend``)."""
    begin = begin or pair_begin(pair)
    velocity = begin.velocity
    bent = bend(pair, before, after, spans, velocity.mean(0, keepdim=True), cells=1)
    acceleration = None if bent is None else bent.acceleration
    return start_state(velocity[:1], velocity[1:], begin.sees_first, begin.sees_last, acceleration)
