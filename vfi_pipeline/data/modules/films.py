"""``conf/data/clips.yaml`` and ``folder_of_videos.yaml``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.clips import FilmFolder, MemoryClips, Stretch, find_films, split_films, usable_films
from vfi_pipeline.data.device_batches import DeviceLoader, DeviceTriplets, Scenes, Stage, frames_on
from vfi_pipeline.data.draw import TripletDraw
from vfi_pipeline.data.index import film_index
from vfi_pipeline.data.modules.base import Batches, content
from vfi_pipeline.data.sampler import Mixed
from vfi_pipeline.data.split import PARTS, check_shares, time_part
from vfi_pipeline.data.synthetic import Recipe, SyntheticMotion
from vfi_pipeline.data.textures import bundled_textures
from vfi_pipeline.errors import UserError
from vfi_pipeline.media.pictures import shrunk, video_facts

log = logging.getLogger(__name__)


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


def _textures_at_hand() -> list[np.ndarray]:
    """The bundled photographs, where the packages that bring them are installed: a film's frames serve as well."""
    try:
        return bundled_textures()
    except ModuleNotFoundError as error:
        log.info("%s is not installed: synthetic scenes show frames of the films alone.", error.name)
        return []
