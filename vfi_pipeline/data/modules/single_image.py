"""``conf/data/single_image.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.modules.base import Batches, content
from vfi_pipeline.data.primitives import PRIMITIVES, Palette, colour_of, palette_of, primitive_of
from vfi_pipeline.data.single_image import AUGMENTATIONS, Finite, SingleImageSet, snapped
from vfi_pipeline.data.style_pictures import shrunk_picture
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.stills import read_rgb8


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

    of_films = False

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
        self.image, self.kind_or_file, self.size, self.colours = Path(image).expanduser(), primitive, size, colours
        self.augmentation, self.reach, self.flip, self.val_samples = augmentation, reach, flip, val_samples
        if not self.image.is_file():
            raise UserError(f"image={image} does not exist.", "the file of one picture.", BAD_INPUT)
        self.picture = shrunk_picture(read_rgb8(self.image), size)
        self.palette, self.primitive = self._primitive()

    def _primitive(self) -> tuple[Palette, Tensor]:
        codes = (self.picture[0] * 255 + 0.5).byte().permute(1, 2, 0).numpy()
        if self.kind_or_file in PRIMITIVES:
            palette = palette_of(codes, self.kind_or_file, self.colours, self.seed)
            pixels = primitive_of(codes, palette)
            return palette, torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        path = Path(self.kind_or_file).expanduser()
        if not path.is_file():
            raise UserError(
                f"primitive={self.kind_or_file} is neither a kind nor a file.",
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
        colours_used, counts = np.unique(own.reshape(-1, 3), axis=0, return_counts=True)
        most = colours_used[np.argsort(-counts, kind="stable")[:64]]
        palette = Palette("segments", tuple(colour_of(colour) for colour in most))
        return palette, snapped(drawn, palette)

    def train_set(self) -> SizedDataset:
        return SingleImageSet(
            self.primitive, self.picture, self.palette, self.augmentation, self.reach, self.flip, self.seed
        )

    def val_set(self) -> SizedDataset:
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
            "image": str(self.image), "primitive": self.kind_or_file, "size": self.size,
            "colours": len(self.palette.areas), "augmentation": self.augmentation,
        }  # fmt: skip

    def identity(self) -> Any:
        files = [("image", self.image)]
        if self.kind_or_file not in PRIMITIVES:
            files.append(("primitive", Path(self.kind_or_file)))
        return {**self.facts(), "image": content(files), "reach": self.reach, "flip": self.flip}

    def write_pictures(self, folder: Path) -> None:
        """``primitive.png``, to be edited, and ``picture.png`` beside it, as the network learns them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensor in (("primitive.png", self.primitive), ("picture.png", self.picture)):
            codes = (tensor[0] * 255 + 0.5).byte().permute(1, 2, 0).numpy()
            Image.fromarray(codes).save(folder / name)
