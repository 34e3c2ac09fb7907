"""Frame hold: the first frame stays until the time of the last, as in a player without interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vfi_pipeline.estimation.window import Window
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport, PairMotion


class FrameHold:
    """Zero displacement on a grid of one cell, the first frame's pixels for every t < 1."""

    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        still = torch.zeros(1, 2, 1, 1)
        return [IntermediateMotion(t, still, still, torch.full((1, 1, 1, 1), float(t < 1))) for t in times]

    def report(self) -> MotionReport:
        return MotionReport(nfe=0, min_det=1.0, folded=0.0)


class Hold:
    """Shows the first frame at every t < 1, also where the last is nearer in time: nothing appears before its time."""

    name = "hold"
    guide_span: int | None = None

    def motion(self, window: Window) -> PairMotion:
        return FrameHold()
