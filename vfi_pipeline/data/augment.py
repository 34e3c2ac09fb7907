"""Random crops and photometric changes of frames that belong together; all chance comes from the given generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import pixel_grid, sample


@dataclass(frozen=True)
class Augmentation:
    """How frames are cropped and changed. Probability 0 turns a change off; ``Augmentation.none(crop)`` only crops.

    Attributes:
        crop: side of the square that comes out, px.
        scale: picture scale, drawn log-uniformly; below 1 shrinks (antialiased), which also shrinks the motion.
        rotate, degrees: probability and largest angle of a rotation.
        flip: each of left-right, up-down and transposition, with this probability.
        reverse: play backwards, with this probability.
        busiest: probability of taking the crop with the largest change among ``tries`` random ones.
        colour: gamma, gain per channel and channel order, with this probability, the same for all frames.
        exposure: brightness that drifts by up to ``drift`` from the first to the last frame.
        blur: a Gaussian blur (sigma to 1.5 px), the same for all frames.
        noise, jpeg: of the first and last frame only: a made frame should be clean.
    """

    crop: int = 192
    scale: tuple[float, float] = (0.5, 1.2)
    rotate: float = 0.25
    degrees: float = 20.0
    flip: float = 0.5
    reverse: float = 0.5
    busiest: float = 0.5
    tries: int = 3
    colour: float = 0.5
    exposure: float = 0.1
    drift: float = 0.1
    blur: float = 0.05
    noise: float = 0.1
    jpeg: float = 0.1

    @classmethod
    def none(cls, crop: int) -> Augmentation:
        """A random crop at native scale and nothing else."""
        return cls(
            crop, (1.0, 1.0), rotate=0, degrees=0, flip=0, reverse=0, busiest=0, colour=0, exposure=0, blur=0, noise=0,
            jpeg=0,
        )  # fmt: skip

    def fits(self, width: int, height: int) -> bool:
        """Whether a picture of this size can fill a crop, enlarged as far as ``scale`` allows."""
        return min(width, height) * self.scale[1] >= self.crop

    def __call__(self, frames: np.ndarray, times: np.ndarray, random: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Crops and changes one motion's frames.

        Args:
            frames: (N, H, W, 3) uint8, N >= 2, in order of time.
            times: (N,), 0 for the first and 1 for the last; frames before and after those lie outside of [0, 1].

        Returns:
            (N, 3, crop, crop) float32 in [0, 1] and the times; both reversed if the motion plays backwards.
        """
        height, width = frames.shape[1:3]
        drawn = self.drawn(height, width, random)
        if drawn.reverse:
            frames, times = frames[::-1], 1 - times[::-1]
        placed = drawn.placements[busiest(frames[0], frames[-1], drawn.placements)]
        return drawn.photometry.applied(placed.pictures(frames), times), np.ascontiguousarray(times)

    def photometric(self, pictures: Tensor, times: np.ndarray, random: np.random.Generator) -> Tensor:
        """Only the changes of colour, light, sharpness, noise and compression, of (N, 3, H, W) in [0, 1]."""
        return self._photometry(random).applied(pictures, times)

    def drawn(self, height: int, width: int, random: np.random.Generator) -> Drawn:
        """All chance for one motion in frames of this size, px."""
        reverse = bool(random.random() < self.reverse)
        return Drawn(reverse, self._placements(height, width, random), self._photometry(random))

    def _placements(self, height: int, width: int, random: np.random.Generator) -> tuple[Placed, ...]:
        scale = math.exp(random.uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        angle = math.radians(random.uniform(-self.degrees, self.degrees)) if random.random() < self.rotate else 0.0
        grown = abs(math.cos(angle)) + abs(math.sin(angle))
        # A margin of 2 px for the rotation's bilinear reads; a picture too small for this scale is shrunk less.
        inner = math.ceil(self.crop * grown) + (2 if angle else 0)
        scale = max(scale, inner / min(height, width))
        side = min(round(inner / scale), height, width)
        tries = self.tries if random.random() < self.busiest else 1
        places = [
            (int(random.integers(height - side + 1)), int(random.integers(width - side + 1))) for _ in range(tries)
        ]
        mirrored, upside_down, transposed = (bool(random.random() < self.flip) for _ in range(3))
        return tuple(
            Placed(self.crop, top, left, side, inner, angle, mirrored, upside_down, transposed) for top, left in places
        )

    def _photometry(self, random: np.random.Generator) -> Photometry:
        gamma, gain, order, sigma, drift = 1.0, (1.0, 1.0, 1.0), (0, 1, 2), 0.0, 0.0
        if random.random() < self.colour:
            gamma = math.exp(random.uniform(-0.35, 0.35))
            gain = tuple(np.exp(random.uniform(-0.2, 0.2) + random.uniform(-0.08, 0.08, 3)).tolist())
            order = tuple(random.permutation(3).tolist()) if random.random() < 0.3 else order
        if random.random() < self.blur:
            sigma = random.uniform(0.4, 1.5)
        if random.random() < self.exposure:
            drift = random.uniform(-self.drift, self.drift)
        return Photometry(gamma, gain, order, sigma, drift, (self._degradation(random), self._degradation(random)))

    def _degradation(self, random: np.random.Generator) -> Degradation:
        noise = random.uniform(0.002, 0.02) if random.random() < self.noise else 0.0
        quality = int(random.integers(40, 96)) if random.random() < self.jpeg else None
        return Degradation(noise, quality, int(random.integers(2**62)))


@dataclass(frozen=True)
class Degradation:
    """What a codec does to one frame: ``noise`` (sigma, frames in [0, 1]), JPEG ``quality``; seed of the noise."""

    noise: float = 0.0
    quality: int | None = None
    seed: int = 0

    def applied(self, picture: Tensor) -> Tensor:
        """(3, H, W) in [0, 1] -> the same, float32."""
        if self.noise:
            draws = np.random.default_rng(self.seed).normal(0, self.noise, tuple(picture.shape))
            picture = picture + torch.from_numpy(draws.astype(np.float32))
        if self.quality is not None:
            codes = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            done, packed = cv2.imencode(".jpg", codes[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            assert done
            decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
            assert decoded is not None
            picture = torch.from_numpy(decoded[..., ::-1].copy()).permute(2, 0, 1).float() / 255
        return picture


@dataclass(frozen=True)
class Photometry:
    """What happens to the colours of one motion's frames.

    Attributes:
        gamma, gain, order: exponent, factor per channel and order of the channels, the same for all frames.
        blur: sigma of a Gaussian, px, the same for all frames; 0: none.
        drift: of the brightness from the first to the last frame, as a share.
        ends: what a codec does to the first frame and to the last one: a made frame should be clean.
    """

    gamma: float = 1.0
    gain: tuple[float, ...] = (1.0, 1.0, 1.0)
    order: tuple[int, ...] = (0, 1, 2)
    blur: float = 0.0
    drift: float = 0.0
    ends: tuple[Degradation, Degradation] = (Degradation(), Degradation())

    def recolours(self) -> bool:
        """Whether gamma, gain or order change anything."""
        return (self.gamma, self.gain, self.order) != (1.0, (1.0, 1.0, 1.0), (0, 1, 2))

    def applied(self, pictures: Tensor, times: np.ndarray) -> Tensor:
        """(N, 3, H, W) in [0, 1] at ``times`` (N,) -> the same, float32; the ends are the frames at 0 and 1."""
        pictures = pictures.clone()
        if self.recolours():
            gain = torch.tensor(self.gain).view(1, 3, 1, 1)
            pictures = (pictures[:, list(self.order)].clamp(min=1e-4) ** self.gamma * gain).clamp_(0, 1)
        if self.blur:
            pictures = blurred(pictures, self.blur)
        if self.drift:
            change = torch.from_numpy((1 + self.drift * (times - 0.5)).astype(np.float32))
            pictures = pictures * change.view(-1, 1, 1, 1)
        for end, degradation in zip(ends_at(times), self.ends):
            pictures[end] = degradation.applied(pictures[end])
        return pictures.clamp_(0, 1).contiguous()


def ends_at(times: np.ndarray) -> tuple[int, int]:
    """Where the first and the last frame are among ``times`` in ascending order: at 0 and at 1, or next to them."""
    return int(np.abs(times).argmin()), int(np.abs(times - 1).argmin())


@dataclass(frozen=True)
class Placed:
    """Where a crop lies in its frames: a square of ``side`` px, resized to ``inner``, turned, cut, flipped."""

    crop: int
    top: int
    left: int
    side: int
    inner: int
    angle: float = 0.0
    mirrored: bool = False
    upside_down: bool = False
    transposed: bool = False

    def affine(self) -> np.ndarray:
        """(2, 3) matrix from a pixel (x, y, 1) of the crop to the place (x, y) in its frame that ``pictures`` shows."""
        middle = (self.crop - 1) / 2
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        centred = np.array([[1, 0, -middle], [0, 1, -middle], [0, 0, 1]], np.float64)
        if self.transposed:
            centred = centred[[1, 0, 2]]
        flips = np.diag([-1.0 if self.mirrored else 1.0, -1.0 if self.upside_down else 1.0, 1.0])
        half = (self.inner - 1) / 2
        turned = np.array([[cos, -sin, half], [sin, cos, half], [0, 0, 1]])
        ratio = self.side / self.inner
        offset = 0.5 * ratio - 0.5
        resized = np.array([[ratio, 0, offset + self.left], [0, ratio, offset + self.top]])
        return resized @ turned @ flips @ centred

    def pictures(self, frames: np.ndarray) -> Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, crop, crop) float32 in [0, 1]."""
        rows, columns = (slice(begin, begin + self.side) for begin in (self.top, self.left))
        pictures = torch.from_numpy(np.ascontiguousarray(frames[:, rows, columns])).permute(0, 3, 1, 2)
        if self.side != self.inner:
            size = self.inner, self.inner
            pictures = F.interpolate(pictures, size, mode="bilinear", antialias=self.side > self.inner)
        pictures = pictures.float() / 255
        if self.angle:
            pictures = _rotated(pictures, self.angle, self.crop)
        pictures = pictures.flip(-1) if self.mirrored else pictures
        pictures = pictures.flip(-2) if self.upside_down else pictures
        return (pictures.transpose(-1, -2) if self.transposed else pictures).contiguous()


def _rotated(pictures: Tensor, angle: float, crop: int) -> Tensor:
    """The middle ``crop`` x ``crop`` of the pictures turned by ``angle`` (radians)."""
    height, width = pictures.shape[-2:]
    centred = pixel_grid(crop, crop, like=pictures) - (crop - 1) / 2
    x, y = centred[:, :1], centred[:, 1:]
    cos, sin = math.cos(angle), math.sin(angle)
    position = torch.cat((cos * x - sin * y + (width - 1) / 2, sin * x + cos * y + (height - 1) / 2), dim=1)
    return sample(pictures, position.expand(len(pictures), -1, -1, -1))


@dataclass(frozen=True)
class Drawn:
    """All chance for one motion: whether it plays backwards, where it may be cut (see ``busiest``), its colours."""

    reverse: bool
    placements: tuple[Placed, ...]
    photometry: Photometry


def busiest(first: np.ndarray, last: np.ndarray, placements: Sequence[Placed]) -> int:
    """Which of the crops differs most between two frames (H, W, 3) uint8, by every eighth green pixel."""
    if len(placements) == 1:
        return 0

    def change(placed: Placed) -> float:
        rows, columns = (slice(begin, begin + placed.side, 8) for begin in (placed.top, placed.left))
        return float(np.abs(first[rows, columns, 1].astype(np.int16) - last[rows, columns, 1]).mean())

    changes = [change(placed) for placed in placements]
    return changes.index(max(changes))


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) after a Gaussian of this sigma, px; the border is replicated."""
    radius = max(1, math.ceil(2.5 * sigma))
    taps = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)]
    tap = torch.tensor(taps, dtype=pictures.dtype, device=pictures.device) / sum(taps)
    channels = pictures.shape[1]
    padded = F.pad(pictures, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, tap.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, tap.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
