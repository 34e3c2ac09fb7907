"""Cross-fade: nothing moves, the frames are mixed by t. The baseline of every other model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vfi_pipeline.estimation.window import Window
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport, PairMotion


class CrossFade:
    """Zero displacement on a grid of one cell; the first frame's weight is ``1 - t``."""

    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        still = torch.zeros(1, 2, 1, 1)
        return [IntermediateMotion(t, still, still, torch.full((1, 1, 1, 1), 1.0 - t)) for t in times]

    def report(self) -> MotionReport:
        return MotionReport(nfe=0, min_det=1.0, folded=0.0)


class Blend:
    """``(1 - t) * first + t * last``."""

    name = "blend"
    guide_span: int | None = None

    def motion(self, window: Window) -> PairMotion:
        return CrossFade()
