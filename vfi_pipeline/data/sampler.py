"""Which sample is seen at which step: a pure function of the step, so a run resumes exactly on any number of processes.

Training data sets here take a *counter* (0, 1, 2, ... without end) instead of an index. Batch ``n`` of global size B
holds the counters ``n B ... n B + B - 1``; process r of R takes its R-th part of them. Joined over the processes the
batch is the one that a single process sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from torch.utils.data import DistributedSampler

from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.errors import UserError

T = TypeVar("T")


class Moment(NamedTuple):
    """A counter at a moment of the run, for data that change while it goes on: ``done`` is the share of it, 0 to 1."""

    counter: int
    done: float

    @classmethod
    def of(cls, counter: int | Moment) -> Moment:
        """A counter alone is seen as at the end of a run."""
        return counter if isinstance(counter, Moment) else cls(counter, 1.0)


class StepSampler(DistributedSampler):
    """Counters of this process's part of each batch, from the batch at which training stands.

    It is a DistributedSampler so that Lightning leaves it alone; it needs none of that class's state.

    Args:
        batch: global batch size; a multiple of ``world``.
        steps: batches per epoch. Epochs end at multiples of it, also when training starts in the middle of one.
        position: gives the number of batches seen so far, asked whenever an epoch starts.
        done: batch number -> how much of the run is done, 0 to 1. With it, samples are asked for by ``Moment``.
    """

    def __init__(
        self,
        batch: int,
        steps: int,
        position: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world: int = 1,
        done: Callable[[int], float] | None = None,
    ) -> None:
        if batch % world:
            raise UserError(
                f"A batch of {batch} cannot be shared by {world} processes.",
                f"Make data.batch_size a multiple of {world}: it is the whole batch of a step, over all devices.",
            )
        self.batch, self.steps, self.position, self.rank, self.world = batch, steps, position, rank, world
        self.done = done

    @property
    def local(self) -> int:
        """Samples per batch of one process."""
        return self.batch // self.world

    def __iter__(self) -> Iterator[int | Moment]:
        begin = self.position()
        for n in range(begin, (begin // self.steps + 1) * self.steps):
            start = n * self.batch + self.rank * self.local
            counters = range(start, start + self.local)
            if self.done is None:
                yield from counters
            else:
                done = self.done(n)
                yield from (Moment(counter, done) for counter in counters)

    def __len__(self) -> int:
        return self.steps * self.local

    def set_epoch(self, epoch: int) -> None:
        """Ignored: the position says it all."""


class Shuffled(SizedDataset[T]):
    """Any finite data set by counter: a new order in each round, the same for the same seed.

    A data set that augments draws its randomness from ``sample(index, random)`` if it has that method.
    """

    def __init__(self, dataset: SizedDataset[T], seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, counter: int) -> T:
        around, place = divmod(counter, len(self.dataset))
        if self._order is None or self._order[0] != around:
            self._order = around, np.random.default_rng([self.seed, around]).permutation(len(self.dataset))
        index = int(self._order[1][place])
        if hasattr(self.dataset, "sample"):
            return self.dataset.sample(index, np.random.default_rng([self.seed, 1, counter]))
        return self.dataset[index]


class Mixed(SizedDataset[T]):
    """Draws each sample from one of several counter data sets, in the given shares."""

    def __init__(self, datasets: Sequence[SizedDataset[T]], shares: Sequence[float], seed: int = 0) -> None:
        self.datasets, self.seed = list(datasets), seed
        self.shares = np.asarray(shares, float) / np.sum(shares)

    def __len__(self) -> int:
        return max(len(dataset) for dataset in self.datasets)

    def __getitem__(self, counter: int | Moment) -> T:
        """A data set that changes during the run (``changes``) gets the moment, the others the counter."""
        moment = Moment.of(counter)
        dataset = self.datasets[choice(self.seed, moment.counter, self.shares)]
        return dataset[moment if getattr(dataset, "changes", False) else moment.counter]


def choice(seed: int, counter: int, shares: Sequence[float] | np.ndarray) -> int:
    """Which of several data sets gives sample ``counter``, each with its share (they add up to 1)."""
    return int(np.random.default_rng([seed, 2, counter]).choice(len(shares), p=shares))
