"""Motions from files: two stationary fields, or maps at even times."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport, PairMotion
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map


class StationaryMotion:
    """The motion of stationary fields; see ``PairMotion``. Any t.

    ``flow_to_first = exp(t v) - id`` and ``flow_to_last = exp((1 - t) w) - id``: a Warping ODE's fields move the place
    that a frame is pulled from. Without ``w`` only the first picture has weight.
    """

    def __init__(self, v: Tensor, w: Tensor | None, solver: Solver) -> None:
        """Fields (1, 2, h, w), px of their grid per unit t."""
        self.v, self.w, self.solver = v, w, solver

    @torch.no_grad()
    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        return [self._at(float(t)) for t in times]

    def _at(self, t: float) -> IntermediateMotion:
        to_first = self._flow(self.v, t)
        to_last = torch.zeros_like(to_first) if self.w is None else self._flow(self.w, 1 - t)
        weight = 1.0 if self.w is None else 1 - t
        return IntermediateMotion(t, to_first, to_last, to_first.new_full((1, 1, *to_first.shape[-2:]), weight))

    def _flow(self, field: Tensor, duration: float) -> Tensor:
        grid = pixel_grid(*field.shape[-2:], like=field)
        return flow_map(SampledVelocity(field), grid, 0.0, duration, self.solver)

    def report(self) -> MotionReport:
        return MotionReport(0, 1.0, 0.0)


class SampledMotion:
    """A motion known at even times and interpolated between them (Catmull-Rom in t); see ``PairMotion``."""

    def __init__(
        self,
        flow_to_first: Tensor,
        flow_to_last: Tensor,
        blend_weight: Tensor,
        confidence: Tensor | None = None,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """(T, 2, h, w), (T, 2, h, w), (T, 1, h, w) and (T, 1, h, w) or None; T evenly spaced times over ``span``."""
        self.flow_to_first, self.flow_to_last = flow_to_first, flow_to_last
        self.blend_weight, self.confidence, self.span = blend_weight, confidence, span

    @classmethod
    def of(cls, motion: PairMotion, span: tuple[int, int] = (0, 1), per_unit: int = 16) -> SampledMotion:
        """``motion`` read at ``per_unit`` times per unit t (and at the end): 16 intervals are exact to 1/1000 px for
        motions that a few solver steps follow."""
        count = (span[1] - span[0]) * per_unit
        maps = [motion.at([span[0] + k / per_unit])[0] for k in range(count + 1)]
        confidences = [m.confidence for m in maps if m.confidence is not None]
        return cls(
            torch.cat([m.flow_to_first for m in maps]),
            torch.cat([m.flow_to_last for m in maps]),
            torch.cat([m.blend_weight for m in maps]),
            torch.cat(confidences) if len(confidences) == len(maps) else None,
            span,
        )

    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        """Raises:
        ValueError: for a time outside of the span.
        """
        low, high = self.span
        if not all(low <= t <= high for t in times):
            raise ValueError(f"these maps hold t from {low:g} to {high:g}")
        return [
            IntermediateMotion(
                t,
                self._read(self.flow_to_first, t),
                self._read(self.flow_to_last, t),
                self._read(self.blend_weight, t).clamp(0, 1),
                None if self.confidence is None else self._read(self.confidence, t).clamp(0, 1),
            )
            for t in times
        ]

    def _read(self, stack: Tensor, t: float) -> Tensor:
        last = len(stack) - 1
        at = (t - self.span[0]) / (self.span[1] - self.span[0]) * last
        k = min(int(at), last - 1)
        s = at - k
        p0, p1, p2, p3 = (stack[min(max(k + step, 0), last)][None].float() for step in (-1, 0, 1, 2))
        p0 = 2 * p1 - p2 if k == 0 else p0  # straight on beyond the ends
        p3 = 2 * p2 - p1 if k == last - 1 else p3
        a, b, c = 2 * p0 - 5 * p1 + 4 * p2 - p3, p2 - p0, 3 * (p1 - p2) + p3 - p0
        return p1 + 0.5 * s * (b + s * (a + s * c))

    def report(self) -> MotionReport:
        return MotionReport(0, 1.0, 0.0)
