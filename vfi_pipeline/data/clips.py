"""Triplets from films: ``MemoryClips`` decodes a small set once and keeps it, ``FilmFolder`` decodes on demand."""

from __future__ import annotations

import logging
import os
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.broken import LeftOut, NamedFiles
from vfi_pipeline.data.dataset import NOMINAL_EPOCH, SizedDataset
from vfi_pipeline.data.draw import Draw, Sampling, TripletDraw
from vfi_pipeline.data.index import EXTENSIONS, SETTINGS, FilmIndex, film_index
from vfi_pipeline.data.pairs import MAX_BROKEN_IN_A_ROW
from vfi_pipeline.data.sampler import Moment
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.pictures import read_pictures, shrunk, video_facts

log = logging.getLogger(__name__)

Stretch = Callable[[int], tuple[int, int]]
"""Number of a film's frames -> (begin, end) of those that may be used: a part of a film that is split by time."""


def find_films(root: Path) -> list[Path]:
    """All films under ``root`` (by extension, any depth), sorted; a single film is itself.

    Raises:
        UserError: if ``root`` is missing or holds none.
    """
    if not root.exists():
        raise UserError(f"{root} does not exist.", "Point data.root at a folder of films.", BAD_INPUT)
    if root.is_file():
        return [root]
    films = sorted(
        path for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file() and path.name[0] != "."
    )
    if not films:
        raise UserError(f"{root} holds no films.", f"Known endings: {' '.join(sorted(EXTENSIONS))}.", BAD_INPUT)
    return films


def usable_films(films: Sequence[Path], augmentation: Augmentation, longest: int | None = None) -> list[Path]:
    """Those that open and are large enough for the crop, by their headers; the others are named in a warning.

    Raises:
        UserError: if none is left.
    """
    kept = []
    for path in films:
        try:
            facts = video_facts(path)
            if not augmentation.fits(*shrunk(facts.width, facts.height, longest)):
                raise UserError(
                    f"{path} is {facts.width}x{facts.height}, too small for crops of {augmentation.crop}.",
                    "Lower data.crop.",
                )
            kept.append(path)
        except UserError as error:
            log.warning("Left out: %s", error.args[0])
    if not kept:
        raise UserError(
            f"None of the {len(films)} films can be used.", "See the warnings above for each one's reason.", BAD_INPUT
        )
    if len(kept) < len(films):
        log.warning("%d of %d films left out.", len(films) - len(kept), len(films))
    return kept


def split_films(films: Sequence[Path], share: float = 0.1, salt: str = "") -> tuple[list[Path], list[Path]]:
    """(training, validation) films. A film is wholly in one; which one depends on its name alone, so that adding films
    moves none of the others. With two films or more, neither side is empty (unless ``share`` is 0). Another ``salt``
    chooses others."""
    if share <= 0:
        return list(films), []

    def place(film: Path) -> float:
        return zlib.crc32((film.name + salt).encode("utf-8", "surrogateescape")) / 2**32

    ranked = sorted(films, key=place)
    held = [film for film in ranked if place(film) < share]
    if len(films) > 1:
        held = held[: len(films) - 1] or ranked[:1]
    chosen = set(held)
    return [film for film in films if film not in chosen], sorted(chosen)


@dataclass(frozen=True)
class Decoding:
    """How films are decoded.

    Attributes:
        longest: px; films are shrunk so that their longer side has at most this many. None keeps their size.
        cache: where indices are kept, see ``film_index``.
        threads: of a decoder.
    """

    longest: int | None = None
    cache: Path | None = None
    threads: int = 2


@dataclass(frozen=True)
class Windows:
    """How frames that are decoded on demand are shared by samples.

    Attributes:
        reuse: samples drawn from one window; 1 decodes anew for each.
        length: frames in a window.
        kept: windows that a loader process keeps, the latest ones.
        most_s: seconds; of a longer film only stretches are used, evenly spread, this long in all. None: all of it.
    """

    reuse: int = 4
    length: int = 24
    kept: int = 4
    most_s: float | None = 900.0


class FilmTriplets(SizedDataset[Triplet]):
    """What both share: sample ``counter`` depends on (seed, counter) alone, and with ``sampling.grow`` on how much of
    the run is done, so a run resumes at any counter exactly.

    Args:
        augmentation: crop size and changes.
        sampling: which triplets.
        decoding: how films are decoded.
        stretch: the part of each film that is used; None uses all of it.
        seed: of everything that is drawn.
        length: nominal length of an epoch.
        named: the broken files that the run has named; None: none yet.

    Attributes:
        films: the indices of the films that are used.
        skipped: how many were left out.
    """

    draw: TripletDraw
    changes = True
    """See ``sampler.Mixed``."""

    def __init__(
        self,
        augmentation: Augmentation,
        sampling: Sampling,
        decoding: Decoding,
        stretch: Stretch | None,
        seed: int,
        length: int,
        named: NamedFiles | None = None,
    ) -> None:
        self.augmentation, self.sampling, self.decoding, self.stretch = augmentation, sampling, decoding, stretch
        self.seed, self.length = seed, length
        self.films: list[FilmIndex] = []
        self.named = NamedFiles() if named is None else named
        self.skipped = 0

    def __len__(self) -> int:
        """A nominal epoch; any counter is a valid index."""
        return self.length

    def textures(self, per_film: int = 2) -> list[np.ndarray]:
        """A few pictures of each film, evenly spread: textures for ``SyntheticMotion``."""
        places = (np.arange(per_film) + 0.5) / per_film
        return [
            self.read(k, np.array([int(place * len(film))]))[0] for k, film in enumerate(self.films) for place in places
        ]

    def read(self, film: int, frames: np.ndarray) -> np.ndarray:
        """The pictures (N, H, W, 3) uint8 of ``frames``, ascending numbers, of ``films[film]``."""
        raise NotImplementedError

    def _sample(self, draw: Draw, random: np.random.Generator) -> Triplet:
        pictures = self.read(draw.film, draw.frames)
        stack, times = self.augmentation(pictures, draw.times, random)
        moments = torch.from_numpy(times.astype(np.float32))
        return Triplet.of(stack, moments, around=bool(self.sampling.around))


class MemoryClips(FilmTriplets):
    """Triplets from clips that fit in memory: each is decoded once, to uint8.

    Args:
        paths: the clips. One that cannot be read is left out with a warning (``skipped`` counts them).
        memory_gb: refuse to load more than this.
        augmentation, sampling, decoding, stretch, seed, length, named: see ``FilmTriplets``.

    Raises:
        UserError: if no clip can be read, none is large enough for the crop, or they do not fit in ``memory_gb``.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        augmentation: Augmentation = Augmentation(),
        sampling: Sampling = Sampling(),
        decoding: Decoding = Decoding(),
        stretch: Stretch | None = None,
        seed: int = 0,
        length: int = NOMINAL_EPOCH,
        memory_gb: float = 8.0,
        named: NamedFiles | None = None,
    ) -> None:
        super().__init__(augmentation, sampling, decoding, stretch, seed, length, named)
        self.pictures: list[np.ndarray] = []
        held = 0.0

        def load(path: Path) -> tuple[FilmIndex, np.ndarray] | UserError:
            try:
                return self._loaded(path)
            except UserError as error:
                return error

        with ThreadPoolExecutor(os.cpu_count()) as executor:
            loads = [executor.submit(load, path) for path in map(Path, paths)]
            for path, future in zip(paths, loads):
                clip = future.result()
                if isinstance(clip, UserError):
                    self.named.name(clip, Path(path))
                    self.skipped += 1
                    continue
                index, pictures = clip
                held += pictures.nbytes / 2**30
                if held > memory_gb:
                    executor.shutdown(cancel_futures=True)
                    raise UserError(
                        f"The clips need more than {memory_gb:g} GB of memory (at {Path(path).name}).",
                        "Lower data.longest, raise data.memory_gb, or use data=folder_of_videos, which decodes on "
                        "demand.",
                    )
                self.films.append(index)
                self.pictures.append(pictures)
        if not self.films:
            raise UserError(
                f"None of the {len(paths)} clips can be used.",
                "See the warnings above for each one's reason.",
                BAD_INPUT,
            )
        self.draw = TripletDraw(self.films, sampling)
        log.info(
            "%d clips, %d frames, %.1f GB, %d pairs, by motion %s; %d left out",
            len(self.films),
            sum(map(len, self.films)),
            held,
            len(self.draw),
            self.draw.counts(),
            self.skipped,
        )

    def _loaded(self, path: Path) -> tuple[FilmIndex, np.ndarray]:
        """A clip's index, at the size that is kept, and its pictures (N, H, W, 3).

        Raises:
            UserError: if it cannot be read or used.
        """
        facts = video_facts(path)
        width, height = shrunk(facts.width, facts.height, self.decoding.longest)
        if not self.augmentation.fits(width, height):
            raise UserError(
                f"{path} is {width}x{height}, too small for crops of {self.augmentation.crop}.", "Lower data.crop."
            )
        decoded = list(read_pictures(path, longest=self.decoding.longest, threads=self.decoding.threads))
        if len({picture.shape for _, picture in decoded}) != 1:
            raise UserError(
                f"{path} holds no pictures, or pictures of several sizes.", "Move it out of the folder.", BAD_INPUT
            )
        index = film_index(path, decoded, self.decoding.cache, most_s=None)
        height, width = decoded[0][1].shape[:2]
        motion = index.motion * (width / index.width)
        index = replace(index, path=path, width=width, height=height, motion=motion)
        if self.stretch is not None:
            begin, end = self.stretch(len(index))
            index, decoded = index.part(begin, end), decoded[begin:end]
        return index, np.stack([picture for _, picture in decoded])

    def read(self, film: int, frames: np.ndarray) -> np.ndarray:
        return self.pictures[film][frames]

    def __getitem__(self, counter: int | Moment) -> Triplet:
        draw, random = self.drawn(Moment.of(counter))
        return self._sample(draw, random)

    def drawn(self, moment: Moment) -> tuple[Draw, np.random.Generator]:
        """A sample's frames, and the generator of all further chance in it."""
        random = np.random.default_rng([self.seed, moment.counter])
        return self.draw(random, self.sampling.longest(moment.done)), random


class FilmFolder(FilmTriplets):
    """Triplets from films of any length: frames are decoded when they are needed, none is kept on disk.

    Only the index of each film is made beforehand, and cached. A sample seeks to the keyframe before a *window* of
    neighbouring frames and decodes as far as the window's end; ``reuse`` successive samples share a window, because
    decoding costs far more than cropping.

    Args:
        paths: the films. One that cannot be read is left out with a warning (``skipped`` counts them).
        windows: how decoded frames are shared.
        augmentation, sampling, decoding, stretch, seed, length, named: see ``FilmTriplets``.

    Raises:
        UserError: if no film can be read, or none holds a triplet.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        augmentation: Augmentation = Augmentation(),
        sampling: Sampling = Sampling(),
        decoding: Decoding = Decoding(),
        windows: Windows = Windows(),
        stretch: Stretch | None = None,
        seed: int = 0,
        length: int = NOMINAL_EPOCH,
        named: NamedFiles | None = None,
    ) -> None:
        super().__init__(augmentation, sampling, decoding, stretch, seed, length, named)
        self.windows = replace(windows, length=max(windows.length, sampling.most_frames()))
        for path in map(Path, paths):
            try:
                facts = video_facts(path)
                if not augmentation.fits(*shrunk(facts.width, facts.height, decoding.longest)):
                    raise UserError(
                        f"{path} is {facts.width}x{facts.height}, too small for the crops.", "Lower data.crop."
                    )
                index = film_index(path, None, decoding.cache, windows.most_s, decoding.threads)
                self.films.append(index if stretch is None else index.part(*stretch(len(index))))
            except UserError as error:
                self.named.name(error, path)
                self.skipped += 1
        if not self.films:
            raise UserError(
                f"None of the {len(paths)} films can be used.",
                "See the warnings above for each one's reason.",
                BAD_INPUT,
            )
        self.draw = TripletDraw(self.films, sampling)
        self.left_out = LeftOut(len(self.films), self.named)
        self._decoded: OrderedDict[tuple[int, int], dict[int, np.ndarray]] = OrderedDict()
        log.info(
            "%d films, %d frames, %d pairs, by motion %s; %d left out",
            len(self.films),
            sum(map(len, self.films)),
            len(self.draw),
            self.draw.counts(),
            self.skipped,
        )

    def __getitem__(self, counter: int | Moment) -> Triplet:
        counter, done = Moment.of(counter)
        for attempt in range(MAX_BROKEN_IN_A_ROW):
            film, draw, random = self._drawn(counter + attempt * 1_000_003, self.sampling.longest(done))
            if film in self.left_out:
                continue
            try:
                return self._sample(draw, random)
            except UserError as error:  # a film that broke since it was indexed must not end a run of days
                self.left_out.note(film, error, self.films[film].path)
        raise UserError(
            f"None of {MAX_BROKEN_IN_A_ROW} samples in a row can be decoded ({len(self.left_out)} films left out).",
            "See the warnings above for each one's reason.",
            BAD_INPUT,
        )

    def _drawn(self, counter: int, longest: int) -> tuple[int, Draw, np.random.Generator]:
        group, place = divmod(counter, self.windows.reuse)
        # The group's first draw places the window; the others are drawn from what lies inside it.
        lead = self.draw(np.random.default_rng([self.seed, 4, group]), longest)
        random = np.random.default_rng([self.seed, 5, counter])
        begin = self._begin(lead.film, int(lead.frames[0]))
        end = begin + self.windows.length
        draw = lead if place == 0 else self.draw.within(lead.film, begin, end, random, longest) or lead
        return lead.film, draw, random

    def _begin(self, film: int, first: int) -> int:
        """Where the window for a triplet from ``first`` on begins: there, or earlier near the end of a stretch."""
        low, high = self._unbroken(film, first)
        return max(low, min(first, high - self.windows.length))

    def _unbroken(self, film: int, frame: int) -> tuple[int, int]:
        """The frames without a hole in time around ``frame``: a window across a hole would decode all of the hole."""
        pts = self.films[film].pts
        gaps = np.diff(pts)
        holes = np.flatnonzero(gaps > SETTINGS.longest_gap * np.median(gaps)) + 1
        place = int(np.searchsorted(holes, frame, side="right"))
        return int(holes[place - 1]) if place else 0, int(holes[place]) if place < len(holes) else len(pts)

    def read(self, film: int, frames: np.ndarray) -> np.ndarray:
        pts = self.films[film].pts
        window = self._window(film, int(frames[0]), int(frames[-1]))
        missing = [int(frame) for frame in frames if int(pts[frame]) not in window]
        if missing:
            raise UserError(
                f"{self.films[film].path} no longer decodes as it did when it was indexed.",
                "Remove it from the folder, or touch it so that it is indexed again.",
                BAD_INPUT,
            )
        return np.stack([window[int(pts[frame])] for frame in frames])

    def _window(self, film: int, first: int, last: int) -> dict[int, np.ndarray]:
        """Decoded pictures by pts, at least those from ``first`` to ``last``."""
        for key, held in self._decoded.items():
            if key[0] == film and key[1] <= first and last < key[1] + self.windows.length:
                self._decoded.move_to_end(key)
                return held
        pts, begin = self.films[film].pts, self._begin(film, first)
        end = min(begin + self.windows.length, self._unbroken(film, first)[1])
        stop = int(pts[end]) if end < len(pts) else int(pts[-1]) + 1  # the film may go on behind a part of it
        decoded = dict(read_pictures(self.films[film].path, int(pts[begin]), stop, self.decoding.longest))
        self._decoded[film, begin] = decoded
        while len(self._decoded) > self.windows.kept:
            self._decoded.popitem(last=False)
        return decoded
