"""Style by optimisation: a picture descends to content, style and its earlier frames (Gatys 2016; Ruder et al. 2016).

Pure functions of tensors; ``jobs.style_passes`` takes them over a film.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    """The minimum that L-BFGS reaches from ``start``, (1, 3, H, W) in [0, 1], and the unweighted losses there.

    Args:
        image: (1, 3, H, W) the film's own frame.
        expectation: (expected, confidence) of the temporal loss.
        progress: is called with the share of the work done, in [0, 1].
    """
    content = objective.content_of(network, image)
    picture = start.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [picture], max_iter=iterations, max_eval=iterations + iterations // 2 + 1, history_size=20,
        tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip
    expected, confidence = (None, None) if expectation is None else expectation
    last: dict[str, float] = {}
    calls = 0

    def evaluate() -> float:
        nonlocal calls
        terms = objective(network, picture, content, target, expected, confidence)
        (gradient,) = torch.autograd.grad(terms["total"], picture)
        picture.grad = gradient.contiguous()
        calls += 1
        progress(min(1.0, calls / max(1, iterations)))
        last.update({name: float(value.detach()) for name, value in terms.items()})
        return last["total"]

    optimizer.step(evaluate)
    return picture.detach().clamp(0, 1), last
