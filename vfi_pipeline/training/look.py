"""What a batch looks like under a model: the material of the panels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from vfi_pipeline.models.prediction import Motion


class Look(NamedTuple):
    """Pictures (B, C, H, W) in [0, 1]; ``true`` is None where no truth is known at ``t`` (B,)."""

    first: Tensor
    made: Tensor
    true: Tensor | None
    last: Tensor
    t: Tensor
    motion: Motion
