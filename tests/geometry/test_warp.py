"""Warping, composing and resizing, against answers worked by hand on frames that are not square."""

import pytest
import torch
from fields import GRID, HEIGHT, WIDTH

from vfi_pipeline.geometry import compose, pixel_grid, resize_flow, sample, warp


def shift(dx, dy, height=HEIGHT, width=WIDTH):
    return torch.tensor([dx, dy], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, height, width)


def test_the_grid_holds_x_then_y():
    grid = pixel_grid(3, 5, like=torch.empty(0))
    assert grid.shape == (1, 2, 3, 5) and grid[0, :, 2, 4].tolist() == [4, 2] and grid[0, :, 0, 1].tolist() == [1, 0]


def test_what_is_made_once_serves_inference_learning_and_other_types():
    """Sizes that no other test uses, so that the first to ask is this one, in inference mode."""
    with torch.inference_mode():
        warp(torch.ones(1, 1, 17, 3), torch.zeros(1, 2, 17, 3))
    image = torch.rand(1, 1, 17, 3, requires_grad=True)
    flow = torch.zeros(1, 2, 17, 3, requires_grad=True)
    warp(image, flow).sum().backward()
    assert image.grad is not None and image.grad.sum() == pytest.approx(51) and flow.grad is not None

    assert pixel_grid(17, 3, like=torch.empty(0, dtype=torch.float64)).dtype == torch.float64
    assert pixel_grid(3, 17, like=image)[0, :, 2, 16].tolist() == [16, 2]


def test_large_grids_are_not_kept():
    large = [pixel_grid(400, 400, like=torch.empty(0)) for _ in range(2)]
    assert large[0].data_ptr() != large[1].data_ptr() and torch.equal(*large)


def test_zero_flow_returns_the_picture():
    image = torch.rand(2, 3, HEIGHT, WIDTH, dtype=torch.float64)
    assert torch.allclose(warp(image, shift(0, 0).expand(2, -1, -1, -1)), image, atol=1e-12)


@pytest.mark.parametrize("dx, dy", [(2, 0), (0, 3), (-4, 1), (1, -2)])
def test_a_whole_pixel_shift_reads_the_pixel_over_there_and_repeats_the_border(dx, dy):
    image = torch.rand(1, 3, 7, 11, dtype=torch.float64)
    made = warp(image, shift(dx, dy, 7, 11))
    columns = (torch.arange(11) + dx).clamp(0, 10)
    rows = (torch.arange(7) + dy).clamp(0, 6)
    assert torch.allclose(made, image[..., rows, :][..., columns], atol=1e-12)


def test_half_a_pixel_is_the_mean_of_two():
    image = torch.tensor([[0.0, 1.0, 4.0]], dtype=torch.float64)[None, None]
    assert warp(image, shift(0.5, 0, 1, 3))[0, 0, 0].tolist() == pytest.approx([0.5, 2.5, 4.0])


def test_the_coordinates_warp_to_where_the_flow_points():
    generator = torch.Generator().manual_seed(0)
    flow = 3 * torch.randn(1, 2, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)
    target = GRID + flow
    expected = torch.stack((target[0, 0].clamp(0, WIDTH - 1), target[0, 1].clamp(0, HEIGHT - 1)))
    assert torch.allclose(warp(GRID, flow)[0], expected, atol=1e-9)


def test_no_new_colours_appear():
    image = torch.rand(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    flow = 20 * torch.randn(1, 2, HEIGHT, WIDTH, dtype=torch.float64)
    made = warp(image, flow)
    assert made.min() >= image.min() - 1e-12 and made.max() <= image.max() + 1e-12


def test_one_picture_serves_many_positions():
    field = torch.rand(1, 2, 5, 9, dtype=torch.float64)
    positions = torch.rand(4, 2, 6, 3, dtype=torch.float64) * 4
    together = sample(field, positions)
    assert torch.allclose(together[2:3], sample(field, positions[2:3])) and together.shape == (4, 2, 6, 3)


def test_a_frame_one_pixel_high_is_read_along_its_row_only():
    image = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)[None, None]
    assert warp(image, shift(1, 5, 1, 3))[0, 0, 0].tolist() == pytest.approx([2, 3, 3])


def test_composed_displacements_do_not_add():
    # Zoom by 2 about the corner, then shift by 3 px: x -> 2 (x + 3) is not x + x + 3.
    small = pixel_grid(6, 8, like=GRID)
    zoomed, moved = small.clone(), shift(3, 0, 6, 8)
    inside = compose(zoomed, moved)[..., :4]
    assert torch.allclose(inside[:, 0], small[:, 0, :, :4] + 6) and torch.allclose(inside[:, 1], small[:, 1, :, :4])


def test_warping_twice_is_warping_by_the_composition():
    image = GRID[:, :1] * 0.3 + GRID[:, 1:] * 0.7  # linear, so that interpolation is exact
    outer, inner = shift(2.5, -1), shift(-1.25, 2)
    twice = warp(warp(image, outer), inner)
    once = warp(image, compose(outer, inner))
    assert torch.allclose(twice[..., 6:-6, 6:-6], once[..., 6:-6, 6:-6], atol=1e-9)


def test_a_resized_flow_points_to_the_same_place():
    flow = resize_flow(shift(3, -2, 12, 20), 24, 10)
    assert flow.shape == (1, 2, 24, 10)
    assert torch.allclose(flow, shift(1.5, -4, 24, 10), atol=1e-9)


def test_a_resized_linear_flow_keeps_half_pixel_centres():
    # dx = x + 1/2 px on the coarse grid says "twice as far from the left edge": so it does on the fine one.
    coarse = torch.zeros(1, 2, 4, 6, dtype=torch.float64)
    coarse[:, 0] = torch.arange(6) + 0.5
    fine = resize_flow(coarse, 8, 12)
    assert torch.allclose(fine[0, 0, 3, 1:-1], torch.arange(1, 11, dtype=torch.float64) + 0.5)


def test_resizing_to_the_same_size_changes_nothing():
    flow = torch.randn(1, 2, 5, 7)
    assert resize_flow(flow, 5, 7) is flow


@pytest.mark.parametrize("flow", [torch.zeros(1, 2, 5, 6), torch.zeros(1, 3, 5, 7)])
def test_a_flow_of_another_size_is_refused_with_the_remedy(flow):
    with pytest.raises(ValueError, match="resize_flow"):
        warp(torch.zeros(1, 3, 5, 7), flow)


def test_warp_and_compose_pass_gradcheck():
    generator = torch.Generator().manual_seed(4)
    image = torch.rand(1, 2, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    flow = (0.4 * torch.randn(1, 2, 4, 5, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(warp, (image, flow), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradcheck(compose, (flow, 0.5 * flow.detach() + 0.01), eps=1e-7, atol=1e-5)
