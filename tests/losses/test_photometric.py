"""Photometric losses: values worked by hand, means that ignore size, and gradients against finite differences."""

import math

import pytest
import torch

from vfi_pipeline.losses import census, charbonnier, laplacian_pyramid, mean_squared
from vfi_pipeline.losses.photometric import negative_psnr

LOSSES = [mean_squared, charbonnier, laplacian_pyramid, census]


def pictures(height=14, width=19, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 2, 3, height, width, generator=generator, dtype=dtype).unbind(0)


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_pictures_cost_nothing(loss):
    a, _ = pictures()
    assert loss(a, a.clone()).item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences(loss):
    a, b = (x[:1, :, :8, :9].clone() for x in pictures())
    assert torch.autograd.gradcheck(lambda x: loss(x, b), (a.requires_grad_(),), eps=1e-7, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_leading_axes_and_batches_are_averaged(loss):
    a, b = pictures()
    one_by_one = torch.stack([loss(x, y) for x, y in zip(a, b)]).mean()
    assert torch.allclose(loss(a, b), one_by_one) and torch.allclose(loss(a[None], b[None]), one_by_one)


def test_the_squared_error_of_an_offset_is_its_square():
    a, _ = pictures()
    assert mean_squared(a + 0.25, a).item() == pytest.approx(0.0625)


def test_charbonnier_of_an_offset_is_that_of_the_number():
    a, _ = pictures()
    assert charbonnier(a + 0.3, a, epsilon=0.4).item() == pytest.approx(0.5 - 0.4)


@pytest.mark.parametrize("loss", [mean_squared, charbonnier, census])
def test_pixels_of_no_weight_do_not_count(loss):
    a, _ = pictures(16, 16)
    b, weight = a.clone(), torch.ones_like(a[:, :1])
    b[..., 0:3, 0:3] += 0.5
    weight[..., 0:7, 0:7] = 0  # a census window of radius 3 sees the change from up to 3 px away
    assert loss(b, a).item() > 1e-3
    assert loss(b, a, weight=weight).item() == pytest.approx(0, abs=1e-12)


def test_the_laplacian_pyramid_sees_a_constant_offset_in_its_last_level_only():
    a = torch.zeros(1, 1, 32, 48)
    for levels in (1, 2, 3):
        assert laplacian_pyramid(a + 0.5, a, levels).item() == pytest.approx(0.5 * 2 ** (levels - 1))


def test_a_checkerboard_lies_in_the_finest_laplacian_level():
    y, x = torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    board = ((x + y) % 2 * 2.0 - 1)[None, None]
    # The binomial filter has no response at the checkerboard's frequency but at the replicated border.
    assert laplacian_pyramid(board, torch.zeros_like(board), levels=4).item() == pytest.approx(1.0, abs=0.25)


def test_small_pictures_stop_the_pyramid_early():
    a, b = (x[..., :3, :5] for x in pictures())
    assert laplacian_pyramid(a, b, levels=6).item() == pytest.approx((a - b).abs().mean().item())


def test_census_is_blind_to_brightness_and_not_to_texture():
    a, b = pictures()
    assert census(a + 0.2, a).item() == pytest.approx(0, abs=1e-12)
    assert census(a, b).item() > 1e-2


def test_census_of_a_mirrored_edge_counts_the_swapped_neighbours():
    # A step and its negative: all neighbours across the edge have opposite signs, distance 4 / 4.1 each.
    step = torch.zeros(1, 1, 3, 4, dtype=torch.float64)
    step[..., 2:] = 1
    crossing = 3 / 8  # each of the two pixels whose window fits has one column of three neighbours across the edge
    assert census(step, -step, radius=1).item() == pytest.approx(crossing * 4 / 4.1, rel=1e-3)


def test_census_refuses_a_picture_smaller_than_its_window():
    with pytest.raises(ValueError, match="radius 3 needs frames of 7 px"):
        census(torch.zeros(1, 3, 6, 9), torch.zeros(1, 3, 6, 9))


def test_pyramids_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        laplacian_pyramid(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))


def test_charbonnier_has_a_finite_slope_at_zero():
    a = torch.zeros(1, 1, 2, 2, requires_grad=True)
    charbonnier(a, torch.zeros(1, 1, 2, 2)).backward()
    assert a.grad.abs().max().item() == 0 and math.isfinite(a.grad.sum().item())


def test_negative_psnr_is_the_mean_of_negative_psnr_up_to_the_floor():
    true = torch.zeros(2, 3, 8, 8)
    made = torch.stack((torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.01)))
    assert negative_psnr(made, true, floor=0).item() == pytest.approx((-20 - 40) / 2)
    assert negative_psnr(true, true).item() == pytest.approx(-50)
