"""Small pictures of frames for the detectors: cheap, and at the border less exact than what motion is estimated on."""

from __future__ import annotations

import cv2
import numpy as np

from vfi_pipeline.media.frames import Frame, pixel_format


def thumbnail_size(width: int, height: int, span: int) -> tuple[int, int]:
    """(height, width) of the small picture: the frame's own size if its longest side is at most ``span``, else scaled.

    The shorter side is rounded to the nearest pixel, at least 1. Both pictures cover the same area, so a small pixel is
    ``width / small_width`` by ``height / small_height`` frame pixels; they may differ by the rounding.
    """
    longest = max(width, height)
    if longest <= span:
        return height, width
    return max(1, round(height * span / longest)), max(1, round(width * span / longest))


def luma(frame: Frame, span: int) -> np.ndarray:
    """The frame's brightness: (h, w) float32 in [0, 1], of ``thumbnail_size``; alpha is ignored."""
    return shrunk_yuv(frame, span)[0]


def shrunk_yuv(frame: Frame, span: int) -> tuple[np.ndarray, ...]:
    """(y,) or (y, u, v) of ``thumbnail_size``, float32, y in [0, 1] and u, v in [-0.5, 0.5]; without alpha.

    The stream's own matrix for Y, U, V; R, G, B are taken apart by BT.601; grey has no u, v.
    """
    fmt, size = frame.format, thumbnail_size(frame.width, frame.height, span)
    if fmt.is_rgb:
        g, b, r = (_roughly_shrunk(plane, size).astype(np.float32) * (1 / fmt.peak) for plane in frame.planes[:3])
        y = 0.299 * r + 0.587 * g + 0.114 * b
        return y, (b - y) * np.float32(1 / 1.772), (r - y) * np.float32(1 / 1.402)
    black, white = black_and_white(frame)
    y = np.clip((_roughly_shrunk(frame.planes[0], size).astype(np.float32) - black) * (1 / (white - black)), 0, 1)
    chroma = [_roughly_shrunk(plane, size) for plane, what in zip(frame.planes, fmt.planes) if what.kind in "uv"]
    middle, swing = 1 << (fmt.depth - 1), chroma_swing(frame)
    return y, *((plane.astype(np.float32) - middle) * (1 / swing) for plane in chroma)


def rgb_frame(picture: np.ndarray) -> Frame:
    """A uint8 (H, W, 3) RGB picture as a ``Frame``."""
    height, width = picture.shape[:2]
    return Frame(tuple(picture[..., channel] for channel in (1, 2, 0)), pixel_format("gbrp"), width, height)


def black_and_white(frame: Frame) -> tuple[float, float]:
    """Code values of black and white."""
    fmt = frame.format
    full = frame.colour.range == "pc" or (frame.colour.range is None and (fmt.is_rgb or len(fmt.planes) == 1))
    if full or fmt.is_rgb:
        return 0.0, float(fmt.peak)
    return float(16 << (fmt.depth - 8)), float(235 << (fmt.depth - 8))


def chroma_swing(frame: Frame) -> int:
    """Code values from the least to the largest U or V."""
    return frame.format.peak if frame.colour.range == "pc" else 224 << (frame.format.depth - 8)


def shrunk(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The plane on (h, w) pixels that cover the same area, in its own type: averaged to shrink, bilinear to grow."""
    h, w = size
    if plane.shape == (h, w):
        return plane
    shrinks = plane.shape[0] >= h and plane.shape[1] >= w
    return cv2.resize(plane, (w, h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _roughly_shrunk(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``shrunk`` in two steps, the first by a whole factor: faster, up to 15 border pixels are left out."""
    factor = min(plane.shape[0] // (2 * size[0]), plane.shape[1] // (2 * size[1]), 16)
    if factor > 1:
        h, w = plane.shape[0] // factor, plane.shape[1] // factor
        plane = cv2.resize(plane[: h * factor, : w * factor], (w, h), interpolation=cv2.INTER_AREA)
    return shrunk(plane, size)


LEAST_SIDE = 32
"""px; OpenCV's DIS reads beyond smaller pictures, and the process may die of it."""


def dense_flow(a: np.ndarray, b: np.ndarray, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST) -> np.ndarray:
    """Dense optical flow of two small (h, w) uint8 pictures by DIS: (h, w, 2), px, (dx, dy), a's points seen in b."""
    height, width = a.shape
    below, right = max(0, LEAST_SIDE - height), max(0, LEAST_SIDE - width)
    if below or right:
        a, b = (np.pad(picture, ((0, below), (0, right)), mode="edge") for picture in (a, b))
    dis = cv2.DISOpticalFlow.create(preset)
    flow = dis.calc(a, b, None)  # type: ignore[call-overload]  # None is allowed, the stubs do not say so
    return np.asarray(flow)[:height, :width]
