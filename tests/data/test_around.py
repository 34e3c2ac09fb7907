"""``data.around``: the frames before and after a triplet, at its own distance, cropped and changed as it is."""

import numpy as np
import pytest
import torch
from films import panning, texture, write_film

from vfi_pipeline.data.augment import Augmentation, Degradation, Photometry
from vfi_pipeline.data.batch import Triplet, collate
from vfi_pipeline.data.clips import Decoding, FilmFolder, MemoryClips, Windows
from vfi_pipeline.data.device_augment import photometric
from vfi_pipeline.data.device_batches import DeviceFrames, DeviceTriplets, HostFrames, Scenes
from vfi_pipeline.data.draw import Sampling
from vfi_pipeline.data.modules import clips
from vfi_pipeline.data.synthetic import Recipe, SyntheticMotion
from vfi_pipeline.errors import UserError

CPU = torch.device("cpu")
AROUND = Sampling((2, 3), around=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    write_film(root / "a.mkv", panning(12, speed=2, height=48, width=80))
    return root


def films_of(folder, kind=MemoryClips, augmentation=Augmentation.none(40), sampling=AROUND, **options):
    decoding = Decoding(cache=folder / "cache")
    return kind(sorted(folder.glob("*.mkv")), augmentation, sampling, decoding, seed=1, **options)


def shift(first: torch.Tensor, last: torch.Tensor) -> int:
    """The pan, px, that makes ``last`` out of ``first``, found by trying all."""
    misfits = [(first[..., k:] - last[..., : first.shape[-1] - k]).abs().mean() for k in range(16)]
    return int(torch.stack(misfits).argmin())


@pytest.mark.parametrize("kind", [MemoryClips, FilmFolder])
def test_the_frames_around_are_as_far_away_as_the_frames_of_the_pair_from_one_another(folder, kind):
    films = films_of(folder, kind, **({"windows": Windows(length=12)} if kind is FilmFolder else {}))
    seen = set()
    for counter in range(16):
        sample = films[counter]
        moved = shift(sample.first, sample.last)
        assert shift(sample.around[0], sample.first) == moved == shift(sample.last, sample.around[1])
        assert sample.spans.tolist() == [1.0, 1.0] and 0 < float(sample.t) < 1
        seen.add(moved)
    assert seen == {4, 6}  # spans of two and of three frames of 2 px


def test_played_backwards_before_and_after_change_places(folder):
    backwards = Augmentation(
        40, (1.0, 1.0), 0, 0, 0, reverse=1, busiest=0, colour=0, exposure=0, blur=0, noise=0, jpeg=0
    )
    for counter in range(4):
        sample = films_of(folder, augmentation=backwards)[counter]
        moved = shift(sample.last, sample.first)
        assert moved > 0
        assert shift(sample.first, sample.around[0]) == moved == shift(sample.around[1], sample.last)


def test_a_film_too_short_for_the_frames_around_is_refused_and_says_how_many_it_needs(folder, tmp_path):
    write_film(tmp_path / "short.mkv", panning(6, speed=2, height=48, width=80))
    with pytest.raises(UserError, match="7 different frames in a row"):
        films_of(tmp_path)


def test_a_window_is_long_enough_for_the_frames_around_the_largest_span(folder):
    assert films_of(folder, FilmFolder, windows=Windows(length=4)).windows.length == 10


def test_uneven_times_give_uneven_spans():
    frames = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 2)
    sample = Triplet.of(frames, torch.tensor([-0.5, 0.0, 0.25, 1.0, 3.0]), around=True)

    assert sample.spans.tolist() == [0.5, 2.0] and sample.t.tolist() == [0.25]
    assert [part.mean().item() for part in (sample.first, sample.targets, sample.last)] == [1, 2, 3]
    assert sample.around[:, 0, 0, 0].tolist() == [0, 4]
    back = sample.in_order()
    assert torch.equal(back[0], frames) and back[1].tolist() == [-0.5, 0.0, 0.25, 1.0, 3.0]


def test_a_batch_has_the_frames_around_all_of_its_samples_or_none(folder):
    with_them, without = films_of(folder), films_of(folder, sampling=Sampling((2, 3)))

    batch = collate([with_them[0], with_them[1]])
    assert batch.around.shape == (2, 2, 3, 40, 40) and batch.spans.shape == (2, 2)
    assert collate([without[0], without[1]]).around is None
    with pytest.raises(ValueError, match="around all of its samples, or around none"):
        collate([with_them[0], without[0]])


@pytest.mark.parametrize("kind", [DeviceFrames, HostFrames])
def test_batches_made_on_the_device_hold_those_of_the_loader(folder, kind):
    films = films_of(
        folder, augmentation=Augmentation(40, (1.0, 1.0), rotate=0, noise=0, jpeg=0, exposure=0.5, colour=0.7)
    )
    scenes = SyntheticMotion(40, [texture(96, 128)], Recipe(), around=True)
    made = DeviceTriplets(films, kind(films.pictures, CPU), 0, Scenes(scenes, 3, CPU), 0.5)

    batch = made.batch(range(12), 40)

    known_motion = torch.isfinite(batch.velocity).flatten(1).all(1).tolist()
    assert 0 < sum(known_motion) < 12
    for row in range(12):
        true = scenes[row % 3] if known_motion[row] else films[row]
        for name in ("first", "targets", "last", "around"):
            assert (getattr(batch, name)[row] - getattr(true, name)).abs().max() < 2 / 255, name
        assert torch.equal(batch.spans[row], true.spans) and torch.equal(batch.t[row], true.t)


def test_scenes_show_what_their_motion_gives_outside_of_the_pair():
    scenes = {
        around: SyntheticMotion(32, [texture(96, 96)], Recipe(light=0), times=[0.5], around=around)
        for around in (False, True)
    }
    plain, wide = scenes[False][4], scenes[True][4]

    assert torch.equal(plain.first, wide.first) and torch.equal(plain.targets, wide.targets)
    assert not torch.equal(wide.around[0], wide.first) and wide.spans.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("where", ["host", "device"])
def test_codecs_degrade_the_frames_of_the_pair_and_not_those_around(where):
    grey, times = torch.full((5, 3, 32, 32), 0.5), np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    change = Photometry(ends=(Degradation(0.02, None, 1), Degradation(0.01, None, 2)))

    made = change.applied(grey, times) if where == "host" else photometric(grey[None], times[None], [change])[0]

    assert [bool((frame != 0.5).any()) for frame in made] == [False, True, False, True, False]


def test_validation_is_judged_with_the_frames_around_too(folder, tmp_path):
    for number in range(2):
        write_film(tmp_path / f"{number}.mkv", panning(12, speed=2 + number, height=48, width=80, seed=number))
    data = clips(
        str(tmp_path), cache=str(tmp_path / "cache"), crop=32, val_crop=32, spans=(2, 2), around=True, val_samples=2
    )

    assert next(iter(data.val_dataloader())).around is not None
    assert data.facts()["around"] is True
