"""Style by optimisation: a picture descends to content, style and its earlier frames (Gatys 2016; Ruder et al. 2016).

Pure functions of tensors; ``jobs.style_passes`` takes them over a film.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vfi_pipeline.losses.perceptual import FeatureNetwork, StyleObjective, StyleTarget

BLEND = 0.5
"""Ruder's delta: the share of the warped neighbour in the picture that a later pass starts from."""


def long_term_confidence(confidences: Sequence[Tensor]) -> list[Tensor]:
    """``c_long(i-j, i) = max(c(i-j, i) - sum over nearer k of c(i-k, i), 0)`` (Ruder et al. 2016, eq. 9).

    Args:
        confidences: (B, 1, H, W) in [0, 1] of the earlier frames, the nearest first.

    Returns:
        As many; where a near frame is trusted, further ones do not count. Their sum is at most 1 where all are.
    """
    kept, nearer = [], None
    for confidence in confidences:
        kept.append(confidence if nearer is None else (confidence - nearer).clamp(min=0))
        nearer = confidence if nearer is None else nearer + confidence
    return kept


def combined(expected: Sequence[Tensor], confidences: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None:
    """One expectation in place of several: ``sum c_j (x - w_j)^2 = C (x - W)^2 + const``. None of none.

    ``C`` is the sum of the confidences, ``W`` the mean of the expectations that they weight.
    """
    if not expected:
        return None
    total = torch.stack(list(confidences)).sum(dim=0)
    mean = torch.stack([c * w for c, w in zip(confidences, expected)]).sum(dim=0) / total.clamp(min=1e-6)
    return torch.where(total > 0, mean, expected[0]), total


def single_pass_start(image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
    """What a frame starts from when the film is gone through once: its warped predecessor, the frame itself where that
    is unknown."""
    if expected is None or confidence is None:
        return image
    return confidence * expected + (1 - confidence) * image


def later_pass_start(own: Tensor, expected: Tensor | None, confidence: Tensor | None, blend: float = BLEND) -> Tensor:
    """What a frame starts from in a later pass: ``blend c w(neighbour) + (1 - blend c) own`` (Ruder et al. 2016, 5.3).

    ``own`` is the frame as the pass before left it.
    """
    if expected is None or confidence is None:
        return own
    return blend * confidence * expected + (1 - blend * confidence) * own


def optimised(
    start: Tensor,
    image: Tensor,
    network: FeatureNetwork,
    target: StyleTarget,
    objective: StyleObjective,
    iterations: int,
    expectation: tuple[Tensor, Tensor] | None = None,
    told: Callable[[float], None] = lambda share: None,
) -> tuple[Tensor, dict[str, float]]:
    """The picture that L-BFGS finds from ``start``, (1, 3, H, W) in [0, 1], and the unweighted losses it ends with.

    Args:
        image: (1, 3, H, W) the film's own frame.
        expectation: (expected, confidence) of the temporal loss.
        told: is called with the share of the work that is done.
    """
    content = objective.content_of(network, image)
    made = start.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [made], max_iter=iterations, max_eval=iterations + iterations // 2 + 1, history_size=20,
        tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip
    expected, confidence = (None, None) if expectation is None else expectation
    last: dict[str, float] = {}
    calls = 0

    def evaluate() -> float:
        nonlocal calls
        terms = objective(network, made, content, target, expected, confidence)
        (gradient,) = torch.autograd.grad(terms["total"], made)
        made.grad = gradient.contiguous()
        calls += 1
        told(min(1.0, calls / max(1, iterations)))
        last.update({name: float(value.detach()) for name, value in terms.items()})
        return last["total"]

    optimizer.step(evaluate)
    return made.detach().clamp(0, 1), last
