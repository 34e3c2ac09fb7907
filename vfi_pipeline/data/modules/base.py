"""What all data modules share: loaders that resume by the step, and a fingerprint of the data."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vfi_pipeline.data.batch import collate
from vfi_pipeline.data.broken import NamedFiles
from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.sampler import StepSampler
from vfi_pipeline.errors import UserError


class Batches(pl.LightningDataModule):
    """Base of all data modules. A subclass gives ``train_set``, ``val_set`` and, if it differs, ``test_set``.

    Every subclass has these options, and passes them on as ``loader``.

    Args:
        batch_size: samples of one step over all devices; a multiple of their number.
        steps: batches that count as one epoch.
        workers: loader processes of each device; 0 loads in the training process.
        seed: of everything that is drawn.
    """

    of_films = True
    """Whether samples move as films do; else they are pairs of pictures, or one, without a true frame between."""

    def __init__(self, batch_size: int = 8, steps: int = 1000, workers: int = 0, seed: int = 0) -> None:
        super().__init__()
        for name, value, least in (("batch_size", batch_size, 1), ("steps", steps, 1), ("workers", workers, 0)):
            if not isinstance(value, int) or value < least:
                raise UserError(f"data.{name}={value} cannot be.", f"data.{name}= a whole number, {least} or more.")
        self.batch_size, self.steps, self.workers, self.seed = batch_size, steps, workers, seed
        self.named = NamedFiles()
        self._sets: dict[str, SizedDataset] = {}

    # ------------------------------------------------------------------------------------ what a subclass gives

    def train_set(self) -> SizedDataset:
        """Sample by counter: see ``data.sampler``."""
        raise NotImplementedError

    def val_set(self) -> SizedDataset:
        """A finite set without augmentation."""
        raise NotImplementedError

    def test_set(self) -> SizedDataset:
        """The finite set of the final test: of the third part, where there is one."""
        return self.built("val")

    def has_test(self) -> bool:
        """Whether ``test_set`` is a part that neither training nor the choice of the best weights has seen."""
        return True

    def span(self) -> int | None:
        """Longest side, px, of the pictures in training: the size at which films are interpolated later. None: any."""
        return None

    def changing(self) -> Callable[[int], float] | None:
        """Batch number -> how much of the run is done, for training samples that depend on it; None: none does."""
        return None

    def left_out(self) -> int:
        """How many broken files (or sequences of them) were left out so far."""
        return len(self.named)

    def identity(self) -> Any:
        """``facts`` without the paths: equal for equal data. JSON types."""
        return self.facts()

    def facts(self) -> dict[str, Any]:
        """Names, counts and sources of the data, for the log and the model card. JSON types only."""
        return {}

    # --------------------------------------------------------------------------------------------------- loaders

    def built(self, part: str) -> SizedDataset:
        """The data set of ``train``, ``val`` or ``test``, built when it is first asked for."""
        if part not in self._sets:
            self.named.silent = self._share()[0] > 0  # every process builds the set, of the same files
            self._sets[part] = getattr(self, f"{part}_set")()
            self.named.silent = False  # but each draws samples of its own
            for dataset in _inner(self._sets[part]):
                if hasattr(dataset, "left_out"):
                    dataset.left_out.named = self.named
        return self._sets[part]

    def position(self) -> int:
        """Batches that training has seen so far, over all epochs; restored with the trainer's own progress."""
        return 0 if self.trainer is None else int(self.trainer.fit_loop.epoch_loop.batch_progress.total.ready)

    def train_dataloader(self) -> DataLoader:
        rank, world = self._share()
        sampler = StepSampler(self.batch_size, self.steps, self.position, rank, world, self.changing())
        return StepLoader(
            self.built("train"),
            sampler.local,
            sampler=sampler,
            num_workers=before_forking(self.workers),
            collate_fn=collate,
            worker_init_fn=ignore_stop_signals,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader:
        return self._finite("val")

    def test_dataloader(self) -> DataLoader:
        return self._finite("test")

    def fingerprint(self) -> str:
        """A short hash of ``identity``: equal for equal data, wherever they lie."""
        return hashlib.sha256(repr(self.identity()).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def _finite(self, part: str) -> DataLoader:
        rank, world = self._share()
        dataset = self.built(part)
        local = min(max(1, self.batch_size // world), max(1, -(-len(dataset) // world)))
        return DataLoader(
            dataset,
            local,
            sampler=_Part(dataset, num_replicas=world, rank=rank, shuffle=False),
            num_workers=before_forking(min(self.workers, 2)),
            collate_fn=collate,
            worker_init_fn=ignore_stop_signals,
        )

    def _share(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _inner(dataset: Any) -> list[Any]:
    """The data sets inside one that draws from them."""
    if hasattr(dataset, "dataset"):
        return _inner(dataset.dataset)
    return [inner for part in getattr(dataset, "datasets", ()) for inner in _inner(part)] or [dataset]


def content(files: Sequence[tuple[str, Path]], sampled: int = 1000) -> str:
    """A hash of files: names and sizes of all, the first and last 4 KiB of up to ``sampled``, evenly spread.

    Args:
        files: the name that counts (relative to where the data lie), and the file.
    """
    digest = hashlib.sha256()
    every = max(1, -(-len(files) // sampled))
    for k, (name, path) in enumerate(files):
        size = path.stat().st_size if path.is_file() else -1
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        if k % every == 0 and size > 0:
            with path.open("rb") as file:
                digest.update(file.read(4096))
                file.seek(max(0, size - 4096))
                digest.update(file.read(4096))
    return digest.hexdigest()[:16]


class StepLoader(DataLoader):
    """A loader over a ``StepSampler``. It resumes by itself, which its empty state tells Lightning."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: the sampler asks where training stands."""


class _Part(torch.utils.data.DistributedSampler):
    """Each process's part of a finite set: that class pads, so all processes take the same number of steps."""


def before_forking(workers: int) -> int:
    """``workers``; OpenCV's threads are switched off if there are any.

    Loader processes are forked. OpenCV's pool does not survive that: its threads are gone and its lock may be held, so
    that the first parallel call in the child, even ``setNumThreads``, waits for ever. PyTorch gives each loader process
    one thread by itself.
    """
    if workers:
        import cv2

        cv2.setNumThreads(0)
    return workers


def ignore_stop_signals(worker: int) -> None:
    """Starts a loader process that ignores the signals by which a terminal or SLURM ends a run.

    The main process finishes its step before it stops, and may need a batch for it; the loader ends with it.
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(15))
