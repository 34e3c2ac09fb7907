"""Optical flow of both directions of a pair and how far each can be trusted: what ``fit`` and ``flow`` begin with."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import blur, resize_flow, warp
from vfi_pipeline.models.dis import dis_flow, luma_bytes
from vfi_pipeline.models.motion import Context
from vfi_pipeline.models.reach import far_starts
from vfi_pipeline.models.strays import mended
from vfi_pipeline.models.visibility import reliability

SOFTNESS = 1.0
"""How a frame's word loses weight by its flow's round trip, in units of the test's threshold."""


@dataclass(frozen=True)
class Pair:
    """What is known of a pair before the fit: pictures (1, 3 or 1, H, W), flows (1, 2, H, W), reliabilities
    (1, 1, H, W).

    ``forward`` is the flow on the grid of ``first``, ``backward`` on that of ``last``; ``sure_first`` says how well a
    point of ``first`` is found again in ``last``, ``sure_last`` the reverse.
    """

    first: Tensor
    last: Tensor
    forward: Tensor
    backward: Tensor
    sure_first: Tensor
    sure_last: Tensor


SMALL, AROUND, SLACK = 2.0, 2.0, 0.3 / 255
"""Motion that may be noise (px), around how far it is judged (sigma, px), and the difference that does not count."""

Known = TypeVar("Known", Pair, Future[Pair])


class Search:
    """Looks at pairs in a row. Each is looked at once, though it is the neighbour of two others.

    Args:
        warm_start: let the search of a pair begin at the flow of the pair before where that explains the pair better
            than no motion does; until ``reset``.
        device: where the results live; the search runs on the CPU.
        cells: of the results, see ``look``; a warm start needs cells of one pixel.
        preset: of the search, see ``models.dis``.
        far: see ``look``.
    """

    def __init__(
        self,
        warm_start: bool = True,
        device: str | torch.device = "cpu",
        cells: float = 1,
        preset: str = "medium",
        far: bool = False,
    ) -> None:
        self.warm_start = warm_start and cells == 1
        self._settings = (device, cells, preset, far)
        self._seen: list[tuple[Tensor, Tensor, Pair | Future[Pair]]] = []

    def around(self, first: Tensor, last: Tensor, context: Context) -> tuple[Pair | None, Pair, Pair | None]:
        """The pair before, the pair itself and the pair after it; None where the context has no frame."""
        before = None if context.before is None else self._look(context.before, first)
        pair = self._look(first, last)
        after = None if context.after is None else self._look(last, context.after)
        return before, pair, after

    def ahead(self, first: Tensor, last: Tensor, pool: Executor) -> Future[Pair] | None:
        """Looks at a pair in the pool, while the caller does something else. It is waited for where it is needed.
        None if it was looked at before.

        Raises:
            ValueError: if searches start warm: what this one would start from may not be known yet.
        """
        if self.warm_start:
            raise ValueError("A search that starts warm cannot look ahead.")
        if any(a is first and b is last for a, b, _ in self._seen):
            return None
        return self._keep(first, last, pool.submit(look, first, last, (None, None), *self._settings))

    def reset(self) -> None:
        """Forgets all pairs."""
        self._seen.clear()

    def _look(self, first: Tensor, last: Tensor) -> Pair:
        start: tuple[Tensor | None, Tensor | None] = None, None
        for a, b, known in self._seen:
            if a is first and b is last:
                return known.result() if isinstance(known, Future) else known
            if self.warm_start and b is first and isinstance(known, Pair) and known.first.shape == first.shape:
                start = helpful(known.forward, first, last), helpful(known.backward, last, first)
        return self._keep(first, last, look(first, last, start, *self._settings))

    def _keep(self, first: Tensor, last: Tensor, pair: Known) -> Known:
        self._seen = [*self._seen[-3:], (first, last, pair)]
        return pair


HELPS = 0.8
"""A guess must leave less than this share of the difference between the pictures. The search does not leave a bad one:
one sudden change of motion cost 7 dB."""


def helpful(guess: Tensor, source: Tensor, target: Tensor) -> Tensor | None:
    """``guess`` if it brings ``target`` nearer to ``source`` (pictures (1, C, H, W)), else None."""
    source, target = source.to(guess), target.to(guess)
    left = (source - warp(target, guess)).abs().mean()
    return guess if bool(left < HELPS * (source - target).abs().mean()) else None


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
def look(
    first: Tensor,
    last: Tensor,
    start: tuple[Tensor | None, Tensor | None] = (None, None),
    device: str | torch.device = "cpu",
    cells: float = 1,
    preset: str = "medium",
    far: bool = False,
) -> Pair:
    """Optical flow both ways, and how far each can be trusted.

    Args:
        first, last: (1, 3 or 1, H, W) in [0, 1].
        start: first guesses of both flows.
        device: where the result lives.
        cells: side of the result's cells in pixels of the pictures; it is on a grid of H / cells x W / cells, rounded.
        preset: see ``models.dis``.
        far: look further than descent reaches, see ``models.reach``.
    """
    coarsest, one, two = None, luma_bytes(first), luma_bytes(last)
    if far:
        start, coarsest = far_starts(one, two, preset, start)
    forward = dis_flow(one, two, preset, finest=0, start=start[0], coarsest=coarsest)
    backward = dis_flow(two, one, preset, finest=0, start=start[1], coarsest=coarsest)
    if far:
        forward, backward = mended(one, two, forward, backward, preset)
        forward, backward = stilled(first, last, forward, backward)
    first, last, forward, backward = (x.to(device, torch.float32) for x in (first, last, forward, backward))
    rows, columns = (max(1, round(n / cells)) for n in first.shape[-2:])
    return pair_of(first, last, resize_flow(forward, rows, columns), resize_flow(backward, rows, columns))


def stilled(first: Tensor, last: Tensor, forward: Tensor, backward: Tensor) -> tuple[Tensor, Tensor]:
    """Both flows without the small motion that a search finds in noise: none where none explains the picture as well.

    What stands still is then the exact mean of both frames, not of one and of a copy moved by a tenth of a pixel.
    """
    # Both directions at once: half as many operations, of which each takes as long to start as to run.
    flows = torch.cat((forward, backward))
    warped = warp(torch.cat((last, first)), flows)
    differences = (torch.cat((first, last, first)) - torch.cat((warped, last))).abs()
    if differences.shape[1] > 1:
        differences = differences.mean(dim=1, keepdim=True)
    around = blur(F.avg_pool2d(differences, 2, ceil_mode=True), AROUND / 2)  # of blocks of 2 x 2 px
    none_needed = (around[2:] <= around[:2] + SLACK).to(flows.dtype)
    still = (F.interpolate(none_needed, flows.shape[-2:]) > 0) & (flows.square().sum(1, keepdim=True) < SMALL**2)
    forward, backward = (flows * ~still).split(1)
    return forward, backward


def pair_of(first: Tensor, last: Tensor, forward: Tensor, backward: Tensor) -> Pair:
    """What is known of a pair whose flows were found; pictures of at least that size are shrunk to the flows' grid."""
    size = forward.shape[-2:]
    if first.shape[-2:] != size:
        first, last = (F.interpolate(image, size, mode="area") for image in (first, last))
    sure = reliability(forward, backward, SOFTNESS), reliability(backward, forward, SOFTNESS)
    return Pair(first, last, forward, backward, *sure)
