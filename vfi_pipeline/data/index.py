"""The index of a film, made once and cached: the time of every picture, cuts, duplicates, and motion.

The index drives which triplets are drawn. A doubtful cut only costs the triplets across it, so cuts are called earlier
than where frames are made, where a false cut shows.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.pictures import VideoFacts, read_pictures, video_facts
from vfi_pipeline.shots import cuts
from vfi_pipeline.shots.cuts import CutDetector, CutRule, signature
from vfi_pipeline.shots.duplicates import RepeatDetector
from vfi_pipeline.shots.thumbnails import dense_flow, rgb_frame

log = logging.getLogger(__name__)

VERSION = 2  # of the cached index; raise it when what it holds changes
EXTENSIONS = {
    ".mp4",
    ".mkv",
    ".mov",
    ".webm",
    ".avi",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".m2ts",
    ".mts",
    ".wmv",
    ".flv",
    ".ogv",
    ".3gp",
    ".gif",
}


@dataclass(frozen=True)
class IndexSettings:
    """How a film is indexed. Changing a value needs another ``VERSION``.

    Attributes:
        stretch_s: seconds of each stretch of a film that is indexed in part.
        span_px: longer side of the pictures that are indexed, as ``shots.stillness`` compares them.
        motion_span_px: longer side of the pictures in which motion is estimated.
        motion_quantile: of the lengths of a picture's flow vectors: its motion.
        longest_gap: in medians of the film's own; a longer gap between two pictures is a hole.
        cuts: ``shots.cuts``' rule without its adaptive bar: a pair is judged by itself, since a doubtful cut only costs
            the triplets across it.
    """

    stretch_s: float = 10.0
    span_px: int = 256
    motion_span_px: int = 192
    motion_quantile: float = 0.9
    longest_gap: float = 8.0
    cuts: CutRule = replace(cuts.RULE, bar_limit=0.0)


SETTINGS = IndexSettings()


@dataclass(frozen=True)
class FilmIndex:
    """Facts of one film's pictures, in presentation order, N of them.

    Attributes:
        path: the film.
        width, height: of its upright pictures.
        pts: (N,) int64, presentation times in units of ``time_base``.
        time_base: seconds per pts.
        motion: (N-1,) float32, how far the faster tenth of the picture moves to the next one, px of the film's size.
        cut: (N-1,) bool, a change of shot (or a flash, or a hole in the film) lies between a picture and the next.
        still: (N-1,) bool, the next picture repeats this one.
    """

    path: Path
    width: int
    height: int
    pts: np.ndarray
    time_base: Fraction
    motion: np.ndarray
    cut: np.ndarray
    still: np.ndarray

    def __len__(self) -> int:
        return len(self.pts)

    def part(self, begin: int, end: int) -> FilmIndex:
        """The pictures ``begin ... end - 1`` alone."""
        between = slice(begin, max(begin, end - 1))
        facts = (self.motion[between], self.cut[between], self.still[between])
        return FilmIndex(self.path, self.width, self.height, self.pts[begin:end], self.time_base, *facts)

    def runs(self, uneven: float = 1.75) -> list[np.ndarray]:
        """The picture numbers of each unbroken run: no cut inside, repeats left out, evenly spaced in time.

        A film on twos (every picture twice) is even once its repeats are gone; where a single picture was dropped or
        repeated there is a hole, and the run ends before it.

        Args:
            uneven: the largest step of a run over its smallest.
        """
        runs: list[list[int]] = []
        shot = np.concatenate(([0], np.cumsum(self.cut)))
        numbers = [0, *(np.flatnonzero(~self.still | self.cut) + 1)] if len(self) else []
        low = high = 0
        for before, number in pairwise(numbers):
            gap = int(self.pts[number] - self.pts[before])
            if shot[before] != shot[number]:
                low = high = 0
                continue
            if low and max(gap, high) <= uneven * min(gap, low):
                runs[-1].append(number)
                low, high = min(gap, low), max(gap, high)
            else:
                runs.append([before, number])
                low = high = gap
        return [np.array(run) for run in runs]


def build(path: Path, pictures: Iterable[tuple[int, np.ndarray]], base: Fraction) -> FilmIndex:
    """Indexes the ``(pts, uint8 RGB picture)`` of a film; sizes and motion are those of the pictures given.

    Motion is DIS optical flow between neighbours (``SETTINGS``); cuts and repeats are found as ``synthesis`` finds
    them (``vfi_pipeline.shots``), with both ends of a flash.
    """
    cut_detector, repeat_detector = CutDetector(flashes=True, rule=SETTINGS.cuts), RepeatDetector()
    pts: list[int] = []
    motion: list[float] = []
    still: list[bool] = []
    starts: list[bool] = []  # a shot
    resized: list[int] = []  # pictures of another size than the one before
    before = None
    width = height = 0
    for time, picture in pictures:
        if not pts:
            height, width = picture.shape[:2]
        ratio = min(1.0, SETTINGS.motion_span_px / max(picture.shape[:2]))
        size = (max(16, round(picture.shape[1] * ratio)), max(16, round(picture.shape[0] * ratio)))
        grey = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        same_size = before is not None and before.shape == grey.shape
        frame = rgb_frame(picture)
        repeats = repeat_detector.repeats(frame, fresh=not same_size)
        if before is not None and not same_size:
            starts += cut_detector.flush()
            cut_detector = CutDetector(flashes=True, rule=SETTINGS.cuts)
            resized.append(len(pts))
        starts += cut_detector.push(signature(frame))
        if before is not None and same_size:
            flow = dense_flow(before, grey, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
            motion.append(float(np.quantile(np.hypot(flow[..., 0], flow[..., 1]), SETTINGS.motion_quantile)) / ratio)
        elif before is not None:
            motion.append(0.0)
        if before is not None:
            still.append(repeats)
        pts.append(int(time))
        before = grey
    starts += cut_detector.flush()
    times = np.array(pts, np.int64)
    cut = np.array(starts[1:], bool)
    cut[np.array(resized, int) - 1] = True
    if len(times) > 1:
        gaps = np.diff(times)
        cut |= gaps > SETTINGS.longest_gap * np.median(gaps)
        cut |= gaps <= 0
    return FilmIndex(path, width, height, times, base, np.array(motion, np.float32), cut, np.array(still, bool))


def film_index(
    path: Path,
    pictures: Iterable[tuple[int, np.ndarray]] | None = None,
    cache: Path | None = None,
    most_s: float | None = 900.0,
    threads: int = 2,
) -> FilmIndex:
    """The index of ``path``, from the cache if the file is the same still (size, modification time), else made anew.

    Args:
        pictures: all its pictures, if the caller has them in memory anyway; else they are decoded, small.
        cache: folder for indices. None: the user's cache folder (``$XDG_CACHE_HOME/vfi_pipeline/index``).
        most_s: a longer film is indexed in stretches of 10 s, evenly spread, this many seconds in all. None: all of it.

    Raises:
        UserError: if the film cannot be read.
    """
    store = _cache_file(path, cache, most_s)
    if store.is_file():
        try:
            return _load(store, path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            log.warning("The cached index %s of %s is damaged; making it again.", store, path)
    facts = video_facts(path)
    index = build(path, pictures if pictures is not None else _stretches(path, facts, most_s, threads), facts.time_base)
    width, height = facts.width, facts.height
    if (width > height) != (index.width > index.height):  # the file says to turn it
        width, height = height, width
    scale = max(width, height) / max(index.width, index.height, 1)
    index = FilmIndex(path, width, height, index.pts, index.time_base, index.motion * scale, index.cut, index.still)
    _save(store, index)
    return index


def _stretches(path: Path, facts: VideoFacts, most_s: float | None, threads: int) -> Iterator[tuple[int, np.ndarray]]:
    if most_s is None or facts.duration_s <= most_s:
        yield from read_pictures(path, longest=SETTINGS.span_px, threads=threads)
        return
    count = max(1, int(most_s // SETTINGS.stretch_s))
    latest = -1
    for k in range(count):
        begin = facts.start + int((facts.duration_s - SETTINGS.stretch_s) * k / max(1, count - 1) / facts.time_base)
        end = begin + int(SETTINGS.stretch_s / facts.time_base)
        for pts, picture in read_pictures(path, begin, end, longest=SETTINGS.span_px, threads=threads):
            if pts > latest:
                latest = pts
                yield pts, picture


def _cache_file(path: Path, cache: Path | None, most_s: float | None) -> Path:
    if cache is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vfi_pipeline" / "index"
    try:
        facts = path.stat()
    except OSError as error:
        raise UserError(
            f"{path} does not exist.", "Check the spelling, or the folder that data.root names.", BAD_INPUT
        ) from error
    key = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}|{most_s}|{VERSION}"
    return cache / f"{path.stem[:40]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def _save(store: Path, index: FilmIndex) -> None:
    """Writes beside and renames, so that two runs may index one film at once. A full disk costs only the cache."""
    draft = store.with_name(f"{store.name}.{uuid.uuid4().hex}.part")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as held:
            np.savez(
                held,
                size=[index.width, index.height],
                pts=index.pts,
                motion=index.motion,
                cut=index.cut,
                still=index.still,
                time_base=[index.time_base.numerator, index.time_base.denominator],
            )
        os.replace(draft, store)
    except OSError as error:
        log.warning("The index of %s could not be kept (%s); it will be made again next time.", index.path, error)
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _load(store: Path, path: Path) -> FilmIndex:
    with np.load(store, allow_pickle=False) as held:
        width, height = (int(side) for side in held["size"])
        base = Fraction(*(int(part) for part in held["time_base"]))
        return FilmIndex(path, width, height, held["pts"], base, held["motion"], held["cut"], held["still"])
