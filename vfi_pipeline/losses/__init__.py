"""Losses: pure functions of tensors, each a mean, so that a weight means the same for every size and batch."""

from vfi_pipeline.losses.adversarial import critic_loss, generator_loss, gradient_norm, gradient_penalty
from vfi_pipeline.losses.distillation import distillation
from vfi_pipeline.losses.objective import Term, TripletObjective, triplet_objective, weighted
from vfi_pipeline.losses.penalties import (
    edge_aware_smoothness,
    folding_penalty,
    out_of_grid_penalty,
    picture_round_trip,
    round_trip_penalty,
    smoothness,
)
from vfi_pipeline.losses.photometric import census, charbonnier, laplacian_pyramid, mean_squared

__all__ = [
    "Term",
    "TripletObjective",
    "census",
    "charbonnier",
    "critic_loss",
    "distillation",
    "edge_aware_smoothness",
    "folding_penalty",
    "generator_loss",
    "gradient_norm",
    "gradient_penalty",
    "laplacian_pyramid",
    "mean_squared",
    "out_of_grid_penalty",
    "picture_round_trip",
    "round_trip_penalty",
    "smoothness",
    "triplet_objective",
    "weighted",
]
