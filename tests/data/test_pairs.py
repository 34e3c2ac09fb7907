"""Image folders: Vimeo90K's layouts, pairs kept together, strangers kept apart, errors that name the file."""

import numpy as np
import pytest
import torch
from films import panning, texture
from PIL import Image

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.modules import Pairs, Strangers, Vimeo90k
from vfi_pipeline.data.pairs import ImageSequences, listed_pairs, matched_pairs, picture_of, split_list, vimeo90k
from vfi_pipeline.errors import UserError


def vimeo(root, kind, count):
    """A small copy of the layout: 4 training and 2 test sequences of pictures that pan by 3 px."""
    for part, names in (("train", range(4)), ("test", range(4, 6))):
        (root / f"{kind}_{part}list.txt").write_text("".join(f"00001/{n:04d}\n" for n in names) + "\n")
        for n in names:
            folder = root / "sequences" / "00001" / f"{n:04d}"
            folder.mkdir(parents=True)
            for k, picture in enumerate(panning(count, 3, 64, 80, seed=n)):
                Image.fromarray(picture).save(folder / f"im{k + 1}.png")
    return root


def test_vimeo_triplets_and_septuplets(tmp_path):
    three, seven = tmp_path / "three", tmp_path / "seven"
    three.mkdir(), seven.mkdir()
    triplets, septuplets = Vimeo90k(str(vimeo(three, "tri", 3)), 48), Vimeo90k(str(vimeo(seven, "sep", 7)), 48)

    first, middle, last, t = triplets.built("val")[0][:4]
    whole = septuplets.built("test")[1]

    pan = panning(3, 3, 64, 80, seed=4)
    assert torch.equal((middle[0] * 255).round().byte().permute(1, 2, 0), torch.from_numpy(pan[1])) and t.tolist() == [
        0.5
    ]
    assert whole.t.tolist() == [0.5] and len(septuplets.built("test")) == 2
    batch = next(iter(septuplets.train_dataloader()))
    assert batch.first.shape == (16, 3, 48, 48) and 0 < batch.t.min() and batch.t.max() < 1


def test_the_middle_of_a_septuplet_is_where_its_t_says(tmp_path):
    sequences = vimeo90k(vimeo(tmp_path, "sep", 7), "train")
    plain = ImageSequences(sequences, Augmentation.none(64), (2, 6))

    for seed in range(10):
        first, middle, last, t = plain.sample(seed % 4, np.random.default_rng(seed))[:4]
        shifts = [_shift(first, picture) for picture in (middle[0], last)]
        assert shifts[0] == pytest.approx(float(t) * shifts[1])


def _shift(first, last) -> int:
    misfits = [(first[..., k:] - last[..., : first.shape[-1] - k]).abs().mean() for k in range(24)]
    return int(torch.stack(misfits).argmin())


def test_a_broken_sequence_is_skipped_and_counted(tmp_path, caplog):
    sequences = vimeo90k(vimeo(tmp_path, "tri", 3), "train")
    sequences[1][2].write_bytes(b"cut")
    dataset = ImageSequences(sequences)

    assert torch.equal(dataset[1].first, dataset[2].first)
    assert dataset.skipped == 1 and "im3.png is not an image" in caplog.text


def test_what_is_not_vimeo_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        vimeo90k(tmp_path / "gone")
    with pytest.raises(UserError, match="neither tri_trainlist.txt nor sep_trainlist.txt"):
        vimeo90k(tmp_path)


@pytest.fixture
def two_folders(tmp_path):
    for side, lift in (("neutral", 0), ("smiling", 40)):
        (tmp_path / side).mkdir()
        for k in range(10):
            Image.fromarray(np.full((40, 50, 3), 10 * k + lift, np.uint8)).save(tmp_path / side / f"face{k}.png")
    return tmp_path


def test_pairs_stay_together_when_they_are_shuffled(two_folders):
    module = Pairs(first=str(two_folders / "neutral"), last=str(two_folders / "smiling"), size=32, batch_size=9)

    batches = list(zip(range(3), module.train_dataloader()))

    for _, batch in batches:
        assert torch.allclose(batch.last - batch.first, torch.full(batch.first.shape, 40 / 255), atol=1e-5)
    assert len({tuple(batch.first[:, 0, 0, 0].tolist()) for _, batch in batches}) == 3  # another order each round
    assert len(module.built("val")) == 1


def test_pairs_from_a_list(two_folders):
    listing = two_folders / "pairs.txt"
    listing.write_text("# two a line\nneutral/face1.png\tsmiling/face2.png\nneutral/face3.png, smiling/face4.png\n")

    assert [(a.name, b.name) for a, b in listed_pairs(listing)] == [
        ("face1.png", "face2.png"),
        ("face3.png", "face4.png"),
    ]
    listing.write_text("neutral/face1.png smiling/gone.png\n")
    with pytest.raises(UserError, match="line 1"):
        listed_pairs(listing)


def test_pairs_that_do_not_match_are_refused(two_folders):
    (two_folders / "other").mkdir()
    Image.fromarray(texture(40, 40)).save(two_folders / "other" / "x.png")

    with pytest.raises(UserError, match="has its namesake"):
        matched_pairs(two_folders / "neutral", two_folders / "other")
    with pytest.raises(UserError, match="No image pairs are given"):
        Pairs().found()


def test_strangers_are_drawn_independently_and_held_out_apart(two_folders):
    module = Strangers(str(two_folders / "neutral"), str(two_folders / "smiling"), size=16, batch_size=64)

    batch = next(iter(module.train_dataloader()))

    lifts = (batch.target - batch.source)[:, 0, 0, 0]
    assert batch.source.shape == (64, 3, 16, 16) and len(lifts.mul(255).round().unique()) > 5


def test_a_picture_is_cut_in_its_middle_and_16_bits_are_read(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(np.full((8, 8), 32896, np.uint16)).save(tmp_path / "deep.png")

    assert picture_of(tmp_path / "wide.png", 10).min() > 0.99
    assert picture_of(tmp_path / "deep.png", None)[0, 0, 0] == pytest.approx(128 / 255)


def test_lists_are_split_without_overlap():
    train, held = split_list(list(range(25)), 0.1)

    assert sorted(train + held) == list(range(25)) and held == [9, 19]
    assert split_list([1], 0.1) == ([1], [1]) and split_list([1, 2], 0.1) == ([1], [2])
