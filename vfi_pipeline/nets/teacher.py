"""A small network for training alone: corrects the maps of a frame in the middle, and sees the true one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.geometry import resize_flow, synthesise
from vfi_pipeline.nets.flow import SwapConv

# Per half: the frame pulled by its flow, the true frame, their difference, the flow, the logit of the blend weight.
INPUTS = 3 + 3 + 3 + 2 + 1


class PrivilegedTeacher(nn.Module):
    """Residual corrections of displacements and blend weight; equivariant under swapping the frames.

    It begins as the identity: the head is 0.

    Args:
        hidden: channels per half.
        depth: residual convolutions.
        shrink: the network works on pictures at this fraction of the size.
    """

    def __init__(self, hidden: int = 24, depth: int = 3, shrink: int = 4) -> None:
        super().__init__()
        self.shrink = shrink
        self.enter = SwapConv(INPUTS, hidden)
        self.body = nn.ModuleList(SwapConv(hidden, hidden) for _ in range(depth))
        self.head = SwapConv(hidden, 3)
        for half in (self.head.same, self.head.other):
            nn.init.zeros_(half.weight)

    def forward(
        self, first: Tensor, last: Tensor, target: Tensor, flow_to_first: Tensor, flow_to_last: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Better displacements and blend weight than those given.

        Args:
            first, last, target: (B, 3, H, W), both frames and the true one between, H and W multiples of ``shrink``.
            flow_to_first, flow_to_last, weight: see ``geometry.synthesise``, (B, C, h, w) in cells of their own grid.

        Returns:
            The same three, on the same grid.
        """
        (height, width), size = first.shape[-2:], flow_to_first.shape[-2:]
        rows, columns = height // self.shrink, width // self.shrink
        blended = synthesise(first, last, flow_to_first, flow_to_last, weight)
        pulled = torch.cat((blended.from_first, blended.from_last))
        true = torch.cat((target, target))
        frames = F.interpolate(torch.cat((pulled, true), dim=1), (rows, columns), mode="area")
        flows = resize_flow(torch.cat((flow_to_first, flow_to_last)), rows, columns)
        logit = torch.logit(weight.float(), eps=1e-4)
        logits = F.interpolate(torch.cat((logit, -logit)), (rows, columns), mode="bilinear", align_corners=False)
        apart = frames[:, 3:] - frames[:, :3]
        x = torch.cat((3 * (frames - 0.45), 6 * apart, flows / 4, logits / 4), dim=1)
        x = F.leaky_relu_(self.enter(x), 0.1)
        for conv in self.body:
            x = F.leaky_relu_(conv(x).add_(x), 0.1)
        change = self.head(x).float()
        (a, b) = resize_flow(change[:, :2], *size).chunk(2)
        c, d = F.interpolate(change[:, 2:], size, mode="bilinear", align_corners=False).chunk(2)
        return flow_to_first + a, flow_to_last + b, torch.sigmoid(logit + c - d)
