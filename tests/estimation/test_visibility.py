"""The forward-backward test and forward splatting, on cases worked by hand and a square that hides what it passes."""

import pytest
import torch

from vfi_pipeline.estimation.visibility import inside, motion_boundary, reliability, round_trip, visible
from vfi_pipeline.evaluation.splat import splat

HEIGHT, WIDTH = 24, 40


def constant(dx: float, dy: float = 0) -> torch.Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH).clone()


def square_moves(shift: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A square at columns 10..19, rows 6..15 moves right over a still background: both true flows, and what is hidden.

    The mask is on the first frame's grid: background that the square covers in the last frame.
    """
    forward, backward = torch.zeros(2, 1, 2, HEIGHT, WIDTH)
    forward[:, 0, 6:16, 10:20] = shift
    backward[:, 0, 6:16, 10 + shift : 20 + shift] = -shift
    hidden = torch.zeros(1, 1, HEIGHT, WIDTH)
    hidden[:, :, 6:16, 20 : 20 + shift] = 1
    return forward, backward, hidden


def test_the_threshold_is_the_published_one():
    forward, backward = constant(3, 4), constant(-3, -3)
    miss, threshold = round_trip(forward, backward)
    assert miss.flatten().unique().tolist() == pytest.approx([1])
    assert threshold.flatten().unique().tolist() == pytest.approx([0.01 * (25 + 18) + 0.5])
    assert visible(forward, backward).sum() == 0  # 1 >= 0.93
    assert visible(constant(30, 4), constant(-30, -3))[..., :-4, :10].min() == 1  # a longer way may miss by more


def test_nothing_that_stays_is_lost_even_at_the_border():
    still = constant(0)
    assert visible(still, still).min() == 1 and reliability(still, still).min() == 1


def test_what_leaves_the_frame_is_not_seen():
    lost = 1 - visible(constant(3.5), constant(-3.5))
    assert lost[..., -4:].min() == 1 and lost[..., :-4].max() == 0
    assert torch.equal(inside(constant(3.5)), visible(constant(3.5), constant(-3.5)) > 0)


@pytest.mark.parametrize("shift", [3, 8])
def test_background_covered_by_a_square_is_found(shift):
    forward, backward, hidden = square_moves(shift)
    for verdict in (visible(forward, backward), (reliability(forward, backward) > 0.5).float()):
        found = 1 - verdict
        precision = (found * hidden).sum() / found.sum()
        recall = (found * hidden).sum() / hidden.sum()
        assert precision > 0.95 and recall > 0.95


def test_a_motion_boundary_is_the_rim_of_the_square_only():
    forward, _, _ = square_moves(8)
    rim = motion_boundary(forward)
    assert rim[..., 6:16, 9:11].min() == 1 and rim[..., 10, 13:17].max() == 0 and rim[..., :4, :].max() == 0


def test_a_whole_shift_moves_pixels_unchanged_and_leaves_a_hole():
    picture = torch.rand(1, 3, HEIGHT, WIDTH)
    total, weight = splat(picture, constant(2, 1), torch.full((1, 1, HEIGHT, WIDTH), 0.5))
    assert torch.equal(total[..., 1:, 2:], 0.5 * picture[..., :-1, :-2])
    assert weight[..., 1:, 2:].unique().tolist() == [0.5]
    assert weight[..., :1, :].max() == 0 and weight[..., :2].max() == 0 and total[..., :2].abs().max() == 0


def test_half_a_pixel_is_shared_between_two_neighbours():
    picture = torch.zeros(1, 1, HEIGHT, WIDTH)
    picture[..., 5, 7] = 1
    total, _ = splat(picture, constant(0.25, -0.5), torch.ones_like(picture))
    expected = torch.zeros_like(picture)
    expected[..., 4:6, 7:9] = torch.tensor([[0.375, 0.125], [0.375, 0.125]])
    torch.testing.assert_close(total, expected)


def test_what_lands_outside_is_lost_however_far():
    picture = torch.ones(1, 1, HEIGHT, WIDTH)
    for far in (1e3, -1e3):
        total, weight = splat(picture, constant(far, far), picture)
        assert total.abs().max() == 0 and weight.abs().max() == 0
    total, _ = splat(picture, constant(-0.5), picture)
    assert total.sum() == pytest.approx(HEIGHT * (WIDTH - 0.5))
