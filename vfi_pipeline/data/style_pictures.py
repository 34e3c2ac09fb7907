"""Pictures to take a style from. Two are drawn by code, so that they are free to use:

python -m vfi_pipeline.data.style_pictures docs/figures/style
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def mosaic(size: int = 512, seed: int = 1) -> np.ndarray:
    """Glass tiles of strong colours between dark leads: (size, size, 3) uint8."""
    random = np.random.default_rng(seed)
    palette = np.array(
        [(214, 60, 44), (240, 168, 40), (250, 226, 120), (28, 92, 168), (40, 150, 170), (20, 110, 80), (120, 50, 120),
         (245, 240, 225), (230, 110, 60), (15, 50, 110)], np.float64,
    )  # fmt: skip
    step = size / 22
    rows, columns = np.mgrid[-1 : size / step + 1, -1 : size / step + 1]
    seeds = (np.stack([columns.ravel(), rows.ravel()], 1) + random.uniform(-0.42, 0.42, (rows.size, 2)) + 0.5) * step
    # Neighbouring tiles are often of one family: the palette's index follows a slow wave.
    wave = np.sin(seeds[:, 0] / size * 7 + 1) + np.cos(seeds[:, 1] / size * 6) + random.normal(0, 0.7, len(seeds))
    order = np.clip(((wave + 2.6) / 5.2 * len(palette)).astype(int), 0, len(palette) - 1)
    colours = np.clip(palette[order] * random.uniform(0.75, 1.15, (len(seeds), 1)), 0, 255)
    y, x = np.mgrid[0:size, 0:size]
    nearest, tile = np.full((2, size, size), np.inf), np.zeros((size, size), int)
    for number, (sx, sy) in enumerate(seeds):
        left, right = max(0, int(sx - 3 * step)), min(size, int(sx + 3 * step))
        top, bottom = max(0, int(sy - 3 * step)), min(size, int(sy + 3 * step))
        if left >= right or top >= bottom:
            continue
        at = np.s_[top:bottom, left:right]
        away = np.hypot(x[at] - sx, y[at] - sy)
        closer = away < nearest[0][at]
        nearest[1][at] = np.where(closer, nearest[0][at], np.minimum(nearest[1][at], away))
        tile[at] = np.where(closer, number, tile[at])
        nearest[0][at] = np.minimum(nearest[0][at], away)
    edge = nearest[1] - nearest[0]  # twice the distance to the lead
    glass = colours[tile] * (0.82 + 0.18 * np.clip(edge / step, 0, 1))[..., None]
    grain = cv2.GaussianBlur(random.normal(0, 1, (size, size)), (0, 0), 1.2)[..., None] * 18
    lead = np.clip((edge - 0.09 * step) / (0.07 * step), 0, 1)[..., None]
    return _bytes((glass + grain) * lead + np.array([22.0, 20, 28]) * (1 - lead))


def brushwork(size: int = 512, seed: int = 2) -> np.ndarray:
    """Long strokes of blue, white and yellow that swirl: (size, size, 3) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size].astype(np.float64) / size
    angle = 0.35 * np.sin(5 * x + 2) + 0.4 * np.cos(4 * y)
    glow = np.zeros_like(x)
    for cx, cy, radius, turn in (
        (0.28, 0.30, 0.17, 1),
        (0.72, 0.24, 0.12, -1),
        (0.62, 0.68, 0.20, 1),
        (0.18, 0.78, 0.1, -1),
    ):
        away = np.hypot(x - cx, y - cy)
        share = np.exp(-((away / radius) ** 2))
        angle = angle * (1 - share) + (np.arctan2(y - cy, x - cx) + turn * 1.35) * share
        glow += np.exp(-((away / (0.45 * radius)) ** 2)) + 0.45 * np.exp(
            -(((away - 0.8 * radius) / (0.18 * radius)) ** 2)
        )
    palette = np.array(
        [(12, 26, 74), (24, 58, 130), (44, 96, 176), (96, 150, 206), (186, 212, 220), (244, 236, 190), (248, 206, 70)],
        float,
    )
    canvas = np.zeros((size, size, 3), np.float64) + palette[1]
    scale = 4  # OpenCV's fixed-point fractions of a pixel
    for _ in range(14000):
        px, py = random.uniform(0, size, 2)
        column, row = int(px), int(py)
        tone = 1.1 + 3.4 * glow[row, column] + 1.6 * y[row, column] + random.normal(0, 0.85)
        low = int(np.clip(tone, 0, len(palette) - 1))
        colour = palette[low] * random.uniform(0.86, 1.12)
        points = []
        for _ in range(9):
            points.append((px, py))
            turn = angle[int(np.clip(py, 0, size - 1)), int(np.clip(px, 0, size - 1))]
            px, py = px + 3.2 * np.cos(turn), py + 3.2 * np.sin(turn)
        line = np.round(np.array(points) * 2**scale).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [line], False, tuple(map(float, colour)), int(random.integers(2, 5)), cv2.LINE_8, scale)
    relief = cv2.Sobel(canvas.mean(2), cv2.CV_64F, 1, 1, ksize=3)[..., None]
    return _bytes(cv2.GaussianBlur(canvas, (0, 0), 0.6) + 0.12 * relief)


DRAWN: dict[str, Callable[[], np.ndarray]] = {"mosaic": mosaic, "brushwork": brushwork}


def shrunk_picture(pixels: np.ndarray, size: int) -> Tensor:
    """(H, W, 3) uint8 as (1, 3, h, w) in [0, 1], its longest side ``size`` px or less."""
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    share = size / max(picture.shape[-2:])
    if share < 1:
        shape = [max(1, round(side * share)) for side in picture.shape[-2:]]
        picture = F.interpolate(picture, shape, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    return picture


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWN.items():
        Image.fromarray(draw()).save(folder / f"{name}.jpg", quality=90)
