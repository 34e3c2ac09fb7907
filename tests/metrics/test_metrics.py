"""Metrics against scikit-image and against cases worked by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vfi_pipeline.metrics import (
    fold_statistics,
    interpolation_error,
    luma,
    psnr,
    ssim,
    ssim_matlab,
    ssim_uniform,
    to_bytes,
    warp_error,
)


def photographs(height=70, width=90):
    """Two overlapping crops of a photograph, (2, 3, H, W) uint8 each: different but alike."""
    whole = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None]
    first = torch.cat((whole[..., :height, :width], whole[..., 100 : 100 + height, 150 : 150 + width]))
    last = torch.cat((whole[..., 1 : height + 1, 2 : width + 2], whole[..., 102 : 102 + height, 149 : 149 + width]))
    return first, last


def test_psnr_agrees_with_scikit_image_frame_by_frame():
    first, last = photographs()
    expected = [peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=255) for a, b in zip(first, last)]
    assert psnr(first, last).tolist() == pytest.approx(expected, abs=1e-9)


def test_psnr_of_one_code_value_everywhere_is_48_13_dB():
    flat = torch.full((1, 3, 4, 6), 100, dtype=torch.uint8)
    assert psnr(flat, flat + 1).item() == pytest.approx(20 * math.log10(255), abs=1e-9)
    assert psnr(flat, flat).item() == math.inf


def test_float_pictures_are_rounded_to_bytes_not_truncated():
    assert to_bytes(torch.tensor([0.999 / 255, 1.4 / 255, 2.0])).tolist() == [1, 1, 255]
    first, last = photographs()
    assert psnr(first / 255 + 0.3 / 255, last).tolist() == psnr(first, last).tolist()


def test_ssim_agrees_with_scikit_image_on_rounded_luma():
    first, last = photographs()
    grey = [np.round(x.permute(0, 2, 3, 1).numpy() @ [0.299, 0.587, 0.114]) for x in (first, last)]
    expected = [
        structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
        for a, b in zip(*grey)
    ]
    assert ssim(first, last).tolist() == pytest.approx(expected, abs=1e-9)
    assert ssim(first, first).tolist() == pytest.approx([1, 1])


def test_ssim_matlab_is_one_gaussian_of_11_x_11_x_11_over_the_volume_of_rgb():
    """Written out from its definition: scipy correlates the replicated volume with the whole window at once."""
    radius = np.arange(-5, 6)
    window = np.exp(-(radius[:, None, None] ** 2 + radius[:, None] ** 2 + radius**2) / (2 * 1.5**2))
    window /= window.sum()
    expected = []
    first, last = photographs(40, 56)
    for a, b in zip(first.numpy() / 255, last.numpy() / 255):

        def mean(volume: np.ndarray) -> np.ndarray:
            return ndimage.correlate(volume, window, mode="nearest")

        mu, nu = mean(a), mean(b)
        var, war, cov = mean(a * a) - mu**2, mean(b * b) - nu**2, mean(a * b) - mu * nu
        c1, c2 = 0.01**2, 0.03**2
        expected.append(((2 * mu * nu + c1) * (2 * cov + c2) / ((mu**2 + nu**2 + c1) * (var + war + c2))).mean())
    assert ssim_matlab(first, last).tolist() == pytest.approx(expected, abs=1e-9)
    assert abs(expected[0] - ssim(first, last)[0].item()) > 1e-3  # or the test could not tell the two apart
    assert ssim_matlab(first, first).tolist() == pytest.approx([1, 1])


def test_ssim_uniform_agrees_with_scikit_images_default_on_colour_pictures():
    first, last = photographs(150, 90)  # taller than a band of rows
    expected = [
        structural_similarity(a, b, channel_axis=2, data_range=255)
        for a, b in zip(*(x.permute(0, 2, 3, 1).numpy() for x in (first, last)))
    ]
    assert ssim_uniform(first, last).tolist() == pytest.approx(expected, abs=1e-9)


def test_unrounded_pictures_are_compared_as_they_are():
    """A third of a code off everywhere: nothing once rounded; unrounded, 20 log10(255 / (1/3)) dB and IE 1/3."""
    first, last = photographs()
    off = first / 255 + 1 / 3 / 255 * (first < 255)
    changed = (first < 255).double().flatten(1).mean(dim=1)
    exact = -10 * torch.log10(changed / 9 / 255**2)
    assert psnr(off, first).tolist() == [math.inf, math.inf]
    assert psnr(off, first, rounded=False).tolist() == pytest.approx(exact.tolist(), abs=1e-4)
    assert interpolation_error(off, first).tolist() == [0, 0]
    assert interpolation_error(off, first, rounded=False).tolist() == pytest.approx((changed / 3).tolist(), abs=1e-5)
    for similarity in (ssim_matlab, ssim_uniform):
        assert similarity(off, last).tolist() == similarity(first, last).tolist()
        assert similarity(off, last, rounded=False).tolist() != similarity(first, last).tolist()


def test_interpolation_error_is_the_mean_absolute_difference_in_codes():
    first, last = photographs()
    expected = [np.abs(a.numpy().astype(int) - b.numpy()).mean() for a, b in zip(first, last)]
    assert interpolation_error(first, last).tolist() == pytest.approx(expected, abs=1e-9)


def test_an_offset_of_the_mean_square_error_makes_equal_pictures_80_dB():
    flat = torch.full((1, 3, 4, 6), 100, dtype=torch.uint8)
    assert psnr(flat, flat, offset=1e-8).item() == pytest.approx(80)
    assert psnr(flat, flat + 1, offset=1e-8).item() == pytest.approx(-10 * math.log10(255**-2 + 1e-8), abs=1e-9)


def test_luma_of_pure_colours():
    colours = torch.eye(3).view(3, 3, 1, 1)
    assert luma(colours).flatten().tolist() == [76, 150, 29]


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(1, 3, 20, 20), torch.zeros(1, 3, 20, 21))
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim_matlab(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))
    with pytest.raises(ValueError, match="at least 7 px"):
        ssim_uniform(torch.zeros(1, 3, 6, 20), torch.zeros(1, 3, 6, 20))
    with pytest.raises(ValueError, match="one shape"):
        interpolation_error(torch.zeros(1, 3, 20, 20), torch.zeros(1, 3, 20, 21))


def test_warp_error_is_zero_for_a_film_that_follows_its_flow_and_only_there():
    # A film that pans right by 2 px: the following frame's x is found at x - 2 of the frame before.
    whole = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 255
    frame, following = whole[..., 100:150, 100:170], whole[..., 100:150, 98:168]
    flow = torch.zeros(1, 2, 50, 70)
    flow[:, 0] = -2
    visible = torch.ones(1, 1, 50, 70)
    visible[..., :2] = 0  # came into the picture

    assert warp_error(frame, following, flow, visible).item() < 1e-12
    assert warp_error(frame, following, torch.zeros_like(flow), visible).item() > 1e-4


def test_warp_error_counts_visible_pixels_only():
    frame, following = torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 5)
    following[..., 0, 0] = 1.0
    visible = torch.ones(1, 1, 4, 5)
    still = torch.zeros(1, 2, 4, 5)
    assert warp_error(frame, following, still, visible).item() == pytest.approx(1 / 20)
    visible[..., 0, 0] = 0
    assert warp_error(frame, following, still, visible).item() == 0


def test_fold_statistics_see_one_folded_row():
    flow = torch.zeros(1, 2, 5, 7)
    flow[:, 1, 2] = -3  # row 2 lands above row 1: the cells between rows 1 and 2 turn over
    folds = fold_statistics([torch.zeros(1, 2, 5, 7), flow])
    assert folds.min_det == pytest.approx(-2)
    assert folds.share == pytest.approx((1 / 4) / 2)  # one row of cells in four, in one map of two
    with pytest.raises(ValueError, match="at least one"):
        fold_statistics([])
