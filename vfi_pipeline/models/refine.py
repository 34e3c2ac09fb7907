"""``model=flow refine=N``: N steps of the per-pair fit, begun at the network's velocities instead of a search's.

The network says where to begin and which points only one frame shows; the descent (``models.fit``) then lowers the
difference of the two sides at t = 1/2 on this one pair. docs/fit.md says what N steps gain and cost.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import resize_flow
from vfi_pipeline.models.fit import CELL, Weights, improvement
from vfi_pipeline.models.flow import FlowModel, FlowMotion, load_flow
from vfi_pipeline.models.motion import ALONE, Context, MotionModel
from vfi_pipeline.models.start import SHARE
from vfi_pipeline.nets.flow import Velocities


class RefinedFlow:
    """A ``FlowModel`` whose velocities are improved on each pair; see ``models.motion.MotionModel``.

    Args:
        model: where each pair begins.
        iterations: steps of descent; 0 changes nothing.
        weights: of the terms of the fit's objective.
    """

    name = "flow"

    def __init__(self, model: FlowModel, iterations: int, weights: Weights = Weights()) -> None:
        if iterations < 0:
            raise ValueError(f"refine={iterations} is no number of steps. Use 0 (off), 4, 16 or so.")
        self.model, self.iterations, self.weights = model, iterations, weights
        self.guide_span = model.guide_span

    def motion(self, first: Tensor, last: Tensor, context: Context = ALONE) -> FlowMotion:
        begun = self.model.motion(first, last, context)
        if not self.iterations or bool((first == last).all()):
            return begun
        return FlowMotion(self._improved(begun, first, last), begun.size, begun.solver)

    def reset(self) -> None:
        self.model.reset()

    def _improved(self, begun: FlowMotion, first: Tensor, last: Tensor) -> Velocities:
        # Out of the network's inference mode: the descent differentiates through them.
        found = begun.found.each(Tensor.clone)
        rows, columns = found.first.shape[-2:]
        pictures = [_covering(image.to(found.first), begun.size, (rows, columns)) for image in (first, last)]
        fields = torch.cat((found.first, found.last))
        fields = resize_flow(fields, CELL * rows, CELL * columns)
        shown = torch.sigmoid(found.visibility)
        # 1 where both frames show the point, towards 0 where the network believes one of them alone.
        both = F.interpolate(4 * shown * (1 - shown), fields.shape[-2:], mode="bilinear", align_corners=False)
        cells = improvement(pictures[0], pictures[1], fields, both, self.iterations, self.weights) / CELL
        return replace(found, first=found.first + cells[:1], last=found.last + cells[1:])


def _covering(image: Tensor, size: tuple[float, float], grid: tuple[int, int]) -> Tensor:
    """The picture at ``CELL`` pixels a cell of a grid that reaches past its edge: ``size`` cells of it are covered."""
    height, width = (CELL * max(1, round(n)) for n in size)
    shrinks = height <= image.shape[-2] and width <= image.shape[-1]
    small = F.interpolate(image, (height, width), mode="area" if shrinks else "bilinear")
    below, right = (max(0, CELL * n - have) for n, have in zip(grid, (height, width)))
    return F.pad(small, (0, right, 0, below), mode="replicate")[..., : CELL * grid[0], : CELL * grid[1]]


def load_refined(
    weights: str,
    guide_span: int | None = None,
    precision: str = "auto",
    device: str = "cpu",
    refine: int = 0,
    search: float = SHARE,
) -> MotionModel:
    """The learned motion model, refined by ``refine`` steps on each pair; else as ``models.flow.load_flow``."""
    model = load_flow(weights, guide_span, precision, device, search)
    return RefinedFlow(model, refine) if refine else model
