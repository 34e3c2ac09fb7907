"""``model=fit``: one velocity field fitted to two pictures, coarse to fine, from several starts.

Two pictures may differ by larger motions than two film frames. One stationary field ``v`` (px per unit t) moves both,

    flow_to_first = exp(-t v) - id,   flow_to_last = exp((1 - t) v) - id,
    frame = w * first(x + flow_to_first) + (1 - w) * last(x + flow_to_last),

so that the maps are a group: both sides agree at every t, nothing tears, and the maps have exact inverses.
docs/morph.md has the equations and the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.objective import Terms
from vfi_pipeline.animation.optimiser import QUALITY, Effort, FitState, effort_of, fit_coarse_to_fine
from vfi_pipeline.animation.protocol import Points, Progress, throttled
from vfi_pipeline.animation.shares import shapley_shares
from vfi_pipeline.animation.sizes import warp_resized
from vfi_pipeline.geometry import constant, jacobian_determinant, pixel_grid
from vfi_pipeline.models.motion import IntermediateMotion, MotionModel
from vfi_pipeline.ode import Solver, stationary_flows

SOLVER = Solver("midpoint", 16)
"""Of the maps in the animation: the fields may be steep, and with fewer steps the maps fold there."""


@dataclass(frozen=True)
class Coverage:
    """Parameters of ``coverage``. No measurement of the values is recorded.

    Attributes:
        feather: share of the longer side over which a picture fades in from its border: a straight edge in the middle
            of a frame would be visible.
        min_area: smallest weight of a stretched picture, of 1.
        min_weight: weight, of 1, outside of the frame, where both pictures may be.
    """

    feather: float = 0.06
    min_area: float = 0.02
    min_weight: float = 1e-4


@dataclass
class PictureFit:
    """A ``PairModel``. Random starts come from torch's generator: seed it for one result.

    Args:
        guide_span: longest side, px, of the pictures that the field is fitted to; None: of the pictures themselves.
        effort: steps and starts of the fit.
        terms: of the objective.
        initial_flow: a motion model whose estimate is one of the starts; None: no such start.
        solver: of the maps in the animation.
    """

    guide_span: int | None = 640
    effort: Effort = QUALITY["balanced"]
    terms: Terms = field(default_factory=Terms)
    initial_flow: MotionModel | None = None
    solver: Solver = SOLVER

    name = "fit"

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> FieldAnimation:
        """See ``PairModel``; pictures (1, C, H, W) in [0, 1]."""

        def animation_of(state: FitState) -> FieldAnimation:
            return FieldAnimation(state.velocity, first, last, self.solver)

        report = throttled(progress, animation_of)
        animation = animation_of(
            fit_coarse_to_fine(first, last, self.guide_span, self.effort, self.terms, points, self.initial_flow, report)
        )
        if progress is not None:
            progress(1.0, animation)
        return animation


def picture_fit(
    guide_span: int | None = 640, quality: str = "balanced", iterations: int | None = None, device: str = "cpu"
) -> PictureFit:
    """``model=fit``: the fit with the learned motion that ships with the program as one of its starts.

    Args:
        guide_span: see ``PictureFit``.
        quality: ``draft``, ``balanced`` or ``best``.
        iterations: steps of descent a level at most; None: as ``quality`` says.
        device: of the learned motion; the fit runs where the pictures are.

    Raises:
        ValueError: for another quality, or no steps.
        UserError: if the program's weights are missing or damaged.
    """
    effort = effort_of(quality, iterations)
    return PictureFit(guide_span, effort, initial_flow=shipped_flow(device))


def shipped_flow(device: str = "cpu") -> MotionModel:
    """The learned motion that ships with the program. UserError if its weights are missing or damaged."""
    # Imported here: the network and its weights take half a second, which a cross-fade or restored maps do not need.
    from vfi_pipeline.models.flow import load_flow

    return load_flow("flow", device=device)


class FieldAnimation:
    """Two pictures moved along one field; see ``PairAnimation``. Any t, also outside [0, 1]."""

    def __init__(
        self, velocity: Tensor, first: Tensor, last: Tensor, solver: Solver = SOLVER, coverage: Coverage = Coverage()
    ) -> None:
        """``velocity`` (1, 2, h, w) in px of its own grid per unit t."""
        self.first, self.last, self.solver, self.coverage = first, last, solver, coverage
        self._velocity = velocity
        self._flows: dict[float, Tensor] = {}

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        if t in (0, 1):
            return self.first if t == 0 else self.last
        weight = self.maps(t).blend_weight.to(self.first)
        weight = F.interpolate(weight, self.first.shape[-2:], mode="bilinear", align_corners=False)
        from_first, from_last = self.sides(t)
        return torch.lerp(from_last, from_first, weight)

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        return warp_resized(self.first, self.flow(-t)), warp_resized(self.last, self.flow(1 - t))

    @torch.no_grad()
    def maps(self, t: float) -> IntermediateMotion:
        to_first, to_last = self.flow(-t), self.flow(1 - t)
        return IntermediateMotion(float(t), to_first, to_last, covered_weight(t, to_first, to_last, self.coverage))

    def flow(self, duration: float) -> Tensor:
        """``exp(duration v) - id`` in px of the field's grid."""
        key = round(duration, 9)
        if key not in self._flows:
            # A few flows that ``prepare`` did not announce are kept: a frame needs each of its maps more than once.
            cached = self._flows if len(self._flows) < 16 else {}
            self._flows = {**cached, **self._solve([key])}
        return self._flows[key]

    def prepare(self, times: Sequence[float]) -> None:
        self._prepare([d for t in times for d in (-t, 1 - t)])

    def _prepare(self, durations: Sequence[float]) -> None:
        """Drops the flows of all other durations and solves for the missing ones at once."""
        needed = {round(d, 9) for d in durations}
        reusable = {d: u for d, u in self._flows.items() if d in needed}
        self._flows = {**reusable, **self._solve(sorted(needed - set(reusable)))}

    @torch.no_grad()
    def _solve(self, durations: Sequence[float]) -> dict[float, Tensor]:
        return dict(zip(durations, stationary_flows(self._velocity, durations, self.solver)))

    def velocity(self) -> Tensor:
        return self._velocity

    def shares(self) -> dict[str, float]:
        """The share of the squared difference between the pictures that motion removes, and the rest as ``fade``."""
        pulled = self.sides(1.0)[0]
        return shapley_shares(["warp"], lambda on: pulled if on else self.first, self.last)


def covered_weight(t: float, to_first: Tensor, to_last: Tensor, settings: Coverage = Coverage()) -> Tensor:
    """Weight of the first picture at ``t``, (1, 1, h, w): ``1 - t``, shifted towards the picture that covers more.

    Beyond an end only the picture at that end has weight.
    """
    if not 0 <= t <= 1:
        return to_first.new_full((1, 1, *to_first.shape[-2:]), float(t < 0))
    first, last = (1 - t) * coverage(to_first, settings), t * coverage(to_last, settings)
    return first / (first + last)


def coverage(flow: Tensor, settings: Coverage = Coverage()) -> Tensor:
    """The number of a picture's own pixels for each pixel of the frame, at most 1: (1, 1, h, w) in (0, 1].

    1 where the map keeps or shrinks areas, less where it stretches them (the determinant of its Jacobian), falling to
    ``Coverage.min_weight`` towards the frame's border and beyond it.
    """
    height, width = flow.shape[-2:]
    positions = pixel_grid(height, width, like=flow) + flow
    margin = torch.minimum(positions, constant((width - 1, height - 1), flow) - positions).amin(dim=1, keepdim=True)
    inside = ((margin + 1) / max(1.0, settings.feather * max(height, width))).clamp(0, 1)
    if min(height, width) < 2:
        return inside + settings.min_weight
    area = F.pad(jacobian_determinant(flow).clamp(0, 1), (0, 1, 0, 1), mode="replicate")
    return inside * area.clamp(min=settings.min_area) + settings.min_weight
