"""The last level, at 1/2 of the working picture: edges, visibility, and the confidence in the motion.

Its inputs are both frames pulled to t = 1/2 by the velocities of the level before, and both frames as they are. For
each pixel of its grid it estimates weights of the nine coarse velocities around (convex upsampling, Teed and Deng
2020), so that a velocity can change within a pixel, the visibility, and the confidence in the motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.geometry import pixel_grid, resize_flow, sample
from vfi_pipeline.nets.flow import HALFWAY, SwapConv
from vfi_pipeline.ode import stationary_flow

NEIGHBOURS = 9


@dataclass(frozen=True)
class Refined:
    """The output of ``Refinement``, on a grid of twice the coarse one.

    Attributes:
        first, last: (B, 2, H, W) velocities of both frames' pixels at t = 1/2, cells of this grid per unit t, both
            forward in time.
        visibility, visibility_rate: (B, 1, H, W), see ``nets.flow.Velocities``.
        confidence: (B, 1, H, W) logit of the confidence in the motion.
    """

    first: Tensor
    last: Tensor
    visibility: Tensor
    visibility_rate: Tensor
    confidence: Tensor


class Refinement(nn.Module):
    """Velocities at 1/4 of the working picture to velocities at 1/2; equivariant under swapping the frames.

    The coarse level's features are convolved on their own grid and upsampled; only colours and differences are
    convolved on the fine one, which has four times the pixels.

    Args:
        coarse_hidden: channels per half of the coarse level's hidden features.
        context_channels: how many of them are passed on.
        hidden: channels per half.
        depth: residual convolutions.
    """

    prior: Tensor

    def __init__(self, coarse_hidden: int, context_channels: int = 10, hidden: int = 12, depth: int = 1) -> None:
        super().__init__()
        self.settings = {"context_channels": context_channels, "hidden": hidden, "depth": depth}
        self.squeeze = SwapConv(coarse_hidden, context_channels, kernel=1)
        # Per half: velocity, visibility and its rate, departed, context.
        self.coarse = SwapConv(2 + 2 + 1 + context_channels, hidden)
        # Per half: the pulled frame, the frame itself, four differences.
        self.enter = SwapConv(3 + 3 + 4, hidden)
        self.body = nn.ModuleList(SwapConv(hidden, hidden) for _ in range(depth))
        self.head = SwapConv(hidden, NEIGHBOURS + 5, kernel=1)
        for half in (self.head.same, self.head.other):
            nn.init.normal_(half.weight, std=1e-3)
        self.confidence_bias = nn.Parameter(torch.tensor(3.0))
        self.register_buffer("prior", _bilinear_logits(), persistent=False)

    def forward(self, first: Tensor, last: Tensor, state: Tensor, hidden: Tensor, departed: Tensor) -> Refined:
        """Frames (B, 3, 2 h, 2 w) at 1/2 of the working picture; per half a state (2 * B, STATE, h, w), hidden features
        (2 * B, coarse_hidden, h, w) and ``nets.matching.Matched.departed`` (2 * B, 1, h, w)."""
        height, width = first.shape[-2:]
        velocity, frames = state[:, :2], torch.cat((first, last))
        with torch.no_grad():
            flow = resize_flow(stationary_flow(velocity, -0.5, HALFWAY), height, width)
            pulled = sample(frames, pixel_grid(height, width, like=flow) + flow)
            differences = _differences(pulled, frames)
        context = F.leaky_relu_(self.squeeze(hidden), 0.1)
        coarse_features = self.coarse(_channels_last(velocity / 4, state[:, 2:4], 4 * departed, context))
        upsampled = F.interpolate(coarse_features, (height, width), mode="bilinear", align_corners=False)
        fine_input = _channels_last(3 * (torch.cat((pulled, frames), dim=1) - 0.45), differences)
        x = F.leaky_relu_(self.enter(fine_input).add_(upsampled), 0.1)
        for conv in self.body:
            x = F.leaky_relu_(conv(x).add_(x), 0.1)
        out = self.head(x).float()
        weights, change, confidence = out.split((NEIGHBOURS, 4, 1), dim=1)
        fine = self.upsample(torch.cat((2 * velocity, state[:, 2:4]), dim=1), weights) + change
        (a, b), (c, d) = fine.chunk(2), confidence.chunk(2)
        return Refined(a[:, :2], -b[:, :2], a[:, 2:3] - b[:, 2:3], a[:, 3:4] + b[:, 3:4], self.confidence_bias + c + d)

    def upsample(self, coarse: Tensor, logits: Tensor) -> Tensor:
        """Every fine value is a convex combination of the nine coarse ones around it.

        Args:
            coarse: (N, C, h, w).
            logits: (N, 9, 2 h, 2 w), added to those of bilinear interpolation.
        """
        count, channels, h, w = coarse.shape
        # The four fine cells of a coarse one lie along an axis of their own, so that every operation runs along rows.
        cells = torch.stack([logits[..., y::2, x::2] for y in (0, 1) for x in (0, 1)], dim=2)
        weights = (cells + self.prior.view(1, NEIGHBOURS, 4, 1, 1)).softmax(dim=1)
        padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
        fine = coarse.new_zeros(count, channels, 4, h, w)
        for index in range(NEIGHBOURS):  # one by one: all products at once would take nine times the memory
            y, x = divmod(index, 3)
            neighbour = padded[..., y : y + h, x : x + w].unsqueeze(2)
            fine = torch.addcmul(fine, neighbour, weights[:, index].unsqueeze(1))
        return F.pixel_shuffle(fine.flatten(1, 2), 2)


def _channels_last(*parts: Tensor) -> Tensor:
    """The parts side by side, laid out as convolutions want it: turning each is quicker than turning them all."""
    return torch.cat([part.contiguous(memory_format=torch.channels_last) for part in parts], dim=1)


def _differences(pulled: Tensor, frames: Tensor) -> Tensor:
    """How the two sides differ, moved and unmoved, at each pixel and around it: (2 * B, 4, H, W), both halves alike."""
    height, width = frames.shape[-2:]
    (a, b), (first, last) = pulled.chunk(2), frames.chunk(2)
    apart = 6 * torch.cat([(p - q).abs().mean(dim=1, keepdim=True) for p, q in ((a, b), (first, last))], dim=1)
    around = F.interpolate(F.avg_pool2d(apart, 4), (height, width), mode="bilinear", align_corners=False)
    apart = torch.cat((apart, around), dim=1)
    return torch.cat((apart, apart))


def _bilinear_logits() -> Tensor:
    """(9, 4): log weights of the nine coarse cells around, for the four fine cells of each coarse one."""
    # Along one axis, the fine cell before the centre of its coarse one, and the one behind it.
    line = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
    weights = torch.einsum("ai,bj->ijab", line, line).reshape(NEIGHBOURS, 4)
    return (weights + 3e-3).log()
