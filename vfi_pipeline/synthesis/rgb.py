"""A frame as RGB at its own size, and RGB as a frame of the film's format: for what repaints pictures.

The picture path never comes here: only a stylised frame has gone through RGB. Chroma is read and averaged where it is
sited. PQ and HLG are only normalised, as in ``synthesis.guide``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import constant, pixel_grid, sample
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.synthesis.compose import Group, layout_of, to_tensors
from vfi_pipeline.synthesis.guide import luma_weights, rgb_matrix, rgb_matrix_on


def to_rgb(frame: Frame, values: Sequence[Tensor] | None = None) -> Tensor:
    """(1, 3, H, W), float32 in [0, 1]; what is transparent shows mid grey.

    Args:
        values: the frame's planes where they lie already, on a device; see ``planes.to_tensors``.
    """
    layout, groups = layout_of(frame), to_tensors(frame) if values is None else values
    full = [_upsampled(tensor, group, frame) for tensor, group in zip(groups, layout.groups)]
    codes = _in_order(full, layout.groups)
    matrix, offset = rgb_matrix_on(groups[0].device, frame)
    rgb = _mixed(matrix, codes[: matrix.shape[1]], offset).clamp_(0, 1)
    if layout.alpha is None:
        return rgb
    opacity = full[0][:, layout.alpha : layout.alpha + 1] / frame.format.peak
    return rgb * opacity + 0.5 * (1 - opacity)


def from_rgb(rgb: Tensor, like: Frame) -> Frame:
    """``rgb`` (1, 3, H, W) in the format, size, time and colour tags of ``like``, rounded; alpha is ``like``'s own."""
    rgb = rgb.float().clamp(0, 1)
    matrix, offset = rgb_matrix(like)
    if matrix.shape[1] == 1:
        rgb, inverse = (rgb * luma_weights(like).view(1, 3, 1, 1)).sum(dim=1, keepdim=True), 1 / matrix[:1]
        offset = offset[:1]
    else:
        inverse = torch.linalg.inv(matrix.double()).float()
    codes = _mixed(inverse, [part[:, None] for part in rgb.unbind(1)], -inverse @ offset)
    planes: list[np.ndarray] = list(like.planes)
    for group in layout_of(like).groups:
        for index in group.planes:
            if like.format.planes[index].kind == "a":
                continue
            values = _averaged(codes[:, index : index + 1], group, like)[0, 0]
            planes[index] = (values.clamp(0, like.format.peak) + 0.5).floor().numpy().astype(like.format.dtype)
    return replace(like, planes=tuple(planes))


def with_luma_of(painted: Frame, source: Frame) -> Frame:
    """``source`` with the brightness of ``painted``: its colours stay.

    Y, U, V: the Y plane is taken over, U and V are the source's own, bit for bit. R, G, B all rise by the difference
    of both lumas (BT.601).
    """
    kinds = [plane.kind for plane in source.format.planes]
    if not source.format.is_rgb:
        return replace(
            source, planes=tuple(p if kind == "y" else s for kind, p, s in zip(kinds, painted.planes, source.planes))
        )
    share = {"g": 0.587, "b": 0.114, "r": 0.299, "a": 0.0}
    change = sum(share[kind] * (p.astype(np.float32) - s) for kind, p, s in zip(kinds, painted.planes, source.planes))
    return replace(
        source,
        planes=tuple(s if kind == "a" else _codes(s + change, source) for kind, s in zip(kinds, source.planes)),
    )


def mixed(painted: Frame, source: Frame, strength: float) -> Frame:
    """``source + strength (painted - source)`` in every plane, rounded; strength 0 is ``source`` bit for bit."""
    if strength == 1:
        return painted
    planes = [
        _codes(s + np.float32(strength) * (p.astype(np.float32) - s), source)
        for p, s in zip(painted.planes, source.planes)
    ]
    return replace(source, planes=tuple(planes))


def _codes(values: np.ndarray, like: Frame) -> np.ndarray:
    return np.floor(np.clip(values, 0, like.format.peak) + 0.5).astype(like.format.dtype)


def _mixed(matrix: Tensor, parts: list[Tensor], offset: Tensor) -> Tensor:
    """``matrix @ channels + offset`` at every pixel; parts (1, 1, H, W)."""
    height, width = parts[0].shape[-2:]
    flat = torch.cat(parts, dim=1).view(len(parts), -1)
    return torch.addmm(offset, matrix, flat).view(1, matrix.shape[0], height, width)


def _in_order(full: list[Tensor], groups: tuple[Group, ...]) -> list[Tensor]:
    """The planes in the format's order, (1, 1, H, W) each."""
    found = {index: tensor[:, k : k + 1] for tensor, group in zip(full, groups) for k, index in enumerate(group.planes)}
    return [found[index] for index in sorted(found)]


def _upsampled(tensor: Tensor, group: Group, frame: Frame) -> Tensor:
    """A group's planes on luma pixels, bilinear between the places where the samples are."""
    if group.sub == (1, 1):
        return tensor
    at = pixel_grid(frame.height, frame.width, like=tensor)
    offset = constant(group.offset, tensor).view(1, 2, 1, 1)
    scale = constant(tuple(float(sub) for sub in group.sub), tensor).view(1, 2, 1, 1)
    return sample(tensor, (at - offset) / scale)


def _averaged(plane: Tensor, group: Group, frame: Frame) -> Tensor:
    """A luma-sized plane on a group's samples: the mean of as many pixels as a sample serves, around its place."""
    for axis, sub, offset in ((3, group.sub[0], group.offset[0]), (2, group.sub[1], group.offset[1])):
        if sub == 1:
            continue
        before, weights = _box(sub, offset)
        count = -(-plane.shape[axis] // sub)
        after = max(0, (count - 1) * sub + len(weights) - before - plane.shape[axis])
        padding = (before, after, 0, 0) if axis == 3 else (0, 0, before, after)
        padded = F.pad(plane, padding, mode="replicate")
        kernel = plane.new_tensor(weights).view((1, 1, 1, -1) if axis == 3 else (1, 1, -1, 1))
        plane = F.conv2d(padded, kernel, stride=(1, sub) if axis == 3 else (sub, 1))
        plane = plane.narrow(axis, 0, count)
    return plane


def _box(sub: int, offset: float) -> tuple[int, list[float]]:
    """(pixels before the group's first that are needed, weight of each pixel): how much of each one lies within
    ``sub / 2`` of the sample at ``offset``."""
    low, high = offset - sub / 2, offset + sub / 2
    first, last = int(np.floor(low + 0.5)), int(np.ceil(high - 0.5))
    covered = [min(high, k + 0.5) - max(low, k - 0.5) for k in range(first, last + 1)]
    if first > 0:  # the kernel starts at the group's first pixel
        covered, first = [0.0] * first + covered, 0
    return -first, [share / sub for share in covered]
