"""Primitives of a picture: simple drawings that are easy to edit by hand (Vinker et al. 2020, DeepSIM).

``segments`` are areas of a few colours (k-means in Lab of the smoothed picture), ``edges`` dark lines on white (Canny),
``super`` lines over areas. A primitive is a picture of ``Palette.colours`` alone: other colours, as an editor's soft
brush leaves them, are taken for the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Colour = tuple[int, int, int]
"""RGB bytes."""

PRIMITIVES = ("super", "segments", "edges")
LINE = (0, 0, 0)
PAPER = (255, 255, 255)


@dataclass(frozen=True)
class Palette:
    """How a picture's primitive is made, and so those of others like it.

    Attributes:
        kind: one of ``PRIMITIVES``.
        areas: colours of the areas, RGB bytes; empty for ``edges``.
        smoothing: diameter, px, of the bilateral filter before the areas are found.
        thresholds: of Canny, on bytes.
    """

    kind: str
    areas: tuple[Colour, ...]
    smoothing: int = 7
    thresholds: tuple[int, int] = (60, 140)

    @property
    def colours(self) -> tuple[Colour, ...]:
        """All colours that a primitive may have."""
        if self.kind == "edges":
            return (PAPER, LINE)
        return (*self.areas, LINE) if self.kind == "super" else self.areas


def palette_of(pixels: np.ndarray, kind: str = "super", count: int = 10, seed: int = 0, smoothing: int = 7) -> Palette:
    """The palette of a picture (H, W, 3) uint8: ``count`` colours by k-means, dark ones kept apart from lines.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in PRIMITIVES:
        raise ValueError(f"A primitive is one of {', '.join(PRIMITIVES)}, got {kind!r}.")
    if kind == "edges":
        return Palette(kind, (), smoothing)
    smooth = _smoothed(pixels, smoothing)
    lab = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    cv2.setRNGSeed(seed + 1)
    count = min(count, len(np.unique(smooth.reshape(-1, 3), axis=0)))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 0.1)
    start: Any = None  # OpenCV's stub knows no kmeans that finds its own start
    _, labels, _ = cv2.kmeans(lab, count, start, stop, 3, cv2.KMEANS_PP_CENTERS)
    flat = smooth.reshape(-1, 3)
    areas: list[Colour] = []
    for label in range(count):
        colour = np.round(flat[labels[:, 0] == label].mean(axis=0)).astype(int)
        if kind == "super" and colour.max() < 36:
            colour = colour + 36 - colour.max()  # a line is black, and so no area
        areas.append(colour_of(colour))
    return Palette(kind, tuple(sorted(set(areas), key=lambda c: (sum(c), c))), smoothing)


def primitive_of(pixels: np.ndarray, palette: Palette) -> np.ndarray:
    """The primitive (H, W, 3) uint8 of a picture (H, W, 3) uint8."""
    primitive = np.full_like(pixels, 255)
    if palette.kind != "edges":
        smooth = _smoothed(pixels, palette.smoothing)
        # By brightness and colour as the eye tells them apart, as the palette was found.
        primitive = nearest_colours(smooth, palette.areas, perceptual=True)
        primitive = cv2.medianBlur(_numbers(primitive, palette.areas), 3)
        primitive = np.array(palette.areas, np.uint8)[primitive]
    if palette.kind != "segments":
        primitive[_edges(pixels, palette.thresholds)] = LINE
    return primitive


def _edges(pixels: np.ndarray, thresholds: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: Canny on the gradient of the channel that changes most, so two colours of one brightness part."""
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    across, down = (cv2.Sobel(soft, cv2.CV_16S, dx, 1 - dx, ksize=3) for dx in (1, 0))
    strength = across.astype(np.int32) ** 2 + down.astype(np.int32) ** 2
    which = strength.argmax(axis=2)[..., None]
    dx, dy = (np.take_along_axis(part, which, axis=2)[..., 0] for part in (across, down))
    return cv2.Canny(np.ascontiguousarray(dx), np.ascontiguousarray(dy), *thresholds, L2gradient=True) > 0


def colour_of(values: np.ndarray) -> Colour:
    """Three values as plain integers."""
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def nearest_colours(pixels: np.ndarray, colours: Sequence[Colour], perceptual: bool = False) -> np.ndarray:
    """Every pixel as the nearest of ``colours``: (H, W, 3) uint8. ``perceptual``: in Lab, else in RGB."""
    table = np.array(colours, np.uint8)
    values, candidates = pixels.reshape(-1, 3).astype(np.float32), table.astype(np.float32)
    if perceptual:
        values, candidates = (cv2.cvtColor(x[None] / 255, cv2.COLOR_RGB2LAB)[0] for x in (values, candidates))
    away = ((values[:, None] - candidates[None]) ** 2).sum(axis=2)
    return table[away.argmin(axis=1)].reshape(pixels.shape)


def _numbers(pixels: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Which of ``colours`` each pixel is, (H, W) uint8."""
    code = {colour: number for number, colour in enumerate(colours)}
    flat = pixels.reshape(-1, 3)
    unique, inverse = np.unique(flat, axis=0, return_inverse=True)
    numbers = np.array([code[colour_of(colour)] for colour in unique], np.uint8)
    return numbers[inverse.reshape(-1)].reshape(pixels.shape[:2])


def _smoothed(pixels: np.ndarray, diameter: int) -> np.ndarray:
    if diameter < 2:
        return pixels
    return cv2.bilateralFilter(np.ascontiguousarray(pixels), diameter, 40, diameter / 2)
