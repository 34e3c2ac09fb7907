"""Image sets in folders: Vimeo90K triplets and septuplets, pairs, and two unrelated folders.

The finite sets here give sample ``index`` as it is (validation), and ``sample(index, random)`` augmented (training,
through ``data.sampler.Shuffled``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import Triplet, Unpaired
from vfi_pipeline.data.textures import image_files, read_image
from vfi_pipeline.errors import BAD_INPUT, UserError

log = logging.getLogger(__name__)


class ImageSequences(Dataset[Triplet]):
    """Triplets from lists of image files, each list one short motion in order.

    A list with an unreadable or odd-sized image is skipped with a warning and its neighbour takes its place.

    Args:
        sequences: lists of 3 or more files.
        augmentation: its crop is used for training; None keeps the frames whole.
        spans: smallest and largest number of frames from first to last. None: the whole sequence.
        middles: true frames between; None takes all.
    """

    def __init__(
        self,
        sequences: Sequence[Sequence[Path]],
        augmentation: Augmentation | None = None,
        spans: tuple[int, int] | None = None,
        middles: int | None = 1,
    ) -> None:
        self.sequences, self.augmentation, self.spans, self.middles = list(sequences), augmentation, spans, middles
        self.skipped = 0

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> Triplet:
        """The whole sequence: its first and last image, and the middle one (or all between)."""
        frames = self._read(index)
        last = len(frames) - 1
        inner = np.arange(1, last) if self.middles is None else np.array([round(last / 2)])[: self.middles]
        stack = torch.from_numpy(frames[[0, *inner, last]]).permute(0, 3, 1, 2).float() / 255
        return Triplet(stack[0], stack[1:-1], stack[-1], torch.from_numpy((inner / last).astype(np.float32)))

    def sample(self, index: int, random: np.random.Generator) -> Triplet:
        """A random part of the sequence, augmented."""
        frames = self._read(index)
        longest = len(frames) - 1
        low, high = self.spans or (longest, longest)
        span = int(random.integers(min(low, longest), min(high, longest) + 1))
        start = int(random.integers(longest - span + 1))
        between = np.arange(1, span)
        count = len(between) if self.middles is None else min(self.middles, len(between))
        inner = np.sort(random.choice(between, size=count, replace=False)) if count else between[:0]
        numbers = np.concatenate(([0], inner, [span])).astype(int)
        times = (numbers / span).astype(np.float32)
        augmentation = self.augmentation or Augmentation.none(min(frames.shape[1:3]))
        if not augmentation.fits(frames.shape[2], frames.shape[1]):
            raise UserError(
                f"{self.sequences[index][0]} is {frames.shape[2]}x{frames.shape[1]}, too small for crops of "
                f"{augmentation.crop}.", "Lower data.crop.", BAD_INPUT,
            )  # fmt: skip
        stack, times = augmentation(frames[start + numbers], times, random)
        return Triplet(stack[0], stack[1:-1], stack[-1], torch.from_numpy(times[1:-1].astype(np.float32)))

    def _read(self, index: int) -> np.ndarray:
        for step in range(min(len(self), 50)):
            files = self.sequences[(index + step) % len(self)]
            try:
                pictures = [read_image(path) for path in files]
                if len({picture.shape for picture in pictures}) > 1:
                    raise UserError(f"The images beside {files[0]} differ in size.", "Make them alike.", BAD_INPUT)
                return np.stack(pictures)
            except UserError as error:
                self.skipped += 1
                log.warning("Skipped: %s", error.args[0])
        raise UserError(
            f"50 image sequences in a row cannot be read, the last is {files[0].parent}.",
            "Unpack the data set again.",
            BAD_INPUT,
        )


def vimeo90k(root: Path, part: str = "train") -> list[list[Path]]:
    """The sequences of Vimeo90K (Xue et al. 2019), triplets (``tri_trainlist.txt``) or septuplets (``sep_...``).

    Args:
        root: the folder that holds ``sequences`` and the lists.
        part: ``train`` or ``test``.

    Raises:
        UserError: if the layout is not Vimeo90K's.
    """
    remedy = "Point data.root at the unpacked vimeo_triplet or vimeo_septuplet folder (with sequences/ and *list.txt)."
    if not root.is_dir():
        raise UserError(f"{root} does not exist.", remedy, BAD_INPUT)
    for kind, count in (("tri", 3), ("sep", 7)):
        listing = root / f"{kind}_{part}list.txt"
        if listing.is_file():
            names = [line.strip() for line in listing.read_text().splitlines() if line.strip()]
            found = [[root / "sequences" / name / f"im{k + 1}.png" for k in range(count)] for name in names]
            present = [files for files in found if files[0].parent.is_dir()]
            if not present:
                raise UserError(f"None of the {len(found)} sequences of {listing} is there.", remedy, BAD_INPUT)
            if len(present) < len(found):
                log.warning("%d of the %d sequences in %s are missing.", len(found) - len(present), len(found), listing)
            return present
    raise UserError(f"{root} holds neither tri_{part}list.txt nor sep_{part}list.txt.", remedy, BAD_INPUT)


class ImagePairs(Dataset[Triplet]):
    """Pairs that belong together, with nothing known between (T = 0): the paper's paired L2.

    Args:
        pairs: (first, last) files.
        size: (height, width) or one side that both are resized to; None keeps their own, which must then be equal.
        flip: probability, in training, of turning a pair left to right.
    """

    def __init__(
        self, pairs: Sequence[tuple[Path, Path]], size: int | tuple[int, int] | None = 64, flip: float = 0.5
    ) -> None:
        self.pairs, self.size, self.flip = list(pairs), size, flip

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Triplet:
        first, last = (picture_of(path, self.size) for path in self.pairs[index])
        if first.shape != last.shape:
            a, b = self.pairs[index]
            raise UserError(
                f"{a} is {first.shape[2]}x{first.shape[1]} and {b} is {last.shape[2]}x{last.shape[1]}.",
                "Give data.size, to which both are resized.",
                BAD_INPUT,
            )
        return Triplet(first, first.new_zeros((0, *first.shape)), last, first.new_zeros(0))

    def sample(self, index: int, random: np.random.Generator) -> Triplet:
        """The pair, both sides flipped or neither."""
        pair = self[index]
        if random.random() < self.flip:
            pair = pair._replace(first=pair.first.flip(-1), last=pair.last.flip(-1))
        return pair


def listed_pairs(listing: Path) -> list[tuple[Path, Path]]:
    """Pairs from a text file: two paths a line, separated by a tab, a comma or spaces, relative to the file's folder.

    Raises:
        UserError: if the list is missing, a line has not two paths, or a file is missing; it names the line.
    """
    if not listing.is_file():
        raise UserError(f"{listing} does not exist.", "Give a text file with two image paths a line.", BAD_INPUT)
    pairs = []
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        for separator in ("\t", ",", None):
            parts = [part.strip() for part in line.split(separator) if part.strip()]
            if len(parts) == 2:
                break
        else:
            raise UserError(f"{listing}, line {number}, does not hold two paths.", "Separate them by a tab.", BAD_INPUT)
        first, last = (listing.parent / part for part in parts)
        for path in (first, last):
            if not path.is_file():
                where = f"{listing.name}, line {number}"
                raise UserError(f"{path} ({where}) does not exist.", "Correct the list.", BAD_INPUT)
        pairs.append((first, last))
    if not pairs:
        raise UserError(f"{listing} holds no pairs.", "Write two image paths a line.", BAD_INPUT)
    return pairs


def matched_pairs(first: Path, last: Path) -> list[tuple[Path, Path]]:
    """Images of two folders whose paths below them are equal, endings aside; the unmatched are counted in a warning.

    Raises:
        UserError: if a folder is missing or nothing matches.
    """
    sides = [{path.relative_to(root).with_suffix(""): path for path in image_files(root)} for root in (first, last)]
    common = sorted(set(sides[0]) & set(sides[1]))
    if not common:
        raise UserError(
            f"No image of {first} has its namesake in {last}.",
            "Name the two images of a pair alike, or give a list (data.pairs).",
            BAD_INPUT,
        )
    alone = len(set(sides[0]) ^ set(sides[1]))
    if alone:
        log.warning("%d images of %s and %s have no namesake and are left out.", alone, first, last)
    return [(sides[0][name], sides[1][name]) for name in common]


class UnpairedFolders(Dataset[Unpaired]):
    """Sample ``counter`` is a random image of each of two sets, unrelated to one another.

    Args:
        sources, targets: files.
        size: (height, width) or one side that all are resized to.
        flip: probability of turning each left to right, on its own.
    """

    def __init__(
        self,
        sources: Sequence[Path],
        targets: Sequence[Path],
        size: int | tuple[int, int] = 64,
        flip: float = 0.5,
        seed: int = 0,
        length: int = 10_000,
    ) -> None:
        self.sources, self.targets, self.size, self.flip = list(sources), list(targets), size, flip
        self.seed, self.length, self.skipped = seed, length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, counter: int) -> Unpaired:
        random = np.random.default_rng([self.seed, counter])
        return Unpaired(self._draw(self.sources, random), self._draw(self.targets, random))

    def _draw(self, files: list[Path], random: np.random.Generator) -> Tensor:
        for _ in range(50):
            path = files[random.integers(len(files))]
            try:
                picture = picture_of(path, self.size)
                return picture.flip(-1) if random.random() < self.flip else picture
            except UserError as error:
                self.skipped += 1
                log.warning("Skipped: %s", error.args[0])
        raise UserError(f"50 images in a row cannot be read, the last is {path}.", "Check the folder.", BAD_INPUT)


def picture_of(path: Path, size: int | tuple[int, int] | None) -> Tensor:
    """An image as (3, height, width) in [0, 1], its middle cut to the asked shape and resized (antialiased)."""
    picture = torch.from_numpy(read_image(path)).permute(2, 0, 1).float() / 255
    if size is None:
        return picture
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = picture.shape[-2:]
    scale = min(rows / height, columns / width)
    cut_rows, cut_columns = min(rows, round(height * scale)), min(columns, round(width * scale))
    top, left = (rows - cut_rows) // 2, (columns - cut_columns) // 2
    picture = picture[:, top : top + cut_rows, left : left + cut_columns]
    return F.interpolate(picture[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)


def split_list(items: Sequence, share: float) -> tuple[list, list]:
    """(training, validation): every n-th is held out, n = 1 / share. A single item, or share 0, serves as both."""
    if share <= 0 or len(items) < 2:
        return list(items), list(items)
    every = min(max(2, round(1 / share)), len(items))
    return [x for k, x in enumerate(items) if k % every != every - 1], list(items[every - 1 :: every])
