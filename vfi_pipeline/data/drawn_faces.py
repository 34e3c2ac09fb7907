"""Faces drawn by code, aligned, without and with a smile: sets for ``model=dfi`` that everybody has.

    python -m vfi_pipeline.data.drawn_faces faces

writes ``faces/neutral``, ``faces/smiling`` and ``faces/new.png``, a face of neither. All are free to use.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

SCALE = 4
"""Drawn so many times larger, then shrunk: smooth edges."""


def drawn_face(person: int, smile: float, size: int = 128, detail: int = 0) -> np.ndarray:
    """(size, size, 3) uint8. The same ``person`` is the same face in the same light.

    Args:
        smile: 0 closed and straight, 1 corners up, lips open, cheeks lifted.
        detail: of one person, small changes of gaze and brows.
    """
    random, small = np.random.default_rng([person, 7]), np.random.default_rng([person, detail, 11])
    n = size * SCALE

    def at(x: float, y: float) -> tuple[float, float]:
        return n * (0.5 + x), n * (0.5 + y)

    tone = random.uniform(0, 1)
    skin = np.array([242, 208, 180]) * (1 - tone) + np.array([124, 84, 62]) * tone
    hair = np.array([(38, 30, 26), (92, 60, 36), (160, 120, 70), (120, 120, 124), (24, 22, 30)][random.integers(5)])
    wide, long = random.uniform(0.27, 0.33), random.uniform(0.36, 0.42)
    image = Image.new("RGB", (n, n), tuple(int(v) for v in random.uniform(90, 200, 3)))
    draw = ImageDraw.Draw(image)

    def ellipse(x: float, y: float, rx: float, ry: float, colour: np.ndarray) -> None:
        draw.ellipse((*at(x - rx, y - ry), *at(x + rx, y + ry)), tuple(int(v) for v in np.clip(colour, 0, 255)))

    def stroke(points: list[tuple[float, float]], width: float, colour: np.ndarray) -> None:
        draw.line(
            [at(*p) for p in points], tuple(int(v) for v in np.clip(colour, 0, 255)), max(1, round(width * n)), "curve"
        )

    volume = random.uniform(0.02, 0.07)
    ellipse(0, -0.05, wide + volume, long + 0.6 * volume, hair)
    ellipse(0, 0.24, 0.16, 0.4, skin * 0.82)
    ellipse(0, 0.03, wide, long, skin)
    ellipse(0, -0.30, wide * 0.85, 0.10 + random.uniform(0, 0.05), hair)  # the fringe
    lift = 0.012 * smile
    for side in (-1, 1):
        ellipse(side * wide * 0.62, 0.13 - lift, 0.07, 0.05, skin * np.array([1.04, 0.93, 0.90]) * (1 + 0.05 * smile))
        x, y = side * 0.125, -0.055
        ellipse(x, y, 0.052, (0.028 - 0.008 * smile), np.array([246, 246, 244]))
        gaze = small.uniform(-0.012, 0.012)
        ellipse(x + gaze, y, 0.021, 0.024 - 0.005 * smile, hair * 0.5 + np.array([30, 50, 60]))
        ellipse(x + gaze, y, 0.010, 0.012, np.array([10, 10, 12]))
        brow = -0.115 + small.uniform(-0.008, 0.008)
        stroke([(x - 0.06, brow + 0.012), (x, brow - 0.008), (x + 0.06, brow + 0.012)], 0.016, hair * 0.9)
        if smile > 0.3:
            stroke([(side * 0.11, 0.10), (side * 0.145, 0.145), (side * 0.15, 0.19)], 0.008, skin * 0.80)
    nose = random.uniform(0.03, 0.045)
    stroke([(-0.012, -0.02), (-nose, 0.09), (0.0, 0.105), (nose, 0.09)], 0.010, skin * 0.78)
    half_width, middle = 0.085 + 0.035 * smile, 0.20
    u = np.linspace(-1, 1, 25)
    curve = 0.045 * smile * u**2 - 0.012 * smile
    lips = np.array([176, 84, 82]) * (1 - 0.35 * tone)
    thick = random.uniform(0.016, 0.024)
    upper = [(half_width * a, middle - c - thick * (1 - a * a) * 0.8) for a, c in zip(u, curve)]
    lower = [(half_width * a, middle - c + (thick + 0.028 * smile) * (1 - a * a)) for a, c in zip(u, curve)]
    draw.polygon([at(*p) for p in (*upper, *lower[::-1])], tuple(int(v) for v in lips))
    if smile > 0.3:
        inner = [(0.86 * half_width * a, middle - c - 0.2 * thick * (1 - a * a)) for a, c in zip(u, curve)]
        under = [(0.86 * half_width * a, middle - c + 0.028 * smile * (1 - a * a)) for a, c in zip(u, curve)]
        draw.polygon([at(*p) for p in (*inner, *under[::-1])], (240, 236, 228))
    else:
        stroke([(half_width * a, middle - c) for a, c in zip(u, curve)], 0.008, lips * 0.6)
    pixels = np.asarray(image, np.float32)
    y, x = np.mgrid[0:n, 0:n] / n - 0.5
    light = 1 + random.uniform(-0.5, 0.5) * x - 0.25 * (y + 0.1)
    pixels = cv2.GaussianBlur(pixels * light[..., None].astype(np.float32), (0, 0), 0.006 * n)
    pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    pixels += small.normal(0, 1.5, (size, size, 1))
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def write_sets(folder: Path, people: int = 60, size: int = 128) -> None:
    """The two sets, each of other people, and a face of neither set; existing files are replaced."""
    for number in range(people):
        name = "smiling" if number % 2 else "neutral"
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn_face(number, float(number % 2), size)).save(folder / name / f"{number:03d}.png")
    Image.fromarray(drawn_face(1000, 0.0, size)).save(folder / "new.png")


if __name__ == "__main__":
    write_sets(Path(sys.argv[1]))
