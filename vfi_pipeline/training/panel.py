"""The panel of the log: a sample's frames side by side, its velocity and its Jacobian determinant."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.training.panel_sample import PanelSample
from vfi_pipeline.viz.pictures import colour_wheel, jacobian_map, rgb

COLUMNS = ("first", "frame", "target", "last", "velocity", "jacobian")


def panel(sample: PanelSample, rows: int = 4, height: int = 64) -> Tensor:
    """One picture (3, H', W'): a row for each sample with ``COLUMNS``; a black tile without a target."""
    count = min(rows, sample.first.shape[0])
    flow = sample.motion.flow[:count, 0]
    # The panel shows the motion of the content: minus the pull-back displacement.
    tiles = [sample.first, sample.frame, sample.target, sample.last]
    shown = [rgb(tile[:count]) if tile is not None else torch.zeros_like(rgb(sample.first[:count])) for tile in tiles]
    shown += [colour_wheel(-flow), jacobian_map(flow)]
    size = sample.first.shape[-2:]
    scale = max(1, round(height / size[0])) if size[0] < height else 1
    enlarged = [F.interpolate(_fit(tile, size), scale_factor=scale, mode="nearest") for tile in shown]
    framed = [F.pad(tile, (1, 1, 1, 1), value=0.5) for tile in enlarged]
    return torch.cat([torch.cat(list(row), dim=2) for row in zip(*framed)], dim=1).clamp(0, 1)


def _fit(tile: Tensor, size: Sequence[int]) -> Tensor:
    tile = tile.detach().float()
    return tile if tuple(tile.shape[-2:]) == tuple(size) else F.interpolate(tile, tuple(size), mode="nearest")
