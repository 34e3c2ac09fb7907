"""Adam (Kingma and Ba 2015), written out: importing ``torch.optim`` takes longer than fitting a small pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.99, 1e-8
"""Decay a step of the gradients' running mean and mean square; the second forgets sooner than the usual 0.999, for
fits of some tens of steps."""


class Adam:
    """Moves tensors against their gradients.

    Args:
        parameters: leaves that require gradients, changed in place.
        rates: step size of each, in its own units.
    """

    def __init__(self, parameters: Sequence[Tensor], rates: Sequence[float]) -> None:
        self.parameters, self.rates = list(parameters), list(rates)
        self._means = [torch.zeros_like(p) for p in parameters]
        self._squares = [torch.zeros_like(p) for p in parameters]
        self._steps = 0

    def step(self, loss: Tensor) -> None:
        """One step that lowers ``loss``. A parameter that the loss does not depend on stays."""
        self._steps += 1
        gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
        first, second = 1 - FIRST_DECAY**self._steps, 1 - SECOND_DECAY**self._steps
        with torch.no_grad():
            for parameter, gradient, mean, square, rate in zip(
                self.parameters, gradients, self._means, self._squares, self.rates
            ):
                mean.lerp_(gradient, 1 - FIRST_DECAY)
                square.lerp_(gradient * gradient, 1 - SECOND_DECAY)
                parameter -= rate * (mean / first) / ((square / second).sqrt() + EPSILON)
