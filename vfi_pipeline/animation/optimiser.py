"""Gradient descent on a pair's velocity field, coarse to fine, from the best of several starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.adam import Adam
from vfi_pipeline.animation.colour import no_colour_change
from vfi_pipeline.animation.initialisation import Starts, learned_velocity, starting_fields
from vfi_pipeline.animation.objective import Terms, dissimilarity, objective, oriented_gradients, stiffened
from vfi_pipeline.animation.protocol import Points
from vfi_pipeline.animation.sizes import Size, pyramid, resize_image, resize_points, working_size
from vfi_pipeline.geometry import resize_flow
from vfi_pipeline.models.motion import MotionModel


@dataclass(frozen=True)
class Effort:
    """Steps and starts of a fit.

    Attributes:
        max_steps, min_steps: of descent, on each level.
        tolerance: a level ends when ten steps lower the loss by less than this share.
        starts: fields that the coarse levels start from.
    """

    max_steps: int = 60
    min_steps: int = 20
    tolerance: float = 2e-3
    starts: Starts = Starts()


QUALITY = {
    "draft": Effort(20, 10, 1e-2, Starts(1, 0)),
    "balanced": Effort(40),
    "best": Effort(120, 20, 5e-4, Starts(7, 2)),
}
"""``model.quality``: docs/morph.md."""


def effort_of(quality: str, iterations: int | None = None) -> Effort:
    """The effort of that name, or with at most ``iterations`` steps a level.

    Raises:
        ValueError: for another name, or less than one step.
    """
    if quality not in QUALITY:
        raise ValueError(f"No quality {quality!r}. Use one of {', '.join(QUALITY)}.")
    if iterations is None:
        return QUALITY[quality]
    if iterations < 1:
        raise ValueError(f"iterations={iterations} is no number of steps. Use 20 or more, or leave it out.")
    return Effort(iterations, min(20, iterations))


@dataclass(frozen=True)
class Descent:
    """Levels, grids and step sizes. No measurement of the values is recorded.

    Attributes:
        smallest_side: the coarsest level's smaller side is between this and twice this, px.
        compared_span: starts are compared on levels whose longer side is at most this, px, where a step takes a
            millisecond or two.
        cells: px between the nodes of the grids whose sum corrects the field: one grid for each scale, so that a step
            changes large and small regions by the same amount.
        velocity_rate: Adam's step, px per unit t.
        colour_rate: the same for the nodes of the colour change, in their units.
        colour_nodes: on the longer side.
        min_improvement: a start replaces the best so far if its loss is smaller by this share.
    """

    smallest_side: int = 16
    compared_span: int = 48
    cells: tuple[int, ...] = (16, 8, 4, 2)
    velocity_rate: float = 0.1
    colour_rate: float = 0.02
    colour_nodes: int = 8
    min_improvement: float = 1e-3


@dataclass(frozen=True)
class FitState:
    """A fit, complete or in progress.

    Attributes:
        velocity: (1, 2, h, w), px of its own grid per unit t.
        colour_nodes: (1, 2 C, n, m) the change of colour from the first picture to the last, see ``colour``.
        loss: value of the objective on the level of ``velocity``.
    """

    velocity: Tensor
    colour_nodes: Tensor
    loss: float = math.inf

    def at_size(self, size: Size) -> FitState:
        """The same fit with its velocity on a grid of ``size``."""
        return FitState(resize_flow(self.velocity, *size), self.colour_nodes, self.loss)


Report = Callable[[float, FitState], None]
"""Called with the share of the work done, in [0, 1], and the state."""


def fit_coarse_to_fine(
    first: Tensor,
    last: Tensor,
    guide_span: int | None = 640,
    effort: Effort = QUALITY["balanced"],
    terms: Terms = Terms(),
    points: Points | None = None,
    initial_flow: MotionModel | None = None,
    report: Report = lambda share, state: None,
    descent: Descent = Descent(),
) -> FitState:
    """The velocity field from ``first`` to ``last``, both (1, C, H, W), and the change of colour along it.

    Descends from every starting field on the coarse levels and continues with the field of the smallest loss. Between
    identical pictures the field is exactly 0.

    Args:
        guide_span: longest side, px, of the finest level; None: of the pictures.
        points: in px of the pictures.
        initial_flow: a model whose estimate is one of the starts.
    """
    picture_size, size = first.shape[-2:], working_size(first.shape[-2:], guide_span)
    colours = no_colour_change(first.shape[1], *size, descent.colour_nodes).to(first)
    still = FitState(torch.zeros(1, 2, *size, device=first.device), colours)
    if min(size) < 4 or torch.equal(first, last):
        return still
    pictures = resize_image(first.float(), *size), resize_image(last.float(), *size)
    sizes = pyramid(*size, descent.smallest_side)
    coarse = [s for s in sizes if max(s) <= descent.compared_span] or sizes[:1]
    guides = [resize_image(picture, *coarse[-1]) for picture in pictures]
    starts = [resize_flow(still.velocity, *coarse[-1])]
    if terms.moving:
        learned = None if initial_flow is None else learned_velocity(initial_flow, *pictures)
        with torch.no_grad():
            level_points = resize_points(points, picture_size, coarse[-1])
            starts = starting_fields(guides[0], guides[1], effort.starts, learned, level_points)

    def on_level(
        state: FitState, level: Size, terms: Terms, report_level: Report = lambda share, state: None
    ) -> FitState:
        a, b = (resize_image(picture, *level) for picture in pictures)
        return descend(a, b, state, effort, terms, resize_points(points, picture_size, level), report_level, descent)

    def best_start(terms: Terms) -> FitState:
        best = None
        for start in starts:
            state = FitState(resize_flow(start, *coarse[0]), colours)
            for level in coarse:
                state = on_level(state, level, terms)
            if best is None or state.loss < best.loss * (1 - descent.min_improvement):
                best = state
        assert best is not None
        return best

    state = best_start(terms)
    degree = dissimilarity(guides[0], guides[1], state.velocity, gradients=terms.gradient_settings)
    if degree > 0 and terms.moving:
        terms = stiffened(terms, degree)
        state = best_start(terms)
    work = [h * w for h, w in sizes]
    done = sum(work[: len(coarse)]) / sum(work)
    for level in sizes[len(coarse) :]:
        part = level[0] * level[1] / sum(work)
        report(done, state.at_size(size))

        def report_level(share: float, state_of_level: FitState, done: float = done, part: float = part) -> None:
            report(done + share * part, state_of_level.at_size(size))

        state = on_level(state, level, terms, report_level)
        done += part
    return state


def descend(
    first: Tensor,
    last: Tensor,
    start: FitState,
    effort: Effort,
    terms: Terms,
    points: Points | None = None,
    report: Report = lambda share, state: None,
    descent: Descent = Descent(),
) -> FitState:
    """One level: Adam on corrections of the field, on grids of ``Descent.cells``, and on the colour change.

    The oriented gradients of small pictures are computed anew in each step, because a gradient turns with the picture.
    Those of larger pictures are computed once and warped, which is six times as fast.
    """
    height, width = first.shape[-2:]
    base = resize_flow(start.velocity, height, width)
    grids = [
        torch.zeros(1, 2, max(2, -(-height // cell)), max(2, -(-width // cell)), device=base.device, requires_grad=True)
        for cell in descent.cells
        if cell == descent.cells[-1] or 2 * cell <= min(height, width)
    ]
    nodes = start.colour_nodes.clone().requires_grad_()
    rate = descent.velocity_rate if terms.moving else 0.0
    adam = Adam([*grids, nodes], [*[rate] * len(grids), descent.colour_rate])
    small = max(height, width) <= descent.compared_span
    gradients = (
        None if small else tuple(oriented_gradients(picture, terms.gradient_settings) for picture in (first, last))
    )
    losses: list[float] = []
    with torch.enable_grad():
        for count in range(1, effort.max_steps + 1):
            velocity = base + _summed(grids, height, width)
            loss = objective(first, last, gradients, velocity, nodes, terms, points)
            losses.append(float(loss.detach()))
            adam.step(loss)
            if count % 5 == 0:
                report(count / effort.max_steps, FitState(velocity.detach(), nodes.detach()))
            if (
                count >= effort.min_steps
                and count % 10 == 0
                and losses[-11:][0] - losses[-1] < effort.tolerance * losses[-1]
            ):
                break
    with torch.no_grad():
        velocity = base + _summed(grids, height, width)
        final = objective(first, last, gradients, velocity, nodes, terms, points)
    return FitState(velocity, nodes.detach(), float(final))


def _summed(grids: Sequence[Tensor], height: int, width: int) -> Tensor:
    """The sum of the grids, coarse to fine, each interpolated onto the next, and the last onto the picture."""
    total = grids[0]
    for grid in grids[1:]:
        total = grid + F.interpolate(total, grid.shape[-2:], mode="bicubic", align_corners=False)
    return F.interpolate(total, (height, width), mode="bicubic", align_corners=False)
