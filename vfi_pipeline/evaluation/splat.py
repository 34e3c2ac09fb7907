"""Forward splatting: pushes a picture along its flow, where ``geometry.warp`` pulls."""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid


def splat(values: Tensor, flow: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Adds up ``weight * values`` at ``x + flow(x)``, spread bilinearly over the four nearest pixels.

    With ``weight = exp(importance)``, ``sum / total`` is softmax splatting (Niklaus and Liu 2020, eq. 10).

    Args:
        values: (1, C, H, W).
        flow: (1, 2, H, W), pixels.
        weight: (1, 1, H, W), at least 0.

    Returns:
        ``sum`` (1, C, H, W) and ``total`` (1, 1, H, W) of the weights; both 0 where nothing lands. What lands outside
        the frame is lost.
    """
    sums = push_forward(torch.cat((values * weight, weight), dim=1), flow)
    return sums[:, :-1], sums[:, -1:]


def push_forward(values: Tensor, flow: Tensor) -> Tensor:
    """Adds up ``values`` (1, C, H, W) at ``x + flow(x)``, spread bilinearly over the four nearest pixels."""
    channels, height, width = values.shape[1:]
    target = pixel_grid(height, width, like=flow) + flow
    corner = target.floor()
    part_x, part_y = (target - corner)[0].flatten(1)
    # A rim of one pixel round the frame takes what falls outside, so that no index has to be sorted out.
    column = corner[0, 0].flatten().clamp(-1, width).long() + 1
    row = corner[0, 1].flatten().clamp(-1, height).long() + 1
    inside_x, inside_y = (target[0, 0] >= -1).flatten(), (target[0, 1] >= -1).flatten()
    values = values[0].flatten(1) * (inside_x & inside_y)
    sums = values.new_zeros(channels, (height + 3) * (width + 3))
    index = row * (width + 3) + column
    for dy, share_y in ((0, 1 - part_y), (1, part_y)):
        for dx, share_x in ((0, 1 - part_x), (1, part_x)):
            sums.index_add_(1, index + (dy * (width + 3) + dx), values * (share_x * share_y))
    return sums.view(1, channels, height + 3, width + 3)[..., 1 : height + 1, 1 : width + 1]
