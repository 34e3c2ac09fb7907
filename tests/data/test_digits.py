"""Digits: a fixed split, real MNIST layouts, and errors that name the file."""

import gzip
import struct

import numpy as np
import pytest
import torch

from vfi_pipeline.data.digits import PARTS, PairedDigits, UnpairedDigits, load_digits
from vfi_pipeline.data.modules import Digits
from vfi_pipeline.errors import UserError


@pytest.fixture(scope="module")
def split():
    return load_digits(16)


def test_no_digit_is_in_two_parts(split):
    parts = [{picture.numpy().tobytes() for picture in part.pictures} for part in split]

    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert sum(len(part.pictures) for part in split) == 1797
    assert [len(split.of(3, part)) for part in PARTS] == [91, 46, 46]
    assert all(torch.equal(one.pictures, two.pictures) for one, two in zip(load_digits(16), split))


def test_the_final_test_is_on_digits_that_validation_has_not_seen():
    data = Digits(size=16, paired=True)
    validated, tested = ({s.first.numpy().tobytes() for s in data.built(part)} for part in ("val", "test"))
    assert len(validated) == len(tested) == 46 and not validated & tested


def test_a_digit_that_is_not_there_is_named(split):
    with pytest.raises(UserError, match="No picture of a 11 is left for train"):
        UnpairedDigits(split, source=11)


def test_pictures_are_in_range_at_each_size():
    for size in (16, 32):
        pictures = load_digits(size).train.pictures
        assert pictures.shape[1:] == (1, size, size) and 0 <= pictures.min() and 0.9 < pictures.max() <= 1


def test_unpaired_draws_are_threes_and_fours_and_independent(split):
    draws = UnpairedDigits(split, seed=1)
    threes, fours = ({p.numpy().tobytes() for p in split.of(digit)} for digit in (3, 4))

    pairs = {(draws[k].source.numpy().tobytes(), draws[k].target.numpy().tobytes()) for k in range(300)}

    assert {a for a, _ in pairs} <= threes and {b for _, b in pairs} <= fours
    assert len(pairs) > 290 and torch.equal(draws[7].source, UnpairedDigits(split, seed=1)[7].source)


def test_a_three_is_paired_with_its_nearest_four(split):
    pairs = PairedDigits(split)
    first, middle, last, t, velocity = pairs[5][:5]

    distances = ((split.of(4) - first) ** 2).mean((1, 2, 3))

    assert ((last - first) ** 2).mean() == pytest.approx(float(distances.min()))
    assert middle.shape == (0, 1, 16, 16) and t.shape == (0,) and velocity is None


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def mnist():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (60, 28, 28), dtype=np.uint8), np.arange(60, dtype=np.uint8) % 10


def test_mnist_is_read_from_npz_and_idx_alike(tmp_path, mnist):
    pictures, labels = mnist
    np.savez(tmp_path / "mnist.npz", x_train=pictures, y_train=labels)
    folder = tmp_path / "idx"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx(pictures))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))

    zipped, plain = load_digits(28, tmp_path / "mnist.npz"), load_digits(28, folder)

    assert torch.equal(zipped.train.pictures, plain.train.pictures)
    threes = {(picture / np.float32(255)).tobytes() for picture in pictures[labels == 3]}
    assert {picture.numpy().tobytes() for picture in plain.of(3)} <= threes and len(plain.of(3)) == 2


@pytest.mark.parametrize("kind", ["npz", "idx", "torchvision's folder"])
def test_mnists_own_test_digits_are_the_test(tmp_path, mnist, kind):
    """They are by other writers than the training digits."""
    pictures, labels = mnist
    path = tmp_path / "mnist.npz"
    if kind == "npz":
        np.savez(path, x_train=pictures[:40], y_train=labels[:40], x_test=pictures[40:], y_test=labels[40:])
    else:
        path = tmp_path / "mnist"
        folder = path if kind == "idx" else path / "MNIST" / "raw"
        folder.mkdir(parents=True)
        for name, part in (("train", slice(40)), ("t10k", slice(40, None))):
            for what, array in (("images-idx3", pictures[part]), ("labels-idx1", labels[part])):
                (folder / f"{name}-{what}-ubyte").write_bytes(idx(array))
                (folder / f"{name}-{what}-ubyte.gz").write_bytes(gzip.compress(idx(array)))  # beside the plain one
    split = load_digits(28, path)

    def contents(part):
        return sorted(picture.numpy().tobytes() for picture in part.pictures)

    assert contents(split.test) == sorted((p / np.float32(255)).tobytes() for p in pictures[40:])
    assert sorted(contents(split.train) + contents(split.val)) == sorted(
        (p / np.float32(255)).tobytes() for p in pictures[:40]
    )
    assert len(split.val.pictures) == 10  # one of the four of each digit


def test_files_that_are_not_mnist_are_named(tmp_path, mnist):
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "train-images-idx3-ubyte").write_bytes(idx(mnist[0])[:-5])
    (cut / "train-labels-idx1-ubyte").write_bytes(idx(mnist[1]))

    with pytest.raises(UserError, match=r"bad\.npz is not an MNIST archive"):
        load_digits(16, tmp_path / "bad.npz")
    with pytest.raises(UserError, match="train-images-idx3-ubyte is cut short"):
        load_digits(16, cut)
    with pytest.raises(UserError, match="nowhere does not exist"):
        load_digits(16, tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no MNIST images"):
        load_digits(16, tmp_path)
