"""Style by optimisation: a picture descends to content, style and its earlier frames (Gatys 2016; Ruder et al. 2016).

Pure functions of tensors; ``jobs.style_passes`` takes them over a film.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.losses.perceptual import FeatureNetwork, StyleObjective, StyleTarget

BLEND = 0.5
"""Weight of the warped neighbour in the picture that a later pass starts from; delta of Ruder et al. 2016, 5.3."""


def long_term_confidence(confidences: Sequence[Tensor]) -> list[Tensor]:
    """``c_long(i-j, i) = max(c(i-j, i) - sum over nearer k of c(i-k, i), 0)`` (Ruder et al. 2016, eq. 9).

    Args:
        confidences: (B, 1, H, W) in [0, 1] of the earlier frames, the nearest first.

    Returns:
        The long-term confidences, in the same order: where a near frame has confidence, frames further away have less.
        Their sum is at most 1 where each of the given ones is.
    """
    long_term, sum_of_nearer = [], None
    for confidence in confidences:
        long_term.append(confidence if sum_of_nearer is None else (confidence - sum_of_nearer).clamp(min=0))
        sum_of_nearer = confidence if sum_of_nearer is None else sum_of_nearer + confidence
    return long_term


def combined(expected: Sequence[Tensor], confidences: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None:
    """Several expectations as a single one, ``sum c_j (x - w_j)^2 = C (x - W)^2 + const``; None for none.

    Args:
        expected: the ``w_j``, (B, 3, H, W) each.
        confidences: the ``c_j``, (B, 1, H, W) each.

    Returns:
        (W, C): the mean of the expectations weighted by their confidences, and the sum of the confidences.
    """
    if not expected:
        return None
    total = torch.stack(list(confidences)).sum(dim=0)
    mean = torch.stack([c * w for c, w in zip(confidences, expected)]).sum(dim=0) / total.clamp(min=1e-6)
    return torch.where(total > 0, mean, expected[0]), total


def single_pass_start(image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
    """The picture that a frame's descent starts from in a single pass: the warped frame before it, and the frame itself
    where there is no confidence in that."""
    if expected is None or confidence is None:
        return image
    return confidence * expected + (1 - confidence) * image


def later_pass_start(
    stylised: Tensor, expected: Tensor | None, confidence: Tensor | None, blend: float = BLEND
) -> Tensor:
    """The picture that a frame's descent starts from in a later pass (Ruder et al. 2016, 5.3).

    ``blend c w(neighbour) + (1 - blend c) stylised``, where ``stylised`` is the frame that the pass before ended with.
    """
    if expected is None or confidence is None:
        return stylised
    return blend * confidence * expected + (1 - blend * confidence) * stylised


def optimised(
    start: Tensor,
    image: Tensor,
    network: FeatureNetwork,
    target: StyleTarget,
    objective: StyleObjective,
    iterations: int,
    expectation: tuple[Tensor, Tensor] | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Tensor, dict[str, float]]:
    """The picture that L-BFGS-B reaches from ``start``, (1, 3, H, W) in [0, 1], and its unweighted losses.

    The search is bounded to the range that a picture can have (Byrd, Lu, Nocedal, Zhu 1995; SciPy's): one that is free
    meets the style with values outside it, and cutting those off afterwards gives away most of what it found.

    Args:
        image: (1, 3, H, W) the film's own frame.
        expectation: (expected, confidence) of the temporal loss.
        progress: is called with the share of the work done, in [0, 1].
    """
    from scipy.optimize import minimize  # a third of a second, which other jobs do not pay

    content = objective.content_of(network, image)
    expected, confidence = (None, None) if expectation is None else expectation
    evaluations = iterations + iterations // 2 + 1
    calls = 0

    def evaluate(values: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal calls
        picture = as_picture(values).requires_grad_()
        total = objective(network, picture, content, target, expected, confidence)["total"]
        (gradient,) = torch.autograd.grad(total, picture)
        calls += 1
        progress(min(1.0, calls / max(1, iterations)))
        return float(total.detach()), gradient.double().cpu().numpy().ravel()

    def as_picture(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.reshape(start.shape)).to(start)

    result = minimize(
        evaluate, start.detach().clamp(0, 1).double().cpu().numpy().ravel(), jac=True, method="L-BFGS-B",
        bounds=[(0, 1)] * start.numel(),
        options={"maxiter": iterations, "maxfun": evaluations, "maxcor": 20, "ftol": 0, "gtol": 0},
    )  # fmt: skip
    picture = as_picture(result.x).clamp(0, 1)
    with torch.no_grad():
        losses = objective(network, picture, content, target, expected, confidence)
    return picture, {name: float(value) for name, value in losses.items()}
