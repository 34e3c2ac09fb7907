"""Animations in which no pixel moves: a picture that is edited, drawn, or shown unchanged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vfi_pipeline.models.motion import IntermediateMotion


class Unmoved:
    """The part of ``animation.protocol.PairAnimation`` that all of them share; subclasses define ``frame``."""

    picture: Tensor

    def frame(self, t: float) -> Tensor:
        raise NotImplementedError

    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        frame = self.frame(t)
        return frame, frame

    def maps(self, t: float) -> IntermediateMotion:
        still = self.velocity()
        return IntermediateMotion(float(t), still, still, torch.ones_like(still[:, :1]))

    def velocity(self) -> Tensor:
        return self.picture.new_zeros(1, 2, *self.cells())

    def cells(self) -> tuple[int, int]:
        """(height, width) of the grid of the maps."""
        return 8, 8

    def shares(self) -> dict[str, float]:
        return {}

    def prepare(self, times: Sequence[float]) -> None:
        """Nothing to solve."""
