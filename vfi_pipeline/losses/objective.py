"""Objectives: named losses, weighted. A training step minimises their sum; the log shows each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.geometry import resize_flow
from vfi_pipeline.losses.penalties import (
    edge_aware_smoothness,
    folding_penalty,
    out_of_grid_penalty,
    picture_round_trip,
    round_trip_penalty,
    smoothness,
)
from vfi_pipeline.losses.photometric import census, charbonnier, laplacian_pyramid, mean_squared, negative_psnr


class MotionLike(Protocol):
    """The attributes of a model's output that the objective reads; ``models.prediction.Motion`` has them."""

    frame: Tensor
    path: Tensor
    velocity: Tensor | None
    forward: Tensor | None
    backward: Tensor | None
    auxiliary: Mapping[str, Tensor]


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The terms as they are (so that runs with other weights compare), and ``total``: their weighted sum.

    Raises:
        KeyError: if a term has no weight.
    """
    if not terms:
        return {"total": torch.zeros(())}
    return {**terms, "total": torch.stack([weights[name] * value for name, value in terms.items()]).sum()}


@dataclass(frozen=True)
class Comparison:
    """The input of a loss term.

    Attributes:
        motion: the model's output for times t.
        target: (B, T, C, H, W), the true frames at those times; T may be 0.
        first: (B, C, H, W), the first frame.
        velocity: (B, 2, H, W) true velocity of the *content*, px per unit t (minus that of the pull-back path).
        velocity_mask: (B, 1, H, W), 1 where ``velocity`` is given.
    """

    motion: MotionLike
    target: Tensor
    first: Tensor
    velocity: Tensor | None = None
    velocity_mask: Tensor | None = None


Loss = Callable[[Comparison], Tensor | None]
"""A scalar, or None where the motion or the data lack what it compares."""


@dataclass(frozen=True)
class Term:
    """A named loss and its weight in the sum."""

    name: str
    weight: float
    loss: Loss


class TripletObjective(nn.Module):
    """Weighted sum of losses between a motion's frames and the true ones. A term of weight 0 is not computed.

    Args:
        terms: the losses; ``triplet_objective`` makes them by name.
        auxiliary: weights of the model's further frames by name, or by the part of the name before ``/``: coarser
            levels, one-sided warps. They are compared by Charbonnier at their own size.
        network: what a term compares by, held here so that it moves to the device with the rest.
    """

    def __init__(
        self, terms: Sequence[Term], auxiliary: Mapping[str, float] | None = None, network: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.terms = [term for term in terms if term.weight]
        self.auxiliary = dict(auxiliary or {})

    def forward(
        self,
        motion: MotionLike,
        target: Tensor,
        first: Tensor,
        velocity: Tensor | None = None,
        velocity_mask: Tensor | None = None,
        auxiliary_targets: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The unweighted terms by name, and ``total``; arguments as in ``Comparison``.

        Frames of ``motion`` that are empty (T = 0) are not compared. ``auxiliary_targets`` are the true frames of
        auxiliary ones that are of other times than ``target``, by their names.
        """
        compared = Comparison(motion, target, first, velocity, velocity_mask)
        values = {term.name: term.loss(compared) for term in self.terms}
        given = {name: value for name, value in values.items() if value is not None}
        given |= self._auxiliary_terms(motion, target, auxiliary_targets or {}) if target.shape[1] else {}
        weights = {term.name: term.weight for term in self.terms}
        return weighted(given, weights | {name: self._auxiliary_weight(name) for name in motion.auxiliary})

    def _auxiliary_weight(self, name: str) -> float:
        return self.auxiliary.get(name, self.auxiliary.get(name.split("/")[0], 0.0))

    def _auxiliary_terms(self, motion: MotionLike, target: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        terms = {}
        for name, frames in motion.auxiliary.items():
            if self._auxiliary_weight(name):
                resized = _resized(targets.get(name, target).flatten(0, 1), *frames.shape[-2:])
                terms[name] = charbonnier(frames.flatten(0, 1), resized)
        return terms


def triplet_objective(
    margin: float = 0.0,
    sharpness: float = 10.0,
    census_shrink: int = 1,
    auxiliary: Mapping[str, float] | None = None,
    network: Callable[[Tensor, Tensor], Tensor] | None = None,
    **weights: float,
) -> TripletObjective:
    """The objective of these weights.

    Args:
        margin: of ``folding``: determinants below it count as folds.
        sharpness: of ``edge_smooth``.
        census_shrink: census compares pictures at this fraction of the size; at 1 it costs more than all else together.
        auxiliary: as in ``TripletObjective``.
        network: (prediction, target) -> scalar, the perceptual distance (``losses.perceptual.FeatureDistance``, or
            LPIPS by ``nets.perceptual``); needed if ``perceptual`` > 0.
        weights: by name. Between predicted and true frames: ``l2``, ``charbonnier``, ``laplacian``, ``census``,
            ``negative_psnr`` (the mean over frames of -PSNR: a frame that is nearly right counts as much as a bad one),
            ``perceptual``. Of the motion: ``velocity`` (distance, px, from the true one), ``folding`` (JD),
            ``out_of_grid`` (OG), ``smooth``, ``edge_smooth`` (of the velocity), ``round_trip`` (of the picture that is
            warped forward and back), ``inverse`` (of the maps' own round trip, px^2).

    Raises:
        ValueError: if there is no loss of a name, or ``perceptual`` has no network.
    """
    if weights.get("perceptual") and network is None:
        raise ValueError("A perceptual weight needs a network: +perceptual@objective.network=features (or =lpips).")
    losses: dict[str, Loss] = {
        "l2": _between_frames(mean_squared),
        "charbonnier": _between_frames(charbonnier),
        "laplacian": _between_frames(laplacian_pyramid),
        "census": _between_frames(partial(_shrunk_census, shrink=census_shrink)),
        "negative_psnr": _between_frames(negative_psnr),
        "perceptual": _between_frames(network) if network is not None else lambda _: None,
        "folding": lambda c: folding_penalty(c.motion.path, margin),
        "out_of_grid": lambda c: out_of_grid_penalty(c.motion.path),
        "smooth": lambda c: None if c.motion.velocity is None else smoothness(c.motion.velocity),
        "edge_smooth": partial(_edge_smoothness, sharpness=sharpness),
        "round_trip": _picture_round_trip,
        "inverse": _map_round_trip,
        "velocity": _velocity_distance,
    }
    if unknown := sorted(weights.keys() - losses.keys()):
        raise ValueError(f"There is no loss {unknown[0]!r}; there are {', '.join(losses)}.")
    terms = [Term(name, weights.get(name, 0.0), loss) for name, loss in losses.items()]
    return TripletObjective(terms, auxiliary, network if isinstance(network, nn.Module) else None)


def _between_frames(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    def compare(compared: Comparison) -> Tensor | None:
        if not compared.target.shape[1] or not compared.motion.frame.shape[1]:
            return None
        return loss(compared.motion.frame.flatten(0, 1), compared.target.flatten(0, 1))

    return compare


def _shrunk_census(prediction: Tensor, target: Tensor, shrink: int) -> Tensor:
    if shrink > 1:
        prediction, target = (F.avg_pool2d(image, shrink) for image in (prediction, target))
    return census(prediction, target)


def _edge_smoothness(compared: Comparison, sharpness: float) -> Tensor | None:
    velocity = compared.motion.velocity
    if velocity is None:
        return None
    return edge_aware_smoothness(velocity, _resized(compared.first, *velocity.shape[-2:]), sharpness)


def _picture_round_trip(compared: Comparison) -> Tensor | None:
    forward, backward = compared.motion.forward, compared.motion.backward
    return None if forward is None or backward is None else picture_round_trip(compared.first, forward, backward)


def _map_round_trip(compared: Comparison) -> Tensor | None:
    forward, backward = compared.motion.forward, compared.motion.backward
    return None if forward is None or backward is None else round_trip_penalty(forward, backward)


def _velocity_distance(compared: Comparison) -> Tensor | None:
    velocity, estimated = compared.velocity, compared.motion.velocity
    if velocity is None or estimated is None:
        return None
    return charbonnier(resize_flow(estimated, *velocity.shape[-2:]), -velocity, weight=compared.velocity_mask)


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=True)
