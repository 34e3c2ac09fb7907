"""A photograph that moves and speeds up, for the estimates."""

import numpy as np
import torch

from vfi_pipeline.estimation.flow import BidirectionalFlow
from vfi_pipeline.estimation.visibility import reliability
from vfi_pipeline.geometry import warp

VELOCITY, ACCELERATION = (6.0, -2.0), (4.0, 3.0)
SIZE = (160, 224)


def moved(time: float, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """A photograph at ``time``: displaced by ``v t + a t (t - 1) / 2`` since 0, so that t = 0 and 1 are v apart."""
    from skimage.data import astronaut

    picture = torch.from_numpy(np.array(astronaut())).permute(2, 0, 1)[None].float() / 255
    shift = -displacement(0, time).view(1, 2, 1, 1).expand(1, 2, *picture.shape[-2:])
    top, left = 60, 140
    return warp(picture, shift)[..., top : top + size[0], left : left + size[1]].contiguous()


def displacement(start: float, end: float) -> torch.Tensor:
    """How far the content moves, (dx, dy) px."""

    def since_zero(t: float) -> torch.Tensor:
        return torch.tensor([v * t + a * t * (t - 1) / 2 for v, a in zip(VELOCITY, ACCELERATION)])

    return since_zero(end) - since_zero(start)


def true_flow(start: float, end: float, size: tuple[int, int] = SIZE) -> BidirectionalFlow:
    """The flow between the photograph at two times."""
    forward = displacement(start, end).view(1, 2, 1, 1).expand(1, 2, *size).contiguous()
    return BidirectionalFlow(forward, -forward, reliability(forward, -forward), reliability(-forward, forward))
