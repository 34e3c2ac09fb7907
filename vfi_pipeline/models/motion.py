"""What every motion model gives: for two frames, how the pixels of both move to any time between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from vfi_pipeline.estimation.window import Observation, Window


@dataclass(frozen=True)
class IntermediateMotion:
    """How to make the frame at ``t``; ``geometry.blending`` has the rule.

    All fields live on one grid of h x w cells that covers the frame (half-pixel centres, as a resized picture does);
    h x w may be smaller than the frame.

    Attributes:
        t: time in [0, 1]; 0 is the first frame, 1 the last.
        flow_to_first: (1, 2, h, w) displacement that pulls from the first frame, in pixels **of this grid**, (dx, dy).
        flow_to_last: (1, 2, h, w) the same from the last frame.
        blend_weight: (1, 1, h, w) in [0, 1], weight of the first frame's pixel. ``1 - t`` where both frames see the
            point, 1 or 0 where only one does.
        confidence: (1, 1, h, w) in [0, 1], weight of the moved frames beside the cross-fade; None is 1 everywhere.
    """

    t: float
    flow_to_first: Tensor
    flow_to_last: Tensor
    blend_weight: Tensor
    confidence: Tensor | None = None


@dataclass(frozen=True)
class MotionReport:
    """Facts on one pair's motion.

    Attributes:
        nfe: velocity evaluations of the solver.
        min_det: smallest determinant of the Jacobian of x -> x + u(x).
        folded: share of the area where it is 0 or less.
        confidence: mean confidence in the motion, of 1.
    """

    nfe: int
    min_det: float
    folded: float
    confidence: float = 1.0


@dataclass(frozen=True)
class PendingReport:
    """A report whose figures are still on the device.

    Attributes:
        nfe: as in ``MotionReport``.
        folds: (N, 2) smallest determinant and folded share, a row for each direction and time.
        confidence: (), the mean.
    """

    nfe: int
    folds: Tensor
    confidence: Tensor

    @staticmethod
    def read(pending: Sequence[PendingReport]) -> list[MotionReport]:
        """All of them, in one copy from the device."""
        if not pending:
            return []
        rows = torch.cat([torch.cat((each.folds, each.confidence.expand(1, 2))) for each in pending]).tolist()
        reports, start = [], 0
        for each in pending:
            stop = start + len(each.folds)
            determinants, folded = zip(*rows[start:stop])
            reports.append(MotionReport(each.nfe, min(determinants), sum(folded) / len(folded), rows[stop][0]))
            start = stop + 1
        return reports


def settled(report: MotionReport | PendingReport) -> MotionReport:
    """The report with its figures on the host, copied from the device where they are still there."""
    return PendingReport.read([report])[0] if isinstance(report, PendingReport) else report


class PairMotion(Protocol):
    """The motion between two frames, solved once; every t is read off that one solve."""

    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        """The motions to ``times``, each in [0, 1], in their order."""

    def report(self) -> MotionReport | PendingReport:
        """Facts on the motions at all times requested so far (t = 0.5 if none), without waiting for a device."""


class MotionModel(Protocol):
    """Estimates the motion between two frames: a function of a window, without a state of its own.

    It reads the guides of the window's observations: images (1, 3, h, w), float32 RGB in [0, 1], at the working
    resolution of the estimate (``synthesis.guide`` makes them). The observations keep what other windows can use.
    """

    name: str
    guide_span: int | None
    """Longest side, px, of the guides (None: the model reads none)."""

    def motion(self, window: Window) -> PairMotion:
        """The motion between the window's first and last frame."""


@runtime_checkable
class PreparesPairs(Protocol):
    """A motion model that can estimate several pairs at once."""

    def prepare_pairs(self, pairs: Sequence[tuple[Observation, Observation]]) -> None:
        """Estimates the pairs as one batch; the observations keep the estimates for the windows that use them."""
