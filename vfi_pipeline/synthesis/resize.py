"""Pictures read on another grid: where each sample of the result lies in the source, and the filter it is read with.

The filter is the cubic convolution of Keys (1981). To enlarge, with a = -0.75 (as OpenCV's and PyTorch's ``bicubic``).
To shrink, the source is first low-passed on its own grid by the kernel with a = -0.5, stretched by the factor; then the
same reading takes the samples that are wanted. So a moved picture is sampled once, at the moved place, and a picture
that does not move is what a plain resize gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import constant, sample
from vfi_pipeline.media.frames import Frame, PixelFormat
from vfi_pipeline.media.scaling import Scaling


def on_source(position: Tensor, scaling: Scaling) -> Tensor:
    """(B, 2, h, w) positions on the placed picture -> on the source, luma pixels."""
    (across, left), (down, top) = scaling.to_source
    return position * constant((across, down), position) + constant((left, top), position)


def pulled(source: Tensor, move: Tensor, sub: tuple[int, int], offset: tuple[float, float], scaling: Scaling) -> Tensor:
    """``source`` where samples of a band of the placed picture lie after a move.

    Args:
        source: (1 or B, C, h, w), all of a plane of the source, low-passed if the picture shrinks.
        move: (B, 2, h', w'), luma pixels of the placed picture, from the band's own samples.
        sub, offset: sample (i, j) of a plane lies at luma ``(offset_x + sub_x * j, offset_y + sub_y * i)``.
    """
    rows, columns = (torch.arange(n, device=move.device, dtype=move.dtype) for n in move.shape[-2:])
    x = move[:, 0] + (offset[0] + sub[0] * columns)
    y = move[:, 1] + (offset[1] + sub[1] * rows)[:, None]
    position = on_source(torch.stack((x, y), dim=1), scaling)
    return sample(source, (position - constant(offset, position)) / constant(sub, position), cubic=True)


def shrinks(scaling: Scaling) -> bool:
    """Whether sources are to be low-passed before they are read."""
    (across, _), (down, _) = scaling.to_source
    return across > 1 or down > 1


def window_of(field: Tensor, scaling: Scaling) -> Tensor:
    """The part of a motion field (B, C, h, w), which covers the source, that the placed picture shows; same grid."""
    x, y, width, height = (float(v) for v in scaling.window)
    if (x, y, width, height) == (0.0, 0.0, *scaling.source):
        return field
    grid = _window_grid(scaling, *field.shape[-2:], field.device)
    return sample(field, grid.expand(len(field), -1, -1, -1))


@lru_cache(maxsize=8)
def _window_grid(scaling: Scaling, h: int, w: int, device: torch.device) -> Tensor:
    """(1, 2, h, w): where the cells of the shown part lie on the grid that covers the source."""
    x, y, width, height = (float(v) for v in scaling.window)
    with torch.inference_mode(False):
        columns = ((torch.arange(w, device=device) + 0.5) * (width / w) + x) * (w / scaling.source[0]) - 0.5
        rows = ((torch.arange(h, device=device) + 0.5) * (height / h) + y) * (h / scaling.source[1]) - 0.5
        return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]


def low_passed(groups: Sequence[Tensor], scaling: Scaling) -> list[Tensor]:
    """Planes of the source (B, C, h, w) without what a smaller picture cannot hold; else as they are."""
    if not shrinks(scaling):
        return list(groups)
    (across, _), (down, _) = scaling.to_source
    x, y = _kernel(across), _kernel(down)
    return [_filtered(group, x, y) for group in groups]


def _filtered(group: Tensor, x: np.ndarray, y: np.ndarray) -> Tensor:
    if group.device.type == "cpu":
        out = torch.empty(group.shape)
        for plane, made in zip(group.flatten(0, 1).numpy(), out.flatten(0, 1).numpy()):
            cv2.sepFilter2D(plane, cv2.CV_32F, x, y, dst=made, borderType=cv2.BORDER_REPLICATE)
        return out
    planes = group.flatten(0, 1)[:, None]
    for kernel, shape, pad in ((x, (1, 1, 1, -1), (len(x) // 2,) * 2 + (0, 0)),
                               (y, (1, 1, -1, 1), (0, 0) + (len(y) // 2,) * 2)):  # fmt: skip
        weights = constant(tuple(kernel.tolist()), planes).view(shape)
        planes = F.conv2d(F.pad(planes, pad, mode="replicate"), weights)
    return planes.view(group.shape)


@lru_cache(maxsize=16)
def _kernel(shrink: float) -> np.ndarray:
    """Keys' kernel, a = -0.5, stretched by ``shrink``, sampled at whole pixels; it sums to 1."""
    if shrink <= 1:
        return np.ones(1, np.float32)
    radius = ceil(2 * shrink) - 1
    at = np.abs(np.arange(-radius, radius + 1) / shrink)
    near = 1.5 * at**3 - 2.5 * at**2 + 1
    far = -0.5 * at**3 + 2.5 * at**2 - 4 * at + 2
    weights = np.where(at <= 1, near, np.where(at < 2, far, 0))
    return np.asarray(weights / weights.sum(), np.float32)


def on_canvas(frame: Frame, scaling: Scaling) -> Frame:
    """The placed picture with its bars: black, and transparent where there is alpha."""
    if not scaling.padded:
        return frame
    left, top, _, _ = scaling.place
    width, height = scaling.canvas
    planes = []
    for index, (plane, part) in enumerate(zip(frame.format.planes, frame.planes)):
        whole = np.full(frame.format.plane_size(index, width, height), _black(frame, plane.kind), frame.format.dtype)
        y, x = top // plane.sub_y, left // plane.sub_x
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
        planes.append(whole)
    return Frame(tuple(planes), frame.format, width, height, frame.time, frame.colour)


def _black(frame: Frame, kind: str) -> int:
    form: PixelFormat = frame.format
    if kind in "uv":
        return 1 << (form.depth - 1)
    limited = kind == "y" and frame.colour.range != "pc" and len(form.planes) > 1
    return 16 << (form.depth - 8) if limited else 0


def mask_on(values: np.ndarray, scaling: Scaling) -> np.ndarray:
    """A mask (h, w) that covers the source, of any size, as (height, width) on the placed picture."""
    h, w = values.shape
    (across, left), (down, top) = scaling.to_source
    x, y = w / scaling.source[0], h / scaling.source[1]
    at = np.array([[across * x, 0, (left + 0.5) * x - 0.5], [0, down * y, (top + 0.5) * y - 0.5]])
    return cv2.warpAffine(
        values.astype(np.float32), at, scaling.place[2:], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
