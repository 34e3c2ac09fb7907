"""The protocols of an animation of two pictures and of a model that solves such a pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from torch import Tensor

from vfi_pipeline.models.motion import IntermediateMotion

State = TypeVar("State")


class PairAnimation(Protocol):
    """A solved pair: the picture at any time, in any order, without solving again.

    Pictures are (1, C, H, W), float in [0, 1]; C is 1, 3 or 4 (RGB premultiplied by alpha, alpha).
    """

    def frame(self, t: float) -> Tensor:
        """The picture at ``t``, of the size of the inputs; ``t = 0`` and ``t = 1`` are the inputs, bit for bit."""

    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        """The frame at ``t`` from the first picture alone, and from the last one alone; ``frame`` mixes the two."""

    def maps(self, t: float) -> IntermediateMotion:
        """The displacements to ``t``, in pixels of their own grid, and the weight of the first picture."""

    def velocity(self) -> Tensor:
        """Velocity of the content at t = 1/2, (1, 2, h, w), in pixels of this grid per unit t, (dx, dy)."""

    def shares(self) -> dict[str, float]:
        """Each map's share of the change (``warp``, ``mult``, ``add``...), adding up to 1; may be empty."""

    def prepare(self, times: Sequence[float]) -> None:
        """Announces the next times, so that one solve can serve them all. Changes no frame."""


Progress = Callable[[float, PairAnimation], None]
"""Called while a pair is solved, with the share of the work done, in [0, 1], and the present animation."""

Points = tuple[Tensor, Tensor]
"""Corresponding points: (N, 2) pixel coordinates (x, y) in the first picture, and the same N in the last one."""


class PairModel(Protocol):
    """Solves pairs of pictures."""

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> PairAnimation:
        """The animation from ``first`` to ``last``, both (1, C, H, W) of one size.

        Args:
            points: corresponding points, which the animation tries to join without guarantee.
            progress: see ``Progress``; called at most a few times a second.
        """


def throttled(
    progress: Progress | None, animation_of: Callable[[State], PairAnimation], interval_s: float = 0.25
) -> Callable[[float, State], None]:
    """A function of the share done and the solver's state that calls ``progress`` at most once in ``interval_s``."""
    last = 0.0

    def report(share: float, state: State) -> None:
        nonlocal last
        if progress is not None and time.monotonic() - last >= interval_s:
            last = time.monotonic()
            progress(share, animation_of(state))

    return report
