"""Triplets from films: ``MemoryClips`` decodes a small set once and keeps it, ``FilmFolder`` decodes on demand."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.draw import TripletDraw
from vfi_pipeline.data.index import EXTENSIONS, FilmIndex, film_index
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.pictures import read_pictures, shrunk, video_facts

log = logging.getLogger(__name__)

DEFAULT = Augmentation()


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


def split_films(films: Sequence[Path], share: float = 0.1) -> tuple[list[Path], list[Path]]:
    """(training, validation) films. A film is wholly in one; which one depends on its name alone, so that adding films
    moves none of the others. With two films or more, neither side is empty (unless ``share`` is 0)."""
    if share <= 0:
        return list(films), []
    ranked = sorted(films, key=lambda film: zlib.crc32(film.name.encode()) / 2**32)
    held = [film for film in ranked if zlib.crc32(film.name.encode()) / 2**32 < share]
    if len(films) > 1:
        held = held[: len(films) - 1] or ranked[:1]
    chosen = set(held)
    return [film for film in films if film not in chosen], sorted(chosen)


class _Triplets(Dataset[Triplet]):
    """What both share: sample ``counter`` depends on (seed, counter) alone, so a run resumes at any counter exactly."""

    films: list[FilmIndex]
    draw: TripletDraw

    def __init__(self, augmentation: Augmentation, seed: int, length: int) -> None:
        self.augmentation, self.seed, self.length = augmentation, seed, length

    def __len__(self) -> int:
        """A nominal epoch; any counter is a valid index."""
        return self.length

    def _pictures(self, film: int, frames: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _sample(self, draw, random: np.random.Generator) -> Triplet:
        stack, times = self.augmentation(self._pictures(draw.film, draw.frames), draw.times, random)
        return Triplet(stack[0], stack[1:-1], stack[-1], torch.from_numpy(times[1:-1].astype(np.float32)))


class MemoryClips(_Triplets):
    """Triplets from clips that fit in memory: each is decoded once, to uint8.

    Args:
        paths: the clips. One that cannot be read is left out with a warning (``skipped`` counts them).
        augmentation: crop size and changes.
        seed: sample ``counter`` depends on (seed, counter) alone.
        spans, middles, centred, least_motion: which triplets, see ``TripletDraw``.
        longest: shrink clips so that their longer side has at most this many pixels. None keeps them.
        memory_gb: refuse to load more than this.
        cache: where indices are kept, see ``film_index``.
        length: nominal length of an epoch.

    Raises:
        UserError: if no clip can be read, none is large enough for the crop, or they do not fit in ``memory_gb``.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        augmentation: Augmentation = DEFAULT,
        seed: int = 0,
        spans: tuple[int, int] = (2, 12),
        middles: int = 1,
        centred: bool = False,
        least_motion: float = 0.3,
        longest: int | None = None,
        memory_gb: float = 8.0,
        cache: Path | None = None,
        length: int = 100_000,
        threads: int = 2,
    ) -> None:
        super().__init__(augmentation, seed, length)
        self.films, self.pictures, self.skipped, held = [], [], 0, 0.0
        for path in map(Path, paths):
            try:
                facts = video_facts(path)
                width, height = shrunk(facts.width, facts.height, longest)
                if not augmentation.fits(width, height):
                    raise UserError(
                        f"{path} is {width}x{height}, too small for crops of {augmentation.crop}.", "Lower data.crop."
                    )
                decoded = list(read_pictures(path, longest=longest, threads=threads))
                if len({picture.shape for _, picture in decoded}) != 1:
                    raise UserError(
                        f"{path} holds no pictures, or pictures of several sizes.",
                        "Move it out of the folder.",
                        BAD_INPUT,
                    )
            except UserError as error:
                log.warning("Left out: %s", error.args[0])
                self.skipped += 1
                continue
            index = film_index(path, decoded, cache, most_s=None)
            shown_height, shown_width = decoded[0][1].shape[:2]
            index = FilmIndex(
                path,
                shown_width,
                shown_height,
                index.pts,
                index.time_base,
                index.motion * (shown_width / index.width),
                index.cut,
                index.still,
            )
            held += sum(picture.nbytes for _, picture in decoded) / 2**30
            if held > memory_gb:
                raise UserError(
                    f"The clips need more than {memory_gb:g} GB of memory (at {path.name}).",
                    "Lower data.longest, raise data.memory_gb, or use data=folder_of_videos, which decodes on demand.",
                )
            self.films.append(index)
            self.pictures.append(np.stack([picture for _, picture in decoded]))
        if not self.films:
            raise UserError(
                f"None of the {len(paths)} clips can be used.",
                "See the warnings above for each one's reason.",
                BAD_INPUT,
            )
        self.draw = TripletDraw(self.films, spans, middles, centred, least_motion)
        log.info(
            "%d clips, %d frames, %.1f GB, %d pairs, by motion %s; %d left out",
            len(self.films),
            sum(map(len, self.films)),
            held,
            len(self.draw),
            self.draw.counts(),
            self.skipped,
        )

    def textures(self, per_clip: int = 2) -> list[np.ndarray]:
        """A few pictures of each clip, evenly spread: textures for ``SyntheticMotion``."""
        places = (np.arange(per_clip) + 0.5) / per_clip
        return [clip[int(place * len(clip))] for clip in self.pictures for place in places]

    def _pictures(self, film: int, frames: np.ndarray) -> np.ndarray:
        return self.pictures[film][frames]

    def __getitem__(self, counter: int) -> Triplet:
        random = np.random.default_rng([self.seed, counter])
        return self._sample(self.draw(random), random)
