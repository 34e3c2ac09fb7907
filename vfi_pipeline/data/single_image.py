"""One picture and its primitive, warped together: what a conditional network learns a single picture from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.modules import Batches, content
from vfi_pipeline.data.primitives import PRIMITIVES, Palette, nearest_colours, palette_of, primitive_of
from vfi_pipeline.data.style_pictures import shrunk_picture
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.geometry import pixel_grid, warp
from vfi_pipeline.geometry.thin_plate import displacement, thin_plate
from vfi_pipeline.media.stills import read_rgb8

log = logging.getLogger(__name__)

AUGMENTATIONS = ("tps", "crop", "none")


def random_displacement(
    size: tuple[int, int], random: np.random.Generator, reach: float = 0.1, points: int = 4
) -> Tensor:
    """(1, 2, H, W) px: a thin-plate spline by a grid of ``points`` x ``points``, each moved by up to ``reach`` of the
    sides (Vinker et al. 2020)."""
    height, width = size
    x, y = np.meshgrid(np.linspace(0, width - 1, points), np.linspace(0, height - 1, points))
    at = torch.tensor(np.stack((x.ravel(), y.ravel()), axis=1))
    by = torch.tensor(random.uniform(-reach, reach, at.shape) * [width, height])
    spline = thin_plate(at, at + by, smoothness=float(random.uniform(0, 0.02)))
    return displacement(spline, pixel_grid(height, width, like=torch.empty(0)))


class SingleImageSet(Dataset):
    """By counter: (primitive, picture) as ``Triplet``'s first and last frame, both (3, H, W), warped together.

    Args:
        primitive, picture: (1, 3, H, W) in [0, 1].
        palette: whose colours a warped primitive is snapped to.
        augmentation: ``tps`` (and crop, and flip), ``crop`` (and flip) or ``none``.
        reach: of the splines, as a share of the sides.
        flip: whether half of them are mirrored.
    """

    def __init__(
        self, primitive: Tensor, picture: Tensor, palette: Palette, augmentation: str = "tps", reach: float = 0.1,
        flip: bool = True, seed: int = 0,
    ) -> None:  # fmt: skip
        self.primitive, self.picture, self.palette = primitive, picture, palette
        self.augmentation, self.reach, self.flip, self.seed = augmentation, reach, flip, seed

    def __getitem__(self, counter: int) -> Triplet:
        random = np.random.default_rng([self.seed, counter])
        both = torch.cat((self.primitive, self.picture))
        if self.augmentation != "none":
            both = self._cropped(both, random)
        if self.augmentation == "tps":
            flow = random_displacement((both.shape[-2], both.shape[-1]), random, self.reach)
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


class Finite(Dataset):
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
    made = nearest_colours(codes, palette.colours)
    return (torch.from_numpy(made).permute(2, 0, 1)[None].float() / 255).to(primitive)


class SingleImage(Batches):
    """One picture, and what an editor would draw of it.

    Args:
        image: the picture's file.
        primitive: ``super``, ``segments`` or ``edges``, made of it; or the file of one of its size.
        size: longest side, px.
        colours: of the areas.
        augmentation: see ``SingleImageSet``.
        val_samples: warped otherwise than in training, for the figures.
    """

    def __init__(
        self,
        image: str,
        primitive: str = "super",
        size: int = 128,
        colours: int = 10,
        augmentation: str = "tps",
        reach: float = 0.1,
        flip: bool = True,
        val_samples: int = 4,
        **loader: int,
    ) -> None:
        super().__init__(**{"batch_size": 1, **loader})
        if augmentation not in AUGMENTATIONS:
            raise UserError(f"data.augmentation={augmentation} is not known.", f"one of {', '.join(AUGMENTATIONS)}.")
        if not 32 <= size <= 1024:
            raise UserError(f"data.size={size} cannot be.", "data.size= 32 to 1024; 128 takes minutes on a CPU.")
        if not 2 <= colours <= 64:
            raise UserError(f"data.colours={colours} cannot be.", "data.colours= 2 to 64.")
        self.image, self.asked, self.size, self.colours = Path(image).expanduser(), primitive, size, colours
        self.augmentation, self.reach, self.flip, self.val_samples = augmentation, reach, flip, val_samples
        if not self.image.is_file():
            raise UserError(f"image={image} does not exist.", "the file of one picture.", BAD_INPUT)
        self.picture = shrunk_picture(read_rgb8(self.image), size)
        self.palette, self.primitive = self._primitive()

    def _primitive(self) -> tuple[Palette, Tensor]:
        codes = (self.picture[0] * 255 + 0.5).byte().permute(1, 2, 0).numpy()
        if self.asked in PRIMITIVES:
            palette = palette_of(codes, self.asked, self.colours, self.seed)
            made = primitive_of(codes, palette)
            return palette, torch.from_numpy(made).permute(2, 0, 1)[None].float() / 255
        path = Path(self.asked).expanduser()
        if not path.is_file():
            raise UserError(
                f"primitive={self.asked} is neither a kind nor a file.",
                f"primitive= one of {', '.join(PRIMITIVES)}, or a picture.",
            )
        drawn = shrunk_picture(read_rgb8(path), self.size)
        if drawn.shape != self.picture.shape:
            raise UserError(
                f"primitive={path.name} is of another shape than {self.image.name}.",
                "one of the picture's own size.",
                BAD_INPUT,
            )
        own = (drawn[0] * 255 + 0.5).byte().permute(1, 2, 0).numpy()
        found, counts = np.unique(own.reshape(-1, 3), axis=0, return_counts=True)
        most = found[np.argsort(-counts, kind="stable")[:64]]
        palette = Palette("segments", tuple(tuple(int(v) for v in colour) for colour in most))
        return palette, snapped(drawn, palette)

    def train_set(self) -> Dataset:
        return SingleImageSet(
            self.primitive, self.picture, self.palette, self.augmentation, self.reach, self.flip, self.seed
        )

    def val_set(self) -> Dataset:
        warped = SingleImageSet(
            self.primitive, self.picture, self.palette, "tps", self.reach, False, self.seed + 1_000_003
        )
        return Finite(warped, self.val_samples)

    def has_test(self) -> bool:
        return False

    def span(self) -> int | None:
        return self.size

    def facts(self) -> dict[str, Any]:
        return {
            "image": str(self.image), "primitive": self.asked, "size": self.size, "colours": len(self.palette.areas),
            "augmentation": self.augmentation,
        }  # fmt: skip

    def identity(self) -> Any:
        files = [("image", self.image)] + ([] if self.asked in PRIMITIVES else [("primitive", Path(self.asked))])
        return {**self.facts(), "image": content(files), "reach": self.reach, "flip": self.flip}

    def write_pictures(self, folder: Path) -> None:
        """``primitive.png``, to be edited, and ``picture.png`` beside it, as the network learns them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensor in (("primitive.png", self.primitive), ("picture.png", self.picture)):
            codes = (tensor[0] * 255 + 0.5).byte().permute(1, 2, 0).numpy()
            Image.fromarray(codes).save(folder / name)
