"""Training batches made where the training is: frames decoded once and kept on the device, crops cut and changed there.

Sample ``counter`` is the one that ``MemoryClips`` gives, drawn on the host from (seed, counter) alone: a run resumes at
any batch, and the parts of several devices are one device's joint batch.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from vfi_pipeline.data.augment import Augmentation, Drawn, busiest
from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.clips import MemoryClips
from vfi_pipeline.data.device_augment import photometric, read_crops
from vfi_pipeline.data.sampler import Moment, choice
from vfi_pipeline.errors import UserError

log = logging.getLogger(__name__)

HALF_SIZE_RATIO = 1.35
"""Source pixels per crop pixel above which the frame at half size is read: bilinear reads of the full one alias."""

MAX_MEMORY_SHARE = 0.5
"""Of the device's free memory, for frames; training needs the rest."""

COUNTERS_PER_STAGE = 2**40
"""Counters of a stage begin so far after those of the one before: no crop of an earlier stage is seen again."""


@dataclass(frozen=True)
class Stage:
    """A part of the run with crops and batches of its own.

    Attributes:
        begin: share of the run, 0 to 1, at which it begins.
        crop: side of the crops, px.
        batch_size: samples of one step over all devices.
    """

    begin: float
    crop: int
    batch_size: int

    def __post_init__(self) -> None:
        if not 0 <= self.begin < 1:
            raise UserError(f"A stage begins at {self.begin} of the run.", "data.stages: begin from 0 to below 1.")
        if self.crop < 16 or self.batch_size < 1:
            raise UserError(
                f"A stage with crops of {self.crop} px and batches of {self.batch_size} cannot be.",
                "data.stages: a crop of 16 or more, batch_size of 1 or more.",
            )


STAGES_FORM = "'data.stages=[{begin: 0.62, crop: 384, batch_size: 28}]', with begin a share of the run and crop in px."


def stages_of(described: Any) -> tuple[Stage, ...]:
    """The stages of ``data.stages``: a list of mappings with the fields of ``Stage``, or None.

    Raises:
        UserError: if it is none, or a field is missing, unknown, or no number.
    """
    if described is None:
        return ()
    if isinstance(described, str) or not isinstance(described, Sequence):
        raise UserError("data.stages is no list of stages.", STAGES_FORM)
    return tuple(_stage(f"data.stages, stage {k + 1},", one) for k, one in enumerate(described))


def _stage(where: str, described: Any) -> Stage:
    if not isinstance(described, Mapping):
        raise UserError(f"{where} is {described}, which does not name begin, crop and batch_size.", STAGES_FORM)
    names = [field.name for field in fields(Stage)]
    for name in described:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"{where} has {name}, which no stage has.", meant + STAGES_FORM)
    lacking = [name for name in names if described.get(name) is None]
    if lacking:
        raise UserError(f"{where} has no {' and no '.join(lacking)}.", STAGES_FORM)
    for name, kinds in (("begin", (int, float)), ("crop", (int,)), ("batch_size", (int,))):
        value = described[name]
        if isinstance(value, bool) or not isinstance(value, kinds):
            number = "number" if float in kinds else "whole number"
            raise UserError(f"{where} has {name}={value}, which is no {number}.", STAGES_FORM)
    return Stage(**described)


class Place(NamedTuple):
    """Where the crops of one motion are read: ``offsets`` (N,), ``size`` (height, width), ``affine`` (2, 3)."""

    offsets: np.ndarray
    size: tuple[int, int]
    affine: np.ndarray


class DeviceFrames:
    """All frames at full and at half size in one flat buffer on the device."""

    def __init__(self, films: Sequence[np.ndarray], device: torch.device) -> None:
        """``films``: (N, H, W, 3) uint8 each."""
        self.device = device
        sizes = [(film.shape[1], film.shape[2]) for film in films]
        halves = [(height // 2, width // 2) for height, width in sizes]
        counts = [len(film) * h * w for film, (h, w) in zip([*films, *films], [*sizes, *halves])]
        begins = np.concatenate(([0], np.cumsum(counts)))
        self.pixels = torch.empty((int(begins[-1]), 3), dtype=torch.uint8, device=device)
        self._films = [
            ((int(begins[k]), *sizes[k]), (int(begins[len(films) + k]), *halves[k])) for k in range(len(films))
        ]
        for film, (full, half) in zip(films, self._films):
            for first in range(0, len(film), 32):
                frames = torch.from_numpy(film[first : first + 32]).to(device)
                self._keep(full, first, frames)
                even = frames[:, : 2 * half[1], : 2 * half[2]].permute(0, 3, 1, 2).float()
                self._keep(half, first, F.avg_pool2d(even, 2).round().byte().permute(0, 2, 3, 1))

    def _keep(self, where: tuple[int, int, int], first: int, frames: Tensor) -> None:
        begin, height, width = where
        flat = frames.reshape(-1, 3)
        begin += first * height * width
        self.pixels[begin : begin + len(flat)] = flat

    def read(self, places: Sequence[tuple[int, np.ndarray, np.ndarray, float]], crop: int) -> Tensor:
        """Crops (B, N, 3, crop, crop) of (film, frame numbers, affine (2, 3), source pixels per crop pixel)."""
        placed = [self._place(*place) for place in places]
        return _read(self.pixels, placed, crop, self.device)

    def _place(self, film: int, frames: np.ndarray, affine: np.ndarray, ratio: float) -> Place:
        half = ratio > HALF_SIZE_RATIO
        begin, height, width = self._films[film][half]
        return Place(begin + frames.astype(np.int64) * (height * width), (height, width), halved(affine, half))

    @staticmethod
    def bytes_of(films: Sequence[np.ndarray]) -> int:
        """What the buffer takes."""
        return sum(film.nbytes * 5 // 4 for film in films)


class HostFrames:
    """Frames that the device has no room for: they stay on the host, and the parts that crops show are uploaded."""

    def __init__(self, films: Sequence[np.ndarray], device: torch.device) -> None:
        self.films, self.device = films, device

    def read(self, places: Sequence[tuple[int, np.ndarray, np.ndarray, float]], crop: int) -> Tensor:
        """As ``DeviceFrames.read``; where the crop shrinks the picture, every second pixel both ways is averaged."""
        parts = [self._part(*place, crop) for place in places]
        height, width = (max(part.shape[axis] for part, _ in parts) for axis in (1, 2))
        count = len(places[0][1])
        staged = torch.empty((len(parts), count, height, width, 3), dtype=torch.uint8, pin_memory=_pins(self.device))
        array, placed = staged.numpy(), []
        for row, (part, affine) in enumerate(parts):
            array[row, :, : part.shape[1], : part.shape[2]] = part
            offsets = (row * count + np.arange(count, dtype=np.int64)) * (height * width)
            # A part may be smaller than the staging area; its own border is where reading stops.
            placed.append(Place(offsets, (part.shape[1], part.shape[2]), affine))
        pixels = staged.to(self.device, non_blocking=True).view(-1, 3)
        return _read(pixels, placed, crop, self.device, width)

    def _part(
        self, film: int, frames: np.ndarray, affine: np.ndarray, ratio: float, crop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The pixels (N, h, w, 3) around a crop, and the affine map into them."""
        source = self.films[film]
        corners = affine @ np.array([[0, crop - 1, 0, crop - 1], [0, 0, crop - 1, crop - 1], [1, 1, 1, 1]])
        low = np.maximum(np.floor(corners.min(1)).astype(int) - 1, 0) // 2 * 2
        high = np.ceil(corners.max(1)).astype(int) + 3
        height, width = source.shape[1:3]
        part = source[frames, low[1] : min(high[1], height), low[0] : min(high[0], width)]
        moved = affine - np.array([[0, 0, low[0]], [0, 0, low[1]]])
        if ratio <= HALF_SIZE_RATIO:
            return part, moved
        rows, columns = part.shape[1] // 2 * 2, part.shape[2] // 2 * 2
        even = part[:, :rows, :columns].astype(np.uint16)
        half = (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2] + 2) // 4
        return half.astype(np.uint8), halved(moved, True)


def frames_on(device: torch.device, films: Sequence[np.ndarray]) -> DeviceFrames | HostFrames:
    """All frames on the device if MAX_MEMORY_SHARE of its free memory holds them, else on the host; logs which."""
    size = DeviceFrames.bytes_of(films)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    if free is None or size <= MAX_MEMORY_SHARE * free:
        log.info("%.1f GB of frames are kept on %s.", size / 2**30, device)
        return DeviceFrames(films, device)
    log.info(
        "%.1f GB of frames stay on the host, and each step uploads what it needs: %s has %.1f GB free.",
        size / 2**30, device, free / 2**30,
    )  # fmt: skip
    return HostFrames(films, device)


def halved(affine: np.ndarray, half: bool) -> np.ndarray:
    """The affine map into the frame at half size, if ``half``."""
    return affine / 2 - np.array([[0, 0, 0.25], [0, 0, 0.25]]) if half else affine


def _pins(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_available()


def _read(
    pixels: Tensor, places: Sequence[Place], crop: int, device: torch.device, row_length: int | None = None
) -> Tensor:
    offsets = torch.from_numpy(np.stack([place.offsets for place in places]))
    sizes = torch.tensor([place.size for place in places])
    affines = torch.from_numpy(np.stack([place.affine for place in places]).astype(np.float32))
    if _pins(device):
        offsets, sizes, affines = offsets.pin_memory(), sizes.pin_memory(), affines.pin_memory()
    offsets, sizes, affines = (part.to(device, non_blocking=True) for part in (offsets, sizes, affines))
    return read_crops(pixels, offsets, sizes, affines, crop, row_length)


class Scenes:
    """Synthetic scenes with true velocity, made once by threads and kept on the device.

    Args:
        dataset: of scenes at the largest crop; its first ``count`` samples are kept.
        count: how many.
        device: where.
    """

    def __init__(self, dataset: Dataset[Triplet], count: int, device: torch.device) -> None:
        with ThreadPoolExecutor() as executor:
            scenes = list(executor.map(dataset.__getitem__, range(count)))
        frames, times = zip(*(scene.in_order() for scene in scenes))
        self.frames = torch.stack([(pictures * 255).round().byte() for pictures in frames]).to(device)
        self.times = torch.stack(times).to(device)
        velocities = [scene.velocity for scene in scenes if scene.velocity is not None]
        self.velocity = torch.stack(velocities).to(device)

    def batch(self, counters: Sequence[int], crop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (B, N, 3, crop, crop), their times (B, N) and velocities of the scenes that these counters see."""
        rows = torch.tensor([counter % len(self.frames) for counter in counters])
        rows = rows.to(self.times.device, non_blocking=True)
        margin = self.frames.shape[-1] - crop
        top, left = (int(np.random.default_rng([counters[0], k]).integers(margin + 1)) for k in (0, 1))
        window = (..., slice(top, top + crop), slice(left, left + crop))
        return self.frames[window][rows].float() / 255, self.times[rows], self.velocity[window][rows]


class DeviceTriplets:
    """Batches by counter, made on the device.

    Args:
        clips: the films, decoded; draws what their samples are.
        frames: the same films where crops are read.
        seed: chooses between films and scenes, as ``sampler.Mixed`` does.
        scenes: a share of the samples; None: all are of films.
        share: of the samples that are scenes.
    """

    def __init__(
        self,
        clips: MemoryClips,
        frames: DeviceFrames | HostFrames,
        seed: int = 0,
        scenes: Scenes | None = None,
        share: float = 0.0,
    ) -> None:
        self.clips, self.frames, self.seed, self.scenes, self.share = clips, frames, seed, scenes, share
        self._augmentations: dict[int, Augmentation] = {}

    def batch(self, counters: Sequence[int], crop: int, done: float = 1.0) -> Triplet:
        """The samples of these counters as one batch, on the device; ``done`` as in ``sampler.Moment``."""
        of_scenes = [self.scenes is not None and choice(self.seed, n, (1 - self.share, self.share)) for n in counters]
        filmed = [n for n, scene in zip(counters, of_scenes) if not scene]
        drawn = [n for n, scene in zip(counters, of_scenes) if scene]
        parts: list[tuple[Tensor, Tensor, Tensor | None]] = []
        if filmed:
            parts.append((*self._of_films(filmed, crop, done), None))
        if drawn:
            assert self.scenes is not None
            parts.append(self.scenes.batch(drawn, crop))
        pictures, times = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        velocity = self._velocities(parts) if self.scenes is not None else None
        if filmed and drawn:
            order = torch.from_numpy(np.argsort(np.argsort(of_scenes, kind="stable")))
            order = order.to(times.device, non_blocking=True)
            pictures, times, velocity = pictures[order], times[order], None if velocity is None else velocity[order]
        return Triplet.of(pictures, times, velocity, bool(self.clips.sampling.around))

    def _of_films(self, counters: Sequence[int], crop: int, done: float) -> tuple[Tensor, Tensor]:
        augmentation = self._augmentations.setdefault(crop, replace(self.clips.augmentation, crop=crop))
        places, times, changes = [], [], []
        for counter in counters:
            draw, random = self.clips.drawn(Moment(counter, done))
            film = self.clips.pictures[draw.film]
            height, width = film.shape[1:3]
            drawn: Drawn = augmentation.drawn(height, width, random)
            numbers, moments = draw.frames, draw.times
            if drawn.reverse:
                numbers, moments = numbers[::-1], 1 - moments[::-1]
            placed = drawn.placements[busiest(film[numbers[0]], film[numbers[-1]], drawn.placements)]
            places.append((draw.film, np.ascontiguousarray(numbers), placed.affine(), placed.side / placed.inner))
            times.append(moments)
            changes.append(drawn.photometry)
        moments = np.stack(times)
        pictures = photometric(self.frames.read(places, crop), moments, changes)
        return pictures, torch.from_numpy(moments.astype(np.float32)).to(pictures.device, non_blocking=True)

    @staticmethod
    def _velocities(parts: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> Tensor:
        """NaN where the motion is not known."""
        return torch.cat([
            pictures.new_full((len(pictures), 2, *pictures.shape[-2:]), float("nan")) if velocity is None else velocity
            for pictures, _, velocity in parts
        ])  # fmt: skip


class DeviceLoader:
    """Hands out batch after batch; an epoch is ``steps`` of them. It resumes by itself, as ``StepLoader`` does.

    Args:
        triplets: makes them.
        stages: in the order of their begins; the first begins at 0.
        share: batch number -> how much of the run is done, 0 to 1.
        steps: batches of an epoch.
        position: batches seen so far, asked whenever an epoch starts.
        rank, world: this process's part of every batch.
    """

    def __init__(
        self,
        triplets: DeviceTriplets,
        stages: Sequence[Stage],
        share: Callable[[int], float],
        steps: int,
        position: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        for stage in stages:
            if stage.batch_size % world:
                raise UserError(
                    f"A batch of {stage.batch_size} cannot be shared by {world} processes.",
                    f"Make batch_size a multiple of {world}: it is the whole batch of a step, over all devices.",
                )
        self.triplets, self.stages, self.share, self.steps = triplets, list(stages), share, steps
        self.position, self.rank, self.world = position, rank, world
        self._shown = -1

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Triplet]:
        begin = self.position()
        for number in range(begin, (begin // self.steps + 1) * self.steps):
            yield self.batch(number)

    def batch(self, number: int) -> Triplet:
        """This process's part of batch ``number``."""
        share = self.share(number)
        at = max(k for k, stage in enumerate(self.stages) if stage.begin <= share)
        stage = self.stages[at]
        if at != self._shown and len(self.stages) > 1:
            log.info("from step %d on: %d crops of %d px a step", number, stage.batch_size, stage.crop)
        self._shown = at
        local = stage.batch_size // self.world
        begin = at * COUNTERS_PER_STAGE + number * stage.batch_size + self.rank * local
        return self.triplets.batch(range(begin, begin + local), stage.crop, share)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: the loader asks where training stands."""
