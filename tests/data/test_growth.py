"""``data.grow``: the largest span follows how much of the run is done, for loaders and devices, resumed or not."""

from functools import partial

import numpy as np
import pytest
import torch
from films import panning, write_film

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import collate
from vfi_pipeline.data.clips import Decoding, FilmFolder, MemoryClips, Windows
from vfi_pipeline.data.device_batches import DeviceFrames, DeviceLoader, DeviceTriplets, Stage
from vfi_pipeline.data.draw import Sampling
from vfi_pipeline.data.modules import clips, folder_of_videos
from vfi_pipeline.data.sampler import Mixed, Moment, StepSampler
from vfi_pipeline.errors import UserError

PLAIN = Augmentation.none(32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for number in range(2):
        write_film(root / f"{number}.mkv", panning(14, speed=2 + number, height=48, width=160, seed=number))
    return root


def films_of(folder, kind=MemoryClips, sampling=Sampling((2, 6), grow=0.5), **options):
    return kind(sorted(folder.glob("*.mkv")), PLAIN, sampling, Decoding(cache=folder / "cache"), seed=3, **options)


def module(folder, make=clips, **options):
    typed = {"crop": 32, "val_crop": 32, "spans": (2, 6), "batch_size": 4, "steps": 8, "workers": 0, "val_share": 0.0}
    return make(str(folder), augmentation=PLAIN, cache=str(folder / "cache"), **{**typed, "grow": 0.5, **options})


def test_each_span_is_the_largest_for_the_same_time_and_the_last_one_stays():
    longest = Sampling((2, 6), grow=0.5).longest

    assert [longest(done / 16) for done in range(10)] == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert longest(1.0) == 6
    assert {Sampling((2, 6)).longest(done) for done in (0.0, 0.3, 1.0)} == {6}
    assert Sampling((2, 6), grow=0.0).longest(0.0) == 6


@pytest.mark.parametrize("grow", [-0.1, 1.5])
def test_a_growth_that_is_no_share_is_refused(grow):
    with pytest.raises(UserError, match=f"data.grow={grow} is no share"):
        Sampling(grow=grow)


@pytest.mark.parametrize("kind", [MemoryClips, partial(FilmFolder, windows=Windows(reuse=4, length=10))])
def test_samples_are_no_longer_than_the_moment_allows_and_later_ones_are_those_of_no_growth(folder, kind):
    grown, plain = films_of(folder, kind), films_of(folder, kind, Sampling((2, 6)))
    spans = {}
    for done in (0.0, 0.2, 0.6):
        drawn = [_drawn(grown, Moment(counter, done)) for counter in range(60)]
        spans[done] = {int(draw.frames[-1] - draw.frames[0]) for draw in drawn}

    assert spans == {0.0: {2}, 0.2: {2, 3}, 0.6: {2, 3, 4, 5, 6}}
    for counter in (0, 5, 9):
        known = plain[counter]
        for moment in (counter, Moment(counter, 0.5), Moment(counter, 1.0)):
            assert all(torch.equal(a, b) for a, b in zip(grown[moment][:4], known[:4]))
    assert not torch.equal(grown[Moment(0, 0.0)].last, plain[0].last)


def _drawn(films, moment):
    if isinstance(films, FilmFolder):
        return films._drawn(moment.counter, films.sampling.longest(moment.done))[1]
    return films.drawn(moment)[0]


def test_where_there_is_no_short_triplet_the_shortest_ones_are_drawn(folder):
    films = films_of(folder, sampling=Sampling((2, 6), least_motion=8.0, grow=1.0))
    spans = [int(np.ptp(films.drawn(Moment(counter, 0.0))[0].frames)) for counter in range(40)]
    speeds = [films.drawn(Moment(counter, 0.0))[0].film + 2 for counter in range(40)]

    # 2 and 3 px a frame: three frames move 9 px, four 8 px, and no two as much as 8.
    assert set(spans) == {3} and set(speeds) == {3}


def test_loaders_and_devices_show_the_same_samples_at_the_same_step(folder):
    by_loader, on_device = (module(folder, batches=where) for where in ("loader", "device"))

    pairs = list(zip(by_loader.train_dataloader(), on_device.train_dataloader()))

    assert len(pairs) == 8
    for loaded, made in pairs:
        assert all(torch.equal(a, b) for a, b in zip(loaded[:4], made[:4]))
    # Of eight batches the first four grow: a middle frame of two is at 1/2, whatever the sample.
    assert pairs[0][0].t.flatten().tolist() == [0.5] * 4
    assert any(t != 0.5 for t in pairs[7][0].t.flatten().tolist())


@pytest.mark.parametrize("make", [clips, folder_of_videos])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_goes_on_sees_the_samples_of_one_that_did_not_stop(folder, make, workers):
    whole, rest = (module(folder, make, workers=workers) for _ in range(2))
    rest.position = lambda: 2

    batches = list(whole.train_dataloader())
    resumed = list(rest.train_dataloader())

    assert len(resumed) == 6
    for one, two in zip(batches[2:], resumed):
        assert all(torch.equal(a, b) for a, b in zip(one[:4], two[:4]))


@pytest.mark.parametrize("where", ["loader", "device"])
def test_a_run_by_the_clock_grows_by_the_clock(folder, where):
    shares = {0.0: {0.5}, 1.0: set()}
    for share, expected in shares.items():
        data = module(folder, batches=where, steps=4)
        data.run_share = lambda share=share: share
        times = {t for batch in data.train_dataloader() for t in batch.t.flatten().tolist()}
        assert times == expected if expected else len(times) > 2


def test_gradients_that_are_accumulated_make_the_run_longer_in_batches(folder):
    data = module(folder)

    class Trainer:
        max_steps, accumulate_grad_batches = 4, 2

    data.trainer = Trainer()
    assert [data._done(number) for number in (0, 4, 8, 9)] == [0.0, 0.5, 1.0, 1.0]


def test_the_processes_of_a_run_share_the_growing_batch(folder):
    films = films_of(folder)
    made = DeviceTriplets(films, DeviceFrames(films.pictures, torch.device("cpu")))

    def batch(rank, world):
        return DeviceLoader(made, [Stage(0.0, 32, 8)], lambda n: n / 10, 10, rank=rank, world=world).batch(2)

    joined = [torch.cat(parts) for parts in zip(batch(0, 2)[:4], batch(1, 2)[:4])]
    assert all(torch.equal(part, one) for part, one in zip(joined, batch(0, 1)[:4]))
    samplers = [list(StepSampler(4, 10, rank=rank, world=2, done=lambda n: n / 10)) for rank in (0, 1)]
    assert samplers[0][2:4] == [Moment(4, 0.1), Moment(5, 0.1)] and samplers[1][2:4] == [Moment(6, 0.1), Moment(7, 0.1)]


def test_only_data_that_change_are_asked_by_the_moment(folder):
    class Counters(torch.utils.data.Dataset):
        def __getitem__(self, counter):
            assert type(counter) is int
            return counter

        def __len__(self):
            return 9

    films = films_of(folder)
    mixed = Mixed([films, Counters()], [0.5, 0.5])

    drawn = [mixed[Moment(counter, 0.0)] for counter in range(12)]

    scenes = [item for item in drawn if isinstance(item, int)]
    assert 0 < len(scenes) < 12
    assert {float(item.t) for item in drawn if not isinstance(item, int)} == {0.5}
    assert collate([item for item in drawn if not isinstance(item, int)]).t.shape[1] == 1


def test_growth_is_part_of_what_the_data_are(folder):
    plain, grown = module(folder, grow=None), module(folder)

    assert "grow" not in plain.facts() and grown.facts()["grow"] == 0.5
    assert plain.fingerprint() != grown.fingerprint()
