"""The network of ``model=flow``: velocities and visibility of a pair, coarse to fine.

It is equivariant under swapping the frames by construction. Every feature lives in two halves, one a side, stacked
along the batch, and every convolution has the form ``a' = W a + U b, b' = W b + U a`` (the regular representation of
the two-element group; Cohen and Welling 2016), so that swapping the inputs swaps the halves. Hence the frame at t of
(A, B) is the frame at 1 - t of (B, A), to rounding, whatever the weights. Sums and differences of the halves do not
mix, which halves the work.

The design follows PWC-Net (Sun et al. 2018: pyramid, warping, cost volume) and IFRNet (Kong et al. 2022: both frames
are pulled to the middle at each level); the velocities are integrated as ODEs instead of being scaled linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.geometry import constant, pixel_grid, sample
from vfi_pipeline.ode import Solver, stationary_flow

STATE = 6
"""Channels of a half's state: velocity away from that half's frame (2, cells of the level per unit t), visibility and
visibility rate (logits), acceleration (2, cells per unit t squared)."""

HALFWAY = Solver("midpoint", steps=2)
"""Of the pull to t = 1/2 inside the network."""


@dataclass(frozen=True)
class Velocities:
    """What the network estimates of a pair, on a grid that covers the frame.

    Attributes:
        first: (B, 2, h, w) velocity that carries the first frame's pixels, in cells of this grid per unit t.
        last: (B, 2, h, w) velocity that carries the last frame's pixels, same units and same sense of time.
        visibility: (B, 1, h, w) logit at t = 1/2 that the first frame shows the point and the last does not.
        visibility_rate: (B, 1, h, w) change of that logit per unit t.
        acceleration: (B, 2, h, w) of the pixels that are here at t = 1/2, cells of this grid per unit t squared.
    """

    first: Tensor
    last: Tensor
    visibility: Tensor
    visibility_rate: Tensor
    acceleration: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Velocities:
        """The same after ``change`` of every part."""
        return Velocities(*(change(getattr(self, part.name)) for part in fields(self)))

    @classmethod
    def of_state(cls, state: Tensor) -> Velocities:
        """From a state (2 * B, STATE, h, w): the first half's velocity points forward in time, the other's backward."""
        a, b = state.chunk(2)
        return cls(a[:, :2], -b[:, :2], a[:, 2:3] - b[:, 2:3], a[:, 3:4] + b[:, 3:4], (a[:, 4:] + b[:, 4:]) / 2)


class SwapConv(nn.Module):
    """A convolution between features of two halves that commutes with swapping them.

    Input (2 * B, inputs, H, W), the first B belonging to the first frames; output (2 * B, outputs, H', W').
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.same = nn.Conv2d(inputs, outputs, kernel)  # holds W and the bias
        self.other = nn.Conv2d(inputs, outputs, kernel, bias=False)  # holds U
        nn.init.kaiming_normal_(self.same.weight, a=0.1, nonlinearity="leaky_relu")
        nn.init.kaiming_normal_(self.other.weight, a=0.1, nonlinearity="leaky_relu")
        # Two independent sums feed one output, so each carries half the variance.
        self.same.weight.data.mul_(0.5**0.5)
        self.other.weight.data.mul_(0.5**0.5)
        assert self.same.bias is not None
        nn.init.zeros_(self.same.bias)
        self.padding = kernel // 2
        self._kernel_cache: tuple[tuple[object, ...], tuple[Tensor, Tensor]] | None = None

    def _kernels(self) -> tuple[Tensor, Tensor]:
        """Kernels for the sum and the difference of the halves, cached outside of training until a weight changes.

        The cache does not see a write through a weight's ``.data``, nor that of a replayed CUDA graph: it ends when
        training begins or ends.
        """
        same, other = self.same.weight, self.other.weight
        if torch.is_grad_enabled() or self.training:
            return (same + other) / 2, (same - other) / 2
        state = (same.data_ptr(), same._version, other.data_ptr(), other._version, same.dtype)
        if self._kernel_cache is None or self._kernel_cache[0] != state:
            with torch.inference_mode(False), torch.no_grad():
                self._kernel_cache = state, ((same + other) / 2, (same - other) / 2)
        return self._kernel_cache[1]

    def train(self, mode: bool = True) -> SwapConv:
        self._kernel_cache = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2)
        of_sum, of_difference = self._kernels()
        even = F.conv2d(a + b, of_sum, self.same.bias, padding=self.padding)
        odd = F.conv2d(a - b, of_difference, padding=self.padding)
        if torch.is_grad_enabled():
            return torch.cat((even + odd, even - odd))
        both = torch.empty(
            (len(x), *even.shape[1:]), dtype=even.dtype, device=x.device, memory_format=torch.channels_last
        )
        torch.add(even, odd, out=both[: len(a)])
        torch.sub(even, odd, out=both[len(a) :])
        return both


class Encoder(nn.Module):
    """One frame to a pyramid of features at 1/4, 1/8, ... of its size. Each frame is encoded once."""

    def __init__(self, widths: Sequence[int], stem: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, stem, 3, stride=2, padding=1)
        inputs = [stem, *widths[:-1]]
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in zip(inputs, widths))
        self.keep = nn.ModuleList(nn.Conv2d(o, o, 3, padding=1) for o in widths)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1], H and W multiples of the coarsest stride -> features, finest first."""
        # In place where gradients allow it: fresh memory for a large tensor costs as much as the arithmetic.
        x = F.leaky_relu_(self.stem(image.sub(0.45).mul_(4)), 0.1)
        levels = []
        for down, keep in zip(self.down, self.keep):
            x = F.leaky_relu_(down(x), 0.1)
            x = F.leaky_relu_(keep(x).add_(x), 0.1)
            levels.append(x)
        return levels


def correlation(first: Tensor, last: Tensor, radius: int) -> Tensor:
    """Local cost volume: mean over channels of ``first(p) * last(p + d)`` for all ``|d| <= radius``.

    Both (B, C, H, W); returns (B, (2 * radius + 1)**2, H, W). Zero outside the frame.
    """
    batch, channels, height, width = first.shape
    span = 2 * radius + 1
    first, padded = (first / channels).contiguous(), F.pad(last, (radius,) * 4).contiguous()
    if radius <= 2:
        shifts = [(y, x) for y in range(span) for x in range(span)]
        return torch.stack([(first * padded[..., y : y + height, x : x + width]).sum(dim=1) for y, x in shifts], dim=1)
    # A row of one frame times a row of the other is a matrix of which a band is wanted: beyond a few d, computing all
    # of it takes less time than a product for each d.
    rows = first.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
    last_rows = padded.permute(0, 2, 1, 3)  # (B, H + 2 r, C, W + 2 r)
    padded_width = width + 2 * radius
    bands = []
    for dy in range(span):
        products = rows @ last_rows[:, dy : dy + height].reshape(batch * height, channels, padded_width)
        bands.append(products.as_strided((batch * height, width, span), (width * padded_width, padded_width + 1, 1)))
    return torch.stack(bands, dim=2).view(batch, height, width, span * span).permute(0, 3, 1, 2)


def reverse_correlation(costs: Tensor, radius: int) -> Tensor:
    """``correlation(last, first)`` from ``costs = correlation(first, last)``: the same products at other places."""
    batch, channels, height, width = costs.shape
    span = 2 * radius + 1
    padded = F.pad(costs.flip(1), (radius,) * 4).contiguous()
    # The d-th of the flipped products, read at a place moved by d: one step more in y or x for each step of d.
    of_pair, of_plane, of_row, of_column = padded.stride()
    strides = (of_pair, span * of_plane + of_row, of_plane + of_column, of_row, of_column)
    return padded.as_strided((batch, span, span, height, width), strides).reshape(batch, channels, height, width)


def normalized(features: Tensor) -> Tensor:
    """Features of mean square 1 over the channels."""
    return features * (features.square().mean(dim=1, keepdim=True) + 1e-12).rsqrt()


class Level(nn.Module):
    """One step from coarse to fine: sees both frames pulled to the middle and corrects velocities and visibility."""

    def __init__(self, width: int, hidden: int, coarser: tuple[int, int], match: int, radius: int, depth: int) -> None:
        """``coarser``: channels per half of the coarser level's hidden features, and how many of them are passed on."""
        super().__init__()
        self.radius = radius
        self.match = nn.Conv2d(width, match, 1)
        cost = (2 * radius + 1) ** 2 if radius else 0
        # Per half: matched features, cost volume, the half's state, context of the coarser level.
        self.squeeze = SwapConv(coarser[0], coarser[1], kernel=1) if coarser[0] else None
        self.enter = SwapConv(match + cost + STATE + coarser[1], hidden)
        self.body = nn.ModuleList(SwapConv(hidden, hidden) for _ in range(depth))
        self.head = SwapConv(hidden, STATE)
        for half in (self.head.same, self.head.other):
            half.weight.data.mul_(0.05)

    def forward(self, first: Tensor, last: Tensor, state: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Matched features of both frames (B, match, h, w) and a state (2 * B, STATE, h, w). Returns the state's change
        and the hidden features."""
        a, b = state.chunk(2)
        offset = (a[:, 4:] + b[:, 4:]) / 16  # t (1 - t) / 2 of the mean of both halves' accelerations, at t = 1/2
        pulled = warp_by_velocity(torch.cat((first, last)), state[:, :2], 0.5, torch.cat((offset, offset)))
        parts = [pulled]
        if self.radius:
            first_features, last_features = normalized(pulled).chunk(2)
            costs = correlation(first_features, last_features, self.radius)
            parts.append(torch.cat((costs, reverse_correlation(costs, self.radius))))
        parts.append(state)
        if self.squeeze is not None:
            context = F.leaky_relu_(self.squeeze(hidden), 0.1)
            parts.append(F.interpolate(context, state.shape[-2:], mode="bilinear", align_corners=False))
        # Channels last, as the convolutions want it: turning each part takes a quarter of the time of turning them all.
        joined = torch.cat([part.contiguous(memory_format=torch.channels_last) for part in parts], dim=1)
        x = F.leaky_relu_(self.enter(joined), 0.1)
        for conv in self.body:
            x = F.leaky_relu_(conv(x).add_(x), 0.1)
        return self.head(x), x


def warp_by_velocity(image: Tensor, velocity: Tensor, duration: float, offset: Tensor | float = 0.0) -> Tensor:
    """The image after its pixels have moved for ``duration`` with a stationary velocity (B, 2, h, w), read at an
    ``offset`` of where they come from."""
    flow = stationary_flow(velocity, -duration, HALFWAY)
    return sample(image, pixel_grid(*velocity.shape[-2:], like=velocity) + flow + offset)


class FlowNet(nn.Module):
    """Two frames to velocities at every level.

    Args:
        widths: feature channels at 1/4, 1/8, 1/16, ... of the frame.
        hidden: channels per half of the estimator at those levels.
        context_channels: channels per half that a level receives from the next coarser one.
        radii: cost volume radius, cells, at those levels; 0 leaves it out.
        match: channels per half in which features are compared.
        stem: channels at 1/2.
        depth: residual convolutions per level.
    """

    def __init__(
        self,
        widths: Sequence[int] = (24, 48, 64, 96),
        hidden: Sequence[int] = (16, 32, 48, 64),
        context_channels: Sequence[int] = (16, 24, 32),
        radii: Sequence[int] = (1, 2, 3, 4),
        match: Sequence[int] = (16, 24, 32, 48),
        stem: int = 16,
        depth: Sequence[int] = (2, 1, 2, 3),
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "widths": list(widths), "hidden": list(hidden), "context_channels": list(context_channels),
            "radii": list(radii), "match": list(match), "stem": stem, "depth": list(depth),
        }  # fmt: skip
        self.encoder = Encoder(widths, stem)
        coarser = [*zip(hidden[1:], context_channels), (0, 0)]
        self.levels = nn.ModuleList(
            Level(w, h, c, m, r, d) for w, h, c, m, r, d in zip(widths, hidden, coarser, match, radii, depth)
        )

    @property
    def stride(self) -> int:
        """The frame's height and width must be multiples of this."""
        return 2 ** (len(self.levels) + 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Features by which frames are matched, finest first.

        (B, 3, H, W) -> list of (B, C, H/4, W/4), (B, C', H/8, W/8), ...
        """
        levels = (cast(Level, level) for level in self.levels)
        return [level.match(features) for level, features in zip(levels, self.encoder(image))]

    def forward(self, first: Sequence[Tensor], last: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Features of both frames -> states (2 * B, STATE, h, w) of every level, finest first, and the hidden features
        of the finest level."""
        states: list[Tensor] = []
        hidden = None
        state = first[-1].new_zeros(2 * len(first[-1]), STATE, *first[-1].shape[-2:])
        for first_features, last_features, level in zip(reversed(first), reversed(last), reversed(self.levels)):
            if hidden is not None:
                state = resize_state(state, *first_features.shape[-2:])
            change, hidden = level(first_features, last_features, state, hidden)
            state = state + change
            states.append(state)
        assert hidden is not None
        return states[::-1], hidden


def resize_state(state: Tensor, height: int, width: int) -> Tensor:
    """A state (B, STATE, h, w) on another grid over the same area; vectors are rescaled to its cells."""
    rows, columns = state.shape[-2:]
    if (rows, columns) == (height, width):
        return state
    resized = F.interpolate(state, (height, width), mode="bilinear", align_corners=False, antialias=height < rows)
    across, down = width / columns, height / rows
    return resized * constant((across, down, 1.0, 1.0, across, down), resized)
