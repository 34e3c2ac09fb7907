"""``conf/data/vimeo90k.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.modules.base import Batches, content
from vfi_pipeline.data.pairs import ImageSequences, vimeo90k
from vfi_pipeline.data.sampler import Shuffled


class Vimeo90k(Batches):
    """Vimeo90K, triplets or septuplets, whichever ``root`` holds; its own test list is the validation and test set.

    Args:
        root: the unpacked ``vimeo_triplet`` or ``vimeo_septuplet``.
        crop: side of the training crops, at most 256.
        spans, middles: of septuplets: frames from first to last, and true frames between.
        val_samples: of the test list, evenly spread, for validation during training; the final test takes all.
    """

    def __init__(
        self,
        root: str,
        crop: int = 192,
        augmentation: Augmentation | None = None,
        spans: tuple[int, int] = (2, 6),
        middles: int = 1,
        val_samples: int = 128,
        **loader: int,
    ) -> None:
        super().__init__(**{"batch_size": 16, "workers": 2, **loader})
        self.root, self.augmentation = Path(root), augmentation or Augmentation(crop, scale=(0.8, 1.2))
        (low, high), self.middles, self.val_samples = spans, middles, val_samples
        self.spans = (low, high)  # Hydra gives a list

    def train_set(self) -> SizedDataset:
        sequences = vimeo90k(self.root, "train")
        return Shuffled(ImageSequences(sequences, self.augmentation, self.spans, self.middles), self.seed)

    def val_set(self) -> SizedDataset:
        sequences = vimeo90k(self.root, "test")
        kept = np.unique(np.linspace(0, len(sequences) - 1, min(self.val_samples, len(sequences))).round().astype(int))
        return ImageSequences([sequences[k] for k in kept])

    def test_set(self) -> SizedDataset:
        return ImageSequences(vimeo90k(self.root, "test"))

    def facts(self) -> dict[str, Any]:
        counts = {part: len(vimeo90k(self.root, part)) for part in ("train", "test")}
        return {"set": "Vimeo90K (Xue et al. 2019)", "root": str(self.root), **counts, "crop": self.augmentation.crop}

    def identity(self) -> Any:
        first_frames = [files[0] for part in ("train", "test") for files in vimeo90k(self.root, part)]
        names = [path.relative_to(self.root).as_posix() for path in first_frames]
        some = range(0, len(first_frames), max(1, len(first_frames) // 200))
        facts = {key: value for key, value in self.facts().items() if key != "root"}
        return {**facts, "names": names, "content": content([(names[k], first_frames[k]) for k in some])}

    def has_test(self) -> bool:
        return True  # the whole test list, of which validation has seen a few: that is the set's custom

    def span(self) -> int | None:
        return round(448 * float(np.sqrt(np.prod(self.augmentation.scale))))  # of the pictures' width
