"""The pictures and the motion of a batch that the panels show."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from vfi_pipeline.models.prediction import Motion


class PanelSample(NamedTuple):
    """Pictures (B, C, H, W) in [0, 1]: both sources; at ``t`` (B,) the model's frame and its target, or None."""

    first: Tensor
    frame: Tensor
    target: Tensor | None
    last: Tensor
    t: Tensor
    motion: Motion
