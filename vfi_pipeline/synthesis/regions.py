"""Which parts of a frame a motion leads out of, or under an overlay: a CPU corrects the blend weight only there.

A device corrects it everywhere: to read the answers back would stall it for longer than the work takes.
"""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.synthesis.planes import Layout

Region = tuple[slice, slice]
"""(rows, columns) of luma pixels."""


def everything(layout: Layout) -> list[Region]:
    return [(slice(0, layout.height), slice(0, layout.width))]


def leaving_frame(coarse: Tensor, layout: Layout) -> list[Region]:
    """Disjoint (rows, columns) of luma pixels; no position outside of them leaves the frame.

    Found on the motion's grid: between cells whose positions lie inside by a cell, all positions lie inside.
    """
    h, w = coarse.shape[-2:]
    cell_x, cell_y = layout.width / w, layout.height / h
    at_x = (torch.arange(w) + 0.5) * cell_x - 0.5 + coarse[:, 0:4:2]
    at_y = ((torch.arange(h) + 0.5) * cell_y - 0.5)[:, None] + coarse[:, 1:4:2]

    def deepest(leaves: Tensor) -> int:
        """How many cells lie before the last that leaves, itself included. ``leaves``: one value per row or column."""
        hit = leaves.nonzero()
        return int(hit.max()) + 1 if len(hit) else 0

    (left, right), (top, bottom) = (
        (at.amin(dim=(0, 1, across)), at.amax(dim=(0, 1, across)).flip(0)) for at, across in ((at_x, 2), (at_y, 3))
    )
    x0 = ceil((deepest(left < cell_x) + 1) * cell_x)
    x1 = layout.width - ceil((deepest(right > layout.width - 1 - cell_x) + 1) * cell_x)
    y0 = ceil((deepest(top < cell_y) + 1) * cell_y)
    y1 = layout.height - ceil((deepest(bottom > layout.height - 1 - cell_y) + 1) * cell_y)
    if x0 >= x1 or y0 >= y1:
        return everything(layout)
    across, between = slice(0, layout.width), slice(y0, y1)
    return [
        (slice(0, y0), across),
        (slice(y1, layout.height), across),
        (between, slice(0, x0)),
        (between, slice(x1, layout.width)),
    ]


def beside_cover(coarse: Tensor, covered: tuple[Tensor, Tensor], layout: Layout, cell_px: int) -> list[Region]:
    """Disjoint (rows, columns) of luma pixels; no position outside of them lies under an overlay."""
    either = torch.maximum(covered[0].amax(dim=0), covered[1].amax(dim=0))
    cells = F.max_pool2d(either, cell_px, ceil_mode=True)[0].numpy()
    farthest = float(coarse[:, :4].abs().max())
    grow = ceil((farthest + 1) / cell_px)
    near = cv2.dilate((cells > 0).astype(np.uint8), np.ones((2 * grow + 1, 2 * grow + 1), np.uint8))
    count, _, found, _ = cv2.connectedComponentsWithStats(near)
    boxes = [tuple(int(v) for v in found[k, :4]) for k in range(1, count)]
    if any(_overlap(a, b) for k, a in enumerate(boxes) for b in boxes[:k]):
        x, y, w, h = cv2.boundingRect(near)
        boxes = [(x, y, w, h)]

    def luma(begin: int, count: int, size: int) -> slice:
        return slice(begin * cell_px, min((begin + count) * cell_px, size))

    return [(luma(y, h, layout.height), luma(x, w, layout.width)) for x, y, w, h in boxes]


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
