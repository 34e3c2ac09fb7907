"""A pair's motion as stationary fields, and what is read from them at any time t."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vfi_pipeline.geometry import constant, folding, pixel_grid, sample
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport, PendingReport
from vfi_pipeline.ode import Solver, stationary_flow, stationary_flows, stationary_nfe

SOLVER = Solver("midpoint", steps=4)


@dataclass(frozen=True)
class MotionFields:
    """A pair's motion as fields at t = 1/2, (B, C, h, w) on one grid: what the frame at any t is read from.

    Attributes:
        first, last: velocities of both frames' pixels, cells of this grid per unit t, both forward in time.
        visibility, visibility_rate: logit that only the first frame shows the point, and its change per unit t.
        acceleration: of the pixels that are here at t = 1/2, cells per unit t squared.
        confidence: logit of the confidence in the motion; None where the model has none.
    """

    first: Tensor
    last: Tensor
    visibility: Tensor
    visibility_rate: Tensor
    acceleration: Tensor
    confidence: Tensor | None = None


class Maps(NamedTuple):
    """Displacements (cells of the grid), blend weight and confidence at one t per sample; see ``geometry.blending``."""

    flow_to_first: Tensor
    flow_to_last: Tensor
    blend_weight: Tensor
    confidence: Tensor | None


def maps_at(fields: MotionFields, t: Tensor, solver: Solver = SOLVER) -> Maps:
    """The maps that make the frames at ``t`` (B,), each in [0, 1], one time for each sample of the batch.

    The fields are stationary, so following ``v`` for a time t is following ``t v`` for a unit time: samples with
    different t share one solve.
    """
    t = t.view(-1, 1, 1, 1)
    flows = stationary_flow(torch.cat((-t * fields.first, (1 - t) * fields.last)), 1.0, solver)
    return _advected(fields, t, *flows.chunk(2))


def _advected(fields: MotionFields, t: Tensor, flow_to_first: Tensor, flow_to_last: Tensor) -> Maps:
    """The ``Maps`` at ``t`` (B, 1, 1, 1) from the displacements of the stationary fields.

    Visibility, acceleration and confidence are given where a pixel is at t = 1/2. They are read there, one Euler step
    along the mean of both velocities away. The blend weight is ``1 - t``, shifted by the visibility. The acceleration
    adds ``t (1 - t) / 2 a`` to both displacements (``estimation.acceleration``).
    """
    middle = pixel_grid(*fields.first.shape[-2:], like=fields.first) + (0.5 - t) * 0.5 * (fields.first + fields.last)
    logit = fields.visibility + (t - 0.5) * fields.visibility_rate
    at_middle = [logit, fields.acceleration, *([] if fields.confidence is None else [fields.confidence])]
    advected = sample(torch.cat([x.expand(len(logit), -1, -1, -1) for x in at_middle], dim=1), middle)
    first, last = (1 - t) * torch.sigmoid(advected[:, :1]), t * torch.sigmoid(-advected[:, :1])
    offset = t * (1 - t) / 2 * advected[:, 1:3]
    confidence = None if fields.confidence is None else torch.sigmoid(advected[:, 3:])
    return Maps(flow_to_first + offset, flow_to_last + offset, first / (first + last), confidence)


class FlowMotion:
    """A pair's fields as a ``models.motion.PairMotion``.

    Args:
        fields: of one pair.
        size: (height, width) of the part of the grid that covers the frame, in cells.
        solver: of the displacements.
        times_at_once: how many times are read from the fields as one batch; None: one on a CPU, whose caches then hold
            the maps, and all on other devices, where each launch costs as much as the work of several times.
    """

    def __init__(
        self,
        fields: MotionFields,
        size: tuple[float, float],
        solver: Solver = SOLVER,
        times_at_once: int | None = None,
    ) -> None:
        self.fields, self.size, self.solver, self.times_at_once = fields, size, solver, times_at_once
        self._nfe = 0
        self._folds: list[Tensor] = []  # smallest determinant and folded share, for each direction and time
        self._confidence: Tensor | None = None

    @torch.no_grad()
    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        """See ``PairMotion``. Both sides and all times come from one solve."""
        fields = self.fields
        times = [float(t) for t in times]
        durations = sorted({*times, *(1 - t for t in times)})
        flows = dict(zip(durations, stationary_flows(torch.cat((-fields.first, fields.last)), durations, self.solver)))
        self._nfe += stationary_nfe(durations, self.solver)
        count = self.times_at_once or (1 if fields.first.device.type == "cpu" else len(times))
        motions = []
        for start in range(0, len(times), count):
            motions += self._read_batch(times[start : start + count], flows)
        return motions

    def _read_batch(self, times: list[float], flows: Mapping[float, Tensor]) -> list[IntermediateMotion]:
        """The motions to ``times`` as one batch, from the flows of all durations."""
        # Filled on the device: a copy from the host would wait, and the times may differ from pair to pair.
        moments = torch.cat([self.fields.first.new_full((1, 1, 1, 1), t) for t in times])
        to_first, to_last = torch.cat([flows[t][:1] for t in times]), torch.cat([flows[1 - t][1:] for t in times])
        maps = _advected(self.fields, moments, to_first, to_last)
        min_det, folded = folding(torch.stack(maps[:2], dim=1).flatten(0, 1))  # both sides of a time, then the next
        self._folds.append(torch.stack((min_det, folded), dim=1))
        to_first, to_last, weight, confidence = self._covering_frame(maps)
        return [
            IntermediateMotion(
                t,
                to_first[row : row + 1],
                to_last[row : row + 1],
                weight[row : row + 1],
                None if confidence is None else confidence[row : row + 1],
            )
            for row, t in enumerate(times)
        ]

    def _covering_frame(self, maps: Maps) -> Maps:
        """The maps on a grid that covers the frame exactly: the estimate's grid may extend past the frame's edge."""
        height, width = self.size
        rows, columns = max(1, round(height)), max(1, round(width))
        if (rows, columns) == (height, width):
            to_first, to_last, weight = (x[..., :rows, :columns] for x in maps[:3])
            confidence = None if maps.confidence is None else maps.confidence[..., :rows, :columns]
            return Maps(to_first, to_last, weight, confidence)
        like = self.fields.first
        scale = constant((width / columns, height / rows), like)
        positions = ((pixel_grid(rows, columns, like=like) + 0.5) * scale - 0.5).expand(len(maps[0]), -1, -1, -1)
        to_first, to_last, weight = (sample(x, positions) for x in maps[:3])
        confidence = None if maps.confidence is None else sample(maps.confidence, positions)
        return Maps(to_first / scale, to_last / scale, weight, confidence)

    @torch.no_grad()
    def report(self) -> MotionReport | PendingReport:
        """See ``PairMotion``."""
        if not self._folds:
            self.at([0.5])
        if self._confidence is None:
            confidence = self.fields.confidence
            ones = self.fields.first.new_ones(())
            self._confidence = ones if confidence is None else torch.sigmoid(confidence).mean()
        pending = PendingReport(self._nfe, torch.cat(self._folds), self._confidence)
        return PendingReport.read([pending])[0] if pending.folds.device.type == "cpu" else pending
