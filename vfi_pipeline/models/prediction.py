"""What a trainable model returns: frames at the requested times, their displacements, and the cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Motion:
    """The motion of a batch of frame pairs. Displacements pull (``geometry.warp``), in pixels of their own grid.

    Attributes:
        frame: (B, T, C, H, W) at the requested times.
        flow: (B, T, 2, h, w) displacement that pulls the first frame to each of those times.
        path: (S, B, 2, h, w) displacements along the solve at even times, of both sides where the model has two; the
            penalties are computed on them.
        nfe: velocity evaluations of the solves.
        velocity: (B, 2, h, w) velocity of the first frame's path at t = 0, px per unit t; content moves by minus it.
        forward, backward: (B, 2, h, w) the displacement from t = 0 to 1, and the one that the model gives from 1 to 0.
        auxiliary: further frames (B, T, C, h', w') at the requested times, by name, which a loss may compare with the
            true ones: coarser levels (``coarse/4``), one-sided warps (``one_sided/last``).
        flow_to_last: as ``flow``, of the last frame; None where the model shows the first frame alone.
        blend_weight: (B, T, 1, h, w) weight of the first frame, before the rule for its border; None where there is
            none.
    """

    frame: Tensor
    flow: Tensor
    path: Tensor
    nfe: int
    velocity: Tensor | None = None
    forward: Tensor | None = None
    backward: Tensor | None = None
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    flow_to_last: Tensor | None = None
    blend_weight: Tensor | None = None


class Neighbours(NamedTuple):
    """The frames before and after a batch of pairs.

    Attributes:
        frames: (B, 2, C, H, W), before and after.
        spans: (B, 2) durations from the one before to the first frame, and from the last frame to the one after, in
            units of the pair's own.
    """

    frames: Tensor
    spans: Tensor


class TrainableModel(Protocol):
    """A module that ``training`` fits and ``models.checkpoint`` saves."""

    channels: int

    def __call__(self, first: Tensor, last: Tensor | None, t: Tensor) -> Motion:
        """The motion of frames (B, C, H, W) in [0, 1] at times (B, T); each sample has its own times, in any order."""

    def config(self) -> dict:
        """JSON types with ``kind``, from which ``models.checkpoint`` builds the same model with fresh weights."""
