"""A frame as RGB at its own size, and RGB as a frame of the film's format: for what repaints pictures.

The picture path never comes here: only a stylised frame has gone through RGB. Chroma is read and averaged where it is
sited. PQ and HLG are only normalised, as in ``synthesis.guide``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import constant, pixel_grid, sample
from vfi_pipeline.media.frames import Colour, Frame, PixelFormat
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


def values_from_rgb(rgb: Tensor, like: Frame, source: Sequence[Tensor]) -> list[Tensor]:
    """Code values of ``rgb`` (1, 3, H, W) in the format, size and colours of ``like``, rounded to whole numbers, per
    group of its layout, where ``rgb`` lies; alpha is ``like``'s own.

    Args:
        source: ``like``'s planes on the same device, see ``planes.to_tensors``: of their alpha.
    """
    rgb = rgb.float().clamp(0, 1)
    weights, inverse, offset = _codes_of_rgb(rgb.device, like.format, like.colour, (like.width, like.height))
    if inverse.shape[1] == 1:
        rgb = (rgb * weights).sum(dim=1, keepdim=True)
    codes = _mixed(inverse, [part[:, None] for part in rgb.unbind(1)], offset)
    made = []
    for group, own in zip(layout_of(like).groups, source):
        planes = [
            own[:, channel : channel + 1]
            if like.format.planes[index].kind == "a"
            else _rounded(_averaged(codes[:, index : index + 1], group, like), like)
            for channel, index in enumerate(group.planes)
        ]
        made.append(planes[0] if len(planes) == 1 else torch.cat(planes, dim=1))
    return made


@lru_cache(maxsize=16)
def _codes_of_rgb(
    device: torch.device, form: PixelFormat, colour: Colour, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """(shares of R, G and B in luma (1, 3, 1, 1), matrix, offset): from RGB to the code values of such frames, from
    luma alone where there is no chroma."""
    with torch.inference_mode(False):
        like = Frame((), form, *size, Fraction(0), colour)
        weights = luma_weights(like).view(1, 3, 1, 1)
        matrix, offset = rgb_matrix(like)
        if matrix.shape[1] == 1:
            inverse, offset = 1 / matrix[:1], offset[:1]
        else:
            inverse = torch.linalg.inv(matrix.double()).float()
        return weights.to(device), inverse.to(device), (-inverse @ offset).to(device)


def values_with_luma(painted: Sequence[Tensor], source: Sequence[Tensor], like: Frame) -> list[Tensor]:
    """The code values of ``source`` with the brightness of ``painted``, per group of the layout of ``like``.

    Y, U, V: the Y plane is taken over, U and V are the source's own, bit for bit. R, G, B all rise by the difference
    of both lumas (BT.601).
    """
    kinds = [plane.kind for plane in like.format.planes]
    groups = layout_of(like).groups
    if not like.format.is_rgb:
        luma = [[kinds[index] == "y" for index in group.planes] for group in groups]
        return [own if not any(taken) else _picked(ours, own, taken) for ours, own, taken in zip(painted, source, luma)]
    (ours,), (own,), (group,) = painted, source, groups
    share = {"g": 0.587, "b": 0.114, "r": 0.299, "a": 0.0}
    order = sorted(range(len(kinds)), key=lambda channel: group.planes[channel])
    change = sum(share[kinds[group.planes[k]]] * (ours[:, k : k + 1] - own[:, k : k + 1]) for k in order)
    risen = _rounded(own + change, like)
    return [_picked(risen, own, [kinds[index] != "a" for index in group.planes])]


def _picked(ours: Tensor, theirs: Tensor, taken: Sequence[bool]) -> Tensor:
    """The channels of ``ours`` where ``taken``, else those of ``theirs``."""
    if all(taken):
        return ours
    return torch.cat([(ours if here else theirs)[:, k : k + 1] for k, here in enumerate(taken)], dim=1)


def mixed_values(painted: Sequence[Tensor], source: Sequence[Tensor], like: Frame, strength: float) -> list[Tensor]:
    """``source + strength (painted - source)`` of code values, rounded to whole numbers; strength 0 is ``source``."""
    if strength == 1:
        return list(painted)
    return [_rounded(own + strength * (ours - own), like) for ours, own in zip(painted, source)]


def _rounded(values: Tensor, like: Frame) -> Tensor:
    """Code values as whole numbers, in the format's range."""
    return (values.clamp(0, like.format.peak) + 0.5).floor()


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
        kernel = constant(tuple(weights), plane).view((1, 1, 1, -1) if axis == 3 else (1, 1, -1, 1))
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
