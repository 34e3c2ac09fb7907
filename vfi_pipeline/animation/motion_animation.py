"""Any motion model of films as a ``PairModel``, and the animation of a single picture.

A model sees small RGB pictures. The full pictures, of any size and with alpha, are warped and mixed by the rule of
``geometry.blending``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vfi_pipeline.animation.protocol import PairModel, Points, Progress
from vfi_pipeline.animation.sizes import guide_image, warp_resized
from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import synthesise
from vfi_pipeline.models.motion import IntermediateMotion, MotionModel, MotionReport, PairMotion, settled


def animator(model: Any) -> PairModel:
    """``model`` itself if it is a ``PairModel``, else the adapter for a ``MotionModel``."""
    return model if hasattr(model, "solve") else MotionAnimator(model)


class MotionAnimator:
    """A ``PairModel`` out of a ``MotionModel``."""

    def __init__(self, model: MotionModel) -> None:
        self.model = model

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> MotionAnimation:
        """See ``PairModel``.

        Raises:
            UserError: if ``points`` are given: a motion model has no place for them.
        """
        if points is not None:
            raise UserError(f"model={self.model.name} takes no points.", "model=fit or model=morph, or no points=.")
        guide_first, guide_last = (guide_image(picture, self.model.guide_span) for picture in (first, last))
        animation = MotionAnimation(self.model.motion(Window.of(guide_first, guide_last)), first, last)
        if progress is not None:
            progress(1.0, animation)
        return animation


class MotionAnimation:
    """A pair that is moved and blended by a ``PairMotion``; see ``PairAnimation``."""

    def __init__(self, motion: PairMotion, first: Tensor, last: Tensor) -> None:
        self.motion, self.first, self.last = motion, first, last
        self._prepared: dict[float, IntermediateMotion] = {}
        self._latest: IntermediateMotion | None = None  # callers read a frame's maps again after the frame

    @torch.no_grad()
    def prepare(self, times: Sequence[float]) -> None:
        motion_times = sorted({self._motion_time(float(t)) for t in times})
        self._prepared = dict(zip(motion_times, self.motion.at(motion_times))) if motion_times else {}

    def _motion_time(self, t: float) -> float:
        """The motion's own time at ``t``."""
        return t

    def _motion_at(self, t: float) -> IntermediateMotion:
        t = self._motion_time(float(t))
        if t in self._prepared:
            return self._prepared[t]
        if self._latest is None or self._latest.t != t:
            (self._latest,) = self.motion.at([t])
        return self._latest

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        if t in (0, 1):
            return self.first if t == 0 else self.last
        return frame_of(self.first, self.last, self.maps(t))

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        maps = self.maps(t)
        return warp_resized(self.first, maps.flow_to_first), warp_resized(self.last, maps.flow_to_last)

    @torch.no_grad()
    def maps(self, t: float) -> IntermediateMotion:
        maps = self._motion_at(t)
        if 0 <= t <= 1:
            return maps
        # Beyond an end only the picture at that end has weight: the other one's would be negative.
        weight = torch.full_like(maps.blend_weight, float(t < 0))
        return IntermediateMotion(maps.t, maps.flow_to_first, maps.flow_to_last, weight)

    @torch.no_grad()
    def velocity(self) -> Tensor:
        (half,) = self.motion.at([0.5])
        # Content of the first picture has moved by minus the displacement that pulls it, in half of the time.
        return half.flow_to_last - half.flow_to_first

    def shares(self) -> dict[str, float]:
        return {}

    def report(self) -> MotionReport:
        """Velocity calls, smallest determinant, folded share and confidence of the motions computed so far."""
        return settled(self.motion.report())


def frame_of(first: Tensor, last: Tensor, maps: IntermediateMotion) -> Tensor:
    """The frame that ``maps``, on any grid, make of two pictures (1, C, H, W).

    Where the weight is 0 or 1 everywhere, the frame is one picture alone, also where it is pulled from outside of its
    frame; else ``geometry.synthesise`` mixes both.
    """
    lowest, highest = float(maps.blend_weight.min()), float(maps.blend_weight.max())
    if lowest == highest and lowest in (0, 1):
        return warp_resized(first, maps.flow_to_first) if lowest else warp_resized(last, maps.flow_to_last)
    confidence = None if maps.confidence is None else maps.confidence.to(first)
    return synthesise(
        first, last, maps.flow_to_first.to(first), maps.flow_to_last.to(first), maps.blend_weight.to(first),
        confidence,
    ).frame  # fmt: skip


# ------------------------------------------------------------------------------------------------- a single picture


class SinglePictureAnimation(MotionAnimation):
    """A single picture moved along a learned field: ``t = 0`` is the picture; any t, also below 0 and above 1.

    ``backward`` reverses time: the picture then stands for the last frame of the motion in the training data.
    """

    def __init__(self, motion: PairMotion, picture: Tensor, backward: bool = False) -> None:
        super().__init__(motion, picture, picture)
        self.backward = backward

    def _motion_time(self, t: float) -> float:
        return -t if self.backward else t

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        return self.first if t == 0 else warp_resized(self.first, self.maps(t).flow_to_first)

    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        frame = self.frame(t)
        return frame, frame

    @torch.no_grad()
    def maps(self, t: float) -> IntermediateMotion:
        maps = self._motion_at(t)
        still, full_weight = torch.zeros_like(maps.flow_to_first), torch.ones_like(maps.blend_weight)
        return IntermediateMotion(float(t), maps.flow_to_first, still, full_weight)

    @torch.no_grad()
    def velocity(self) -> Tensor:
        return -2 * self.maps(0.5).flow_to_first


def animate_single(model: Any, picture: Tensor, backward: bool = False) -> SinglePictureAnimation:
    """``picture`` (1, C, H, W) animated by a Warping ODE that was trained on first frames alone.

    Raises:
        UserError: if the model is of another kind or was trained on pairs.
    """
    field = getattr(model, "field", None)
    if field is None or not hasattr(model, "sides"):
        raise UserError(
            f"model={getattr(model, 'name', 'this')} needs two pictures: one alone does not say where it goes.",
            "input=[a.png,b.png], or weights= of a Warping ODE that train.py made, which animates one.",
        )
    if field.conditioning != "first":
        raise UserError(
            "These weights look at both pictures (field.conditioning=both); there is only one.",
            "a second picture, or weights trained with field.conditioning=first net.sides=first.",
        )
    guide = guide_image(picture, model.guide_span)
    return SinglePictureAnimation(model.motion(Window.of(guide, guide)), picture, backward)
