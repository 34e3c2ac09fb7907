"""Image folders: Vimeo90K's layouts, pairs kept together, strangers kept apart, errors that name the file."""

import logging
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from films import panning, texture
from PIL import Image

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import collate
from vfi_pipeline.data.modules import Pairs, UnpairedImages, Vimeo90k
from vfi_pipeline.data.pairs import ImagePairs, ImageSequences, listed_pairs, matched_pairs, picture_of, vimeo90k
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
    assert dataset[1] is not None  # and once more
    assert dataset.skipped == 1 and caplog.text.count("im3.png is not a picture") == 1


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

    expected = [("face1.png", "face2.png"), ("face3.png", "face4.png")]
    assert [(pair.first.name, pair.last.name) for pair in listed_pairs(listing)] == expected
    text = listing.read_text()
    for encoding in ("utf-8-sig", "utf-16"):  # as Windows' editors and spreadsheets write it
        listing.write_text(text.replace("\n", "\r\n"), encoding=encoding)
        assert [(pair.first.name, pair.last.name) for pair in listed_pairs(listing)] == expected
    listing.write_bytes(b"neutral/f\xe4ce.png smiling/face1.png")
    with pytest.raises(UserError, match="no text in UTF-8"):
        listed_pairs(listing)
    listing.write_text("neutral/face1.png smiling/gone.png\n")
    with pytest.raises(UserError, match="line 1"):
        listed_pairs(listing)


@pytest.mark.parametrize("mark", [True, False], ids=["with a mark", "without"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("separator", ["\t", ", ", " "])
def test_a_list_is_read_in_every_encoding_of_unicode(tmp_path, encoding, mark, separator):
    names = [("a.png", "b.png"), ("gesicht_ä.png", "顔.png")]
    for name in sum(names, ()):
        (tmp_path / name).touch()
    lines = [f"{first}{separator}{last}" for first, last in names]
    for text in ("\r\n".join(lines), "# neutral, smiling\n" + "\n".join([*lines, ""])):
        (tmp_path / "list.txt").write_bytes((("\ufeff" if mark else "") + text).encode(encoding))
        assert [(pair.first.name, pair.last.name) for pair in listed_pairs(tmp_path / "list.txt")] == names


@pytest.mark.parametrize(
    "content, said",
    [
        (b"\xff\xfea\x00.", "is no text in UTF-16 (truncated data)"),
        (b"a.png\tb.png\x00\n", "is no text in UTF-16-LE"),
        (b"a\x00\x00\x00\x00\x00\x00\x00", "it holds bytes of zero"),
        (b"f\xe4ce.png b.png", "is no text in UTF-8 (invalid continuation byte)"),
    ],
)
def test_a_list_that_is_no_text_says_in_which_encoding(tmp_path, content, said):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        listed_pairs(tmp_path / "list.txt")
    assert "Save it as UTF-8" in str(refused.value)


def test_pairs_that_do_not_match_are_refused(two_folders):
    (two_folders / "other").mkdir()
    Image.fromarray(texture(40, 40)).save(two_folders / "other" / "x.png")

    with pytest.raises(UserError, match="has its namesake"):
        matched_pairs(two_folders / "neutral", two_folders / "other")
    with pytest.raises(UserError, match="No image pairs are given"):
        Pairs().all_pairs()


def test_strangers_are_drawn_independently_and_held_out_apart(two_folders):
    module = UnpairedImages(str(two_folders / "neutral"), str(two_folders / "smiling"), size=16, batch_size=64)

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


@pytest.mark.parametrize("name", ["image_pairs", "unpaired"])
def test_three_parts_share_no_person(tmp_path, name):
    """12 people with 3 pictures on either side: what is tested was neither trained on nor chosen by."""
    for side in ("neutral", "smiling"):
        (tmp_path / side).mkdir()
        for person in range(12):
            for k in range(3):
                picture = np.full((16, 16, 3), 20 * person + k, np.uint8)
                Image.fromarray(picture).save(tmp_path / side / f"p{person:02d}_{k}.png")
    sides = [str(tmp_path / "neutral"), str(tmp_path / "smiling")]
    module = (
        Pairs(first=sides[0], last=sides[1], group=r"p\d+")
        if name == "image_pairs"
        else UnpairedImages(*sides, group=r"p\d+")
    )
    people = {
        part: {
            path.name[:3] for files in found for path in ((files.first, files.last) if name == "image_pairs" else files)
        }
        for part, found in module.parts().items()
    }

    assert module.has_test() and set.union(*people.values()) == {f"p{k:02d}" for k in range(12)}
    assert sum(len(part) for part in people.values()) == 12
    assert len(module.built("test")) and module.built("test") is not module.built("val")


def test_moved_data_have_the_same_fingerprint_and_changed_ones_another(two_folders, tmp_path):
    def fingerprint(root):
        return Pairs(first=str(root / "neutral"), last=str(root / "smiling")).fingerprint()

    shutil.copytree(two_folders, tmp_path / "moved", ignore=lambda *_: ["moved"])
    before = fingerprint(two_folders)

    assert fingerprint(tmp_path / "moved") == before
    Image.fromarray(np.full((40, 50, 3), 99, np.uint8)).save(tmp_path / "moved" / "neutral" / "face3.png")
    assert fingerprint(tmp_path / "moved") != before


def test_one_damaged_picture_is_left_out_named_once_and_counted_in_every_set(two_folders, caplog):
    damaged = two_folders / "neutral" / "face3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    sides = [str(two_folders / "neutral"), str(two_folders / "smiling")]
    for module in (
        Pairs(first=sides[0], last=sides[1], size=8, batch_size=10),
        UnpairedImages(*sides, size=8, batch_size=30),
    ):
        caplog.clear()
        for _, batch in zip(range(4), module.train_dataloader()):
            assert torch.isfinite(batch[0]).all()
        list(module.val_dataloader()), list(module.test_dataloader())

        assert module.left_out() == 1 and caplog.text.count("face3.png") == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_of_all_parts_is_named_once(two_folders, caplog, capfd, workers):
    """Where nothing is kept back, validation sees the pictures of training; so do its loader processes."""
    damaged = two_folders / "neutral" / "face3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    sides = [str(two_folders / "neutral"), str(two_folders / "smiling")]
    logging.getLogger("vfi_pipeline").addHandler(handler := logging.StreamHandler(sys.stderr))
    module = Pairs(first=sides[0], last=sides[1], size=8, batch_size=10, val_share=0.0, test_share=0.0, workers=workers)
    for _ in zip(range(4), module.train_dataloader()):
        pass
    list(module.val_dataloader()), list(module.test_dataloader())
    logging.getLogger("vfi_pipeline").removeHandler(handler)

    assert module.left_out() == 1 and capfd.readouterr().err.count("face3.png") == 1


def test_loader_processes_share_what_they_find_out(two_folders):
    for k in (2, 5):
        (two_folders / "neutral" / f"face{k}.png").write_bytes(b"")
    sides = [str(two_folders / "neutral"), str(two_folders / "smiling")]
    module = UnpairedImages(*sides, size=8, batch_size=40, workers=2, val_share=0.0, test_share=0.0)
    next(iter(module.train_dataloader()))

    assert module.left_out() == 2


def test_a_set_of_broken_pictures_ends_with_a_remedy(tmp_path):
    for k in range(3):
        (tmp_path / f"{k}.png").write_bytes(b"no picture")
    dataset = ImagePairs([(tmp_path / f"{k}.png", tmp_path / f"{k}.png") for k in range(3)])

    with pytest.raises(UserError, match=r"None of the pairs near .* \(3 left out\)"):
        dataset[0]


def test_mixed_sizes_end_with_a_remedy(tmp_path):
    for k, side in enumerate((8, 12)):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / f"{k}.png")
    dataset = ImagePairs([(tmp_path / f"{k}.png", tmp_path / f"{k}.png") for k in range(2)], size=None)

    with pytest.raises(UserError, match=r"differ in size: 12x12, 8x8.\n  Try: data.size=64"):
        collate([dataset[0], dataset[1]])
    with pytest.raises(UserError, match=r"is 8x8 and .* is 12x12.\n  Try: data.size=64"):
        ImagePairs([(tmp_path / "0.png", tmp_path / "1.png")], size=None)[0]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_have_the_channels_that_the_network_was_made_for(two_folders, channels):
    module = UnpairedImages(str(two_folders / "neutral"), str(two_folders / "smiling"), size=None, channels=channels)

    assert module.built("train")[0].source.shape == (channels, 40, 50) and module.span() == 50
