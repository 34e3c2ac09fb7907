"""One picture and its primitive, warped together: what a conditional network learns a single picture from."""

from __future__ import annotations

import logging

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.dataset import NOMINAL_EPOCH, SizedDataset
from vfi_pipeline.data.primitives import Palette, nearest_colours
from vfi_pipeline.geometry import pixel_grid, warp
from vfi_pipeline.geometry.thin_plate import displacement, thin_plate

log = logging.getLogger(__name__)

AUGMENTATIONS = ("tps", "crop", "none")


def random_displacement(
    size: tuple[int, int], random: np.random.Generator, max_displacement: float = 0.1, points: int = 4
) -> Tensor:
    """A thin-plate spline by a grid of ``points`` x ``points``, (1, 2, H, W) px (Vinker et al. 2020).

    Args:
        size: (height, width).
        max_displacement: of a point, as a share of the sides.
    """
    height, width = size
    x, y = np.meshgrid(np.linspace(0, width - 1, points), np.linspace(0, height - 1, points))
    at = torch.tensor(np.stack((x.ravel(), y.ravel()), axis=1))
    by = torch.tensor(random.uniform(-max_displacement, max_displacement, at.shape) * [width, height])
    spline = thin_plate(at, at + by, smoothness=float(random.uniform(0, 0.02)))
    return displacement(spline, pixel_grid(height, width, like=torch.empty(0)))


class SingleImageSet(SizedDataset[Triplet]):
    """By counter: (primitive, picture) as ``Triplet``'s first and last frame, both (3, H, W), warped together.

    Args:
        primitive, picture: (1, 3, H, W) in [0, 1].
        palette: whose colours a warped primitive is snapped to.
        augmentation: ``tps`` (and crop, and flip), ``crop`` (and flip) or ``none``.
        max_displacement: of the splines, as a share of the sides.
        flip: whether half of them are mirrored.
    """

    def __init__(
        self,
        primitive: Tensor,
        picture: Tensor,
        palette: Palette,
        augmentation: str = "tps",
        max_displacement: float = 0.1,
        flip: bool = True,
        seed: int = 0,
    ) -> None:
        self.primitive, self.picture, self.palette = primitive, picture, palette
        self.augmentation, self.max_displacement, self.flip, self.seed = augmentation, max_displacement, flip, seed

    def __len__(self) -> int:
        """A nominal epoch; any counter is a valid index."""
        return NOMINAL_EPOCH

    def __getitem__(self, counter: int) -> Triplet:
        random = np.random.default_rng([self.seed, counter])
        both = torch.cat((self.primitive, self.picture))
        if self.augmentation != "none":
            both = self._cropped(both, random)
        if self.augmentation == "tps":
            flow = random_displacement((both.shape[-2], both.shape[-1]), random, self.max_displacement)
            both = warp(both, flow.expand(2, -1, -1, -1))
        if self.augmentation != "none" and self.flip and random.random() < 0.5:
            both = both.flip(-1)
        primitive, picture = snapped(both[:1], self.palette)[0], both[1].clamp(0, 1)
        return Triplet(primitive, picture.new_zeros((0, *picture.shape)), picture, picture.new_zeros(0))

    @staticmethod
    def _cropped(both: Tensor, random: np.random.Generator) -> Tensor:
        """A window of 80 to 100 % of the sides, at the whole size."""
        height, width = both.shape[-2:]
        share = random.uniform(0.8, 1.0)
        rows, columns = max(8, round(share * height)), max(8, round(share * width))
        top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
        window = both[..., top : top + rows, left : left + columns]
        return F.interpolate(window, (height, width), mode="bilinear", align_corners=False)


class Finite(SizedDataset[Triplet]):
    """The first ``count`` samples of a set by counter, the unwarped pair first."""

    def __init__(self, samples: SingleImageSet, count: int) -> None:
        self.samples, self.count = samples, count
        self.still = SingleImageSet(samples.primitive, samples.picture, samples.palette, "none")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Triplet:
        return self.still[0] if index == 0 else self.samples[index]


def snapped(primitive: Tensor, palette: Palette) -> Tensor:
    """A primitive (1, 3, H, W) in [0, 1] with every pixel the nearest of the palette's colours."""
    codes = (primitive[0].clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).cpu().numpy()
    snapped_codes = nearest_colours(codes, palette.colours)
    return (torch.from_numpy(snapped_codes).permute(2, 0, 1)[None].float() / 255).to(primitive)
