"""``model=morph``: two pictures joined by three maps - multiply, add, warp - fitted to that pair.

``variant=original`` is the published method (``original_morph``). In ``variant=flow``, the default, the motion is the
flow of an ODE, light and tint follow an affine ODE along each path, and both are groups,

    dx/dt = v(x),   dX/dt = m X + d,
    frame = w * G_t(first(x + flow_to_first)) + (1 - w) * G_(t - 1)(last(x + flow_to_last)),

so the two sides agree at every t. The maps m and d are smooth: they explain light and tint. The difference that neither
they nor the motion explain is cross-faded. docs/morph.md has the equations and figures.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.colour import (
    ColourFit,
    ColourUnits,
    apply_colour_change,
    clip_colours,
    fit_colour_change,
    interpolate_colour_change,
)
from vfi_pipeline.animation.objective import Terms
from vfi_pipeline.animation.optimiser import QUALITY, Effort, FitState, fit_coarse_to_fine
from vfi_pipeline.animation.original_morph import STEPS, OriginalMorph, Strengths, fit_maps
from vfi_pipeline.animation.picture_fit import SOLVER, FieldAnimation, shipped_flow
from vfi_pipeline.animation.protocol import Points, Progress, throttled
from vfi_pipeline.animation.shares import shapley_shares
from vfi_pipeline.animation.sizes import resize_image, warp_resized, working_size
from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import warp
from vfi_pipeline.models.motion import MotionModel
from vfi_pipeline.ode import Solver

log = logging.getLogger(__name__)

SPANS = {"flow": 640, "original": 256}
"""Longest side, px, of the pictures that each variant fits its maps to."""

PUBLISHED = Strengths()
"""The published strengths. ``variant=flow`` has its default penalties at them."""


class MorphModel:
    """A ``PairModel``. Random numbers come from torch's generator: seed it.

    Args:
        variant: ``flow`` or ``original``.
        mult, add, warp: strengths of the three maps; 0 leaves one out. In ``original`` a map is this times what the
            network draws (a warp of 1 is 5 % of the side, for 0.05); in ``flow`` twice the strength halves the
            penalty on a map.
        add_first: ``original`` adds before it multiplies. In ``flow`` both happen at once and have no order.
        steps: of descent: 1000 in ``original``; in ``flow`` the maximum on each level, None: until it converges.
        span: longest side, px, of the pictures that the maps are fitted to; None: ``SPANS``.
        initial_flow: see ``picture_fit.PictureFit``; ``original`` does not use it.

    Raises:
        UserError: for another variant, a negative or too large strength, or less than one step.
    """

    name = "morph"

    def __init__(
        self,
        variant: str = "flow",
        mult: float = PUBLISHED.mult,
        add: float = PUBLISHED.add,
        warp: float = PUBLISHED.warp,
        add_first: bool = False,
        steps: int | None = None,
        span: int | None = None,
        initial_flow: MotionModel | None = None,
    ) -> None:
        if variant not in SPANS:
            raise UserError(f"model=morph has no variant {variant!r}.", f"model.variant={' or '.join(SPANS)}.")
        for name, value in (("mult", mult), ("add", add), ("warp", warp)):
            if not 0 <= value < 100:
                usual = getattr(PUBLISHED, name)
                raise UserError(f"{name}={value} is no strength.", f"{name}= from 0 (off); {usual} is usual.")
        if steps is not None and steps < 1:
            raise UserError(f"steps={steps} finds no maps.", "steps=100 or more.")
        self.variant, self.steps, self.span = variant, steps, span or SPANS[variant]
        self.strengths = Strengths(float(mult), float(add), float(warp), bool(add_first))
        self.initial_flow = initial_flow
        if add_first and variant == "flow":
            log.warning("add_first= has no effect in model.variant=flow: it adds and multiplies at once.")

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> MorphAnimation | OriginalMorph:
        """See ``PairModel``; pictures (1, C, H, W) in [0, 1].

        Raises:
            UserError: if ``variant=original`` is given points.
        """
        if points is not None and self.variant == "original":
            raise UserError("model.variant=original takes no points.", "model.variant=flow, or no points=.")
        animation: MorphAnimation | OriginalMorph
        if self.variant == "flow":
            animation = self._flow(first, last, points, progress)
        else:
            animation = self._original(first, last, progress)
        if progress is not None:
            progress(1.0, animation)
        return animation

    def _flow(self, first: Tensor, last: Tensor, points: Points | None, progress: Progress | None) -> MorphAnimation:
        strengths = self.strengths
        units = ColourUnits(strengths.mult / PUBLISHED.mult, strengths.add / PUBLISHED.add)
        smooth = Terms.smooth * PUBLISHED.warp / (strengths.warp or 1.0)
        terms = Terms(units=units, moving=strengths.warp > 0, smooth=smooth)
        effort = QUALITY["balanced"] if self.steps is None else Effort(self.steps, min(20, self.steps))

        def animation_of(state: FitState) -> MorphAnimation:
            change = interpolate_colour_change(state.colour_nodes, units, *state.velocity.shape[-2:])
            return MorphAnimation(state.velocity, change, first, last)

        state = fit_coarse_to_fine(
            first, last, self.span, effort, terms, points, self.initial_flow, throttled(progress, animation_of)
        )
        if units:
            state = replace(state, colour_nodes=self._final_colours(first, last, state, units))
        return animation_of(state)

    def _final_colours(self, first: Tensor, last: Tensor, state: FitState, units: ColourUnits) -> Tensor:
        """The change of colour on finer nodes, along the fitted motion."""
        settings = ColourFit() if self.steps is None else ColourFit(steps=self.steps)
        size = working_size(state.velocity.shape[-2:], settings.span)
        moving = FieldAnimation(state.velocity, first, last)
        with torch.no_grad():
            pulled = [
                warp_resized(resize_image(picture.float(), *size), moving.flow(duration))
                for picture, duration in ((first, -0.5), (last, 0.5))
            ]
        return fit_colour_change(pulled[0], pulled[1], state.colour_nodes, units, settings)

    def _original(self, first: Tensor, last: Tensor, progress: Progress | None) -> OriginalMorph:
        size = working_size(first.shape[-2:], self.span)
        a, b = (2 * resize_image(picture.float(), *size) - 1 for picture in (first, last))

        def animation_of(maps: Tensor) -> OriginalMorph:
            return OriginalMorph(maps, self.strengths, first, last)

        report = throttled(progress, animation_of)
        maps = fit_maps(a, b, self.strengths, self.steps or STEPS, report)
        return OriginalMorph(maps, self.strengths, first, last)


def morph_model(
    variant: str = "flow",
    mult: float = PUBLISHED.mult,
    add: float = PUBLISHED.add,
    warp: float = PUBLISHED.warp,
    add_first: bool = False,
    steps: int | None = None,
    span: int | None = None,
    device: str = "cpu",
) -> MorphModel:
    """``model=morph``: a ``MorphModel`` whose variant ``flow`` has the shipped learned motion as one of its starts.

    Raises:
        UserError: see ``MorphModel``; or if the program's weights are missing or damaged.
    """
    model = MorphModel(variant, mult, add, warp, add_first, steps, span)
    if variant == "flow" and model.strengths.warp > 0:
        model.initial_flow = shipped_flow(device)
    return model


class MorphAnimation(FieldAnimation):
    """Two pictures moved along one field while their light and tint change; see ``PairAnimation``."""

    def __init__(
        self, velocity: Tensor, colour_change: Tensor, first: Tensor, last: Tensor, solver: Solver = SOLVER
    ) -> None:
        """``velocity`` (1, 2, h, w) in px of its grid; ``colour_change`` (1, 2 C, h, w): m and d where a point is at
        t = 1/2."""
        super().__init__(velocity, first, last, solver)
        self.colour_change = colour_change

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        pulled = super().sides(t)
        if not bool(self.colour_change.any()):
            return pulled
        change = self._change_at(t, pulled[0])
        a, b = (apply_colour_change(side, change, s) for side, s in zip(pulled, (t, t - 1)))
        return clip_colours(a), clip_colours(b)

    def _change_at(self, t: float, like: Tensor) -> Tensor:
        """The change of colour of the points that a pixel shows at ``t``, on every pixel of ``like``."""
        change = warp(self.colour_change, self.flow(0.5 - t))
        return F.interpolate(change, like.shape[-2:], mode="bilinear", align_corners=False).to(like)

    def prepare(self, times: Sequence[float]) -> None:
        self._prepare([d for t in times for d in (-t, 1 - t, 0.5 - t)])

    @torch.no_grad()
    def shares(self) -> dict[str, float]:
        """Shares of ``warp``, ``mult`` and ``add``, and of ``fade``, the rest."""
        gain, offset = self._change_at(1.0, self.last).chunk(2, dim=1)
        pulled = warp_resized(self.first, self.flow(-1.0))

        def render(on: frozenset[str]) -> Tensor:
            change = torch.cat((gain * ("mult" in on), offset * ("add" in on)), dim=1)
            return clip_colours(apply_colour_change(pulled if "warp" in on else self.first, change, 1.0))

        return shapley_shares(("warp", "mult", "add"), render, self.last)
