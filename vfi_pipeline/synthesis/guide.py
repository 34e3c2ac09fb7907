"""The small RGB picture that a motion model sees. Only here are colours converted; the picture path never is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.media.frames import Colour, Frame, PixelFormat

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


def guide_size(width: int, height: int, span: int) -> tuple[int, int]:
    """(height, width) of the guide: the frame's own size if its longest side is at most ``span``, else scaled to it.

    The shorter side is rounded to the nearest pixel, at least 1. Both pictures cover the same area, so a guide pixel is
    ``width / guide_width`` by ``height / guide_height`` frame pixels; they may differ by the rounding.
    """
    longest = max(width, height)
    if longest <= span:
        return height, width
    return max(1, round(height * span / longest)), max(1, round(width * span / longest))


def looked_at(frame: Frame, span: int | None) -> Tensor:
    """What a motion model with this ``guide_span`` is shown of a frame: its guide, or a token if it never looks."""
    return torch.zeros(1, 3, 1, 1) if span is None else guide(frame, span)


def guide(frame: Frame, span: int) -> Tensor:
    """The frame as RGB for the motion estimate: (1, 3, h, w), float32 in [0, 1], of ``guide_size``.

    Area-averaged (half-pixel centres), then converted by the stream's matrix and range; untagged is BT.709 from 720
    lines or 1280 columns upwards, else BT.601, limited range (RGB and grey: full). PQ and HLG are only normalised.
    Transparent parts show mid grey, so that invisible colours do not move anything.
    """
    fmt, size = frame.format, guide_size(frame.width, frame.height, span)
    kinds = [plane.kind for plane in fmt.planes]
    if fmt.has_alpha:
        opacity = frame.planes[kinds.index("a")].astype(np.float32) * (1 / fmt.peak)
        if (opacity < 1).any():
            rgb = _converted(frame, [_premultiplied(plane, opacity, size) for plane in frame.planes[:-1]])
            small = torch.from_numpy(_shrunk(opacity, size))
            # Planes are divided by the opacity before the conversion (it has offsets) and laid over grey after it.
            return rgb * small + 0.5 * (1 - small)
    return _converted(frame, [_shrunk(plane, size) for kind, plane in zip(kinds, frame.planes) if kind != "a"])


def device_guide(frame: Frame, codes: Sequence[Tensor], span: int) -> Tensor | None:
    """``guide`` of planes that lie on a device, made there: equal to the rounding of shrunk planes to code values.

    Args:
        codes: ``compose.to_codes`` of the frame, as values: per group (1, C, h, w) float32.

    Returns:
        None for frames with alpha, which the host looks at.
    """
    if frame.format.has_alpha:
        return None
    size = guide_size(frame.width, frame.height, span)
    planes = torch.cat([_resampled(group, size) for group in codes], dim=1)
    matrix, offset = _rgb_on(planes.device, frame.format, frame.colour, (frame.width, frame.height))
    return torch.addmm(offset, matrix, planes[0].flatten(1)).clamp_(0, 1).view(1, 3, *size)


def _resampled(planes: Tensor, size: tuple[int, int]) -> Tensor:
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


@lru_cache(maxsize=16)
def _rgb_on(device: torch.device, fmt: PixelFormat, colour: Colour, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``rgb_matrix`` of such frames on a device."""
    with torch.inference_mode(False):
        matrix, offset = rgb_matrix(Frame((), fmt, *size, Fraction(0), colour))
        return matrix.to(device), offset.to(device)


def luma(frame: Frame, span: int) -> np.ndarray:
    """The frame's brightness for the detectors: (h, w) float32 in [0, 1], of ``guide_size``; alpha is ignored."""
    return shrunk_yuv(frame, span)[0]


def shrunk_yuv(frame: Frame, span: int) -> tuple[np.ndarray, ...]:
    """(y,) or (y, u, v) of ``guide_size``, float32, y in [0, 1] and u, v in [-0.5, 0.5]; without alpha.

    For detectors, which look at films that nothing has to be made of: cheaper than ``guide`` and, at the right and
    lower border, less exact. The stream's own matrix for Y, U, V; R, G, B are taken apart by BT.601; grey has no u, v.
    """
    fmt, size = frame.format, guide_size(frame.width, frame.height, span)
    if fmt.is_rgb:
        g, b, r = (_roughly_shrunk(plane, size).astype(np.float32) * (1 / fmt.peak) for plane in frame.planes[:3])
        y = 0.299 * r + 0.587 * g + 0.114 * b
        return y, (b - y) * np.float32(1 / 1.772), (r - y) * np.float32(1 / 1.402)
    black, white = _range(frame)
    y = np.clip((_roughly_shrunk(frame.planes[0], size).astype(np.float32) - black) * (1 / (white - black)), 0, 1)
    chroma = [_roughly_shrunk(plane, size) for plane, what in zip(frame.planes, fmt.planes) if what.kind in "uv"]
    middle, swing = 1 << (fmt.depth - 1), _swing(frame)
    return y, *((plane.astype(np.float32) - middle) * (1 / swing) for plane in chroma)


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
    black, white = _range(frame)
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
    middle, swing = 1 << (fmt.depth - 1), _swing(frame)
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


def _range(frame: Frame) -> tuple[float, float]:
    """Code values of black and white."""
    fmt = frame.format
    full = frame.colour.range == "pc" or (frame.colour.range is None and (fmt.is_rgb or len(fmt.planes) == 1))
    if full or fmt.is_rgb:
        return 0.0, float(fmt.peak)
    return float(16 << (fmt.depth - 8)), float(235 << (fmt.depth - 8))


def _swing(frame: Frame) -> int:
    """Code values from the least to the largest U or V."""
    return frame.format.peak if frame.colour.range == "pc" else 224 << (frame.format.depth - 8)


def _shrunk(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The plane on (h, w) pixels that cover the same area, in its own type: averaged to shrink, bilinear to grow."""
    h, w = size
    if plane.shape == (h, w):
        return plane
    shrinks = plane.shape[0] >= h and plane.shape[1] >= w
    return cv2.resize(plane, (w, h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _roughly_shrunk(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``_shrunk`` in two steps, the first by a whole factor: faster, up to 15 border pixels are left out."""
    factor = min(plane.shape[0] // (2 * size[0]), plane.shape[1] // (2 * size[1]), 16)
    if factor > 1:
        h, w = plane.shape[0] // factor, plane.shape[1] // factor
        plane = cv2.resize(plane[: h * factor, : w * factor], (w, h), interpolation=cv2.INTER_AREA)
    return _shrunk(plane, size)


def _premultiplied(plane: np.ndarray, opacity: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The shrunk plane of the visible colours: each sample counts by its opacity."""
    weight = opacity if plane.shape == opacity.shape else _shrunk(opacity, plane.shape)
    weight = weight + np.float32(1e-4)  # where nothing is visible, the plain mean
    return _shrunk(plane.astype(np.float32) * weight, size) / _shrunk(weight, size)
