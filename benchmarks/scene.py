"""A short film with ground truth of its motion: photographs from the scikit-image wheel under a moving camera.

Every layer is a photograph and a path, a pose for each moment, so any moment can be drawn exactly: the pictures between
two frames of a film at a low rate are not estimated but drawn. Photographs are enlarged by ``ENLARGE`` (Lanczos) and
read bilinearly at ``SUPER`` x ``SUPER`` points per pixel, so positions are exact and nothing aliases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid, sample

ENLARGE, SUPER = 3, 2

# The rim of cup, spoon and saucer in coffee.png, traced by hand, in its pixels.
CUP = (
    (180, 71), (153, 84), (131, 98), (113, 115), (98, 136), (87, 161), (79, 190), (78, 220), (81, 250), (89, 279),
    (104, 307), (125, 333), (151, 355), (181, 371), (216, 382), (256, 387), (300, 387), (345, 381), (384, 368),
    (417, 349), (442, 326), (461, 297), (472, 269), (477, 240), (477, 215), (471, 188), (460, 163), (445, 139),
    (430, 120), (416, 106), (423, 80), (423, 73), (418, 69), (410, 67), (403, 69), (398, 75), (391, 67), (375, 49),
    (351, 33), (321, 23), (290, 19), (258, 21), (227, 31), (201, 47),
)  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """The photograph's point ``centre`` lies at ``place`` on the screen, ``zoom`` times as large, turned by ``angle``.

    Points are (x, y) in pixels, measured from the picture's top left corner; ``angle`` in radians, clockwise.
    """

    centre: tuple[float, float]
    place: tuple[float, float]
    zoom: float
    angle: float = 0.0


@dataclass(frozen=True)
class Layer:
    """A picture (1, C, H * ENLARGE, W * ENLARGE) and its path: seconds to pose.

    Three channels cover the screen; five are premultiplied RGB, opacity, and the shadow that it throws. ``corner`` is
    where the picture's top left corner lies in its photograph, whose pixels the poses count in.
    """

    picture: Tensor
    path: Callable[[float], Pose]
    corner: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """Shots, each a stack of layers from the back to the front and the second it begins; drawn at any moment."""

    width: int
    height: int
    shots: tuple[tuple[float, tuple[Layer, ...]], ...]

    def draw(self, time: float) -> np.ndarray:
        """The picture at ``time`` seconds: uint8 (height, width, 3)."""
        layers = [layers for begin, layers in self.shots if begin <= time][-1]
        picture = torch.zeros(1, 3, self.height * SUPER, self.width * SUPER)
        for layer in layers:
            seen = _seen(layer, layer.path(time), self.width, self.height)
            if seen.shape[1] == 3:
                picture = seen
                continue
            colour, opacity, shadow = seen.split((3, 1, 1), dim=1)
            picture = picture * (1 - shadow) * (1 - opacity) + colour
        small = torch.nn.functional.avg_pool2d(picture, SUPER)
        return (small[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def _seen(layer: Layer, pose: Pose, width: int, height: int) -> Tensor:
    """What the screen shows of a layer: (1, C, height * SUPER, width * SUPER), its border continued outwards."""
    screen = (pixel_grid(height * SUPER, width * SUPER, like=layer.picture) + 0.5) / SUPER
    x, y = (screen[:, :1] - pose.place[0]), (screen[:, 1:] - pose.place[1])
    cos, sin = math.cos(pose.angle) / pose.zoom, math.sin(pose.angle) / pose.zoom
    dx, dy = pose.centre[0] - layer.corner[0], pose.centre[1] - layer.corner[1]
    at = torch.cat((cos * x + sin * y + dx, cos * y - sin * x + dy), dim=1)
    return sample(layer.picture, at * ENLARGE - 0.5)


def demo_scene(width: int = 640, height: int = 360, cut: float = 1.6) -> Scene:
    """The film of ``make demo``: a garage that pans and zooms while a cup of coffee crosses it, then a cat, closer."""
    sx, sy = width / 640, height / 360

    def garage(time: float) -> Pose:
        s = _ease(time / cut)
        return Pose((300 + 118 * s, 232 + 46 * s), (width / 2, height / 2), (1.08 + 0.20 * s) * sx, 0.02 - 0.03 * s)

    def cup(time: float) -> Pose:
        s = time / cut
        place = (-60 + 730 * s) * sx, (236 - 92 * math.sin(math.pi * s)) * sy
        return Pose((278, 205), place, (0.47 + 0.05 * s) * sx, -0.30 + 0.55 * s)

    def cat(time: float) -> Pose:
        s = time - cut
        centre = 205 + 34 * s, 158 - 16 * s
        return Pose(centre, (width / 2, height / 2), (1.58 + 0.16 * s) * sx, 0.05 - 0.07 * s)

    first = (Layer(photograph("motorcycle_left.png"), garage), cutout("coffee.png", CUP, cup))
    return Scene(width, height, ((0.0, first), (cut, (Layer(photograph("chelsea.png"), cat),))))


def _ease(s: float) -> float:
    """From 0 to 1 with a gentle start and stop: half straight, half smoothstep."""
    return 0.5 * s + 0.5 * s * s * (3 - 2 * s)


def photograph(name: str) -> Tensor:
    """One of scikit-image's photographs, enlarged: (1, 3, H * ENLARGE, W * ENLARGE), float32 RGB in [0, 1]."""
    return _tensor(_enlarged(_open(name)))


def cutout(
    name: str, outline: tuple[tuple[float, float], ...], path: Callable[[float], Pose], margin: int = 60
) -> Layer:
    """What ``outline`` encloses in a photograph, as a layer with a soft edge and a shadow that fits the margin."""
    left, top = (int(min(points)) - margin for points in zip(*outline))
    right, bottom = (int(max(points)) + margin for points in zip(*outline))
    size = (right - left) * ENLARGE, (bottom - top) * ENLARGE
    fine = 2  # the mask's edge is drawn twice as fine, then averaged
    mask = Image.new("L", (size[0] * fine, size[1] * fine))
    corners = [((x - left) * ENLARGE * fine, (y - top) * ENLARGE * fine) for x, y in _smooth(outline)]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    mask = mask.resize(size, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(ENLARGE * 0.6))
    shadow = Image.new("L", size)
    shadow.paste(mask, (6 * ENLARGE, 20 * ENLARGE))
    shadow = shadow.filter(ImageFilter.GaussianBlur(14 * ENLARGE))
    colour = Image.new("RGB", size)
    colour.paste(_enlarged(_open(name)), (-left * ENLARGE, -top * ENLARGE))
    opacity = _tensor(mask)
    return Layer(torch.cat((_tensor(colour) * opacity, opacity, _tensor(shadow) * 0.55), dim=1), path, (left, top))


def _smooth(outline: tuple[tuple[float, float], ...], pieces: int = 8) -> list[tuple[float, float]]:
    """The closed curve through the points (Catmull and Rom 1974), as a polygon."""
    points = np.asarray(outline, float)
    before, present, following, after = (np.roll(points, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    s = (np.arange(pieces) / pieces)[:, None]
    curve = 0.5 * (
        2 * present + (following - before) * s + (2 * before - 5 * present + 4 * following - after) * s**2
        + (3 * present - before - 3 * following + after) * s**3
    )  # fmt: skip
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


def _open(name: str) -> Image.Image:
    import skimage

    return Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")


def _enlarged(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width * ENLARGE, picture.height * ENLARGE), Image.Resampling.LANCZOS)


def _tensor(picture: Image.Image) -> Tensor:
    array = np.atleast_3d(np.asarray(picture, np.float32) / 255)
    return torch.from_numpy(array).permute(2, 0, 1)[None].contiguous()
