"""The objective of a field between two pictures: both, moved to t = 1/2, agree in colour and in oriented gradients.

    a = first o exp(-v / 2),   b = last o exp(v / 2)
    mean over the places that both show of  rho(colour(a) - colour(b)) + rho(gradients(a) - gradients(b))
    + smoothness rho(|grad v|) + folding JD + out of grid OG + size of the colour change + distance of points

Gradients are oriented gradients divided by the local contrast, which light and tint do not change. docs/morph.md has
the equations and the effect of each choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.colour import ColourUnits, apply_colour_change, interpolate_colour_change, roughness
from vfi_pipeline.animation.protocol import Points
from vfi_pipeline.estimation.lucas_kanade import luma
from vfi_pipeline.geometry import blur, outside, sample, warp
from vfi_pipeline.losses import folding_penalty, out_of_grid_penalty
from vfi_pipeline.ode import scaling_and_squaring


@dataclass(frozen=True)
class GradientSettings:
    """Of ``oriented_gradients``. Chosen by the end-point error on a stereo pair (docs/morph.md).

    Attributes:
        orientations: directions.
        softening: standard deviation, px, of the blur of each direction.
        surroundings: standard deviation, px, of the region that contrast is measured in.
        contrast_floor: contrast, luma of 1, below which gradients fade to 0.
    """

    orientations: int = 6
    softening: float = 0.7
    surroundings: float = 3.0
    contrast_floor: float = 0.02


@dataclass(frozen=True)
class Terms:
    """Weights of the objective; every term is a mean over pixels, differences summed over their channels.

    docs/morph.md compares other choices of colour, shape and smoothness.

    Attributes:
        colour, gradients: factors on the differences, before the Charbonnier of knee ``knee``.
        knee: difference (of 1) above which the cost grows linearly.
        unseen: cost of a place that only one picture shows: without it, the fit would move the pictures apart.
        smooth: of the field's slope, px per px, quadratic below ``slope_knee`` and linear above.
        folding, out_of_grid: JD and OG of the maps to t = 1/2.
        folding_margin: the penalty starts at determinants below this, before the map folds.
        points: of the distance between corresponding points at t = 1/2, px of the level, Charbonnier of
            ``points_knee`` px.
        colour_change: of the squared nodes of the colour change and of their differences.
        units: of the colour change.
        moving: False fits the colour change alone.
        gradient_settings: of the oriented gradients.
    """

    colour: float = 1.0
    gradients: float = 1.0
    knee: float = 0.01
    unseen: float = 0.5
    smooth: float = 0.3
    slope_knee: float = 0.02
    folding: float = 1.0
    folding_margin: float = 0.2
    out_of_grid: float = 0.001
    points: float = 1.0
    points_knee: float = 0.5
    colour_change: float = 0.1
    units: ColourUnits = ColourUnits()
    moving: bool = True
    gradient_settings: GradientSettings = GradientSettings()


@dataclass(frozen=True)
class Dissimilarity:
    """The difference between pictures of different things and views of one scene, and the terms for the former.

    Attributes:
        similar: largest remaining difference of the gradients after a coarse fit, as a share of the gradients, for
            pictures of one scene (views of a scene and moved photographs: 0.04 to 0.08).
        different: smallest such share for pictures of different things (a face and a cat, a cup and a rocket: 0.32 to
            0.47).
        stiffness: added to the factor on smoothness for different pictures: places without a match do not determine
            the field, which would tear there.
        slope_knee: added to that of ``Terms`` for different pictures, px per px, against creases.
    """

    similar: float = 0.12
    different: float = 0.3
    stiffness: float = 8.0
    slope_knee: float = 0.3


def objective(
    first: Tensor,
    last: Tensor,
    gradients: Sequence[Tensor] | None,
    velocity: Tensor,
    colour_nodes: Tensor,
    terms: Terms,
    points: Points | None,
) -> Tensor:
    """The value to minimise, a scalar.

    Args:
        first, last: (1, C, h, w).
        gradients: ``oriented_gradients`` of both pictures, which are then warped; None computes those of the warped
            pictures.
        velocity: (1, 2, h, w), px per unit t.
        colour_nodes: (1, 2 C, n, m), see ``colour``.
        points: in px of these pictures.
    """
    # Enough squarings for a first step of half a pixel at most.
    squarings = min(7, max(3, 1 + math.ceil(math.log2(max(float(velocity.detach().abs().max()), 1.0)))))
    maps = scaling_and_squaring(torch.cat((-velocity, velocity)) / 2, squarings=squarings)
    to_first, to_last = maps[:1], maps[1:]
    a, b = warp(first, to_first), warp(last, to_last)
    if gradients is None:
        warped = oriented_gradients(a, terms.gradient_settings), oriented_gradients(b, terms.gradient_settings)
    else:
        warped = warp(gradients[0], to_first), warp(gradients[1], to_last)
    colours = a, b
    if terms.units:
        change = interpolate_colour_change(colour_nodes, terms.units, *a.shape[-2:])
        colours = apply_colour_change(a, change, 0.5), apply_colour_change(b, change, -0.5)
    differences = terms.colour * (colours[0] - colours[1]), terms.gradients * (warped[0] - warped[1])
    difference = torch.cat(differences, dim=1)
    visible = (outside(maps) == 0).all(dim=1, keepdim=True).all(dim=0, keepdim=True).to(a.dtype) + 1e-3
    data = (_charbonnier(difference, terms.knee).sum(dim=1, keepdim=True) * visible).sum() / visible.sum()
    data = data + terms.unseen * (1 - visible).clamp(min=0).mean()
    slopes = [_charbonnier(torch.diff(velocity, dim=axis), terms.slope_knee).mean() for axis in (-1, -2)]
    loss = (
        data
        + terms.smooth * (slopes[0] + slopes[1])
        + terms.folding * folding_penalty(maps, terms.folding_margin)
        + terms.out_of_grid * out_of_grid_penalty(maps)
        + terms.colour_change * (colour_nodes.square().mean() + roughness(colour_nodes))
    )
    if points is not None:
        loss = loss + terms.points * _charbonnier(points_apart(points, to_first, to_last), terms.points_knee).mean()
    return loss


def oriented_gradients(image: Tensor, settings: GradientSettings = GradientSettings()) -> Tensor:
    """Edges by direction, independent of the light: (1, C, H, W) -> (1, orientations, H, W).

    The luma's gradient in each direction, its negative part set to 0, blurred, and divided by the contrast around.
    """
    grey = image[:, :1]
    if image.shape[1] >= 3:
        grey = luma(image[:, :3])
        if image.shape[1] == 4:  # premultiplied: an edge of the cover is an edge, whatever the colour
            grey = (grey + image[:, 3:]) / 2
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    angles = [2 * math.pi * k / settings.orientations for k in range(settings.orientations)]
    parts = torch.cat([(math.cos(a) * along_x + math.sin(a) * along_y).clamp(min=0) for a in angles], dim=1)
    parts = blur(parts, settings.softening)
    # The small number keeps the root's slope finite where a picture is flat.
    contrast = (blur(parts.square().sum(dim=1, keepdim=True), settings.surroundings) + 1e-8).sqrt()
    return parts / (contrast + settings.contrast_floor)


def points_apart(points: Points, to_first: Tensor, to_last: Tensor) -> Tensor:
    """The distance between corresponding points at t = 1/2, px: (1, 2, 1, N).

    The maps (1, 2, h, w) pull to t = 1/2; a point of one picture moves forward along the map of the other.
    """
    source, target = (p.T[None, :, None, :].to(to_first) for p in points)  # (1, 2, 1, N)
    return (source + sample(to_last, source)) - (target + sample(to_first, target))


@torch.no_grad()
def dissimilarity(
    first: Tensor, last: Tensor, velocity: Tensor, settings: Dissimilarity = Dissimilarity(),
    gradients: GradientSettings = GradientSettings(),
) -> float:  # fmt: skip
    """0 for two views of one scene, 1 for pictures of different things, by the gradients' difference after a fit.

    Args:
        first, last: (1, C, h, w).
        velocity: (1, 2, h, w) of the fit, px per unit t.
    """
    maps = scaling_and_squaring(torch.cat((-velocity, velocity)) / 2)
    a, b = (oriented_gradients(warp(x, u), gradients) for x, u in zip((first, last), maps.split(1)))
    difference = float((a - b).abs().mean() / (a.abs().mean() + b.abs().mean()).clamp(min=1e-6))
    return min(max((difference - settings.similar) / (settings.different - settings.similar), 0.0), 1.0)


def stiffened(terms: Terms, degree: float, settings: Dissimilarity = Dissimilarity()) -> Terms:
    """The terms for pictures whose ``dissimilarity`` is ``degree``, in [0, 1]."""
    return replace(
        terms,
        smooth=terms.smooth * (1 + settings.stiffness * degree),
        slope_knee=terms.slope_knee + settings.slope_knee * degree,
    )


def _charbonnier(x: Tensor, knee: float) -> Tensor:
    return (x.square() + knee**2).sqrt() - knee
