"""What a trainable model answers: frames at the asked times, the maps behind them, and the bill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Motion:
    """The motion of a batch of frame pairs. Displacements pull (``geometry.warp``), in pixels of their own grid.

    Attributes:
        frame: (B, T, C, H, W) the made frames at the asked times.
        flow: (B, T, 2, h, w) displacement that pulls the first frame to each of those times.
        path: (S, B, 2, h, w) maps along the solve, evenly spaced in time, both sides if two: what the penalties see.
        nfe: velocity calls that all of this took.
        velocity: (B, 2, h, w) velocity of the first frame's path at t = 0, px per unit t; content moves by minus it.
        forward, backward: (B, 2, h, w) the displacement over all of t = 0 to 1, and the model's own from 1 to 0.
        auxiliary: further frames (B, T, C, h', w') at the asked times, by name, that a loss may compare with the true
            ones: coarser levels (``coarse/4``), one-sided warps (``one_sided/last``).
    """

    frame: Tensor
    flow: Tensor
    path: Tensor
    nfe: int
    velocity: Tensor | None = None
    forward: Tensor | None = None
    backward: Tensor | None = None
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)


class TrainableModel(Protocol):
    """A module that ``training`` fits and ``models.checkpoint`` saves."""

    channels: int

    def __call__(self, first: Tensor, last: Tensor | None, t: Tensor) -> Motion:
        """Frames (B, C, H, W) in [0, 1] and times (B, T), each sample its own, in any order -> the motion."""

    def config(self) -> dict:
        """JSON with ``kind``, from which ``models.checkpoint`` makes the same model again, weights aside."""
