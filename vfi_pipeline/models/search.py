"""Optical flow of both directions of a pair and how far each can be trusted: what ``fit`` and ``flow`` begin with."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import resize_flow, warp
from vfi_pipeline.models.dis import dis_flow
from vfi_pipeline.models.motion import Context
from vfi_pipeline.models.visibility import reliability

SOFTNESS = 1.0
"""How a frame's word loses weight by its flow's round trip, in units of the test's threshold."""


@dataclass(frozen=True)
class Pair:
    """What is known of a pair before the fit; pictures (1, 3, H, W), flows (1, 2, H, W), reliabilities (1, 1, H, W).

    ``forward`` is the flow on the grid of ``first``, ``backward`` on that of ``last``; ``sure_first`` says how well a
    point of ``first`` is found again in ``last``, ``sure_last`` the reverse.
    """

    first: Tensor
    last: Tensor
    forward: Tensor
    backward: Tensor
    sure_first: Tensor
    sure_last: Tensor


class Search:
    """Looks at pairs in a row. Each is looked at once, though it is the neighbour of two others.

    Args:
        warm_start: let the search of a pair begin at the flow of the pair before where that explains the pair better
            than no motion does; until ``reset``.
        device: where the results live; the search runs on the CPU.
        cells: of the results, see ``look``; a warm start needs cells of one pixel.
    """

    def __init__(self, warm_start: bool = True, device: str | torch.device = "cpu", cells: int = 1) -> None:
        self.warm_start, self.device, self.cells = warm_start and cells == 1, device, cells
        self._seen: list[tuple[Tensor, Tensor, Pair]] = []

    def around(self, first: Tensor, last: Tensor, context: Context) -> tuple[Pair | None, Pair, Pair | None]:
        """The pair before, the pair itself and the pair after it; None where the context has no frame."""
        before, pair, after = self.begin(first, last, context)
        return before, pair, after()

    def begin(
        self, first: Tensor, last: Tensor, context: Context, pool: Executor | None = None
    ) -> tuple[Pair | None, Pair, Callable[[], Pair | None]]:
        """The pair before, the pair, and a function that waits for the pair after it.

        With a ``pool``, that one is looked at there, while the caller does something else with the pair. It has to be
        waited for before anything else is asked.
        """
        before = None if context.before is None else self._look(context.before, first)
        pair = self._look(first, last)
        if context.after is None:
            return before, pair, lambda: None
        if pool is None:
            return before, pair, partial(self._look, last, context.after)
        return before, pair, pool.submit(self._look, last, context.after).result

    def reset(self) -> None:
        """Forgets all pairs."""
        self._seen.clear()

    @torch.no_grad()
    def _look(self, first: Tensor, last: Tensor) -> Pair:
        start: tuple[Tensor | None, Tensor | None] = None, None
        for a, b, known in self._seen:
            if a is first and b is last:
                return known
            if self.warm_start and b is first and known.first.shape == first.shape:
                start = helpful(known.forward, first, last), helpful(known.backward, last, first)
        pair = look(first, last, start, self.device, self.cells)
        self._seen = [*self._seen[-2:], (first, last, pair)]
        return pair


HELPS = 0.8
"""A guess must leave less than this share of the difference between the pictures. The search does not leave a bad one:
one sudden change of motion cost 7 dB."""


def helpful(guess: Tensor, source: Tensor, target: Tensor) -> Tensor | None:
    """``guess`` if it brings ``target`` nearer to ``source`` (pictures (1, C, H, W)), else None."""
    source, target = source.to(guess), target.to(guess)
    left = (source - warp(target, guess)).abs().mean()
    return guess if bool(left < HELPS * (source - target).abs().mean()) else None


def look(
    first: Tensor,
    last: Tensor,
    start: tuple[Tensor | None, Tensor | None] = (None, None),
    device: str | torch.device = "cpu",
    cells: int = 1,
) -> Pair:
    """Optical flow both ways, and how far each can be trusted.

    Args:
        first, last: (1, 3, H, W) in [0, 1].
        start: first guesses of both flows.
        device: where the result lives.
        cells: side of the result's cells in pixels of the pictures; it is on a grid of H // cells x W // cells.
    """
    forward = dis_flow(first, last, finest=0, start=start[0])
    backward = dis_flow(last, first, finest=0, start=start[1])
    first, last, forward, backward = (x.to(device, torch.float32) for x in (first, last, forward, backward))
    if cells > 1:
        size = first.shape[-2] // cells, first.shape[-1] // cells
        first, last = (F.interpolate(image, size, mode="area") for image in (first, last))
        forward, backward = resize_flow(forward, *size), resize_flow(backward, *size)
    sure = reliability(forward, backward, SOFTNESS), reliability(backward, forward, SOFTNESS)
    return Pair(first, last, forward, backward, *sure)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian, border replicated; (B, C, H, W)."""
    radius = int(2.5 * sigma + 0.5)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    taps = torch.exp(-0.5 * (offset / sigma) ** 2)
    taps = taps / taps.sum()
    batch, channels, height, width = image.shape
    flat = F.pad(image.reshape(batch * channels, 1, height, width), (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(flat, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1)).view_as(image)
