"""A pair's motion as stationary fields, and what is read from them at any time t."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vfi_pipeline.geometry import constant, filled, folding, pixel_grid, sample
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport, PendingReport
from vfi_pipeline.ode import Solver, positions_after, stationary_flow, stationary_nfe, steps_to

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


def read_fields(tensors: Sequence[Tensor], value: tuple[tuple[float, float], str]) -> list[Tensor]:
    """All that is read from a pair's fields at several times, as one function of tensors (``models.replay``).

    The times are tensors, too: a recorded graph serves all that take as many steps.

    Args:
        tensors: (N,) times, (K,) lengths of the solver's steps, (2 N,) after how many steps the times are reached, and
            after how many the times left to the last frame (int64); then the ``MotionFields``.
        value: see ``FlowMotion``: ``size``, and the solver's method.

    Returns:
        (N, 5 or 6, h, w) as ``_read``; (2 N + 1, 2): the folds, and in the last row the mean confidence.
    """
    times, lengths, places, *parts = tensors
    fields, (size, method) = MotionFields(*parts), value
    positions = torch.stack(positions_after(torch.cat((-fields.first, fields.last)), lengths, method))
    to_first, to_last = (positions - positions[:1]).index_select(0, places).chunk(2)
    maps, folds = _read(fields, times.view(-1, 1, 1, 1), to_first[:, 0], to_last[:, 1], size)
    return [maps, torch.cat((folds, _mean_confidence(fields).expand(1, 2)))]


def _read(
    fields: MotionFields, t: Tensor, to_first: Tensor, to_last: Tensor, size: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """What is read at ``t`` (N, 1, 1, 1): displacements to first and last, blend weight and, where the fields have one,
    confidence, (N, 5 or 6, h, w) on a grid that covers the frame; smallest determinant and folded share of each
    direction and time, (2 N, 2)."""
    maps = torch.cat([each for each in _advected(fields, t, to_first, to_last) if each is not None], dim=1)
    folds = torch.stack(folding(maps[:, :4].unflatten(1, (2, 2)).flatten(0, 1)), dim=1)
    return _covering_frame(maps, size), folds


def _covering_frame(maps: Tensor, size: tuple[float, float]) -> Tensor:
    """The maps on a grid that covers the frame exactly: the estimate's grid may extend past the frame's edge."""
    height, width = size
    rows, columns = max(1, round(height)), max(1, round(width))
    if (rows, columns) == (height, width):
        return maps[..., :rows, :columns]
    scale = width / columns, height / rows
    positions = (pixel_grid(rows, columns, like=maps) + 0.5) * constant(scale, maps) - 0.5
    units = (*scale, *scale, *(1.0 for _ in range(maps.shape[1] - 4)))
    return sample(maps, positions.expand(len(maps), -1, -1, -1)) / constant(units, maps)


def _mean_confidence(fields: MotionFields) -> Tensor:
    return fields.first.new_ones(()) if fields.confidence is None else torch.sigmoid(fields.confidence).mean()


class FlowMotion:
    """A pair's fields as a ``models.motion.PairMotion``.

    Args:
        fields: of one pair.
        size: (height, width) of the part of the grid that covers the frame, in cells.
        solver: of the displacements.
        times_at_once: how many times are read from the fields as one batch on a CPU, whose caches hold the maps of one;
            other devices take all at once, where each launch costs as much as the work of several times.
        read: ``read_fields``, or what stands for it on a device: its replayed graph.
    """

    def __init__(
        self,
        fields: MotionFields,
        size: tuple[float, float],
        solver: Solver = SOLVER,
        times_at_once: int = 1,
        read: Callable[[Sequence[Tensor], Any], list[Tensor]] = read_fields,
    ) -> None:
        self.fields, self.size, self.solver, self.times_at_once = fields, size, solver, times_at_once
        self._read_fields = read
        self._nfe = 0
        self._folds: list[Tensor] = []  # smallest determinant and folded share, for each direction and time
        self._confidence: Tensor | None = None

    @torch.no_grad()
    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        """See ``PairMotion``. Both sides and all times come from one solve."""
        times = [float(t) for t in times]
        if not times:
            return []
        durations = {*times, *(1 - t for t in times)}
        self._nfe += stationary_nfe([*durations], self.solver)
        on_cpu = self.fields.first.device.type == "cpu"
        return self._on_cpu(times, durations) if on_cpu else self._on_device(times, durations)

    def _on_cpu(self, times: list[float], durations: set[float]) -> list[IntermediateMotion]:
        fields, path = self.fields, steps_to(durations, self.solver)
        positions = positions_after(torch.cat((-fields.first, fields.last)), path.lengths, self.solver.method)
        flows = {stop: positions[count] - positions[0] for stop, count in path.stops.items()}
        motions = []
        for start in range(0, len(times), self.times_at_once):
            some = times[start : start + self.times_at_once]
            to_first, to_last = torch.cat([flows[t][:1] for t in some]), torch.cat([flows[1 - t][1:] for t in some])
            maps, folds = _read(fields, filled((*some,), fields.first).view(-1, 1, 1, 1), to_first, to_last, self.size)
            self._folds.append(folds)
            motions += _motions(some, maps)
        return motions

    def _on_device(self, times: list[float], durations: set[float]) -> list[IntermediateMotion]:
        fields, path = self.fields, steps_to(durations, self.solver)
        places = *(path.stops[t] for t in times), *(path.stops[1 - t] for t in times)
        first = fields.first
        tensors = [filled((*times,), first), filled(path.lengths, first), filled(places, first, torch.int64)]
        tensors += [part for part in vars(fields).values() if part is not None]
        maps, facts = self._read_fields(tensors, (self.size, self.solver.method))
        self._folds.append(facts[:-1])
        self._confidence = facts[-1, 0]
        return _motions(times, maps)

    @torch.no_grad()
    def report(self) -> MotionReport | PendingReport:
        """See ``PairMotion``."""
        if not self._folds:
            self.at([0.5])
        if self._confidence is None:
            self._confidence = _mean_confidence(self.fields)
        folds = self._folds[0] if len(self._folds) == 1 else torch.cat(self._folds)
        pending = PendingReport(self._nfe, folds, self._confidence)
        return PendingReport.read([pending])[0] if folds.device.type == "cpu" else pending


def _motions(times: Sequence[float], maps: Tensor) -> list[IntermediateMotion]:
    """Each time's own part of what was read, see ``_read``."""
    rows = (maps[row : row + 1] for row in range(len(times)))
    return [
        IntermediateMotion(t, row[:, :2], row[:, 2:4], row[:, 4:5], row[:, 5:] if row.shape[1] > 5 else None)
        for t, row in zip(times, rows)
    ]
