"""From deep features back to a picture (Mahendran and Vedaldi 2015; Upchurch et al. 2017, eq. 4).

z = argmin  mean over layers |phi(z) - target|^2 / |target|^2  +  tv TV(z)  +  temporal c (z - expected)^2
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vfi_pipeline.losses.perceptual import FeatureNetwork, content_distance, temporal_distance, total_variation, upto


@dataclass(frozen=True)
class InversionObjective:
    """Weights of the terms beside the features' distance, whose weight is 1.

    Attributes:
        layers: of the target features.
        total_variation: of the mean squared step between neighbours.
        temporal: of ``losses.perceptual.temporal_distance``.
    """

    layers: tuple[str, ...]
    total_variation: float = 0.1
    temporal: float = 0.0

    def __call__(
        self,
        network: FeatureNetwork,
        picture: Tensor,
        target: Mapping[str, Tensor],
        expectation: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """A scalar; arguments as in ``inverted``."""
        features = network(picture, upto=upto(network, self.layers))
        total = content_distance(features, target, self.layers) + self.total_variation * total_variation(picture)
        if expectation is not None and self.temporal:
            total = total + self.temporal * temporal_distance(picture, *expectation)
        return total


def inverted(
    start: Tensor,
    network: FeatureNetwork,
    target: Mapping[str, Tensor],
    objective: InversionObjective,
    iterations: int,
    expectation: tuple[Tensor, Tensor] | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """The picture whose features are nearest to ``target``, by L-BFGS from ``start``. Not clamped to [0, 1].

    Args:
        start: (1, C, H, W), C = 1 or 3.
        target: layer -> (1, c, h, w), at least the objective's layers.
        iterations: of L-BFGS; each takes about one evaluation of the network and its gradient.
        expectation: (expected, confidence) of the temporal term.
        progress: is called with the share of the work done, in [0, 1].
    """
    picture = start.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [picture], max_iter=iterations, max_eval=iterations + iterations // 2 + 1, history_size=20,
        tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip
    calls = 0

    def evaluate() -> Tensor:
        nonlocal calls
        total = objective(network, picture, target, expectation)
        (gradient,) = torch.autograd.grad(total, picture)
        picture.grad = gradient.contiguous()
        calls += 1
        progress(min(1.0, calls / iterations))
        return total.detach()

    with torch.enable_grad():
        optimizer.step(evaluate)
    return picture.detach()


@torch.no_grad()
def features_of(network: FeatureNetwork, pictures: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Layer -> (N, c, h, w) of pictures (N, C, H, W)."""
    features = network(pictures, upto=upto(network, layers))
    return {layer: features[layer] for layer in layers}
