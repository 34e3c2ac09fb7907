"""Handwritten digits, for the paper's 3 -> 4: scikit-learn's 8 x 8 ones enlarged, or MNIST from the user's own files.

scikit-learn's set (Alpaydin & Kaynak 1998, UCI, CC BY 4.0) comes with the package; nothing is downloaded.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.data.batch import Triplet, Unpaired
from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.errors import BAD_INPUT, UserError

HELD_OUT_SHARE = 0.25  # share of each digit's pictures in validation, and again in the test
PARTS = ("train", "val", "test")


class Labelled(NamedTuple):
    """Pictures (N, channels, size, size) in [0, 1] and their labels (N,)."""

    pictures: Tensor
    labels: Tensor


class DigitSplit(NamedTuple):
    """The digits to train on, to choose settings by, and to report."""

    train: Labelled
    val: Labelled
    test: Labelled

    def of(self, digit: int, part: str = "train") -> Tensor:
        """The pictures of one digit in one of ``PARTS``. UserError if there are none."""
        pictures, labels = getattr(self, part)
        chosen = pictures[labels == digit]
        if not len(chosen):
            raise UserError(f"No picture of a {digit} is left for {part}.", "Digits are 0 to 9; give more of each.")
        return chosen


def load_digits(size: int = 16, mnist: Path | str | None = None, channels: int = 1) -> DigitSplit:
    """All ten digits at ``size`` x ``size``, split once and for all (seed 0) per digit: half, a quarter, a quarter.

    scikit-learn's do not say who wrote which: digits of one hand are in every part. MNIST's own test digits, where they
    are given, are by other writers than its training digits (LeCun et al. 1998): they are the test, and a quarter of
    the others is for validation.

    Args:
        size: 16 and 32 are what the experiments use. Enlarged bicubically, shrunk by area.
        mnist: an ``.npz`` with ``x_train, y_train[, x_test, y_test]`` or a folder of MNIST's idx files, plain or .gz.
            None: the digits of scikit-learn.
        channels: 1, or 3 equal ones.

    Raises:
        UserError: if the files are missing or not MNIST.
    """
    pictures, labels, in_test = _scikit() if mnist is None else _mnist(Path(mnist).expanduser())
    tensor = torch.from_numpy(pictures)[:, None]
    # Zeros around: the 8 x 8 digits touch their frame, and a stroke at the border cannot move outwards.
    if mnist is None:
        tensor = F.pad(tensor, (1, 1, 1, 1))
    if tensor.shape[-1] != size:
        tensor = F.interpolate(tensor, (size, size), mode="bicubic", antialias=tensor.shape[-1] > size)
    tensor = tensor.clamp(0, 1).repeat(1, channels, 1, 1)
    part = np.zeros(len(labels), int)  # a place in PARTS
    random = np.random.default_rng(0)
    part[in_test] = 2
    for digit in range(10):
        of = random.permutation(np.flatnonzero((labels == digit) & ~in_test))
        kept = round(HELD_OUT_SHARE * len(of))
        part[of[:kept]] = 1
        if not in_test.any():
            part[of[kept : 2 * kept]] = 2
    numbers = torch.from_numpy(labels.astype(np.int64))
    masks = [torch.from_numpy(part == k) for k in range(len(PARTS))]
    return DigitSplit(*(Labelled(tensor[mask], numbers[mask]) for mask in masks))


class UnpairedDigits(SizedDataset[Unpaired]):
    """Sample ``counter`` is a random ``source`` digit and an unrelated random ``target`` digit."""

    def __init__(
        self,
        split: DigitSplit,
        source: int = 3,
        target: int = 4,
        part: str = "train",
        seed: int = 0,
        length: int = 10_000,
    ):
        self.sources, self.targets = split.of(source, part), split.of(target, part)
        self.seed, self.length = seed, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, counter: int) -> Unpaired:
        random = np.random.default_rng([self.seed, counter])
        return Unpaired(
            self.sources[random.integers(len(self.sources))], self.targets[random.integers(len(self.targets))]
        )


class PairedDigits(SizedDataset[Triplet]):
    """Each ``source`` digit with the ``target`` digit that is nearest to it (mean squared difference): pairs for L2.

    There is no truth between the two: T is 0.
    """

    def __init__(self, split: DigitSplit, source: int = 3, target: int = 4, part: str = "train") -> None:
        self.sources, targets = split.of(source, part), split.of(target, part)
        nearest = torch.cdist(self.sources.flatten(1), targets.flatten(1)).argmin(dim=1)
        self.targets = targets[nearest]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Triplet:
        first, last = self.sources[index], self.targets[index]
        return Triplet(first, first.new_zeros((0, *first.shape)), last, first.new_zeros(0))


Read = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(N, h, w) float32 in [0, 1], (N,) labels, (N,) whether each is of the set's own test."""


def _scikit() -> Read:
    from sklearn.datasets import load_digits as bundled  # takes a second to import; only digits need it

    held = bundled()
    return (held.images / 16).astype(np.float32), held.target, np.zeros(len(held.target), bool)


def _mnist(path: Path) -> Read:
    remedy = "Give an .npz with x_train and y_train, or the folder with train-images-idx3-ubyte[.gz] and its labels."
    if path.suffix == ".npz" and path.is_file():
        try:
            with np.load(path, allow_pickle=False) as held:
                parts = [part for part in ("train", "test") if f"x_{part}" in held]
                pictures = np.concatenate([held[f"x_{part}"] for part in parts])
                labels = np.concatenate([held[f"y_{part}"] for part in parts])
                in_test = np.repeat([part == "test" for part in parts], [len(held[f"y_{part}"]) for part in parts])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} is not an MNIST archive ({error}).", remedy, BAD_INPUT) from error
    elif path.is_dir():
        (pictures, in_test), (labels, _) = _idx(path, "images", remedy), _idx(path, "labels", remedy)
    else:
        raise UserError(f"{path} does not exist.", remedy, BAD_INPUT)
    if pictures.ndim != 3 or len(pictures) != len(labels):
        raise UserError(
            f"{path} holds pictures {pictures.shape} and labels {labels.shape}, which do not belong together.",
            remedy,
            BAD_INPUT,
        )
    if in_test.all():
        in_test = np.zeros_like(in_test)  # nothing else is there: they are split as any other
    return (pictures / np.float32(255)).astype(np.float32), labels, in_test


def _idx(folder: Path, kind: str, remedy: str) -> tuple[np.ndarray, np.ndarray]:
    """The contents of all files of a kind, and whether each item is of MNIST's test (``t10k-...``)."""
    # torchvision keeps them in a folder below, plain and packed: of one file either will do.
    for place in (folder, folder / "raw", folder / "MNIST" / "raw"):
        files = list({path.name.removesuffix(".gz"): path for path in sorted(place.glob(f"*{kind}*idx*"))}.values())
        if files:
            break
    if not files:
        raise UserError(f"{folder} holds no MNIST {kind} (*{kind}*idx*).", remedy, BAD_INPUT)
    parts, in_test = [], []
    for path in files:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if len(content) < 8 or content[:3] != b"\0\0\x08":
            raise UserError(f"{path} is not an idx file of bytes.", remedy, BAD_INPUT)
        sides = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
        if values.size != np.prod(sides):
            raise UserError(f"{path} is cut short: {values.size} of {np.prod(sides)} bytes.", remedy, BAD_INPUT)
        parts.append(values.reshape(sides))
        in_test.append(np.full(sides[0], path.name.startswith(("t10k", "test"))))
    return np.concatenate(parts), np.concatenate(in_test)
