"""Image sets in folders: Vimeo90K triplets and septuplets, pairs, and two unrelated folders.

The finite sets here give sample ``index`` as it is (validation), and ``sample(index, random)`` augmented (training,
through ``data.sampler.Shuffled``).
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import Triplet, Unpaired
from vfi_pipeline.data.broken import LeftOut
from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.split import group_of, joined, usual_rule
from vfi_pipeline.data.textures import image_files
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.geometry import pixel_grid, warp
from vfi_pipeline.media.stills import as_channels, read_rgb8, read_still, samples

log = logging.getLogger(__name__)

MAX_BROKEN_IN_A_ROW = 50
"""Broken files in a row after which a data set gives up: so many are no accident."""


class ImageSequences(SizedDataset[Triplet]):
    """Triplets from lists of image files, each list one short motion in order.

    A list with an unreadable or odd-sized image is skipped with a warning and its neighbour takes its place.

    Args:
        sequences: lists of 3 or more files.
        augmentation: its crop is used for training; None keeps the frames whole.
        spans: smallest and largest number of frames from first to last. None: the whole sequence.
        target_count: true frames between; None takes all.
    """

    def __init__(
        self,
        sequences: Sequence[Sequence[Path]],
        augmentation: Augmentation | None = None,
        spans: tuple[int, int] | None = None,
        target_count: int | None = 1,
    ) -> None:
        self.sequences, self.augmentation = list(sequences), augmentation
        self.spans, self.target_count = spans, target_count
        self.left_out = LeftOut(len(self.sequences))

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> Triplet:
        """The whole sequence: its first and last image, and the middle one (or all between)."""
        frames = self._read(index)
        last = len(frames) - 1
        inner = np.arange(1, last) if self.target_count is None else np.array([round(last / 2)])[: self.target_count]
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
        count = len(between) if self.target_count is None else min(self.target_count, len(between))
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

    @property
    def skipped(self) -> int:
        """How many sequences were left out so far."""
        return len(self.left_out)

    def _read(self, index: int) -> np.ndarray:
        for step in range(min(len(self), MAX_BROKEN_IN_A_ROW)):
            number = (index + step) % len(self)
            if number in self.left_out:
                continue
            files = self.sequences[number]
            try:
                pictures = [read_rgb8(path) for path in files]
                if len({picture.shape for picture in pictures}) > 1:
                    raise UserError(f"The images beside {files[0]} differ in size.", "Make them alike.", BAD_INPUT)
                return np.stack(pictures)
            except UserError as error:
                self.left_out.note(number, error)
        raise none_left(self.left_out, f"of the sequences near {self.sequences[index][0].parent}")


def none_left(left_out: LeftOut, what: str) -> UserError:
    """For a set in which one broken item follows another."""
    return UserError(
        f"None {what} can be used ({len(left_out)} left out).",
        "See the warnings above for each one's reason; unpack or copy the data again.",
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
            names = [line.strip() for line in read_lines(listing) if line.strip()]
            sequences = [[root / "sequences" / name / f"im{k + 1}.png" for k in range(count)] for name in names]
            present = [files for files in sequences if files[0].parent.is_dir()]
            if not present:
                raise UserError(f"None of the {len(sequences)} sequences of {listing} is there.", remedy, BAD_INPUT)
            if len(present) < len(sequences):
                log.warning(
                    "%d of the %d sequences in %s are missing.", len(sequences) - len(present), len(sequences), listing
                )
            return present
    raise UserError(f"{root} holds neither tri_{part}list.txt nor sep_{part}list.txt.", remedy, BAD_INPUT)


@dataclass(frozen=True)
class Pair:
    """Two files that belong together, as they are named below their folders, and the group that a list gives them."""

    first: Path
    last: Path
    names: tuple[PurePath, PurePath]
    group: str | None = None


class ImagePairs(SizedDataset[Triplet]):
    """Pairs that belong together, with no true frame between (T = 0): the paper's paired L2.

    A pair with an unreadable picture is left out with a warning, and its neighbour takes its place.

    Args:
        pairs: (first, last) files.
        size: (height, width) or one side that both are resized to; None keeps their own, which must then be equal.
        flip: probability, in training, of turning a pair left to right.
        channels: 1 grey, 3 RGB, 4 RGB and alpha; see ``media.stills``.
        jitter: in training, both are shifted (by up to this share of the side), zoomed and turned (radians) alike.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        size: int | tuple[int, int] | None = 64,
        flip: float = 0.5,
        channels: int = 3,
        jitter: float = 0.0,
    ) -> None:
        self.pairs, self.size, self.flip, self.channels = list(pairs), size, flip, channels
        self.jitter = jitter
        self.left_out = LeftOut(len(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Triplet:
        number, first, last = self._read(index)
        if first.shape != last.shape:
            a, b = self.pairs[number]
            raise UserError(
                f"{a} is {first.shape[2]}x{first.shape[1]} and {b} is {last.shape[2]}x{last.shape[1]}.",
                "data.size=64, to which both are cut and resized.",
                BAD_INPUT,
            )
        return Triplet(first, first.new_zeros((0, *first.shape)), last, first.new_zeros(0))

    def sample(self, index: int, random: np.random.Generator) -> Triplet:
        """The pair, both sides flipped or neither, and moved alike."""
        pair = self[index]
        if random.random() < self.flip:
            pair = pair._replace(first=pair.first.flip(-1), last=pair.last.flip(-1))
        if self.jitter:
            moved = jittered(torch.stack((pair.first, pair.last)), self.jitter, random)
            pair = pair._replace(first=moved[0], last=moved[1])
        return pair

    def _read(self, index: int) -> tuple[int, Tensor, Tensor]:
        for step in range(min(len(self), MAX_BROKEN_IN_A_ROW)):
            number = (index + step) % len(self)
            if number in self.left_out:
                continue
            try:
                first, last = (picture_of(path, self.size, self.channels) for path in self.pairs[number])
                return number, first, last
            except UserError as error:
                self.left_out.note(number, error)
        raise none_left(self.left_out, f"of the pairs near {self.pairs[index][0]}")


def listed_pairs(listing: Path) -> list[Pair]:
    """Pairs from a text file: two paths a line, and perhaps the group that they belong to, separated by tabs, commas or
    spaces; paths are relative to the file's folder.

    Raises:
        UserError: if the list is missing, a line does not hold two paths, or a file is missing; it names the line.
    """
    if not listing.is_file():
        raise UserError(f"{listing} does not exist.", "Give a text file with two image paths a line.", BAD_INPUT)
    pairs = []
    for number, line in enumerate(read_lines(listing), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{listing.name}, line {number}"
        parts = _columns(line)
        if len(parts) not in (2, 3):
            raise UserError(f"{listing}, line {number}, does not hold two paths.", "Separate them by a tab.", BAD_INPUT)
        names = (PurePath(parts[0]), PurePath(parts[1]))
        for name in names:
            if not (listing.parent / name).is_file():
                raise UserError(f"{listing.parent / name} ({where}) does not exist.", "Correct the list.", BAD_INPUT)
        first, last = (listing.parent / name for name in names)
        pairs.append(Pair(first, last, names, parts[2] if len(parts) == 3 else None))
    if not pairs:
        raise UserError(f"{listing} holds no pairs.", "Write two image paths a line.", BAD_INPUT)
    return pairs


def _columns(line: str) -> list[str]:
    """Two or three columns; a separator that gives another number of them is part of the names."""
    parts: list[str] = []
    for separator in ("\t", ",", None):
        parts = [part.strip() for part in line.split(separator) if part.strip()]
        if len(parts) in (2, 3):
            break
    return parts


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that a person or a spreadsheet wrote: UTF-8, or UTF-16 and UTF-32 with or without a byte
    order mark.

    Raises:
        UserError: if it is none of these.
    """
    content = path.read_bytes()
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise UserError(f"{path} is no text in {name} ({error.reason}).", "Save it as UTF-8.", BAD_INPUT) from error
    if "\0" in text:
        raise UserError(f"{path} is no text: it holds bytes of zero.", "Save it as UTF-8.", BAD_INPUT)
    return text.removeprefix("\ufeff").splitlines()


def encoding_of(content: bytes) -> str:
    """UTF-16 or UTF-32 by its mark, or by where its bytes of zero are: texts have none in UTF-8, which is the rest."""
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if content.startswith(mark):
            return encoding
    zeros = [content[k::4].count(0) for k in range(4)]
    if not any(zeros):
        return "utf-8-sig"
    # The first byte of a character of UTF-32 is zero, and but for emoji and the like the second one, too.
    count = len(content) / 4
    if zeros[0] == count and zeros[1] > count / 2:
        return "utf-32-be"
    if zeros[3] == count and zeros[2] > count / 2:
        return "utf-32-le"
    return "utf-16-be" if zeros[0] + zeros[2] > zeros[1] + zeros[3] else "utf-16-le"


def matched_pairs(first: Path, last: Path) -> list[Pair]:
    """Images of two folders whose paths below them are equal, endings aside; the unmatched are counted in a warning.

    Raises:
        UserError: if a folder is missing or nothing matches.
    """
    roots = (first, last)
    sides = [{path.relative_to(root).with_suffix(""): path for path in image_files(root)} for root in roots]
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
    chosen = [(sides[0][name], sides[1][name]) for name in common]
    return [Pair(a, b, (a.relative_to(first), b.relative_to(last))) for a, b in chosen]


def groups_of(pairs: Sequence[Pair], rule: str | None) -> list[str]:
    """The group of each pair: its column in the list, or what ``rule`` says of its names (``data.split.group_of``).

    None takes the column where every line has one, else ``split.usual_rule``. Pairs with a file in common, and pairs
    whose two files are of different groups, make one group of all of them.
    """
    if rule == "column" and any(pair.group is None for pair in pairs):
        raise UserError("data.group=column, but not every line of the list has a third column.", "add it to each line.")
    if rule is None:
        listed = all(pair.group is not None for pair in pairs)
        rule = "column" if listed else usual_rule([pair.names for pair in pairs])
    named = [
        [("group", pair.group if rule == "column" else group_of(name, rule)) for name in pair.names] for pair in pairs
    ]
    keys = [[*own, ("file", pair.first), ("file", pair.last)] for own, pair in zip(named, pairs)]
    names = [min(str(name) for _, name in own) for own in named]
    return [names[leader] for leader in joined(keys)]


class UnpairedFolders(SizedDataset[Unpaired]):
    """Sample ``counter`` is a random image of each of two sets, unrelated to one another.

    An unreadable image is left out with a warning, and another one is drawn.

    Args:
        sources, targets: files.
        size: (height, width) or one side that all are resized to; None keeps their own, which must then be equal.
        flip: probability of turning each left to right, on its own.
        channels: 1 grey, 3 RGB, 4 RGB and alpha; see ``media.stills``.
        jitter: each is shifted (by up to this share of the side), zoomed and turned (radians), on its own.
    """

    def __init__(
        self,
        sources: Sequence[Path],
        targets: Sequence[Path],
        size: int | tuple[int, int] | None = 64,
        flip: float = 0.5,
        seed: int = 0,
        length: int = 10_000,
        channels: int = 3,
        jitter: float = 0.0,
    ) -> None:
        self.sources, self.targets, self.size, self.flip = list(sources), list(targets), size, flip
        self.seed, self.length, self.channels, self.jitter = seed, length, channels, jitter
        self.left_out = LeftOut(len(self.sources) + len(self.targets))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, counter: int) -> Unpaired:
        random = np.random.default_rng([self.seed, counter])
        return Unpaired(self._draw(self.sources, random, 0), self._draw(self.targets, random, len(self.sources)))

    @property
    def skipped(self) -> int:
        """How many images were left out so far."""
        return len(self.left_out)

    def _draw(self, files: list[Path], random: np.random.Generator, offset: int) -> Tensor:
        for _ in range(MAX_BROKEN_IN_A_ROW):
            k = int(random.integers(len(files)))
            if offset + k in self.left_out:
                continue
            try:
                picture = picture_of(files[k], self.size, self.channels)
                picture = picture.flip(-1) if random.random() < self.flip else picture
                return jittered(picture[None], self.jitter, random)[0] if self.jitter else picture
            except UserError as error:
                self.left_out.note(offset + k, error)
        raise none_left(self.left_out, f"of {MAX_BROKEN_IN_A_ROW} images near {files[0]}")


def jittered(pictures: Tensor, most: float, random: np.random.Generator) -> Tensor:
    """(B, C, H, W) pictures, all shifted, zoomed and turned about their middle by the same random amounts.

    Args:
        most: shift as a share of the side, log zoom and angle (radians) are drawn between minus and plus this.
    """
    height, width = pictures.shape[-2:]
    dx, dy, zoom, angle = random.uniform(-most, most, 4)
    grid = pixel_grid(height, width, like=pictures)
    middle = grid.new_tensor([(width - 1) / 2, (height - 1) / 2]).view(1, 2, 1, 1)
    x, y = (grid - middle).unbind(1)
    cos, sin = np.exp(zoom) * np.cos(angle), np.exp(zoom) * np.sin(angle)
    turned = torch.stack((cos * x - sin * y + dx * width, sin * x + cos * y + dy * height), dim=1) + middle
    return warp(pictures, (turned - grid).expand(len(pictures), -1, -1, -1))


def picture_of(path: Path, size: int | tuple[int, int] | None, channels: int = 3) -> Tensor:
    """An image as (channels, height, width) in [0, 1], its middle cut to the asked shape and resized (antialiased)."""
    picture = torch.from_numpy(as_channels(samples(read_still(path)), channels).transpose(2, 0, 1).copy())
    if size is None:
        return picture
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = picture.shape[-2:]
    scale = min(rows / height, columns / width)
    cut_rows, cut_columns = min(rows, round(height * scale)), min(columns, round(width * scale))
    top, left = (rows - cut_rows) // 2, (columns - cut_columns) // 2
    picture = picture[:, top : top + cut_rows, left : left + cut_columns]
    return F.interpolate(picture[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
