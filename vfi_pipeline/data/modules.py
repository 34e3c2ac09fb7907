"""LightningDataModules, one for each ``conf/data/*.yaml``: they build the data sets and hand out loaders."""

from __future__ import annotations

import hashlib
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import collate
from vfi_pipeline.data.clips import FilmFolder, MemoryClips, Search, find_films, split_films, usable_films
from vfi_pipeline.data.digits import PARTS, DigitSplit, PairedDigits, UnpairedDigits, load_digits
from vfi_pipeline.data.draw import TripletDraw
from vfi_pipeline.data.index import film_index
from vfi_pipeline.data.pairs import (
    ImagePairs,
    ImageSequences,
    UnpairedFolders,
    listed_pairs,
    matched_pairs,
    split_list,
    vimeo90k,
)
from vfi_pipeline.data.sampler import Mixed, Shuffled, StepSampler
from vfi_pipeline.data.synthetic import Kept, Recipe, SyntheticMotion
from vfi_pipeline.data.textures import bundled_textures, image_files, own_textures, split_textures
from vfi_pipeline.errors import UserError

log = logging.getLogger(__name__)


class Batches(pl.LightningDataModule):
    """What all data modules share. A subclass gives ``train_set``, ``val_set`` and, if it differs, ``test_set``.

    Its options are those of every subclass, which hands them on as ``loader``.

    Args:
        batch_size: samples of one step over all devices; a multiple of their number.
        steps: batches that count as one epoch.
        workers: loader processes of each device; 0 loads in the training process.
        seed: of everything that is drawn.
    """

    def __init__(self, batch_size: int = 8, steps: int = 1000, workers: int = 0, seed: int = 0) -> None:
        super().__init__()
        for name, value, least in (("batch_size", batch_size, 1), ("steps", steps, 1), ("workers", workers, 0)):
            if not isinstance(value, int) or value < least:
                raise UserError(f"data.{name}={value} cannot be.", f"data.{name}= a whole number, {least} or more.")
        self.batch_size, self.steps, self.workers, self.seed = batch_size, steps, workers, seed
        self._sets: dict[str, Dataset] = {}

    # ------------------------------------------------------------------------------------ what a subclass gives

    def train_set(self) -> Dataset:
        """Sample by counter: see ``data.sampler``."""
        raise NotImplementedError

    def val_set(self) -> Dataset:
        """A finite set without augmentation."""
        raise NotImplementedError

    def test_set(self) -> Dataset:
        """The finite set of the final test; the validation set unless a subclass knows better."""
        return self.built("val")

    def facts(self) -> dict[str, Any]:
        """What the data is, for the log and the model card: names, counts, sources. JSON types only."""
        return {}

    # --------------------------------------------------------------------------------------------------- loaders

    def built(self, part: str) -> Dataset:
        """The data set of ``train``, ``val`` or ``test``, built when it is first asked for."""
        if part not in self._sets:
            self._sets[part] = getattr(self, f"{part}_set")()
        return self._sets[part]

    def position(self) -> int:
        """Batches that training has seen so far, over all epochs; restored with the trainer's own progress."""
        return 0 if self.trainer is None else int(self.trainer.fit_loop.epoch_loop.batch_progress.total.ready)

    def train_dataloader(self) -> DataLoader:
        rank, world = self._share()
        sampler = StepSampler(self.batch_size, self.steps, self.position, rank, world)
        return StepLoader(
            self.built("train"),
            sampler.local,
            sampler=sampler,
            num_workers=before_forking(self.workers),
            collate_fn=collate,
            worker_init_fn=outlive_a_stop,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader:
        return self._finite("val")

    def test_dataloader(self) -> DataLoader:
        return self._finite("test")

    def fingerprint(self) -> str:
        """A short hash of ``facts``: equal for equal data."""
        return hashlib.sha256(repr(sorted(self.facts().items())).encode()).hexdigest()[:12]

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
            worker_init_fn=outlive_a_stop,
        )

    def _share(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


class StepLoader(DataLoader):
    """A loader over a ``StepSampler``. It resumes by itself, which its empty state tells Lightning."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: the sampler asks where training stands."""


class _Part(torch.utils.data.DistributedSampler):
    """Each process's part of a finite set: that class pads, so all processes take the same number of steps."""


def before_forking(workers: int) -> int:
    """``workers``, after OpenCV has been told to do without threads if there are any.

    Loader processes are forked. OpenCV's pool does not survive that: its threads are gone and its lock may be held, so
    that the first parallel call in the child, even ``setNumThreads``, waits for ever. PyTorch gives each loader process
    one thread by itself.
    """
    if workers:
        import cv2

        cv2.setNumThreads(0)
    return workers


def outlive_a_stop(worker: int) -> None:
    """Begins a loader process: what a terminal or SLURM sends to all processes of a run does not end it at once, since
    the step that the main process finishes before it stops may need its batch. It ends with the main process anyway."""
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(15))


class Synthetic(Batches):
    """Layers of photographs whose motion is known: ``SyntheticMotion``.

    Args:
        crop: side of the frames.
        textures: a folder of images of your own; None takes the bundled photographs. Every fifth is held out.
        recipe: what scenes are like; None is ``Recipe()``.
        augmentation: colour, noise and so on for training; None leaves the pictures clean.
        pool: scenes that training draws from, made once and kept; None makes a new one for every sample.
        val_times: times of the true middle frames in validation.
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
        self.middles, self.val_times, self.val_samples, self.pool = middles, tuple(val_times), val_samples, pool

    def pictures(self, held: bool) -> list[np.ndarray]:
        """The textures of one side of the split."""
        return split_textures(own_textures(Path(self.folder)) if self.folder else bundled_textures(), held)

    def train_set(self) -> Dataset:
        scenes = SyntheticMotion(
            self.crop,
            self.pictures(held=False),
            self.recipe,
            self.middles,
            augmentation=self.augmentation,
            seed=self.seed,
        )
        return scenes if self.pool is None else Shuffled(Kept(scenes, self.pool), self.seed)

    def val_set(self) -> Dataset:
        held = self.pictures(held=True)
        scenes = SyntheticMotion(self.crop, held, self.recipe, times=self.val_times, seed=1_000_003)
        return Kept(scenes, self.val_samples)

    def facts(self) -> dict[str, Any]:
        return {
            "textures": self.folder or "photographs bundled with scikit-image and scikit-learn",
            "recipe": repr(self.recipe),
            "size": self.crop,
            "pool": self.pool,
        }


class Digits(Batches):
    """3s and 4s (or any two digits): unpaired draws for WGAN-GP, nearest pairs for L2.

    Args:
        paired: False draws the two sides independently (``Unpaired``); True gives each source its nearest target
            (``Triplet``, T = 0).
        mnist: the user's MNIST (npz, or folder of idx files); None takes scikit-learn's digits.
    """

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

    def split(self) -> DigitSplit:
        """All the digits, with the split; the referee classifier trains on it."""
        return load_digits(self.size, self.mnist, self.channels)

    def train_set(self) -> Dataset:
        if self.paired:
            return Shuffled(PairedDigits(self.split(), self.source, self.target), self.seed)
        return UnpairedDigits(self.split(), self.source, self.target, seed=self.seed)

    def val_set(self) -> Dataset:
        return self._finite_set("val")

    def test_set(self) -> Dataset:
        return self._finite_set("test")

    def _finite_set(self, part: str) -> Dataset:
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


class Clips(Batches):
    """Films that fit in memory, decoded once; the quickest to train on.

    Args:
        root: a folder of films, or several (searched to any depth). Split by file, so that either side holds a triplet.
        val_root: films of their own for validation. None keeps ``val_share`` of the films for it.
        crop, spans, middles, least_motion, longest, memory_gb, search, every: see ``MemoryClips`` and ``Augmentation``.
        synthetic: share of the training samples that are synthetic, with true velocity: the bundled photographs and
            frames of the training films are their textures.
        recipe: what synthetic scenes are like; None is ``Recipe()``.
        val_crop, val_samples: size and number of the validation triplets: not augmented, middle frame at t = 1/2.
    """

    _most_s: float | None = None  # of a film that is indexed: all of it

    def __init__(
        self,
        root: str | list[str],
        val_root: str | None = None,
        val_share: float = 0.1,
        crop: int = 192,
        augmentation: Augmentation | None = None,
        spans: tuple[int, int] = (2, 12),
        middles: int = 1,
        least_motion: float = 0.3,
        longest: int | None = None,
        memory_gb: float = 8.0,
        synthetic: float = 0.0,
        recipe: Recipe | None = None,
        cache: str | None = None,
        val_crop: int = 192,
        val_samples: int = 64,
        search: Search | None = None,
        every: int = 1,
        **loader: int,
    ) -> None:
        super().__init__(**loader)
        self.augmentation = augmentation or Augmentation(crop)
        self.options = {
            "search": search,
            "every": every,
            "longest": longest,
            "memory_gb": memory_gb,
            "least_motion": least_motion,
            "cache": Path(cache) if cache else None,
        }
        self.spans, self.middles, self.val_crop, self.val_samples = tuple(spans), middles, val_crop, val_samples
        self.roots = [root] if isinstance(root, str) else list(root)
        self.val_root, self.val_share = val_root, val_share
        self.synthetic, self.recipe = synthetic, recipe or Recipe()
        self._films: tuple[list[Path], list[Path]] | None = None

    def films(self) -> tuple[list[Path], list[Path]]:
        """(training, validation) films."""
        if self._films is None:
            longest = self.options["longest"]
            films = [film for root in self.roots for film in find_films(Path(root))]
            films = usable_films(films, self.augmentation, longest)
            if self.val_root is not None:
                held = usable_films(find_films(Path(self.val_root)), self._val_augmentation(), longest)
                self._films = films, held
            else:
                self._films = self._both_usable(*split_films(films, self.val_share))
        return self._films

    def _both_usable(self, train: list[Path], held: list[Path]) -> tuple[list[Path], list[Path]]:
        """The split as it is if either side holds a triplet; else, say with a title card as the only film held out,
        another film is held out, or all serve as both."""
        if not held:
            return train, held
        taught = next((film for film in train if self._holds_triplet(film, self.spans)), None)
        judged = any(self._holds_triplet(film, (2, 2)) for film in held)
        if bool(taught) == judged:
            return train, held  # where there is none at all the data set says why
        spare = [film for film in train if film != taught] if taught else []
        other = next((film for film in spare if self._holds_triplet(film, (2, 2))), None)
        if other is None:
            log.warning("Only one side of the split holds a triplet: the same films train and validate.")
            return train + held, []
        log.warning("No film held out (%s) holds a triplet; %s is held out, too.", held[0].name, other.name)
        return [film for film in train if film != other], [*held, other]

    def _holds_triplet(self, film: Path, spans: tuple[int, int]) -> bool:
        try:
            index = film_index(film, None, self.options["cache"], self._most_s)
            TripletDraw([index], spans, min(1, self.middles), least_motion=self.options["least_motion"])
        except UserError:
            return False
        return True

    def _val_augmentation(self) -> Augmentation:
        return Augmentation.none(min(self.val_crop, self.augmentation.crop))

    def train_set(self) -> Dataset:
        clips = self._set(self.films()[0], self.augmentation, self.seed, spans=self.spans, middles=self.middles)
        if not self.synthetic:
            return clips
        made = SyntheticMotion(
            self.augmentation.crop,
            bundled_textures() + clips.textures(),
            self.recipe,
            self.middles,
            augmentation=self.augmentation,
            seed=self.seed,
        )
        return Mixed([clips, made], [1 - self.synthetic, self.synthetic], self.seed)

    def val_set(self) -> Dataset:
        films = self.films()[1] or self.films()[0]
        which = {"spans": (2, 2), "middles": 1, "centred": True, "length": self.val_samples}
        return self._set(films, self._val_augmentation(), 0, **which)

    def _set(self, films: list[Path], augmentation: Augmentation, seed: int, **which: Any) -> MemoryClips | FilmFolder:
        return MemoryClips(films, augmentation, seed, **{**self.options, **which})

    def facts(self) -> dict[str, Any]:
        train, held = self.films()
        return {
            "roots": self.roots,
            "train": [film.name for film in train],
            "val": [film.name for film in held],
            "bytes": sum(film.stat().st_size for film in train + held),
            "crop": self.augmentation.crop,
            "spans": list(self.spans),
            "synthetic": self.synthetic,
        }


class Films(Clips):
    """A folder of films of any size: indexed once, decoded on demand. Arguments as for ``Clips``, and those of
    ``FilmFolder``: ``reuse``, ``window``, ``most_s``. Nothing is held in memory, so ``memory_gb`` does not apply."""

    def __init__(
        self, root: str | list[str], reuse: int = 4, window: int = 24, most_s: float | None = 900.0, **options: Any
    ) -> None:
        super().__init__(root, **options)
        self.decoding = {"reuse": reuse, "window": window, "most_s": most_s}
        self._most_s = most_s
        if self.options["search"] is not None or self.options["every"] > 1:
            raise UserError("data.search and data.every are for clips in memory.", "data=clips.")
        for name in ("memory_gb", "search", "every"):
            self.options.pop(name)

    def _set(self, films: list[Path], augmentation: Augmentation, seed: int, **which: Any) -> FilmFolder:
        return FilmFolder(films, augmentation, seed, **{**self.options, **self.decoding, **which})


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
        self.spans, self.middles, self.val_samples = tuple(spans), middles, val_samples

    def train_set(self) -> Dataset:
        found = vimeo90k(self.root, "train")
        return Shuffled(ImageSequences(found, self.augmentation, self.spans, self.middles), self.seed)

    def val_set(self) -> Dataset:
        found = vimeo90k(self.root, "test")
        kept = np.unique(np.linspace(0, len(found) - 1, min(self.val_samples, len(found))).round().astype(int))
        return ImageSequences([found[k] for k in kept])

    def test_set(self) -> Dataset:
        return ImageSequences(vimeo90k(self.root, "test"))

    def facts(self) -> dict[str, Any]:
        counts = {part: len(vimeo90k(self.root, part)) for part in ("train", "test")}
        return {"set": "Vimeo90K (Xue et al. 2019)", "root": str(self.root), **counts, "crop": self.augmentation.crop}


class Pairs(Batches):
    """Image pairs for paired L2: from a list, or from two folders whose images are named alike.

    Args:
        pairs: a text file with two paths a line; else ``first`` and ``last``, two folders.
        size: side (or (height, width)) that all are resized to; None keeps the images' own.
        val_share: share of the pairs that is held out.
    """

    def __init__(
        self,
        pairs: str | None = None,
        first: str | None = None,
        last: str | None = None,
        size: int | tuple[int, int] | None = 64,
        flip: float = 0.5,
        val_share: float = 0.1,
        **loader: int,
    ) -> None:
        super().__init__(**{"batch_size": 16, **loader})
        self.pairs, self.first, self.last = pairs, first, last
        self.size = size if size is None or isinstance(size, int) else (int(size[0]), int(size[1]))
        self.flip, self.val_share = flip, val_share

    def found(self) -> list[tuple[Path, Path]]:
        """All pairs."""
        if self.pairs is not None:
            return listed_pairs(Path(self.pairs))
        if self.first is None or self.last is None:
            raise UserError(
                "No image pairs are given.", "Give data.pairs=list.txt, or data.first and data.last folders."
            )
        return matched_pairs(Path(self.first), Path(self.last))

    def train_set(self) -> Dataset:
        return Shuffled(ImagePairs(split_list(self.found(), self.val_share)[0], self.size, self.flip), self.seed)

    def val_set(self) -> Dataset:
        return ImagePairs(split_list(self.found(), self.val_share)[1], self.size)

    def facts(self) -> dict[str, Any]:
        return {"pairs": len(self.found()), "list": self.pairs, "folders": [self.first, self.last], "size": self.size}


class Strangers(Batches):
    """Two folders of unrelated images, for WGAN-GP.

    Args:
        source, target: the folders.
        size: side (or (height, width)) that all are resized to.
        val_share: share of each folder that is held out.
    """

    def __init__(
        self,
        source: str,
        target: str,
        size: int | tuple[int, int] = 64,
        flip: float = 0.5,
        val_share: float = 0.1,
        **loader: int,
    ) -> None:
        super().__init__(**{"batch_size": 32, **loader})
        self.source, self.target, self.flip, self.val_share = source, target, flip, val_share
        self.size = size if isinstance(size, int) else (int(size[0]), int(size[1]))

    def train_set(self) -> Dataset:
        sides = (split_list(image_files(Path(root)), self.val_share)[0] for root in (self.source, self.target))
        return UnpairedFolders(*sides, self.size, self.flip, self.seed)

    def val_set(self) -> Dataset:
        sources, targets = (
            split_list(image_files(Path(root)), self.val_share)[1] for root in (self.source, self.target)
        )
        return UnpairedFolders(sources, targets, self.size, 0.0, self.seed, length=max(16, len(sources)))

    def facts(self) -> dict[str, Any]:
        counts = [len(image_files(Path(root))) for root in (self.source, self.target)]
        return {"folders": [self.source, self.target], "images": counts, "size": self.size}
