"""What every motion model gives: for two frames, how the pixels of both move to any time between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Inbetween:
    """How to make the frame at ``t``: ``share * warp(first, there) + (1 - share) * warp(last, back)``.

    All three live on one grid of h x w cells that covers the frame (half-pixel centres, as a resized picture does);
    h x w may be smaller than the frame.

    Attributes:
        t: time in [0, 1]; 0 is the first frame, 1 the last.
        there: (1, 2, h, w) displacement that pulls from the first frame, in pixels **of this grid**, (dx, dy).
        back: (1, 2, h, w) the same from the last frame.
        share: (1, 1, h, w) in [0, 1], weight of the first frame's pixel. ``1 - t`` where both frames see the point,
            1 or 0 where only one does.
    """

    t: float
    there: Tensor
    back: Tensor
    share: Tensor


@dataclass(frozen=True)
class MotionReport:
    """Facts on one pair's motion: solver's velocity calls, smallest det of x -> x + u(x) and share of det <= 0."""

    nfe: int
    min_det: float
    folded: float


@dataclass(frozen=True)
class Context:
    """What lies around a pair, for a model that looks further: pictures as the pair's own, None beyond a cut or an end.

    Attributes:
        before: the frame that leads to the pair's first one.
        after: the frame that follows its last one.
        further: the frame after that one: nothing of this pair depends on it, but work for the next pair can begin.
        span_before, span_after: how long those intervals are, in units of the pair's own.
    """

    before: Tensor | None = None
    after: Tensor | None = None
    span_before: float = 1.0
    span_after: float = 1.0
    further: Tensor | None = None


ALONE = Context()


class PairMotion(Protocol):
    """The motion between two frames, solved once; every t is read off that one solve."""

    def at(self, times: Sequence[float]) -> list[Inbetween]:
        """The in-betweens at ``times`` (each in [0, 1])."""

    def report(self) -> MotionReport:
        """NFE, smallest Jacobian determinant and folded share over the times asked so far (t = 0.5 if none)."""


class MotionModel(Protocol):
    """Estimates the motion between two pictures.

    ``first`` and ``last`` are images (1, 3, h, w), float32 RGB in [0, 1], already at the working resolution of the
    estimate (``synthesis.guide`` makes them). Neighbouring pairs come in order: a model may keep what it knows of
    the previous pair (features, warm start) until ``reset`` is called, at a cut or a seek. ``context`` holds the frames
    around the pair; the same tensors come again as ``first`` and ``last`` of the neighbouring pairs.
    """

    name: str
    guide_span: int | None
    """Longest side, px, of the picture it wants to see (None: it never looks at the pictures)."""

    def motion(self, first: Tensor, last: Tensor, context: Context = ALONE) -> PairMotion: ...

    def reset(self) -> None: ...
