"""Laplacian pyramids, local energy, guided filter: exact answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from vfi_pipeline.editing.guided import guided_filter
from vfi_pipeline.editing.pyramid import energy, gain, gaussian, laplacian, reconstructed, transferred, transferred_by


def noise(height=37, width=53, channels=3, seed=0):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (37, 53), (96, 80)])
@pytest.mark.parametrize("levels", [1, 4, 6])
def test_a_pyramid_adds_up_to_its_picture(size, levels):
    picture = noise(*size)
    bands = laplacian(picture, levels)
    assert len(bands) == levels + 1 and all(band.shape == picture.shape for band in bands)
    assert (reconstructed(bands) - picture).abs().max() < 1e-14


@pytest.mark.parametrize("sigma", [2.0, 4.0, 16.0, 32.0])
def test_the_gaussian_is_scipys(sigma):
    picture = noise(120, 150, 1)
    own = gaussian(picture, sigma)[0, 0].numpy()
    assert np.abs(own - gaussian_filter(picture[0, 0].numpy(), sigma, mode="nearest", truncate=4)).max() < 0.012


def test_one_exemplar_of_several_is_the_single_transfer():
    picture, exemplar = noise(seed=1), noise(seed=2)
    assert torch.equal(
        transferred_by(picture, exemplar, torch.ones(1, 1, 37, 53, dtype=torch.float64)),
        transferred(picture, exemplar),
    )
    both = torch.cat((exemplar, noise(seed=3)))
    weights = torch.zeros(1, 2, 37, 53, dtype=torch.float64)
    weights[:, 0] = 1
    assert torch.allclose(transferred_by(picture, both, weights), transferred(picture, exemplar), atol=1e-14)


def test_a_picture_as_its_own_exemplar_is_itself():
    picture = noise()
    assert (transferred(picture, picture) - picture).abs().max() < 1e-12


def test_a_known_local_gain_is_recovered():
    """The exemplar's detail is twice the picture's on the left and 1.25 times on the right."""
    detail = torch.randn(1, 1, 96, 192, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    true = torch.full_like(detail, 2.0)
    true[..., 96:] = 1.25
    found = gain(energy(0.1 * detail, 1), energy(0.1 * detail * true, 1), epsilon=1e-12)
    inside = torch.ones_like(true, dtype=torch.bool)
    inside[..., 80:112] = False  # the energy of both sides is averaged at the edge
    assert (found - true).abs()[inside].max() < 1e-6


def test_the_gain_is_bounded_and_dark_detail_is_no_reason_to_divide_by_zero():
    nothing, much = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert torch.equal(gain(nothing, much), torch.full_like(much, 2.8))
    assert torch.equal(gain(much, nothing), torch.full_like(much, 0.9))
    assert torch.equal(gain(nothing, nothing), torch.ones_like(much))


def test_light_comes_from_the_exemplar_and_detail_from_the_picture():
    picture = 0.5 + 0.1 * (noise(64, 64, 1, 5) - 0.5)
    made = transferred(picture, picture + 0.2)
    assert (made - picture - 0.2).abs().max() < 1e-10


def test_the_guided_filter_is_the_definition():
    """Every window's least squares, solved one by one."""
    picture, guide, radius, epsilon = noise(9, 8, 1, 6), noise(9, 8, 1, 7), 2, 0.01
    height, width = 9, 8
    slopes, offsets = np.zeros((2, height, width))

    def window(y, x):
        return np.s_[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]

    p, g = picture[0, 0].numpy(), guide[0, 0].numpy()
    for y in range(height):
        for x in range(width):
            a, b = g[window(y, x)].ravel(), p[window(y, x)].ravel()
            slopes[y, x] = ((a * b).mean() - a.mean() * b.mean()) / (a.var() + epsilon)
            offsets[y, x] = b.mean() - slopes[y, x] * a.mean()
    wanted = np.array(
        [
            [slopes[window(y, x)].mean() * g[y, x] + offsets[window(y, x)].mean() for x in range(width)]
            for y in range(height)
        ]
    )
    assert np.abs(guided_filter(picture, guide, radius, epsilon)[0, 0].numpy() - wanted).max() < 1e-12


def test_the_guided_filter_keeps_the_guides_edges_and_smooths_what_the_guide_does_not_show():
    guide = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    guide[..., 20:] = 1
    assert (guided_filter(0.3 + 0.4 * guide, guide, 4, 1e-8) - (0.3 + 0.4 * guide)).abs().max() < 1e-6
    seam = torch.zeros_like(guide)
    seam[..., 10:] = 0.2  # a step where the guide is flat
    smooth = guided_filter(seam, guide, 4, 1e-4)
    assert torch.diff(smooth, dim=-1)[..., 4:16].abs().max() < 0.04
    assert float(guided_filter(torch.full_like(guide, 0.7), guide, 4, 0.1).std()) < 1e-12


def test_a_guide_of_another_size_is_refused():
    with pytest.raises(ValueError, match="picture's size"):
        guided_filter(noise(), noise(5, 5, 1), 2, 0.1)
