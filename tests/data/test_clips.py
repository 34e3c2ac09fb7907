"""Triplets from clips in memory: set by the counter, in true time order, large motion often, bad clips left out."""

import numpy as np
import pytest
import torch
from films import panning, texture, write_film

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.clips import Decoding, MemoryClips, find_films, split_films
from vfi_pipeline.data.draw import Sampling, TripletDraw
from vfi_pipeline.data.index import build
from vfi_pipeline.data.modules import clips, folder_of_videos
from vfi_pipeline.errors import UserError

CROP = Augmentation.none(48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for name, speed, seed in (("slow.mkv", 1, 1), ("fast.mkv", 6, 2)):
        write_film(root / name, panning(16, speed, seed=seed))
    (root / "broken.mp4").write_text("no film")
    write_film(root / "tiny.mkv", panning(5, height=16, width=24))
    return root


def memory(folder, augmentation=CROP, sampling=Sampling(), **options):
    decoding = Decoding(cache=folder / "cache")
    return MemoryClips(find_films(folder), augmentation, sampling, decoding, **({"seed": 3} | options))


def test_a_sample_depends_on_seed_and_counter_alone(folder):
    strong = Augmentation(48, colour=1, exposure=1, blur=1, noise=1, jpeg=1, rotate=1)
    films, again = memory(folder, augmentation=strong), memory(folder, augmentation=strong)
    films[5]

    assert all(torch.equal(a, b) for a, b in zip(films[1234][:4], again[1234][:4]))
    assert not torch.equal(films[1234].first, films[1235].first)
    assert not torch.equal(films[1234].first, memory(folder, augmentation=strong, seed=4)[1234].first)


def test_the_middle_frame_is_where_its_t_says(folder):
    films = memory(folder, sampling=Sampling((4, 12), target_count=3))
    for counter in range(12):
        first, middle, last, t = films[counter][:4]
        # A panning picture: frame t is the first one moved by t times the whole way.
        way = _shift(first, last)
        for picture, time in zip(middle, t):
            assert _shift(first, picture) == pytest.approx(float(time) * way, abs=0.51)
        assert way > 0 and torch.all(t.diff() > 0)


def _shift(first, last) -> int:
    """The pan (px) that makes ``last`` out of ``first``, found by trying all."""
    misfits = [(first[..., k:] - last[..., : first.shape[-1] - k]).abs().mean() for k in range(44)]
    return int(torch.stack(misfits).argmin())


def test_played_backwards_the_times_turn_round(folder):
    reverse = Augmentation.none(48).__class__(
        48, (1.0, 1.0), 0, 0, 0, reverse=1, busiest=0, colour=0, exposure=0, blur=0, noise=0, jpeg=0
    )
    films = memory(folder, augmentation=reverse, sampling=Sampling((4, 4)))

    for counter in range(8):
        first, middle, last, t = films[counter][:4]
        assert _shift(last, middle[0]) == pytest.approx((1 - float(t)) * _shift(last, first), abs=0.51)


def test_clips_that_cannot_be_used_are_left_out_and_counted(folder, caplog):
    films = memory(folder)

    assert films.skipped == 2 and len(films.films) == 2
    assert "broken.mp4" in caplog.text and "tiny.mkv" in caplog.text and "too small for crops of 48" in caplog.text


def test_nothing_usable_is_an_error_that_says_so(folder, tmp_path):
    with pytest.raises(UserError, match="None of the 1 clips"):
        MemoryClips([folder / "broken.mp4"], CROP, decoding=Decoding(cache=tmp_path))
    with pytest.raises(UserError, match="more than 1e-06 GB"):
        memory(folder, memory_gb=1e-6)


def test_a_missing_or_empty_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        find_films(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no films"):
        find_films(tmp_path)


def test_films_are_split_whole_and_adding_one_moves_no_other(tmp_path):
    films = [tmp_path / f"film{k}.mp4" for k in range(40)]

    train, held = split_films(films, 0.25)
    more_train, more_held = split_films([*films, tmp_path / "new.mp4"], 0.25)

    assert sorted(train + held) == sorted(films) and 3 <= len(held) <= 20
    assert set(held) <= set(more_held) and set(train) <= set(more_train)
    assert [len(side) for side in split_films(films[:2], 0.01)] == [1, 1]


def index_of(pictures, speed_of_time=1):
    from fractions import Fraction
    from pathlib import Path

    return build(Path("made.mkv"), enumerate(pictures), Fraction(1, 25))


def test_still_pairs_are_seldom_however_many_there_are():
    random = np.random.default_rng(0)
    still = texture(96, 128)
    grain = [np.clip(still + random.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(60)]
    draw = TripletDraw([index_of(grain), index_of(panning(14, 2))], Sampling(least_motion=0.0))
    drawn = [draw(np.random.default_rng(k)) for k in range(400)]

    share = np.mean([d.film == 1 for d in drawn])

    assert share > 0.6  # while it holds one in five of the frames


def test_no_triplet_spans_a_cut():
    draw = TripletDraw([index_of([*panning(8, seed=1), *panning(8, seed=2)])])

    for k in range(100):
        frames = draw(np.random.default_rng(k)).frames
        assert (frames <= 7).all() or (frames >= 8).all()
        assert (np.diff(frames) > 0).all() and 2 <= frames[-1] - frames[0] <= 12


def test_a_film_without_triplets_is_refused():
    with pytest.raises(UserError, match="holds a triplet"):
        TripletDraw([index_of([texture(seed=k) for k in range(6)])])


def test_the_module_mixes_films_and_scenes_of_known_motion(folder):
    module = clips(str(folder), crop=48, val_crop=48, val_samples=5, synthetic=0.5, batch_size=16, val_share=0.3)
    module.augmentation = CROP

    batch = next(iter(module.train_dataloader()))
    validation = list(module.val_dataloader())

    known = batch.masked_velocity()[1].flatten(1).mean(1)
    assert batch.first.shape == (16, 3, 48, 48) and 3 <= int(known.sum()) <= 13
    assert sum(len(part.first) for part in validation) == 5 and all(part.t.eq(0.5).all() for part in validation)
    assert set(module.films()[0]).isdisjoint(module.films()[1])


@pytest.mark.parametrize("kind", [clips, folder_of_videos])
@pytest.mark.parametrize("good", [2, 1])
def test_a_title_card_held_out_by_chance_does_not_end_training(tmp_path, caplog, kind, good):
    """Which film is held out depends on its name alone; here it is one with a single picture."""
    paths = [tmp_path / f"{letter}.mkv" for letter in "abc"[: good + 1]]
    train, held = split_films(paths)
    for path in train:
        write_film(path, panning(12, 3, height=56, width=64))
    write_film(held[0], panning(1, height=56, width=64))

    data = kind(str(tmp_path), crop=48, val_crop=48, val_samples=2, cache=str(tmp_path / "cache"))

    taught, judged = data.films()
    assert set(taught) | set(judged) == set(paths) and len(set(taught) & set(train)) == 1
    assert not set(taught) & set(judged) and data.built("val")[0].first.shape == data.built("train")[0].first.shape
    assert held[0].name in caplog.text if good == 2 else "the same films train and validate" in caplog.text
