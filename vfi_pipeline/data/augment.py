"""Random crops and photometric changes of frames that belong together; all chance comes from the given generator."""

from __future__ import annotations

import math
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
            crop, (1.0, 1.0), *([0.0] * 2), flip=0, reverse=0, busiest=0, colour=0, exposure=0, blur=0, noise=0, jpeg=0
        )

    def fits(self, width: int, height: int) -> bool:
        """Whether a picture of this size can fill a crop, enlarged as far as ``scale`` allows."""
        return min(width, height) * self.scale[1] >= self.crop

    def __call__(self, frames: np.ndarray, times: np.ndarray, random: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Crops and changes one motion's frames.

        Args:
            frames: (N, H, W, 3) uint8, N >= 2, in order of time.
            times: (N,) in [0, 1], 0 for the first and 1 for the last.

        Returns:
            (N, 3, crop, crop) float32 in [0, 1] and the times; both reversed if the motion plays backwards.
        """
        backwards = random.random() < self.reverse
        if backwards:
            frames, times = frames[::-1], 1 - times[::-1]
        placed = self._placed(frames, random)
        pictures = self.photometric(placed.pictures(frames), times, random)
        return pictures, np.ascontiguousarray(times)

    def photometric(self, pictures: Tensor, times: np.ndarray, random: np.random.Generator) -> Tensor:
        """Only the changes of colour, light, sharpness, noise and compression, of (N, 3, H, W) in [0, 1]."""
        pictures = self._photometry(pictures, times, random).clone()
        for end in (0, -1):
            pictures[end] = self._degrade(pictures[end], random)
        return pictures.clamp_(0, 1).contiguous()

    def _placed(self, frames: np.ndarray, random: np.random.Generator) -> Placed:
        height, width = frames.shape[1:3]
        scale = math.exp(random.uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        angle = math.radians(random.uniform(-self.degrees, self.degrees)) if random.random() < self.rotate else 0.0
        grown = abs(math.cos(angle)) + abs(math.sin(angle))
        # A margin of 2 px for the rotation's bilinear reads; a picture too small for this scale is shrunk less.
        inner = math.ceil(self.crop * grown) + (2 if angle else 0)
        scale = max(scale, inner / min(height, width))
        side = min(round(inner / scale), height, width)
        top, left = self._place(frames, side, random)
        mirrored, upside_down, transposed = (bool(random.random() < self.flip) for _ in range(3))
        return Placed(self.crop, top, left, side, inner, angle, mirrored, upside_down, transposed)

    def _place(self, frames: np.ndarray, side: int, random: np.random.Generator) -> tuple[int, int]:
        height, width = frames.shape[1:3]
        tries = self.tries if random.random() < self.busiest else 1
        places = [
            (int(random.integers(height - side + 1)), int(random.integers(width - side + 1))) for _ in range(tries)
        ]
        if tries == 1:
            return places[0]

        def change(place: tuple[int, int]) -> float:
            first, last = (
                end[place[0] : place[0] + side : 8, place[1] : place[1] + side : 8, 1]
                for end in (frames[0], frames[-1])
            )
            return float(np.abs(first.astype(np.int16) - last).mean())

        return max(places, key=change)

    def _photometry(self, pictures: Tensor, times: np.ndarray, random: np.random.Generator) -> Tensor:
        if random.random() < self.colour:
            gamma = math.exp(random.uniform(-0.35, 0.35))
            gain = torch.from_numpy(
                np.exp(random.uniform(-0.2, 0.2) + random.uniform(-0.08, 0.08, 3)).astype(np.float32)
            )
            order = random.permutation(3) if random.random() < 0.3 else np.arange(3)
            pictures = (pictures[:, order.tolist()].clamp(min=1e-4) ** gamma * gain.view(1, 3, 1, 1)).clamp_(0, 1)
        if random.random() < self.blur:
            pictures = _blurred(pictures, random.uniform(0.4, 1.5))
        if random.random() < self.exposure:
            drift = random.uniform(-self.drift, self.drift)
            change = torch.from_numpy((1 + drift * (times - 0.5)).astype(np.float32))
            pictures = pictures * change.view(-1, 1, 1, 1)
        return pictures

    def _degrade(self, picture: Tensor, random: np.random.Generator) -> Tensor:
        if random.random() < self.noise:
            sigma = random.uniform(0.002, 0.02)
            picture = picture + torch.from_numpy(random.normal(0, sigma, tuple(picture.shape)).astype(np.float32))
        if random.random() < self.jpeg:
            codes = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            done, packed = cv2.imencode(
                ".jpg", codes[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(40, 96))]
            )
            assert done
            picture = (
                torch.from_numpy(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1].copy()).permute(2, 0, 1).float()
                / 255
            )
        return picture


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


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    reach = max(1, math.ceil(2.5 * sigma))
    tap = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    tap = (tap / tap.sum()).to(pictures)
    channels = pictures.shape[1]
    padded = F.pad(pictures, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, tap.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, tap.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
