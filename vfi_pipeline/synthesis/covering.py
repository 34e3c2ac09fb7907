"""Overlays of a pair on a device: ``overlay.moving`` and the masks it opens, as tensors, so that nothing waits.

The masks come from the host, which finds them in the frames; the motion around them lies on the device.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import constant, pixel_grid, sample
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis.guide import resampled
from vfi_pipeline.synthesis.overlay import GATE, RULE, Masks, Rule
from vfi_pipeline.synthesis.planes import Layout, as_values, to_device
from vfi_pipeline.synthesis.resize import on_source


def moving_gate(motion: IntermediateMotion, width: int, height: int, rule: Rule = RULE) -> Tensor:
    """``overlay.moving`` as a (1, 1, h, w) tensor of 0 and 1 where the motion lies; zero where that says None."""
    flow = motion.flow_to_last - motion.flow_to_first
    h, w = flow.shape[-2:]
    moves = ((flow * constant((width / w, height / h), flow)).square().sum(dim=1, keepdim=True) > rule.moves**2).float()
    shrink = max(1, round(max(h, w) / GATE))
    small = resampled(moves, (max(1, h // shrink), max(1, w // shrink)))
    side = max(1, round(max(small.shape[-2:]) * rule.near)) | 1
    around = _box(small.shape[-2], side, flow.device) @ small @ _box(small.shape[-1], side, flow.device).T
    # Sums of shares in another order than OpenCV's: a share that is met exactly is met.
    return ((around >= rule.share - 1e-5) & (moves.mean() >= rule.whole)).float()


@lru_cache(maxsize=8)
def _box(count: int, side: int, device: torch.device) -> Tensor:
    """(count, count): the mean of ``side`` neighbours, mirrored at the ends as ``cv2.blur`` mirrors them."""
    with torch.inference_mode(False):
        weights = np.zeros((count, count), np.float32)
        for row in range(count):
            for step in range(-(side // 2), side // 2 + 1):
                weights[row, cv2.borderInterpolate(row + step, count, cv2.BORDER_REFLECT_101)] += 1 / side
        return torch.from_numpy(weights).to(device)


class PairCover:
    """The overlays of a pair's two frames, uploaded once; of a made frame, what of them counts.

    Args:
        lasting, changed: see ``Overlays.masks``.
        size: (height, width) of the frames.
    """

    def __init__(self, lasting: Masks, changed: Masks, size: tuple[int, int], device: torch.device) -> None:
        self._size = size
        self._lasting, self._changed = (
            [None if mask is None else _uploaded(mask, device) for mask in masks] for masks in (lasting, changed)
        )
        self._nothing = torch.zeros(1, 1, *size, device=device)

    def covered(self, motion: IntermediateMotion) -> tuple[Tensor, Tensor]:
        """How much of each pixel of the first and the last frame an overlay covers, for ``compose.composed``."""
        gate = moving_gate(motion, self._size[1], self._size[0])
        wide, moves = F.interpolate(gate, self._size, mode="nearest"), gate.amax()
        first, last = (self._of(side, wide, moves) for side in (0, 1))
        return first, last

    def has(self, side: int) -> bool:
        """Whether the pair's first (0) or last (1) frame has any."""
        return self._lasting[side] is not None or self._changed[side] is not None

    def _of(self, side: int, wide: Tensor, moves: Tensor) -> Tensor:
        lasting, changed = self._lasting[side], self._changed[side]
        parts = []
        if lasting is not None:
            parts.append(lasting * wide)
        if changed is not None:
            parts.append(changed * moves)
        if not parts:
            return self._nothing
        return parts[0] if len(parts) == 1 else torch.maximum(*parts)


def _uploaded(mask: np.ndarray, device: torch.device) -> Tensor:
    return to_device(torch.from_numpy(mask)[None, None], device).float() * (1 / 255)


def plane_weights(mask: Tensor, layout: Layout, scaling: Scaling | None) -> list[Tensor]:
    """A mask over the source (1, 1, height, width) on each group's samples of the made picture, (1, 1, h, w)."""
    if scaling is not None:
        grid = pixel_grid(layout.height, layout.width, like=mask)
        mask = sample(mask, on_source(grid, scaling))
    return [resampled(mask, layout.plane_size(group)).clamp(0, 1) for group in layout.groups]


def kept(made: list[Tensor], source: list[Tensor], weights: list[Tensor], layout: Layout) -> list[Tensor]:
    """``mask.keep`` of code values on a device: ``source`` where a weight is 1, exactly.

    Args:
        made, source: ``planes.rounded``.
        weights: per group (1, 1, h, w) in [0, 1].
    """
    mixed = []
    for ours, theirs, weight in zip(made, source, weights):
        base = as_values(ours)
        codes = base + weight * (as_values(theirs) - base) + 0.5
        mixed.append(codes.to(torch.uint8) if layout.format.depth <= 8 else codes.to(torch.int32).to(torch.int16))
    return mixed
