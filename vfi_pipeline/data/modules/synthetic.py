"""``conf/data/synthetic.yaml``: scenes with known motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.modules.base import Batches, content
from vfi_pipeline.data.sampler import Shuffled
from vfi_pipeline.data.synthetic import Cached, Recipe, SyntheticMotion
from vfi_pipeline.data.textures import bundled_textures, image_files, own_textures, split_textures


class Synthetic(Batches):
    """Layers of photographs with known motion: ``SyntheticMotion``.

    Args:
        crop: side of the frames.
        textures: a folder of images of your own; None takes the bundled photographs. Every fifth is held out.
        recipe: the distribution of scenes; None is ``Recipe()``.
        augmentation: colour, noise and so on for training; None leaves the pictures clean.
        pool: scenes that training draws from, made once and kept; None makes a new one for every sample.
        val_times: times of the target frames in validation.
        middles: target frames of a training sample.
    """

    def __init__(
        self,
        crop: int = 192,
        textures: str | None = None,
        recipe: Recipe | None = None,
        augmentation: Augmentation | None = None,
        middles: int = 1,
        pool: int | None = None,
        val_times: Sequence[float] = (0.25, 0.5, 0.75),
        val_samples: int = 64,
        **loader: int,
    ) -> None:
        super().__init__(**loader)
        self.crop, self.folder, self.recipe, self.augmentation = crop, textures, recipe or Recipe(), augmentation
        self._textures: list[np.ndarray] | None = None
        self.middles, self.val_times, self.val_samples, self.pool = middles, tuple(val_times), val_samples, pool

    def pictures(self, held: bool) -> list[np.ndarray]:
        """The textures of one side of the split."""
        if self._textures is None:
            own = own_textures(Path(self.folder), named=self.named) if self.folder else None
            self._textures = bundled_textures() if own is None else own
        return split_textures(self._textures, held)

    def train_set(self) -> SizedDataset:
        scenes = SyntheticMotion(
            self.crop,
            self.pictures(held=False),
            self.recipe,
            self.middles,
            augmentation=self.augmentation,
            seed=self.seed,
        )
        return scenes if self.pool is None else Shuffled(Cached(scenes, self.pool), self.seed)

    def val_set(self) -> SizedDataset:
        held = self.pictures(held=True)
        scenes = SyntheticMotion(self.crop, held, self.recipe, times=self.val_times, seed=1_000_003)
        return Cached(scenes, self.val_samples)

    def facts(self) -> dict[str, Any]:
        return {
            "textures": self.folder or "photographs bundled with scikit-image and scikit-learn",
            "recipe": repr(self.recipe),
            "size": self.crop,
            "pool": self.pool,
        }

    def identity(self) -> Any:
        facts = self.facts()
        if self.folder:
            root = Path(self.folder)
            files = [(path.relative_to(root).as_posix(), path) for path in image_files(root)]
            facts |= {"textures": content(files)}
        return facts

    def span(self) -> int | None:
        return self.crop

    def test_set(self) -> SizedDataset:
        """Other scenes of the textures that validation sees."""
        held = self.pictures(held=True)
        return Cached(
            SyntheticMotion(self.crop, held, self.recipe, times=self.val_times, seed=2_000_003), self.val_samples
        )
