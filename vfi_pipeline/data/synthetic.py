"""Motion with known truth: layers of photographs that move over one another, each by an ODE of its own.

A layer is a texture, a mask and a stationary velocity ``v(x) = A (x - c) + b + waves(x)``. Frame t shows at x the
layer's value at ``phi_(1/2 - t)(x)``, the point that x flows to at t = 1/2: every frame is rendered from the layers
themselves, none from another frame, so occlusion is right and the middle frames are as sharp as the ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.dataset import NOMINAL_EPOCH, SizedDataset
from vfi_pipeline.data.textures import bundled_textures
from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import pixel_grid, sample
from vfi_pipeline.ode import Solver, flow_map

SPACING = 6  # px between the nodes where wavy motion is solved
PATH_SOLVER = Solver("rk4", steps=6)


@dataclass(frozen=True)
class Motion:
    """A stationary velocity: affine, plus waves.

    Attributes:
        affine: (2, 3) ``[A | b - A c]``: pixels per unit t at x are ``affine @ (x, y, 1)``.
        waves: (K, 5) rows ``(kx, ky, phase, ax, ay)``: velocity ``(ax, ay) sin(kx x + ky y + phase)``.
    """

    affine: Tensor
    waves: Tensor = field(default_factory=lambda: torch.zeros(0, 5))

    def velocity(self, x: Tensor) -> Tensor:
        """Pixels per unit t at positions (B, 2, h, w)."""
        matrix, shift = self.affine[:, :2], self.affine[:, 2]
        v = torch.einsum("ij,bjhw->bihw", matrix.to(x), x) + shift.to(x).view(1, 2, 1, 1)
        for kx, ky, phase, ax, ay in self.waves.tolist():
            wave = torch.sin(kx * x[:, :1] + ky * x[:, 1:] + phase)
            v = v + torch.cat((ax * wave, ay * wave), dim=1)
        return v

    def follow(self, duration: float, height: int, width: int) -> Tensor:
        """``phi_duration(x)`` of each pixel: (1, 2, height, width), exact if affine, else to about 0.01 px."""
        if not len(self.waves):
            generator = torch.zeros(3, 3, dtype=torch.float64)
            generator[:2] = self.affine
            matrix = torch.linalg.matrix_exp(generator * duration)[:2].float()
            grid = pixel_grid(height, width, like=matrix)
            return torch.einsum("ij,bjhw->bihw", matrix[:, :2], grid) + matrix[:, 2].view(1, 2, 1, 1)
        # Two nodes more on each side: bicubic interpolation is only exact where it has neighbours. antialias chooses
        # Keys' a = -1/2, which reproduces parabolas; torch's own a = -3/4 does not even reproduce a ramp.
        rows, columns = (-(-n // SPACING) + 4 for n in (height, width))
        nodes = (pixel_grid(rows, columns, like=torch.zeros(())) - 2) * SPACING + (SPACING - 1) / 2
        moved = flow_map(lambda t, x: self.velocity(x), nodes, 0.0, duration, PATH_SOLVER)
        fine = F.interpolate(moved, (rows * SPACING, columns * SPACING), mode="bicubic", antialias=True)
        fine = fine[..., 2 * SPACING : 2 * SPACING + height, 2 * SPACING : 2 * SPACING + width]
        return pixel_grid(height, width, like=fine) + fine


@dataclass(frozen=True)
class Layer:
    """A picture with a mask and a motion.

    Attributes:
        texture: (1, 3, h, w) in [0, 1], mirrored beyond its edges.
        offset: where pixel (0, 0) of the frame lies on the texture at t = 1/2.
        motion: how it moves.
        mask: (1, 1, H, W) coverage at t = 1/2 on a canvas ``margin`` px wider than the frame on each side; None covers
            all.
        shadow: (dx, dy, darkness) of its shadow on the layers below; darkness 0: none.
    """

    texture: Tensor
    offset: tuple[float, float]
    motion: Motion
    mask: Tensor | None = None
    margin: int = 0
    shadow: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def look(self, position: Tensor) -> Tensor:
        """The texture at frame positions of t = 1/2."""
        shift = position.new_tensor(self.offset).view(1, 2, 1, 1)
        span = position.new_tensor([self.texture.shape[-1] - 1, self.texture.shape[-2] - 1]).view(1, 2, 1, 1)
        folded = (position + shift).remainder(2 * span)
        return sample(self.texture, torch.minimum(folded, 2 * span - folded))

    def cover(self, position: Tensor) -> Tensor:
        """The mask at frame positions of t = 1/2: (1, 1, h, w) in [0, 1]."""
        if self.mask is None:
            return position.new_ones((1, 1, *position.shape[-2:]))
        return sample(self.mask, position + self.margin)


@dataclass(frozen=True)
class Scene:
    """Layers from back to front, the light (gain at t = 0 and t = 1), the shutter (share of unit t that blurs)."""

    layers: Sequence[Layer]
    gain: tuple[float, float] = (1.0, 1.0)
    shutter: float = 0.0

    def frame(self, t: float, height: int, width: int) -> Tensor:
        """(3, height, width) in [0, 1]."""
        if self.shutter:
            times = [t + self.shutter * (k / 4 - 0.5) for k in range(5)]
            return torch.stack([replace(self, shutter=0.0).frame(s, height, width) for s in times]).mean(dim=0)
        picture = torch.zeros(1, 3, height, width)
        for layer in self.layers:
            position = layer.motion.follow(0.5 - t, height, width)
            if layer.mask is None:
                picture = layer.look(position)
                continue
            dx, dy, darkness = layer.shadow
            if darkness:
                cast = layer.cover(position - position.new_tensor([dx, dy]).view(1, 2, 1, 1))
                picture = picture * (1 - darkness * _softened(cast))
            cover = layer.cover(position)
            picture = cover * layer.look(position) + (1 - cover) * picture
        gain = self.gain[0] + t * (self.gain[1] - self.gain[0])
        return (picture[0] * gain).clamp(0, 1)

    def velocity(self, height: int, width: int, t: float = 0.5) -> Tensor:
        """(2, height, width): the velocity of the topmost layer at each pixel at ``t``, pixels per unit t."""
        grid = pixel_grid(height, width, like=torch.zeros(()))
        visible_velocity = torch.zeros_like(grid)
        for layer in self.layers:
            cover = layer.cover(layer.motion.follow(0.5 - t, height, width))
            visible_velocity = torch.where(cover > 0.5, layer.motion.velocity(grid), visible_velocity)
        return visible_velocity[0]


@dataclass(frozen=True)
class Recipe:
    """The distribution of scenes. Distances are shares of the frame's side.

    Attributes:
        layers: fewest and most objects in front of the background.
        fastest: largest shift per unit t (the background: half of it).
        slowest: smallest, as a share of the largest; speeds between are drawn log-uniformly.
        spin, zoom: largest rotation (degrees) and log scale per unit t.
        wavy: probability that a layer's motion also bends.
        shadow, blur, light: probabilities of shadows, motion blur and changing brightness.
    """

    layers: tuple[int, int] = (0, 4)
    fastest: float = 0.3
    slowest: float = 0.01
    spin: float = 25.0
    zoom: float = 0.2
    wavy: float = 0.35
    shadow: float = 0.4
    blur: float = 0.1
    light: float = 0.2

    @classmethod
    def smooth(cls) -> Recipe:
        """One picture that bends and shifts, nothing in front, constant light: what a warp can match."""
        return cls((0, 0), 0.2, 0.3, 10.0, 0.1, wavy=1.0, shadow=0, blur=0, light=0)


class SyntheticMotion(SizedDataset[Triplet]):
    """Sample ``counter`` is a scene drawn from (seed, counter) alone, with its true target frames and true velocity.

    Args:
        size: (height, width) of the frames, or one side for both.
        textures: (h, w, 3) uint8 pictures; None takes the photographs bundled with scikit-image and scikit-learn.
        recipe: the distribution of scenes.
        times: fixed times of the targets; None draws ``target_count`` of them.
        augmentation: its colour, exposure, blur, noise and compression are applied; its geometry is not.
        around: also show the frames at t = -1 and t = 2.

    Raises:
        UserError: if no texture is at least 64 px on its smaller side.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 192,
        textures: Sequence[np.ndarray] | None = None,
        recipe: Recipe = Recipe(),
        target_count: int = 1,
        times: Sequence[float] | None = None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        length: int = NOMINAL_EPOCH,
        around: bool = False,
    ) -> None:
        self.height, self.width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        self.textures = [t for t in (bundled_textures() if textures is None else textures) if min(t.shape[:2]) >= 64]
        if not self.textures:
            raise UserError("No texture is at least 64 px wide and high.", "Give larger pictures in data.textures.")
        self.recipe, self.target_count, self.times = recipe, target_count, times
        self.augmentation, self.seed, self.length, self.around = augmentation, seed, length, around

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, counter: int) -> Triplet:
        random = np.random.default_rng([self.seed, 3, counter])
        scene = draw_scene(random, self.recipe, self.textures, self.height, self.width)
        inner = np.sort(random.uniform(0.05, 0.95, self.target_count)) if self.times is None else np.array(self.times)
        times = np.concatenate(([0.0], inner, [1.0]))
        if self.around:
            times = np.concatenate(([-1.0], times, [2.0]))
        frames = torch.stack([scene.frame(float(t), self.height, self.width) for t in times])
        if self.augmentation is not None:
            frames = self.augmentation.photometric(frames, times, random)
        velocity = scene.velocity(self.height, self.width)
        return Triplet.of(frames, torch.from_numpy(times.astype(np.float32)), velocity, self.around)


class Cached(SizedDataset[Triplet]):
    """The first ``count`` samples of another set, each made when first asked for and kept: drawing scenes can cost
    more than training on them. Train on it through ``data.sampler.Shuffled``."""

    def __init__(self, dataset: SizedDataset[Triplet], count: int) -> None:
        self.dataset, self.count = dataset, count
        self._held: dict[int, Triplet] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Triplet:
        if index not in self._held:
            self._held[index] = self.dataset[index]
        return self._held[index]


def draw_scene(
    random: np.random.Generator, recipe: Recipe, textures: Sequence[np.ndarray], height: int, width: int
) -> Scene:
    """A scene by ``recipe``: a background that fills the frame, and objects in front of it."""
    side = max(height, width)
    camera = _motion(random, recipe, height, width, calm=True)
    layers = [Layer(*_texture(random, textures, height, width), camera)]
    for _ in range(int(random.integers(recipe.layers[0], recipe.layers[1] + 1))):
        motion = _motion(random, recipe, height, width)
        if random.random() < 0.5:  # half of the objects move with the camera, too
            motion = Motion(motion.affine + camera.affine, motion.waves)
        margin = side // 2
        shadow = (0.0, 0.0, 0.0)
        if random.random() < recipe.shadow:
            shadow = (*random.uniform(-0.08, 0.08, 2) * side, random.uniform(0.2, 0.6))
        mask = _mask(random, height + 2 * margin, width + 2 * margin, side)
        layers.append(Layer(*_texture(random, textures, height, width), motion, mask, margin, shadow))
    gain = (1.0, 1.0)
    if random.random() < recipe.light:
        change = random.uniform(-0.25, 0.25)
        gain = (1 - change / 2, 1 + change / 2)
    shutter = random.uniform(0.1, 0.4) if random.random() < recipe.blur else 0.0
    return Scene(tuple(layers), gain, shutter)


def _softened(cover: Tensor) -> Tensor:
    """Mean over 9 x 9."""
    rows = F.avg_pool2d(cover, (9, 1), 1, (4, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, 9), 1, (0, 4), count_include_pad=False)


def _motion(random: np.random.Generator, recipe: Recipe, height: int, width: int, calm: bool = False) -> Motion:
    side = max(height, width)
    speed = recipe.fastest * side * recipe.slowest ** random.uniform(0, 1) * (0.5 if calm else 1.0)
    heading = random.uniform(0, 2 * math.pi)
    shift = speed * np.array([math.cos(heading), math.sin(heading)])
    turn, grow = 0.0, 0.0
    if random.random() < 0.5:
        turn = math.radians(random.normal(0, recipe.spin / 2.5))
        grow = random.normal(0, recipe.zoom / 2.5)
    matrix = np.array([[grow, -turn], [turn, grow]])
    centre = random.uniform(0.2, 0.8, 2) * (width, height)
    affine = torch.from_numpy(np.column_stack([matrix, shift - matrix @ centre]))
    waves = []
    if random.random() < recipe.wavy:
        for _ in range(3):
            length, direction = side * random.uniform(0.5, 1.5), random.uniform(0, 2 * math.pi)
            # The slope of the wave stays below 0.6 per unit t in all: the motion bends but never folds.
            amplitude = random.uniform(0.2, 1) * 0.2 * length / (2 * math.pi)
            along = random.uniform(0, 2 * math.pi)
            number = 2 * math.pi / length
            waves.append(
                [number * math.cos(direction), number * math.sin(direction), random.uniform(0, 2 * math.pi),
                 amplitude * math.cos(along), amplitude * math.sin(along)]
            )  # fmt: skip
    return Motion(affine, torch.tensor(waves, dtype=torch.float32).view(-1, 5))


def _texture(
    random: np.random.Generator, textures: Sequence[np.ndarray], height: int, width: int
) -> tuple[Tensor, tuple[float, float]]:
    """A window of a random picture, turned and scaled at random, and where the frame starts on it."""
    picture = textures[int(random.integers(len(textures)))]
    room = 1.6
    scale = math.exp(random.uniform(math.log(0.4), math.log(1.3)))
    rows, columns = (min(math.ceil(room * n / scale), m) for n, m in zip((height, width), picture.shape[:2]))
    top, left = (int(random.integers(m - n + 1)) for n, m in zip((rows, columns), picture.shape[:2]))
    window = picture[top : top + rows, left : left + columns]
    target = (max(32, round(columns * scale)), max(32, round(rows * scale)))
    window = cv2.resize(window, target, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    window = np.rot90(window, int(random.integers(4)))
    if random.random() < 0.5:
        window = window[:, ::-1]
    if random.random() < 0.3:
        window = window[..., random.permutation(3)]
    texture = torch.from_numpy(np.ascontiguousarray(window)).permute(2, 0, 1)[None].float() / 255
    offset = ((texture.shape[-1] - width) / 2, (texture.shape[-2] - height) / 2)
    return texture, offset


def _mask(random: np.random.Generator, height: int, width: int, side: int) -> Tensor:
    """(1, 1, height, width) coverage of an object in the canvas's middle: blob, polygon, ring or thin lines."""
    fine = 4  # supersampling in the drawing's fixed-point coordinates and by the blur below
    canvas = np.zeros((height, width), np.uint8)
    centre = np.array([width, height]) / 2 + random.uniform(-0.45, 0.45, 2) * side
    radius_px = side * math.exp(random.uniform(math.log(0.06), math.log(0.45)))
    kind = random.choice(["blob", "polygon", "ring", "lines"], p=[0.4, 0.25, 0.1, 0.25])

    def fixed(points: np.ndarray) -> np.ndarray:
        return np.round(points * 2**fine).astype(np.int32).reshape(-1, 1, 2)

    if kind == "lines":
        for _ in range(int(random.integers(1, 6))):
            angle = random.uniform(0, math.pi)
            direction = np.array([math.cos(angle), math.sin(angle)]) * radius_px * random.uniform(1, 2.5)
            at = centre + random.uniform(-0.5, 0.5, 2) * radius_px
            thickness = int(random.integers(1, max(2, side // 24)))
            start, end = (tuple(int(c) for c in fixed(p).ravel()) for p in (at - direction, at + direction))
            cv2.line(canvas, start, end, 255, thickness, cv2.LINE_AA, fine)
    else:
        corners = int(random.integers(3, 7)) if kind == "polygon" else 48
        angles = np.linspace(0, 2 * math.pi, corners + 1)[:-1]
        if kind == "polygon":
            angles = np.sort(random.uniform(0, 2 * math.pi, corners))
        radius = np.full(len(angles), radius_px)
        if kind == "blob":
            for k in range(1, 6):
                radius += radius_px * random.normal(0, 0.35 / k) * np.cos(k * angles + random.uniform(0, 6.3))
        radius = np.clip(radius, 0.15 * radius_px, 2.0 * radius_px)[:, None]
        outline = centre + radius * np.stack([np.cos(angles), random.uniform(0.5, 1) * np.sin(angles)], axis=1)
        cv2.fillPoly(canvas, [fixed(outline)], 255, cv2.LINE_AA, fine)
        if kind == "ring":
            inside = centre + 0.65 * (outline - centre)
            cv2.fillPoly(canvas, [fixed(inside)], 0, cv2.LINE_AA, fine)
    cover = np.asarray(cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.4, 1.0)))
    cover[0], cover[-1], cover[:, 0], cover[:, -1] = 0, 0, 0, 0  # beyond the canvas there is nothing
    return torch.from_numpy(cover)[None, None].float() / 255
