"""The base of all data sets here. torch's ``Dataset`` declares no length, and every one of these has one."""

from __future__ import annotations

from typing import TypeVar

from torch.utils.data import Dataset

NOMINAL_EPOCH = 100_000
"""Length that a data set without end gives: training counts steps, not epochs."""

T_co = TypeVar("T_co", covariant=True)


class SizedDataset(Dataset[T_co]):
    """A data set of known length: of its samples, or, by counter, of a nominal epoch."""

    def __len__(self) -> int:
        raise NotImplementedError
