"""``conf/data/clips.yaml`` and ``folder_of_videos.yaml``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.clips import (
    Decoding,
    FilmFolder,
    FilmTriplets,
    MemoryClips,
    Stretch,
    Windows,
    find_films,
    split_films,
    usable_films,
)
from vfi_pipeline.data.dataset import NOMINAL_EPOCH, SizedDataset
from vfi_pipeline.data.device_batches import DeviceLoader, DeviceTriplets, Scenes, Stage, frames_on, stages_of
from vfi_pipeline.data.draw import Sampling, TripletDraw
from vfi_pipeline.data.index import film_index
from vfi_pipeline.data.modules.base import Batches, content
from vfi_pipeline.data.modules.film_parts import BatchMaking, FilmRoots, SyntheticShare, Validation
from vfi_pipeline.data.modules.options import kinds_of, take_fields
from vfi_pipeline.data.sampler import Mixed
from vfi_pipeline.data.split import PARTS, time_part
from vfi_pipeline.data.synthetic import Recipe, SyntheticMotion
from vfi_pipeline.data.textures import bundled_textures
from vfi_pipeline.errors import UserError
from vfi_pipeline.media.pictures import shrunk, video_facts

log = logging.getLogger(__name__)

OPTION_OF: dict[type, dict[str, str]] = {
    FilmRoots: {},
    Sampling: {"target_count": "middles"},
    Decoding: {},
    Validation: {"crop": "val_crop", "samples": "val_samples"},
    SyntheticShare: {"share": "synthetic"},
    Windows: {"length": "window"},
}
"""Of the options of films: the classes whose fields they are, and field -> option where the names differ."""


def option_kinds() -> dict[str, Any]:
    """Option -> annotation, of ``clips`` and ``folder_of_videos``."""
    kinds: dict[str, Any] = {"memory_gb": float, **dict.fromkeys(("batch_size", "steps", "workers", "seed"), int)}
    for kind, option_of in OPTION_OF.items():
        kinds |= kinds_of(kind, **option_of)
    return kinds


def clips(
    root: str | Sequence[str], crop: int = 192, augmentation: Augmentation | None = None, **options: Any
) -> Clips:
    """The ``Clips`` of the options in ``conf/data/clips.yaml``, by their names there.

    Args:
        crop: side of the training crops, px, if ``augmentation`` is None.
    """
    making = BatchMaking(options.pop("batches", "auto"), stages_of(options.pop("stages", None)))
    return Clips(augmentation=augmentation or Augmentation(crop), making=making, **_film_parts(root, options))


def folder_of_videos(
    root: str | Sequence[str], crop: int = 192, augmentation: Augmentation | None = None, **options: Any
) -> Films:
    """The ``Films`` of the options in ``conf/data/folder_of_videos.yaml``, by their names there."""
    if options.pop("batches", None) == "device" or options.pop("stages", None):
        raise UserError(
            "data=folder_of_videos decodes films as they are needed: its batches are not made on the device.",
            "data=clips, which keeps all frames, or leave data.batches and data.stages out.",
        )
    windows = take_fields(Windows, options, **OPTION_OF[Windows])
    return Films(augmentation=augmentation or Augmentation(crop), windows=windows, **_film_parts(root, options))


def _film_parts(root: str | Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments that ``Clips`` and ``Films`` share."""
    options = {"root": root, **options}
    cache = options.pop("cache", None)
    return {
        "roots": take_fields(FilmRoots, options),
        "sampling": take_fields(Sampling, options, **OPTION_OF[Sampling]),
        "decoding": replace(take_fields(Decoding, options), cache=Path(cache) if cache else None),
        "validation": take_fields(Validation, options, **OPTION_OF[Validation]),
        "synthetic": take_fields(SyntheticShare, options, **OPTION_OF[SyntheticShare]),
        **options,
    }


class Clips(Batches):
    """Films that fit in memory, decoded once; the quickest to train on.

    Args:
        roots: which films train, validate and test.
        augmentation: crop size and changes, in training.
        sampling, decoding, memory_gb: see ``data.clips.MemoryClips``.
        validation, synthetic, making: see there.
        loader: see ``Batches``.
    """

    def __init__(
        self,
        roots: FilmRoots,
        augmentation: Augmentation = Augmentation(),
        sampling: Sampling = Sampling(),
        decoding: Decoding = Decoding(),
        validation: Validation = Validation(),
        synthetic: SyntheticShare = SyntheticShare(),
        making: BatchMaking = BatchMaking(),
        memory_gb: float = 8.0,
        **loader: int,
    ) -> None:
        super().__init__(**loader)
        self.roots, self.augmentation, self.sampling, self.decoding = roots, augmentation, sampling, decoding
        self.validation, self.synthetic, self.making, self.memory_gb = validation, synthetic, making, memory_gb
        self.stages = [Stage(0.0, augmentation.crop, self.batch_size), *making.stages]
        self.stages.sort(key=lambda stage: stage.begin)
        self.run_share: Callable[[], float] | None = None
        self._films: tuple[list[Path], list[Path]] | None = None
        self._tested: list[Path] = []
        self._by_time = False  # one film, in three parts

    def indexed_s(self) -> float | None:
        """Seconds of a long film that are indexed; None: all of it."""
        return None

    def films(self) -> tuple[list[Path], list[Path]]:
        """(training, validation) films."""
        if self._films is None:
            longest, roots = self.decoding.longest, self.roots
            films = [film for root in roots.roots for film in find_films(Path(root))]
            films = usable_films(films, self._widest(), longest)
            if roots.test_share:
                films, self._tested = split_films(films, roots.test_share, salt="test")
            if roots.val_root is not None:
                held = usable_films(find_films(Path(roots.val_root)), self._val_augmentation(), longest)
                self._films = films, held
            else:
                self._films = self._both_usable(*split_films(films, roots.val_share))
            if roots.val_share <= 0 and roots.val_root is None:
                log.warning("Nothing is kept back (data.val_share=0): validation is on the films that are trained on.")
        return self._films

    def _both_usable(self, train: list[Path], held: list[Path]) -> tuple[list[Path], list[Path]]:
        """The split as it is if either side holds a triplet; else, say with a title card as the only film held out,
        another film is held out. Where one film alone holds triplets it is both sides, and split by time."""
        if not held and (self.roots.val_share <= 0 or len(train) > 1):
            return train, held
        if not held:
            return self._split_by_time(train[0], train)
        trainable = next((film for film in train if self._holds_triplet(film, self.sampling.spans)), None)
        has_judge = any(self._holds_triplet(film, (2, 2)) for film in held)
        if bool(trainable) == has_judge:
            return train, held  # where there is none at all the data set says why
        spare = [film for film in train if film != trainable] if trainable else []
        spare_judge = next((film for film in spare if self._holds_triplet(film, (2, 2))), None)
        if spare_judge is None:
            film = trainable or next(film for film in held if self._holds_triplet(film, (2, 2)))
            return self._split_by_time(film, train + held)
        log.warning("No film held out (%s) holds a triplet; %s is held out, too.", held[0].name, spare_judge.name)
        return [film for film in train if film != spare_judge], [*held, spare_judge]

    def _split_by_time(self, film: Path, films: list[Path]) -> tuple[list[Path], list[Path]]:
        """The only one of ``films`` with triplets, on both sides: ``dataset`` takes a part of its time for each."""
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
            film.name, round(100 * (1 - 2 * self.roots.val_share)), round(100 * self.roots.val_share),
        )  # fmt: skip
        return [film], [film]

    def _stretch(self, part: str) -> Stretch | None:
        if not self._by_time:
            return None
        return partial(time_part, part=part, share=min(self.roots.val_share, 0.3), gap=self.sampling.spans[1])

    def _holds_triplet(self, film: Path, spans: tuple[int, int], stretch: Stretch | None = None) -> bool:
        try:
            index = film_index(film, None, self.decoding.cache, self.indexed_s())
            index = index if stretch is None else index.part(*stretch(len(index)))
            count = min(1, self.sampling.target_count)
            TripletDraw([index], replace(self.sampling, spans=spans, target_count=count, centred=False))
        except UserError:
            return False
        return True

    def _val_augmentation(self) -> Augmentation:
        return Augmentation.none(min(self.validation.crop, self.augmentation.crop))

    def train_set(self) -> SizedDataset:
        films, share = self.films()[0], self.synthetic.share
        clips = self.dataset(films, self._widest(), self.sampling, "train", self.seed, NOMINAL_EPOCH)
        if not share:
            return clips
        scenes = SyntheticMotion(
            self._widest().crop,
            _textures_at_hand() + clips.textures(),
            self.synthetic.recipe or Recipe(),
            self.sampling.target_count,
            augmentation=self.augmentation,
            seed=self.seed,
            around=bool(self.sampling.around),
        )
        return Mixed([clips, scenes], [1 - share, share], self.seed)

    def _widest(self) -> Augmentation:
        """The augmentation at the largest crop of all stages: what films must have room for."""
        return replace(self.augmentation, crop=max(stage.crop for stage in self.stages))

    def train_dataloader(self) -> Any:
        trained_on = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        self.check_device(trained_on)
        device = self._making_on(trained_on)
        if device is None:
            return super().train_dataloader()
        rank, world = self._share()
        triplets = self._device_triplets(device)
        return DeviceLoader(triplets, self.stages, self._done, self.steps, self.position, rank, world)

    def _done(self, number: int) -> float:
        """How much of the run is done at batch ``number``, 0 to 1: by the clock if it ends the run, else by steps."""
        if self.run_share is not None:
            return self.run_share()
        batches = self.steps
        if self.trainer is not None:
            batches = self.trainer.max_steps * self.trainer.accumulate_grad_batches
        return min(number / max(1, batches), 1.0)

    def changing(self) -> Callable[[int], float] | None:
        return self._done if self.sampling.grow else None

    def check_device(self, device: torch.device) -> None:
        """UserError if training on ``device`` makes batches by loaders, and stages are asked for: before films are
        read."""
        cpu = device.type == "cpu"
        if len(self.stages) > 1 and self._making_on(device) is None:
            raise UserError(
                "data.stages needs batches that are made on the device; "
                f"with data.batches={self.making.where} loaders make them on {'a CPU' if cpu else 'this device'}.",
                "data.batches=device, or leave data.stages out.",
            )

    def _making_on(self, device: torch.device) -> torch.device | None:
        """Where training batches are made, if not by loaders, in training on ``device``."""
        if self.making.where == "auto":
            return device if device.type == "cuda" else None
        return device if self.making.where == "device" else None

    def _device_triplets(self, device: torch.device) -> DeviceTriplets:
        built = self.built("train")
        clips, drawn = built.datasets if isinstance(built, Mixed) else (built, None)
        assert isinstance(clips, MemoryClips)
        scenes = None if drawn is None else Scenes(drawn, self.synthetic.scenes, device)
        frames = frames_on(device, clips.pictures)
        return DeviceTriplets(clips, frames, self.seed, scenes, self.synthetic.share)

    def val_set(self) -> SizedDataset:
        return self._validation_set(self.films()[1] or self.films()[0], "val")

    def test_set(self) -> SizedDataset:
        self.films()
        return self._validation_set(self._tested, "test") if self._tested else self.built("val")

    def has_test(self) -> bool:
        self.films()
        return bool(self._tested)

    def span(self) -> int | None:
        # Training shows films at several sizes; the middle of those (of their logarithms, as they are drawn).
        limit = self.decoding.longest
        shown = [shrunk(facts.width, facts.height, limit) for facts in map(video_facts, self.films()[0])]
        longest = float(np.median([max(size) for size in shown]))
        return round(longest * float(np.sqrt(np.prod(self.augmentation.scale))))

    def _validation_set(self, films: list[Path], part: str) -> SizedDataset:
        neighbours = replace(self.sampling, spans=(2, 2), target_count=1, centred=True)
        return self.dataset(films, self._val_augmentation(), neighbours, part, 0, self.validation.samples)

    def dataset(
        self, films: list[Path], augmentation: Augmentation, sampling: Sampling, part: str, seed: int, length: int
    ) -> FilmTriplets:
        """Triplets of these films; of the part's own time where one film is split."""
        stretch = self._stretch(part)
        return MemoryClips(
            films, augmentation, sampling, self.decoding, stretch, seed, length, self.memory_gb, self.named
        )

    def facts(self) -> dict[str, Any]:
        train, held = self.films()
        return {
            "roots": self.roots.roots,
            "train": [film.name for film in train],
            "val": [film.name for film in held],
            **({"test": [film.name for film in self._tested]} if self._tested else {}),
            **({"split": "one film, by time"} if self._by_time else {}),
            "bytes": sum(film.stat().st_size for film in train + held),
            "crop": self.augmentation.crop,
            "spans": list(self.sampling.spans),
            "synthetic": self.synthetic.share,
            **({"grow": self.sampling.grow} if self.sampling.grow else {}),
            **({"around": True} if self.sampling.around else {}),
            **({"stages": [vars(stage) for stage in self.stages]} if len(self.stages) > 1 else {}),
        }

    def identity(self) -> Any:
        train, held = self.films()
        films = [*train, *([] if self._by_time else [*held, *self._tested])]
        kept = {key: value for key, value in self.facts().items() if key not in ("roots", "bytes")}
        return {**kept, "content": content([(film.name, film) for film in films])}


class Films(Clips):
    """A folder of films of any size: indexed once, decoded on demand by loaders; none is held in memory.

    Args:
        windows: see ``data.clips.FilmFolder``.
        shared: see ``Clips``; ``making`` and ``memory_gb`` do not apply.
    """

    def __init__(self, roots: FilmRoots, windows: Windows = Windows(), **shared: Any) -> None:
        super().__init__(roots, making=BatchMaking("loader"), **shared)
        self.windows = windows

    def indexed_s(self) -> float | None:
        return self.windows.most_s

    def dataset(
        self, films: list[Path], augmentation: Augmentation, sampling: Sampling, part: str, seed: int, length: int
    ) -> FilmFolder:
        stretch = self._stretch(part)
        return FilmFolder(films, augmentation, sampling, self.decoding, self.windows, stretch, seed, length, self.named)


def _textures_at_hand() -> list[np.ndarray]:
    """The bundled photographs, where the packages that bring them are installed: a film's frames serve as well."""
    try:
        return bundled_textures()
    except ModuleNotFoundError as error:
        log.info("%s is not installed: synthetic scenes show frames of the films alone.", error.name)
        return []
