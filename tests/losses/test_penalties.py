"""JD, OG, smoothness and round trip: analytic maps on frames that are not square."""

import pytest
import torch

from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.losses import (
    edge_aware_smoothness,
    folding_penalty,
    out_of_grid_penalty,
    picture_round_trip,
    round_trip_penalty,
    smoothness,
)

HEIGHT, WIDTH = 11, 17
GRID = pixel_grid(HEIGHT, WIDTH, like=torch.empty(0, dtype=torch.float64))


def linear(a, b, c, d):
    """The displacement of x -> [[a, b], [c, d]] x."""
    x, y = GRID.split(1, dim=1)
    return torch.cat((a * x + b * y, c * x + d * y), dim=1) - GRID


def shift(dx, dy):
    return torch.tensor([dx, dy], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "matrix, expected",
    [
        ((1, 0, 0, -1), 1.0),  # mirror of the rows: det -1 (the reference code gives 0)
        ((-1, 0, 0, 1), 1.0),  # mirror of the columns
        ((1, -2, 0, 1), 0.0),  # shears: det +1 (the reference code gives 1)
        ((1, 0, -2, 1), 0.0),
        ((0, -1, 1, 0), 0.0),  # quarter turn
        ((2, 0, 0, -1.5), 3.0),  # mirror and zoom: det -3
        ((0, 1, 1, 0), 1.0),  # transposition: det -1, no diagonal part
    ],
)
def test_folding_of_linear_maps_is_the_negative_part_of_their_determinant(matrix, expected):
    assert folding_penalty(linear(*matrix)).item() == pytest.approx(expected)


def test_one_folded_row_counts_by_its_share_of_the_cells():
    flow = torch.zeros(1, 2, HEIGHT, WIDTH, dtype=torch.float64)
    flow[:, 1, 4] = 2.5  # row 4 lands at 6.5: cells 3-4 stretch to 3.5, cells 4-5 fold to -1.5
    assert folding_penalty(flow).item() == pytest.approx(1.5 / (HEIGHT - 1))


def test_the_margin_penalises_what_is_close_to_folding():
    assert folding_penalty(linear(0.25, 0, 0, 1)).item() == 0
    assert folding_penalty(linear(0.25, 0, 0, 1), margin=0.3).item() == pytest.approx(0.05)


@pytest.mark.parametrize("s", [1, 3, 6])
def test_a_shift_leaves_the_grid_by_the_sum_of_the_columns(s):
    expected = s * (s + 1) / 2 / WIDTH
    assert out_of_grid_penalty(shift(s, 0)).item() == pytest.approx(expected)
    assert out_of_grid_penalty(shift(-s, 0)).item() == pytest.approx(expected)
    rows = s * (s + 1) / 2 / HEIGHT
    assert out_of_grid_penalty(shift(0, s)).item() == pytest.approx(rows)
    assert out_of_grid_penalty(shift(s, -s)).item() == pytest.approx(expected + rows)


@pytest.mark.parametrize("penalty", [folding_penalty, out_of_grid_penalty])
def test_penalties_are_means_over_time_and_batch(penalty):
    worst, none = linear(1, 0, 0, -1), torch.zeros_like(GRID)
    path = torch.stack([worst, none, none, worst])  # (T, B, 2, H, W)
    assert penalty(path).item() == pytest.approx(penalty(worst).item() / 2)
    assert penalty(torch.cat([path, path])).item() == pytest.approx(penalty(path).item())
    assert penalty(torch.cat([path, path * 0], dim=1)).item() == pytest.approx(penalty(path).item() / 2)


def test_smoothness_is_the_squared_slope_and_ignores_constants():
    x = GRID[:, :1]
    assert smoothness(3 * x + 7).item() == pytest.approx(9)
    assert smoothness(shift(5, -2)).item() == 0
    assert smoothness(linear(1, 0.5, 0, 1)).item() == pytest.approx(0.125)  # dx rises 0.5 a row; mean of 2 channels


def test_a_jump_at_a_pictures_edge_is_nearly_free():
    field = torch.zeros(1, 2, HEIGHT, WIDTH)
    field[..., 8:] = 4
    edge = torch.zeros(1, 3, HEIGHT, WIDTH)
    edge[..., 8:] = 1
    on, off = edge_aware_smoothness(field, edge), edge_aware_smoothness(field, torch.zeros_like(edge))
    assert off.item() == pytest.approx(4 / (WIDTH - 1), rel=1e-3)
    assert on.item() == pytest.approx(off.item() * torch.exp(torch.tensor(-10.0)).item(), rel=1e-3)


def test_inverse_shifts_return_and_a_half_way_does_not():
    assert round_trip_penalty(shift(2, -1), shift(-2, 1)).item() == pytest.approx(0, abs=1e-20)
    assert round_trip_penalty(shift(2, 0), shift(-1, 0)).item() == pytest.approx(1)
    # Adding would call these inverse; composing does not: rotation there, the linear part's negative back.
    turn = linear(0, -1, 1, 0)
    assert round_trip_penalty(turn, -turn).item() > 1


def test_a_picture_shifted_there_and_back_differs_only_where_it_left():
    image = torch.rand(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    loss = picture_round_trip(image, shift(2, 0), shift(-2, 0))
    lost = (image[..., :2] - image[..., 2:3]) ** 2
    assert loss.item() == pytest.approx(lost.sum().item() / image.numel())


@pytest.mark.parametrize(
    "penalty",
    [
        folding_penalty,
        out_of_grid_penalty,
        smoothness,
        lambda u: round_trip_penalty(u, 0.3 * u),
        lambda u: edge_aware_smoothness(u, torch.linspace(0, 1, 6, dtype=u.dtype).expand(1, 1, 5, 6)),
        lambda u: picture_round_trip(GRID[:, :1, :5, :6] / 9, u, -u),
    ],
)
def test_gradients_agree_with_finite_differences(penalty):
    generator = torch.Generator().manual_seed(1)
    u = 2 * torch.randn(1, 2, 5, 6, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(penalty, (u.requires_grad_(),), eps=1e-7, atol=1e-5)
