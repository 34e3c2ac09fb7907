"""Batches made on a device are those that loaders make: the same samples, cut by index arithmetic."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from films import panning, texture, write_film

from vfi_pipeline.data.augment import Augmentation, Degradation, Photometry, Placed
from vfi_pipeline.data.batch import collate
from vfi_pipeline.data.clips import Decoding, MemoryClips
from vfi_pipeline.data.device_augment import jpeg, photometric
from vfi_pipeline.data.device_batches import DeviceFrames, DeviceLoader, DeviceTriplets, HostFrames, Scenes, Stage
from vfi_pipeline.data.draw import Sampling
from vfi_pipeline.data.modules import clips, folder_of_videos
from vfi_pipeline.data.sampler import Mixed
from vfi_pipeline.data.synthetic import Recipe, SyntheticMotion
from vfi_pipeline.errors import UserError

CPU = torch.device("cpu")

# What differs between the two roads by design is left out: values of the noise, and how pictures are resized.
SAME = Augmentation(32, (1.0, 1.0), noise=0, jpeg=0, exposure=0.5, colour=0.7, blur=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    write_film(root / "a.mkv", panning(12, speed=3, height=64, width=96))
    write_film(root / "b.mkv", panning(12, speed=5, height=70, width=82, seed=1))
    return root


def memory(folder, tmp_path, augmentation=SAME, seed=0):
    paths = sorted(folder.glob("*.mkv"))
    return MemoryClips(paths, augmentation, Sampling((2, 4)), Decoding(cache=tmp_path / "cache"), seed=seed)


def crops(kind, frames, placed):
    ratio = placed.side / placed.inner
    place = (0, np.arange(len(frames)), placed.affine(), ratio)
    return kind([frames], CPU).read([place], placed.crop)[0]


@pytest.mark.parametrize("kind", [DeviceFrames, HostFrames])
@pytest.mark.parametrize("flips", [(m, u, t) for m in (False, True) for u in (False, True) for t in (False, True)])
def test_an_unscaled_crop_is_the_hosts_bit_for_bit(kind, flips):
    frames = np.stack([texture(50, 70, seed) for seed in range(3)])
    placed = Placed(32, 7, 21, 32, 32, 0.0, *flips)

    assert torch.equal(crops(kind, frames, placed), placed.pictures(frames))


@pytest.mark.parametrize("kind", [DeviceFrames, HostFrames])
@pytest.mark.parametrize("angle", [0.0, 0.3, -0.2])
@pytest.mark.parametrize("side", [40, 52, 80, 96])
def test_a_scaled_and_turned_crop_is_the_hosts_to_a_code_value_or_so(kind, angle, side):
    smooth = np.stack([cv2.GaussianBlur(texture(110, 130, seed), (0, 0), 4) for seed in range(2)])
    placed = Placed(32, 4, 9, side, 48 if angle else 32, angle, True, False, True)

    difference = crops(kind, smooth, placed) - placed.pictures(smooth)

    inside = difference[..., 1:-1, 1:-1]  # the resizing of the host repeats the border of the square, not of the frame
    assert inside.abs().max() < 3 / 255


@pytest.mark.parametrize("kind", [DeviceFrames, HostFrames])
def test_a_crop_twice_as_large_does_not_alias(kind):
    stripes = np.zeros((1, 80, 80, 3), np.uint8)
    stripes[:, :, ::2] = 255

    grey = crops(kind, stripes, Placed(32, 8, 8, 64, 32))

    assert (grey - 0.5).abs().max() < 0.01


@pytest.mark.parametrize("kind", [DeviceFrames, HostFrames])
def test_a_batch_holds_the_samples_of_the_loader(folder, tmp_path, kind):
    films = memory(folder, tmp_path)
    made = DeviceTriplets(films, kind(films.pictures, CPU))

    batch = made.batch(range(100, 124), 32)

    known = collate([films[counter] for counter in range(100, 124)])
    assert batch.t.tolist() == known.t.tolist()
    for part, true in zip((batch.first, batch.targets, batch.last), (known.first, known.targets, known.last)):
        # Turned crops are read in one step here and in two there.
        assert part.shape == true.shape and (part - true).abs().max() < 2 / 255


@pytest.mark.parametrize("whole", [8, 12])
def test_the_parts_of_two_processes_are_one_devices_batch(folder, tmp_path, whole):
    films = memory(folder, tmp_path, Augmentation(32))
    made = DeviceTriplets(films, DeviceFrames(films.pictures, CPU))
    stages = [Stage(0.0, 32, whole)]

    def batch(rank, world):
        return DeviceLoader(made, stages, lambda _: 0.0, 10, rank=rank, world=world).batch(3)

    joined = [torch.cat(parts) for parts in zip(batch(0, 2)[:4], batch(1, 2)[:4])]

    assert all(torch.equal(part, one) for part, one in zip(joined, batch(0, 1)[:4]))
    with pytest.raises(UserError, match="cannot be shared by 5"):
        DeviceLoader(made, stages, lambda _: 0.0, 10, world=5)


def test_a_run_goes_on_with_the_batch_at_which_it_stood(folder, tmp_path):
    films = memory(folder, tmp_path, Augmentation(32))
    made = DeviceTriplets(films, DeviceFrames(films.pictures, CPU))
    begun = [0]
    loader = DeviceLoader(made, [Stage(0.0, 32, 2)], lambda _: 0.0, 4, position=lambda: begun[0])

    first = list(loader)
    begun[0] = 2
    rest = list(loader)

    assert (len(first), len(rest), len(loader)) == (4, 2, 4)
    assert all(torch.equal(a.first, b.first) for a, b in zip(first[2:], rest))


def test_stages_change_crop_and_batch_at_their_share_of_the_run_and_see_other_samples(folder, tmp_path):
    films = memory(folder, tmp_path, Augmentation(48))
    made = DeviceTriplets(films, DeviceFrames(films.pictures, CPU))
    loader = DeviceLoader(made, [Stage(0.0, 32, 6), Stage(0.5, 48, 2)], lambda number: number / 8, 8)

    shapes = [tuple(batch.first.shape) for batch in loader]

    assert shapes == [(6, 3, 32, 32)] * 4 + [(2, 3, 48, 48)] * 4
    again = DeviceLoader(made, [Stage(0.0, 48, 2)], lambda number: 0.0, 8)
    assert not torch.equal(loader.batch(4).first, again.batch(4).first)


def test_scenes_bring_their_velocity_and_films_none(folder, tmp_path):
    films = memory(folder, tmp_path)
    textures = films.textures()
    scenes = SyntheticMotion(32, textures, Recipe(), seed=0)
    made = DeviceTriplets(films, DeviceFrames(films.pictures, CPU), 0, Scenes(scenes, 5, CPU), 0.4)
    mixed = Mixed([films, scenes], [0.6, 0.4], 0)
    counters = range(40)

    batch = made.batch(counters, 32)

    known = [mixed[counter].velocity is not None for counter in counters]
    assert torch.isfinite(batch.velocity).flatten(1).all(1).tolist() == known and 5 < sum(known) < 30
    for row, counter in enumerate(counters):
        true = scenes[counter % 5] if known[row] else films[counter]
        assert (batch.first[row] - true.first).abs().max() < 2 / 255
        if known[row]:
            assert torch.equal(batch.velocity[row], true.velocity) and torch.equal(batch.t[row], true.t)


@pytest.mark.parametrize("quality", [40, 70, 95])
def test_compression_is_that_of_a_jpeg_library(quality):
    picture = texture(64, 80)
    code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    known = torch.from_numpy(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].copy()).permute(2, 0, 1) / 255
    source = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255

    made = jpeg(source, torch.tensor([float(quality)]))[0]

    assert (made - known).abs().mean() < 0.35 * (known - source[0]).abs().mean()


def test_noise_has_its_sigma_and_spares_the_middle_frame():
    grey = torch.full((2, 3, 3, 64, 64), 0.5)
    ends = (Degradation(0.02, None, 1), Degradation(0.01, None, 2))

    made = photometric(grey, np.array([[0, 0.5, 1]] * 2), [Photometry(), Photometry(ends=ends)])

    assert torch.equal(made[0], grey[0]) and torch.equal(made[1, 1], grey[1, 1])
    assert float(made[1, 0].std()) == pytest.approx(0.02, rel=0.05)
    assert float(made[1, 2].std()) == pytest.approx(0.01, rel=0.05)


def test_clips_make_batches_on_the_device_when_asked(folder, tmp_path):
    options = {"val_share": 0.0, "crop": 32, "val_crop": 32, "spans": (2, 4), "batch_size": 4, "steps": 2}
    data = clips(
        str(folder), cache=str(tmp_path), batches="device", synthetic=0.5, scenes=3, **options,
        stages=[{"begin": 0.5, "crop": 48, "batch_size": 2}],
    )  # fmt: skip

    sizes = [tuple(batch.first.shape) for batch in data.train_dataloader()]

    assert sizes == [(4, 3, 32, 32), (2, 3, 48, 48)]
    assert data.facts()["stages"][1] == {"begin": 0.5, "crop": 48, "batch_size": 2}
    assert not isinstance(clips(str(folder), cache=str(tmp_path), **options).train_dataloader(), DeviceLoader)


@pytest.mark.parametrize(
    "kind, options, problem",
    [
        (clips, {"batches": "gpu"}, "data.batches=gpu is none of the three"),
        (clips, {"stages": [{"begin": 1.0, "crop": 32, "batch_size": 1}]}, "begins at 1.0"),
        (clips, {"stages": [{"begin": 0.5, "crop": 8, "batch_size": 1}]}, "crops of 8 px"),
        (folder_of_videos, {"batches": "device"}, "decodes films as they are needed"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_decoded(folder, kind, options, problem):
    with pytest.raises(UserError, match=problem):
        kind(str(folder), **options)


def test_stages_need_the_device(folder, tmp_path):
    data = clips(
        str(folder), crop=32, cache=str(tmp_path), batches="loader", val_share=0.0,
        stages=[{"begin": 0.5, "crop": 32, "batch_size": 1}],
    )  # fmt: skip
    with pytest.raises(UserError, match="made on the device"):
        data.train_dataloader()


def test_films_too_small_for_the_crops_of_a_later_stage_are_left_out(folder, tmp_path):
    data = clips(
        str(folder), crop=32, cache=str(tmp_path), batches="device", val_share=0.0,
        augmentation=replace(SAME, crop=32), stages=[{"begin": 0.5, "crop": 66, "batch_size": 1}],
    )  # fmt: skip
    assert [film.name for film in data.films()[0]] == ["b.mkv"]
