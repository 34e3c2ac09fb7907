"""Augmentations: all frames of a motion are treated alike, sizes always fit, and scaled motion is truly scaled."""

import numpy as np
import pytest
import torch
from films import panning, texture
from hypothesis import given, settings
from hypothesis import strategies as st

from vfi_pipeline.data.augment import Augmentation

TIMES = np.array([0, 0.5, 1], np.float32)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(30, 120), width=st.integers(30, 120), seed=st.integers(0, 2**31))
def test_a_crop_of_the_asked_size_comes_out_of_any_size_that_fits(height, width, seed):
    change = Augmentation(32, (0.5, 1.2), rotate=1, colour=1, blur=1, noise=1, jpeg=1, exposure=1)
    frames = np.stack([texture(height, width)] * 3)
    if not change.fits(width, height):
        return

    pictures, times = change(frames, TIMES, np.random.default_rng(seed))

    assert pictures.shape == (3, 3, 32, 32) and 0 <= pictures.min() and pictures.max() <= 1
    assert times.tolist() == [0, 0.5, 1]


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_frames_that_are_alike_stay_alike(seed):
    change = Augmentation(32, rotate=1, colour=1, blur=1, noise=0, jpeg=0, exposure=0)

    pictures, _ = change(np.stack([texture(80, 90)] * 3), TIMES, np.random.default_rng(seed))

    assert torch.equal(pictures[0], pictures[1]) and torch.equal(pictures[0], pictures[2])


def test_half_the_scale_halves_the_motion():
    half = Augmentation(40, (0.5, 0.5), 0, 0, 0, 0, 0, colour=0, exposure=0, blur=0, noise=0, jpeg=0)

    (first, _, last), _ = half(panning(3, speed=4), TIMES, np.random.default_rng(1))

    # 8 px over the two frames become 4 px.
    assert (first[..., 4:] - last[..., :-4]).abs().mean() < 0.01 < (first[..., 8:] - last[..., :-8]).abs().mean()


def test_noise_and_compression_spare_the_middle_frame():
    bad = Augmentation(32, (1.0, 1.0), 0, 0, 0, 0, 0, colour=0, exposure=0, blur=0, noise=1, jpeg=1)
    still = np.stack([texture(32, 32)] * 3)

    pictures, _ = bad(still, TIMES, np.random.default_rng(0))

    clean = torch.from_numpy(still[0]).permute(2, 0, 1) / 255
    assert (
        torch.equal(pictures[1], clean) and not torch.equal(pictures[0], clean) and not torch.equal(pictures[2], clean)
    )


def test_the_busiest_crop_finds_the_thing_that_moves():
    frames = np.stack([texture(64, 400)] * 3)
    frames[2, :, 300:] = 255 - frames[2, :, 300:]
    busy = Augmentation(48, (1.0, 1.0), 0, 0, 0, 0, busiest=1, tries=20, colour=0, exposure=0, blur=0, noise=0, jpeg=0)
    plain = Augmentation.none(48)

    def change(augmentation, seed):
        (first, _, last), _ = augmentation(frames, TIMES, np.random.default_rng(seed))
        return float((first - last).abs().mean())

    assert np.mean([change(busy, k) for k in range(20)]) > 2 * np.mean([change(plain, k) for k in range(20)])


@pytest.mark.parametrize("side", [20, 26])
def test_a_picture_too_small_even_enlarged_does_not_fit(side):
    assert not Augmentation(32).fits(side, 100)
