"""The small RGB picture that a motion model sees. Only here are colours converted; the picture path never is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.media.frames import Colour, Frame, PixelFormat
from vfi_pipeline.shots.thumbnails import black_and_white, chroma_swing, shrunk, thumbnail_size

# Kr, Kb of the luma equation Y = Kr R + (1 - Kr - Kb) G + Kb B, by ffmpeg's name (ITU-T H.273, table 4).
_LUMA = {
    "bt709": (0.2126, 0.0722),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
    "bt2020c": (0.2627, 0.0593),
}

VISIBLE = 1e-4
"""Added to the opacity by which colours are weighted: where nothing is visible, their plain mean is left."""


def looked_at(frame: Frame, span: int | None) -> Tensor:
    """What a motion model with this ``guide_span`` is shown of a frame: its guide, or a token if it never looks."""
    return torch.zeros(1, 3, 1, 1) if span is None else guide(frame, span)


def guide(frame: Frame, span: int) -> Tensor:
    """The frame as RGB for the motion estimate: (1, 3, h, w), float32 in [0, 1], of ``thumbnail_size``.

    Area-averaged (half-pixel centres), then converted by the stream's matrix and range; untagged is BT.709 from 720
    lines or 1280 columns upwards, else BT.601, limited range (RGB and grey: full). PQ and HLG are only normalised.
    Transparent parts show mid grey, so that invisible colours do not move anything.
    """
    fmt, size = frame.format, thumbnail_size(frame.width, frame.height, span)
    kinds = [plane.kind for plane in fmt.planes]
    if fmt.has_alpha:
        opacity = frame.planes[kinds.index("a")].astype(np.float32) * (1 / fmt.peak)
        if (opacity < 1).any():
            rgb = _converted(frame, [_premultiplied(plane, opacity, size) for plane in frame.planes[:-1]])
            small = torch.from_numpy(shrunk(opacity, size))
            # Planes are divided by the opacity before the conversion (it has offsets) and laid over grey after it.
            return rgb * small + 0.5 * (1 - small)
    return _converted(frame, [shrunk(plane, size) for kind, plane in zip(kinds, frame.planes) if kind != "a"])


def device_guide(frame: Frame, codes: Sequence[Tensor], span: int) -> Tensor:
    """``guide`` of planes that lie on a device, made there: equal to the rounding of shrunk planes to code values.

    Args:
        codes: ``compose.to_codes`` of the frame, as values: per group (1, C, h, w) float32.
    """
    fmt, size = frame.format, thumbnail_size(frame.width, frame.height, span)
    matrix, offset = rgb_matrix_on(codes[0].device, frame)
    if not fmt.has_alpha:
        planes = torch.cat([resampled(group, size) for group in codes], dim=1)
        return torch.addmm(offset, matrix, planes[0].flatten(1)).clamp_(0, 1).view(1, 3, *size)
    # Alpha has luma's size: it is the last plane of the first group.
    colours, opacity = codes[0][:, :-1], codes[0][:, -1:] * (1 / fmt.peak)
    visible = torch.cat([_visible(group, opacity, size) for group in (colours, *codes[1:])], dim=1)
    rgb = torch.addmm(offset, matrix, visible[0].flatten(1)).clamp_(0, 1).view(1, 3, *size)
    small = resampled(opacity, size)
    return rgb * small + 0.5 * (1 - small)


def _visible(planes: Tensor, opacity: Tensor, size: tuple[int, int]) -> Tensor:
    """``_premultiplied`` of planes (1, C, H, W) on a device."""
    weight = resampled(opacity, (planes.shape[-2], planes.shape[-1])) + VISIBLE
    return resampled(planes * weight, size) / resampled(weight, size)


def resampled(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, H, W) on (h, w) pixels that cover the same area: averaged to shrink both ways, else bilinear."""
    rows, columns = planes.shape[-2:]
    if (rows, columns) == size:
        return planes
    shrinks = rows >= size[0] and columns >= size[1]
    down, across = (_weights(n, m, shrinks, planes.device) for n, m in ((rows, size[0]), (columns, size[1])))
    return down @ planes @ across.T


@lru_cache(maxsize=16)
def _weights(pixels: int, cells: int, shrinks: bool, device: torch.device) -> Tensor:
    """(cells, pixels): how much of each pixel every cell shows; rows sum to 1."""
    with torch.inference_mode(False):
        ratio = pixels / cells
        begin = torch.arange(cells, dtype=torch.float64)[:, None] * ratio
        pixel = torch.arange(pixels, dtype=torch.float64)
        if shrinks:
            weights = (torch.minimum(pixel + 1, begin + ratio) - torch.maximum(pixel, begin)).clamp(min=0)
        else:
            at = (begin + ratio / 2 - 0.5).clamp(0, pixels - 1)
            weights = (1 - (pixel - at).abs()).clamp(min=0)
        return (weights / weights.sum(dim=1, keepdim=True)).float().to(device)


def rgb_matrix_on(device: torch.device, frame: Frame) -> tuple[Tensor, Tensor]:
    """``rgb_matrix`` on a device, copied to it once for all frames that look like this one."""
    return _rgb_on(device, frame.format, frame.colour, (frame.width, frame.height))


@lru_cache(maxsize=16)
def _rgb_on(device: torch.device, fmt: PixelFormat, colour: Colour, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``rgb_matrix`` of such frames on a device."""
    with torch.inference_mode(False):
        matrix, offset = rgb_matrix(Frame((), fmt, *size, Fraction(0), colour))
        return matrix.to(device), offset.to(device)


def _converted(frame: Frame, planes: list[np.ndarray]) -> Tensor:
    """Shrunk planes (code values, one size) to RGB in [0, 1]: (1, 3, h, w). One matrix and offset per format."""
    height, width = planes[0].shape
    samples = torch.empty(len(planes), height * width)
    for row, plane in zip(samples, planes):
        # torch warns of read-only memory, which decoders may hand out; it is only read here.
        row.copy_(torch.from_numpy(plane if plane.flags.writeable else plane.copy()).flatten())
    matrix, offset = rgb_matrix(frame)
    return torch.addmm(offset, matrix, samples).clamp_(0, 1).view(1, 3, height, width)


def rgb_matrix(frame: Frame) -> tuple[Tensor, Tensor]:
    """``matrix @ planes + offset`` is RGB in [0, 1]: (3, planes without alpha) and (3, 1)."""
    fmt = frame.format
    black, white = black_and_white(frame)
    if fmt.is_rgb:  # g, b, r
        return torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]) / fmt.peak, torch.zeros(3, 1)
    if len(fmt.planes) == 1:
        scale = 1 / (white - black)
        return torch.full((3, 1), scale), torch.full((3, 1), -black * scale)
    kr, kb = _LUMA.get(_matrix(frame), _LUMA["bt709"])
    kg = 1 - kr - kb
    by_unit = torch.tensor(
        [[1, 0, 2 * (1 - kr)], [1, -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg], [1, 2 * (1 - kb), 0]],
        dtype=torch.float64,
    )
    middle, swing = 1 << (fmt.depth - 1), chroma_swing(frame)
    matrix = by_unit / torch.tensor([white - black, swing, swing], dtype=torch.float64)
    offset = -matrix @ torch.tensor([[black], [middle], [middle]], dtype=torch.float64)
    return matrix.float(), offset.float()


def luma_weights(frame: Frame) -> Tensor:
    """Shares of R, G and B in the frame's luma, (3,)."""
    kr, kb = _LUMA.get(_matrix(frame), _LUMA["bt709"])
    return torch.tensor([kr, 1 - kr - kb, kb])


def _matrix(frame: Frame) -> str:
    if frame.colour.matrix is not None:
        return frame.colour.matrix
    return "bt709" if frame.width >= 1280 or frame.height >= 720 else "smpte170m"


def _premultiplied(plane: np.ndarray, opacity: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The shrunk plane of the visible colours: each sample counts by its opacity."""
    weight = opacity if plane.shape == opacity.shape else shrunk(opacity, plane.shape)
    weight = weight + np.float32(VISIBLE)
    return shrunk(plane.astype(np.float32) * weight, size) / shrunk(weight, size)
