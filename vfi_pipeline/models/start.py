"""Where ``model=flow`` starts: optical flow of small pictures, pushed to t = 1/2 on the network's own grid.

A search (OpenCV's DIS, 50 ms a pair on one core) finds most of the motion. Learning to find it as well would
take the network most of its training; it spends that on what the search gets wrong and on visibility instead.
docs/training.md has both figures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.models.fit import middle_velocities, sees
from vfi_pipeline.models.search import Pair, look
from vfi_pipeline.nets.flow import start_state
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map

HALFWAY = Solver("midpoint", steps=2)
SHRINK, CELLS = 2, 2
"""The search sees the frames at half their size; two of its pixels each way are a cell of the network's finest grid."""


@torch.no_grad()
def searched_start(first: Tensor, last: Tensor) -> Tensor:
    """The network's first guess from two frames (B, 3, H, W), H and W multiples of 4: see ``nets.flow.start_state``.

    The search runs on the CPU, pair by pair; the result is on the frames' device. Swapping the frames swaps its halves,
    to rounding.
    """
    small = small_picture(first), small_picture(last)
    states = [pair_start(look(a, b, cells=CELLS)) for a, b in zip(small[0].split(1), small[1].split(1))]
    return torch.cat(states).to(first.device)


def small_picture(image: Tensor) -> Tensor:
    """What the search looks at, on the CPU."""
    size = image.shape[-2] // SHRINK, image.shape[-1] // SHRINK
    return F.interpolate(image.float().cpu(), size, mode="area")


def pair_start(pair: Pair) -> Tensor:
    """The first guess from a pair that was looked at on the network's grid."""
    velocity = middle_velocities(pair)
    grid = pixel_grid(*velocity.shape[-2:], like=velocity).expand_as(velocity)
    signs = velocity.new_tensor([-0.5, 0.5]).view(2, 1, 1, 1)
    there, back = flow_map(SampledVelocity(signs * velocity), grid, 0, 1, HALFWAY).chunk(2)
    seen = sees(pair.forward, pair.sure_first, there, 0.5), sees(pair.backward, pair.sure_last, back, 0.5)
    return start_state(velocity[:1], velocity[1:], *seen)
