"""Objectives: named losses, weighted. What a training step minimises, and what the log shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """What the objective reads of a model's answer; ``models.prediction.Motion`` has all of it."""

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


class TripletObjective(nn.Module):
    """Weighted sum of losses between a motion's frames and the true ones. A term of weight 0 is not computed.

    Args:
        l2, charbonnier, laplacian, census, perceptual: weights of the photometric terms between made and true frames.
        negative_psnr: weight of the mean over frames of -PSNR: a frame that is nearly right counts as much as a bad
            one.
        census_shrink: census compares pictures at this fraction of the size; at 1 it costs more than all else together.
        velocity: weight of the distance, px, between the model's velocity and a known one.
        folding, margin: JD weight and margin; out_of_grid: OG weight.
        smooth, edge_smooth: weights of the velocity's smoothness; sharpness: of the edge-aware one.
        round_trip: weight of the picture that is warped there and back; inverse: of the maps' own round trip, px^2.
        auxiliary: weights of the model's further frames by name, or by the part of the name before ``/``: coarser
            levels, one-sided warps. They are compared by Charbonnier at their own size.
        network: (made, true) -> scalar, the perceptual distance (``losses.perceptual.FeatureDistance``, or LPIPS by
            ``nets.perceptual``); needed if ``perceptual`` > 0.
    """

    def __init__(
        self,
        l2: float = 0.0,
        charbonnier: float = 0.0,
        laplacian: float = 0.0,
        census: float = 0.0,
        census_shrink: int = 1,
        negative_psnr: float = 0.0,
        perceptual: float = 0.0,
        velocity: float = 0.0,
        folding: float = 0.0,
        margin: float = 0.0,
        out_of_grid: float = 0.0,
        smooth: float = 0.0,
        edge_smooth: float = 0.0,
        sharpness: float = 10.0,
        round_trip: float = 0.0,
        inverse: float = 0.0,
        auxiliary: Mapping[str, float] | None = None,
        network: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if perceptual and network is None:
            raise ValueError("A perceptual weight needs a network: +perceptual@objective.network=features (or =lpips).")
        self.weights = {
            "l2": l2, "charbonnier": charbonnier, "laplacian": laplacian, "census": census,
            "negative_psnr": negative_psnr, "perceptual": perceptual,
            "velocity": velocity, "folding": folding, "out_of_grid": out_of_grid, "smooth": smooth,
            "edge_smooth": edge_smooth, "round_trip": round_trip, "inverse": inverse,
        }  # fmt: skip
        self.auxiliary = dict(auxiliary or {})
        self.margin, self.sharpness, self.census_shrink = margin, sharpness, census_shrink
        self.network = network

    def forward(
        self,
        motion: MotionLike,
        true: Tensor,
        first: Tensor,
        velocity: Tensor | None = None,
        known: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The unweighted terms by name, and ``total``.

        Args:
            motion: the model's answer for times t.
            true: (B, T, C, H, W), the true frames at those times.
            first: (B, C, H, W), the first frame.
            velocity: (B, 2, H, W) true velocity of the *content*, px per unit t (minus that of the pull-back path).
            known: (B, 1, H, W), 1 where ``velocity`` is known.
        """
        terms: dict[str, Tensor] = {}
        if true.shape[1]:
            for name, loss in self._photometric().items():
                terms[name] = loss(motion.frame.flatten(0, 1), true.flatten(0, 1))
            terms |= self._auxiliary_terms(motion, true)
        terms |= self._penalties(motion, first)
        if self.weights["velocity"] and velocity is not None and motion.velocity is not None:
            made = resize_flow(motion.velocity, *velocity.shape[-2:])
            terms["velocity"] = charbonnier(made, -velocity, weight=known)
        weights = {**self.weights, **{name: self._auxiliary_weight(name) for name in motion.auxiliary}}
        return weighted(terms, weights)

    def _photometric(self) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        losses = {
            "l2": mean_squared, "charbonnier": charbonnier, "laplacian": laplacian_pyramid, "census": self._census,
            "negative_psnr": negative_psnr, "perceptual": self.network,
        }  # fmt: skip
        return {name: loss for name, loss in losses.items() if self.weights[name] and loss is not None}

    def _census(self, made: Tensor, true: Tensor) -> Tensor:
        if self.census_shrink > 1:
            made, true = (F.avg_pool2d(image, self.census_shrink) for image in (made, true))
        return census(made, true)

    def _auxiliary_weight(self, name: str) -> float:
        return self.auxiliary.get(name, self.auxiliary.get(name.split("/")[0], 0.0))

    def _auxiliary_terms(self, motion: MotionLike, true: Tensor) -> dict[str, Tensor]:
        terms = {}
        for name, frames in motion.auxiliary.items():
            if self._auxiliary_weight(name):
                target = _resized(true.flatten(0, 1), *frames.shape[-2:])
                terms[name] = charbonnier(frames.flatten(0, 1), target)
        return terms

    def _penalties(self, motion: MotionLike, first: Tensor) -> dict[str, Tensor]:
        on, terms = self.weights, {}
        if on["folding"]:
            terms["folding"] = folding_penalty(motion.path, self.margin)
        if on["out_of_grid"]:
            terms["out_of_grid"] = out_of_grid_penalty(motion.path)
        if motion.velocity is not None:
            if on["smooth"]:
                terms["smooth"] = smoothness(motion.velocity)
            if on["edge_smooth"]:
                picture = _resized(first, *motion.velocity.shape[-2:])
                terms["edge_smooth"] = edge_aware_smoothness(motion.velocity, picture, self.sharpness)
        if motion.forward is not None and motion.backward is not None:
            if on["round_trip"]:
                terms["round_trip"] = picture_round_trip(first, motion.forward, motion.backward)
            if on["inverse"]:
                terms["inverse"] = round_trip_penalty(motion.forward, motion.backward)
        return terms


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=True)
