"""LightningDataModules, one for each ``conf/data/*.yaml``: they build the data sets and hand out loaders."""

from __future__ import annotations

import hashlib
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import collate
from vfi_pipeline.data.clips import FilmFolder, MemoryClips, Stretch, find_films, split_films, usable_films
from vfi_pipeline.data.device_batches import DeviceLoader, DeviceTriplets, Scenes, Stage, frames_on
from vfi_pipeline.data.digits import DigitSplit, PairedDigits, UnpairedDigits, load_digits
from vfi_pipeline.data.draw import TripletDraw
from vfi_pipeline.data.index import film_index
from vfi_pipeline.data.pairs import (
    ImagePairs,
    ImageSequences,
    Pair,
    UnpairedFolders,
    groups_of,
    listed_pairs,
    matched_pairs,
    vimeo90k,
)
from vfi_pipeline.data.sampler import Mixed, Shuffled, StepSampler
from vfi_pipeline.data.split import (
    PARTS,
    check_shares,
    counted,
    group_of,
    split_groups,
    split_sides,
    time_part,
    usual_rule,
)
from vfi_pipeline.data.synthetic import Kept, Recipe, SyntheticMotion
from vfi_pipeline.data.textures import bundled_textures, image_files, own_textures, split_textures
from vfi_pipeline.errors import UserError
from vfi_pipeline.media.pictures import shrunk, video_facts
from vfi_pipeline.media.stills import read_still, samples

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
        """The finite set of the final test: of the third part, where there is one."""
        return self.built("val")

    def has_test(self) -> bool:
        """Whether ``test_set`` is a part that neither training nor the choice of the best weights has seen."""
        return True

    def span(self) -> int | None:
        """Longest side, px, of the pictures as training sees them; what films should be looked at later. None: any."""
        return None

    def left_out(self) -> int:
        """How many broken files (or sequences of them) were met so far."""
        return sum(
            len(dataset.left_out) for dataset in map(_inner, self._sets.values()) if hasattr(dataset, "left_out")
        )

    def identity(self) -> Any:
        """What makes these data these: ``facts`` without the places where they lie. JSON types."""
        return self.facts()

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
            worker_init_fn=outlive_a_stop,
        )

    def _share(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _inner(dataset: Any) -> Any:
    """The data set inside one that draws from it."""
    while hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return dataset


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

    def identity(self) -> Any:
        facts = self.facts()
        if self.folder:
            root = Path(self.folder)
            files = [(path.relative_to(root).as_posix(), path) for path in image_files(root)]
            facts |= {"textures": content(files)}
        return facts

    def span(self) -> int | None:
        return self.crop

    def test_set(self) -> Dataset:
        """Other scenes of the textures that validation sees."""
        held = self.pictures(held=True)
        return Kept(
            SyntheticMotion(self.crop, held, self.recipe, times=self.val_times, seed=2_000_003), self.val_samples
        )


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
        self._split: DigitSplit | None = None

    def split(self) -> DigitSplit:
        """All the digits, with the split; the referee classifier trains on it."""
        if self._split is None:
            self._split = load_digits(self.size, self.mnist, self.channels)
        return self._split

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

    def identity(self) -> Any:
        sums = [[float(part.pictures.double().sum()), int(part.labels.sum())] for part in self.split()]
        return {**self.facts(), "set": sums, "paired": self.paired}

    def span(self) -> int | None:
        return self.size


class Clips(Batches):
    """Films that fit in memory, decoded once; the quickest to train on.

    Args:
        root: a folder of films, or several (searched to any depth). Split by file, so that either side holds a triplet;
            where one film alone holds any, that film is split by time into three parts with gaps between.
        val_root: films of their own for validation. None keeps ``val_share`` of the films for it; 0 keeps none and
            validates on what is trained on.
        test_share: of the films, for the final test. 0: there is none, and the figures are of the validation films.
        crop, spans, middles, least_motion, longest, memory_gb: see ``MemoryClips`` and ``Augmentation``.
        synthetic: share of the training samples that are synthetic, with true velocity: the bundled photographs and
            frames of the training films are their textures.
        recipe: what synthetic scenes are like; None is ``Recipe()``.
        val_crop, val_samples: size and number of the validation triplets: not augmented, middle frame at t = 1/2.
        batches: where training batches are made: ``loader`` (crops cut on the host, by ``workers``), ``device`` (all
            frames are kept on the device that trains, see ``data.device_batches``), ``auto``: on a GPU, the device.
        stages: parts of the run with other crops and batches, as ``data.device_batches.Stage``; batches are made on
            the device then.
        scenes: synthetic scenes that are made once, at the start, where batches are made on the device.
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
        test_share: float = 0.0,
        batches: str = "auto",
        stages: Sequence[Mapping[str, Any]] | None = None,
        scenes: int = 512,
        **loader: int,
    ) -> None:
        super().__init__(**loader)
        check_shares(val_share, test_share)
        if batches not in ("auto", "device", "loader"):
            raise UserError(f"data.batches={batches} is none of the three.", "data.batches=auto, device or loader.")
        self.augmentation = augmentation or Augmentation(crop)
        self.batches, self.scenes = batches, scenes
        self.stages = [Stage(0.0, self.augmentation.crop, self.batch_size), *(Stage(**stage) for stage in stages or ())]
        self.stages.sort(key=lambda stage: stage.begin)
        self.run_share: Callable[[], float] | None = None
        self.options = {
            "longest": longest,
            "memory_gb": memory_gb,
            "least_motion": least_motion,
            "cache": Path(cache) if cache else None,
        }
        self.spans, self.middles, self.val_crop, self.val_samples = tuple(spans), middles, val_crop, val_samples
        self.roots = [root] if isinstance(root, str) else list(root)
        self.val_root, self.val_share, self.test_share = val_root, val_share, test_share
        self.synthetic, self.recipe = synthetic, recipe or Recipe()
        self._films: tuple[list[Path], list[Path]] | None = None
        self._tested: list[Path] = []
        self._by_time = False  # one film, in three parts

    def films(self) -> tuple[list[Path], list[Path]]:
        """(training, validation) films."""
        if self._films is None:
            longest = self.options["longest"]
            films = [film for root in self.roots for film in find_films(Path(root))]
            films = usable_films(films, self._widest(), longest)
            if self.test_share:
                films, self._tested = split_films(films, self.test_share, salt="test")
            if self.val_root is not None:
                held = usable_films(find_films(Path(self.val_root)), self._val_augmentation(), longest)
                self._films = films, held
            else:
                self._films = self._both_usable(*split_films(films, self.val_share))
            if self.val_share <= 0 and self.val_root is None:
                log.warning("Nothing is kept back (data.val_share=0): validation is on the films that are trained on.")
        return self._films

    def _both_usable(self, train: list[Path], held: list[Path]) -> tuple[list[Path], list[Path]]:
        """The split as it is if either side holds a triplet; else, say with a title card as the only film held out,
        another film is held out. Where one film alone holds triplets it is both sides, and split by time."""
        if not held and (self.val_share <= 0 or len(train) > 1):
            return train, held
        if not held:
            return self._one_by_time(train[0], train)
        taught = next((film for film in train if self._holds_triplet(film, self.spans)), None)
        judged = any(self._holds_triplet(film, (2, 2)) for film in held)
        if bool(taught) == judged:
            return train, held  # where there is none at all the data set says why
        spare = [film for film in train if film != taught] if taught else []
        other = next((film for film in spare if self._holds_triplet(film, (2, 2))), None)
        if other is None:
            film = taught or next(film for film in held if self._holds_triplet(film, (2, 2)))
            return self._one_by_time(film, train + held)
        log.warning("No film held out (%s) holds a triplet; %s is held out, too.", held[0].name, other.name)
        return [film for film in train if film != other], [*held, other]

    def _one_by_time(self, film: Path, films: list[Path]) -> tuple[list[Path], list[Path]]:
        """The only one of ``films`` with triplets, on both sides: ``_set`` takes a part of its time for each."""
        self._by_time = True
        if not all(self._holds_triplet(film, (2, 2), self._stretch(part)) for part in PARTS):
            self._by_time = False
            log.warning(
                "%s is the only film with usable motion, and too short to be split by time: the same films train and "
                "validate, and there is no test.",
                film.name,
            )  # fmt: skip
            return films, []
        self._tested = [film]
        log.warning(
            "%s is the only film with usable motion: it is split by time, %d %% to train on, and %d %% each at its end "
            "for validation and test, with gaps between.",
            film.name, round(100 * (1 - 2 * self.val_share)), round(100 * self.val_share),
        )  # fmt: skip
        return [film], [film]

    def _stretch(self, part: str) -> Stretch | None:
        if not self._by_time:
            return None
        return partial(time_part, part=part, share=min(self.val_share, 0.3), gap=self.spans[1])

    def _holds_triplet(self, film: Path, spans: tuple[int, int], stretch: Stretch | None = None) -> bool:
        try:
            index = film_index(film, None, self.options["cache"], self._most_s)
            index = index if stretch is None else index.part(*stretch(len(index)))
            TripletDraw([index], spans, min(1, self.middles), least_motion=self.options["least_motion"])
        except UserError:
            return False
        return True

    def _val_augmentation(self) -> Augmentation:
        return Augmentation.none(min(self.val_crop, self.augmentation.crop))

    def train_set(self) -> Dataset:
        films, which = self.films()[0], {"spans": self.spans, "middles": self.middles}
        clips = self._set(films, self._widest(), self.seed, **which, stretch=self._stretch("train"))
        if not self.synthetic:
            return clips
        made = SyntheticMotion(
            self._widest().crop,
            _textures_at_hand() + clips.textures(),
            self.recipe,
            self.middles,
            augmentation=self.augmentation,
            seed=self.seed,
        )
        return Mixed([clips, made], [1 - self.synthetic, self.synthetic], self.seed)

    def _widest(self) -> Augmentation:
        """The augmentation at the largest crop of all stages: what films must have room for."""
        return replace(self.augmentation, crop=max(stage.crop for stage in self.stages))

    def train_dataloader(self) -> Any:
        device = self._device()
        if device is None:
            if len(self.stages) > 1:
                raise UserError(
                    "data.stages needs batches that are made on the device.",
                    "data.batches=device, or leave data.stages out.",
                )
            return super().train_dataloader()
        rank, world = self._share()
        steps = self.trainer.max_steps if self.trainer is not None else self.steps

        def share(number: int) -> float:
            return self.run_share() if self.run_share is not None else min(number / max(1, steps), 1.0)

        triplets = self._device_triplets(device)
        return DeviceLoader(triplets, self.stages, share, self.steps, self.position, rank, world)

    def _device(self) -> torch.device | None:
        """Where training batches are made, if not by loaders."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if self.batches == "auto":
            return device if device.type == "cuda" else None
        return device if self.batches == "device" else None

    def _device_triplets(self, device: torch.device) -> DeviceTriplets:
        built = self.built("train")
        clips, made = built.datasets if isinstance(built, Mixed) else (built, None)
        scenes = None if made is None else Scenes(made, self.scenes, device)
        frames = frames_on(device, clips.pictures)
        return DeviceTriplets(clips, frames, self.seed, scenes, self.synthetic)

    def val_set(self) -> Dataset:
        return self._judged(self.films()[1] or self.films()[0], "val")

    def test_set(self) -> Dataset:
        self.films()
        return self._judged(self._tested, "test") if self._tested else self.built("val")

    def has_test(self) -> bool:
        self.films()
        return bool(self._tested)

    def span(self) -> int | None:
        # Training shows films at several sizes; the middle of those (of their logarithms, as they are drawn).
        limit = self.options["longest"]
        shown = [shrunk(facts.width, facts.height, limit) for facts in map(video_facts, self.films()[0])]
        longest = float(np.median([max(size) for size in shown]))
        return round(longest * float(np.sqrt(np.prod(self.augmentation.scale))))

    def _judged(self, films: list[Path], part: str) -> Dataset:
        which = {"spans": (2, 2), "middles": 1, "centred": True, "length": self.val_samples}
        return self._set(films, self._val_augmentation(), 0, **which, stretch=self._stretch(part))

    def _set(self, films: list[Path], augmentation: Augmentation, seed: int, **which: Any) -> MemoryClips | FilmFolder:
        return MemoryClips(films, augmentation, seed, **{**self.options, **which})

    def facts(self) -> dict[str, Any]:
        train, held = self.films()
        return {
            "roots": self.roots,
            "train": [film.name for film in train],
            "val": [film.name for film in held],
            **({"test": [film.name for film in self._tested]} if self._tested else {}),
            **({"split": "one film, by time"} if self._by_time else {}),
            "bytes": sum(film.stat().st_size for film in train + held),
            "crop": self.augmentation.crop,
            "spans": list(self.spans),
            "synthetic": self.synthetic,
            **({"stages": [vars(stage) for stage in self.stages]} if len(self.stages) > 1 else {}),
        }

    def identity(self) -> Any:
        train, held = self.films()
        films = [*train, *([] if self._by_time else [*held, *self._tested])]
        kept = {key: value for key, value in self.facts().items() if key not in ("roots", "bytes")}
        return {**kept, "content": content([(film.name, film) for film in films])}


class Films(Clips):
    """A folder of films of any size: indexed once, decoded on demand. Arguments as for ``Clips``, and those of
    ``FilmFolder``: ``reuse``, ``window``, ``most_s``. Nothing is held in memory, so ``memory_gb`` does not apply."""

    def __init__(
        self, root: str | list[str], reuse: int = 4, window: int = 24, most_s: float | None = 900.0, **options: Any
    ) -> None:
        if options.get("batches") == "device" or options.get("stages"):
            raise UserError(
                "data=folder_of_videos decodes films as they are needed: its batches are not made on the device.",
                "data=clips, which keeps all frames, or leave data.batches and data.stages out.",
            )
        super().__init__(root, **{**options, "batches": "loader"})
        self.decoding = {"reuse": reuse, "window": window, "most_s": most_s}
        self._most_s = most_s
        self.options.pop("memory_gb")

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

    def identity(self) -> Any:
        found = [files[0] for part in ("train", "test") for files in vimeo90k(self.root, part)]
        names = [path.relative_to(self.root).as_posix() for path in found]
        some = range(0, len(found), max(1, len(found) // 200))
        facts = {key: value for key, value in self.facts().items() if key != "root"}
        return {**facts, "names": names, "content": content([(names[k], found[k]) for k in some])}

    def has_test(self) -> bool:
        return True  # the whole test list, of which validation has seen a few: that is the set's custom

    def span(self) -> int | None:
        return round(448 * float(np.sqrt(np.prod(self.augmentation.scale))))  # of the pictures' width


class Member(NamedTuple):
    """A picture of one of two sets: its file, whether it is of the second set, and its group (a person, say)."""

    file: Path
    second: bool
    group: str


class Pairs(Batches):
    """Image pairs for paired L2: from a list, or from two folders whose images are named alike.

    Args:
        pairs: a text file with two paths a line, and perhaps a group; else ``first`` and ``last``, two folders.
        size: side (or (height, width)) that all are resized to; None keeps the images' own.
        group: which pairs belong together, so that no group is in two parts; see ``data.pairs.groups_of``.
        val_share, test_share: of the groups, for the choice of the best weights and for the final figures.
        channels: of a picture: 1 grey, 3 RGB, 4 RGB and alpha.
        jitter: small random shifts, zooms and turns in training; see ``data.pairs.jittered``.
    """

    def __init__(
        self,
        pairs: str | None = None,
        first: str | None = None,
        last: str | None = None,
        size: int | tuple[int, int] | None = 64,
        flip: float = 0.5,
        group: str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        channels: int = 3,
        jitter: float = 0.0,
        **loader: int,
    ) -> None:
        super().__init__(**{"batch_size": 16, **loader})
        check_shares(val_share, test_share)
        self.pairs, self.first, self.last, self.size = pairs, first, last, _size(size)
        self.flip, self.group, self.val_share, self.test_share = flip, group, val_share, test_share
        self.channels, self.jitter = channels, jitter
        self._parts: dict[str, list[Pair]] | None = None
        self._group: dict[Path, str] = {}

    def found(self) -> list[Pair]:
        """All pairs."""
        if self.pairs is not None:
            return listed_pairs(Path(self.pairs).expanduser())
        if self.first is None or self.last is None:
            raise UserError(
                "No image pairs are given.", "Give data.pairs=list.txt, or data.first and data.last folders."
            )
        return matched_pairs(Path(self.first).expanduser(), Path(self.last).expanduser())

    def parts(self) -> dict[str, list[Pair]]:
        """The pairs of each part."""
        if self._parts is None:
            found = self.found()
            groups = groups_of(found, self.group)
            self._group = {file: g for p, g in zip(found, groups) for file in (p.first, p.last)}
            named = split_groups(groups, self.val_share, self.test_share)
            part_of = {name: part for part, names in named.items() for name in names}
            self._parts = {part: [p for p, g in zip(found, groups) if part_of[g] == part] for part in PARTS}
            log.info("%s pairs, of %s groups.", counted(self._parts), counted(named))
            _say_if_nothing_is_held(self._parts)
        return self._parts

    def people(self, part: str) -> list[Member]:
        """Every file of a part, with its side and its group."""
        sides = [{pair.first for pair in self.parts()[part]}, {pair.last for pair in self.parts()[part]}]
        return [Member(file, side == 1, self._group[file]) for side in (0, 1) for file in sorted(sides[side])]

    def train_set(self) -> Dataset:
        return Shuffled(self._set("train", self.flip, self.jitter), self.seed)

    def val_set(self) -> Dataset:
        return self._set("val" if self.parts()["val"] else "train")

    def test_set(self) -> Dataset:
        return self._set("test") if self.has_test() else self.built("val")

    def has_test(self) -> bool:
        return bool(self.parts()["test"])

    def _set(self, part: str, flip: float = 0.0, jitter: float = 0.0) -> ImagePairs:
        files = [(pair.first, pair.last) for pair in self.parts()[part]]
        return ImagePairs(files, self.size, flip, self.channels, jitter)

    def span(self) -> int | None:
        return _span(self.size, self.parts()["train"][0].first)

    def facts(self) -> dict[str, Any]:
        counts = {part: len(pairs) for part, pairs in self.parts().items()}
        return {
            **counts,
            "list": self.pairs,
            "folders": [self.first, self.last],
            "size": self.size,
            "group": self.group,
        }

    def identity(self) -> Any:
        files = [
            (f"{part} {name.as_posix()}", path)
            for part, pairs in self.parts().items()
            for pair in pairs
            for name, path in zip(pair.names, (pair.first, pair.last))
        ]
        return {"size": self.size, "channels": self.channels, "content": content(files)}


class Strangers(Batches):
    """Two folders of unrelated images, for WGAN-GP.

    Args:
        source, target: the folders.
        size: side (or (height, width)) that all are resized to; None keeps the images' own.
        group: which images belong together, on either side, so that no group is in two parts; see ``data.split``.
        val_share, test_share: of the groups, for validation and for the final figures.
        channels: of a picture: 1 grey, 3 RGB, 4 RGB and alpha.
        jitter: small random shifts, zooms and turns in training; see ``data.pairs.jittered``.
    """

    def __init__(
        self,
        source: str,
        target: str,
        size: int | tuple[int, int] | None = 64,
        flip: float = 0.5,
        group: str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        channels: int = 3,
        jitter: float = 0.0,
        **loader: int,
    ) -> None:
        super().__init__(**{"batch_size": 32, **loader})
        check_shares(val_share, test_share)
        self.roots = (Path(str(source)).expanduser(), Path(str(target)).expanduser())
        self.size, self.flip, self.group = _size(size), flip, group
        self.val_share, self.test_share, self.channels, self.jitter = val_share, test_share, channels, jitter
        self._parts: dict[str, tuple[list[Path], list[Path]]] | None = None
        self._group: dict[Path, str] = {}

    def parts(self) -> dict[str, tuple[list[Path], list[Path]]]:
        """The files of each part: sources and targets."""
        if self._parts is None:
            sides = [image_files(root) for root in self.roots]
            names = [[file.relative_to(root) for file in files] for files, root in zip(sides, self.roots)]
            rule = self.group or usual_rule([[name] for side in names for name in side])
            groups = [[group_of(name, rule) for name in side] for side in names]
            self._group = {f: g for files, own in zip(sides, groups) for f, g in zip(files, own)}
            places = split_sides(*groups, self.val_share, self.test_share)
            self._parts = {
                part: tuple([side[k] for k in own] for side, own in zip(sides, places[part])) for part in PARTS
            }
            for what, place in (("sources", 0), ("targets", 1)):
                log.info("%s %s.", counted({part: files[place] for part, files in self._parts.items()}), what)
            _say_if_nothing_is_held({part: sum(files, []) for part, files in self._parts.items()})
        return self._parts

    def people(self, part: str) -> list[Member]:
        """Every file of a part, with its side and its group."""
        sides = self.parts()[part]
        return [Member(file, side == 1, self._group[file]) for side in (0, 1) for file in sides[side]]

    def train_set(self) -> Dataset:
        more = {"channels": self.channels, "jitter": self.jitter}
        return UnpairedFolders(*self.parts()["train"], self.size, self.flip, self.seed, **more)

    def val_set(self) -> Dataset:
        return self._finite_set("val" if all(self.parts()["val"]) else "train")

    def test_set(self) -> Dataset:
        return self._finite_set("test") if self.has_test() else self.built("val")

    def has_test(self) -> bool:
        return all(self.parts()["test"])

    def _finite_set(self, part: str) -> UnpairedFolders:
        sources, targets = self.parts()[part]
        length = max(16, len(sources))
        return UnpairedFolders(sources, targets, self.size, 0.0, self.seed, length, self.channels)

    def span(self) -> int | None:
        return _span(self.size, self.parts()["train"][0][0])

    def facts(self) -> dict[str, Any]:
        counts = {part: [len(files) for files in sides] for part, sides in self.parts().items()}
        return {**counts, "folders": [str(root) for root in self.roots], "size": self.size, "group": self.group}

    def identity(self) -> Any:
        files = [
            (f"{part} {place} {file.relative_to(root).as_posix()}", file)
            for part, sides in self.parts().items()
            for place, (side, root) in enumerate(zip(sides, self.roots))
            for file in side
        ]
        return {"size": self.size, "channels": self.channels, "content": content(files)}


def _textures_at_hand() -> list[np.ndarray]:
    """The bundled photographs, where the packages that bring them are installed: a film's frames serve as well."""
    try:
        return bundled_textures()
    except ModuleNotFoundError as error:
        log.info("%s is not installed: synthetic scenes show frames of the films alone.", error.name)
        return []


def _size(size: Any) -> int | tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return size
    return int(size[0]), int(size[1])


def _span(size: int | tuple[int, int] | None, example: Path) -> int:
    """Longest side of what training sees, px."""
    if size is None:
        return max(samples(read_still(example)).shape[:2])
    return size if isinstance(size, int) else max(size)


def _say_if_nothing_is_held(parts: Mapping[str, Sequence[Any]]) -> None:
    if not parts["val"]:
        log.warning("Nothing is kept back: validation is on what is trained on, and there is no test.")
    elif not parts["test"]:
        log.warning("There is no third part for a test: the figures will be of the validation set.")
