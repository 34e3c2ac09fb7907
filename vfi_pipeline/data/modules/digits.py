"""``conf/data/digits.yaml`` and ``digits_pairs.yaml``."""

from __future__ import annotations

from typing import Any

from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.digits import DigitSplit, PairedDigits, UnpairedDigits, load_digits
from vfi_pipeline.data.modules.base import Batches
from vfi_pipeline.data.sampler import Shuffled
from vfi_pipeline.data.split import PARTS


class Digits(Batches):
    """3s and 4s (or any two digits): unpaired draws for WGAN-GP, nearest pairs for L2.

    Args:
        paired: False draws the two sides independently (``Unpaired``); True gives each source its nearest target
            (``Triplet``, T = 0).
        mnist: the user's MNIST (npz, or folder of idx files); None takes scikit-learn's digits.
    """

    of_films = False

    def __init__(
        self,
        source: int = 3,
        target: int = 4,
        size: int = 16,
        paired: bool = False,
        mnist: str | None = None,
        channels: int = 1,
        **loader: int,
    ) -> None:
        super().__init__(**{"batch_size": 32, **loader})
        self.source, self.target, self.size, self.paired, self.mnist, self.channels = (
            source,
            target,
            size,
            paired,
            mnist,
            channels,
        )
        self._split: DigitSplit | None = None

    def split(self) -> DigitSplit:
        """All the digits, with the split; the referee classifier trains on it."""
        if self._split is None:
            self._split = load_digits(self.size, self.mnist, self.channels)
        return self._split

    def train_set(self) -> SizedDataset:
        if self.paired:
            return Shuffled(PairedDigits(self.split(), self.source, self.target), self.seed)
        return UnpairedDigits(self.split(), self.source, self.target, seed=self.seed)

    def val_set(self) -> SizedDataset:
        return self._finite_set("val")

    def test_set(self) -> SizedDataset:
        return self._finite_set("test")

    def _finite_set(self, part: str) -> SizedDataset:
        split = self.split()
        if self.paired:
            return PairedDigits(split, self.source, self.target, part)
        count = len(split.of(self.source, part))
        return UnpairedDigits(split, self.source, self.target, part, self.seed, count)

    def facts(self) -> dict[str, Any]:
        split = self.split()
        return {
            "set": self.mnist or "scikit-learn digits (UCI, CC BY 4.0)",
            "size": self.size,
            "source": self.source,
            "target": self.target,
            **{part: [len(split.of(digit, part)) for digit in (self.source, self.target)] for part in PARTS},
        }

    def identity(self) -> Any:
        sums = [[float(part.pictures.double().sum()), int(part.labels.sum())] for part in self.split()]
        return {**self.facts(), "set": sums, "paired": self.paired}

    def span(self) -> int | None:
        return self.size
