"""A network that has learned one thing: always the same velocity field."""

from __future__ import annotations

import torch

from vfi_pipeline.nets.fields import Field, PolynomialVelocity


class Fixed(Field):
    """Always the same velocity field."""

    kind = "svf"

    def __init__(self, field: torch.Tensor, channels: int = 1) -> None:
        super().__init__(channels, "first")
        self.field = torch.nn.Parameter(field)

    def forward(self, first, last=None):
        return PolynomialVelocity(self.field.expand(len(first), -1, -1, -1)[:, None])
