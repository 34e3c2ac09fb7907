"""Cross-fade: nothing moves, the frames are mixed by t. The baseline that every other model has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vfi_pipeline.models.motion import ALONE, Context, Inbetween, MotionReport, PairMotion


class CrossFade:
    """Zero displacement on a grid of one cell; the first frame's weight is ``1 - t``."""

    def at(self, times: Sequence[float]) -> list[Inbetween]:
        still = torch.zeros(1, 2, 1, 1)
        return [Inbetween(t, still, still, torch.full((1, 1, 1, 1), 1.0 - t)) for t in times]

    def report(self) -> MotionReport:
        return MotionReport(nfe=0, min_det=1.0, folded=0.0)


class Blend:
    """``(1 - t) * first + t * last``."""

    name = "blend"
    guide_span: int | None = None

    def motion(self, first: Tensor, last: Tensor, context: Context = ALONE) -> PairMotion:
        return CrossFade()

    def reset(self) -> None:
        """Nothing is remembered."""
