"""Lucas-Kanade at t = 1/2: sub-pixel on real texture, symmetric, and still where there is nothing to see."""

import pytest
import torch
from photographs import displacement, moved

from vfi_pipeline.estimation.lucas_kanade import LucasKanade, align, luma, refine_velocities

CELLS = (40, 56)
INNER = (..., slice(6, -6), slice(6, -6))


def field(dx: float, dy: float, batch: int = 1) -> torch.Tensor:
    """A constant velocity in cells of 4 px."""
    return torch.tensor([dx / 4, dy / 4]).view(1, 2, 1, 1).expand(batch, 2, *CELLS).contiguous()


@pytest.mark.parametrize("error", [(0.8, -0.5), (-1.2, 0.6), (0.0, 0.0)])
def test_a_velocity_that_is_wrong_by_a_pixel_becomes_right_to_a_twentieth(error):
    first, last = moved(0), moved(1)
    start = field(6 + error[0], -2 + error[1])
    settings = LucasKanade(steps=((2, 4), (1, 3)))
    for refined in refine_velocities(start, start, first, last, settings):
        missed = 4 * (refined - field(6, -2))[INNER].abs()
        assert missed.median() < 0.05 and missed.mean() < 0.12


def test_the_default_steps_go_most_of_the_way():
    first, last = moved(0), moved(1)
    start = field(6.7, -2.4)
    refined, _ = refine_velocities(start, start, first, last)
    assert (refined - field(6, -2))[INNER].norm(dim=1).mean() < 0.3 * (start - field(6, -2))[INNER].norm(dim=1).mean()


def test_both_fields_gain_the_same_and_swapping_the_frames_swaps_them():
    first, last = moved(0), moved(1)
    one, two = field(6.5, -2.0), field(5.5, -2.5)
    v, w = refine_velocities(one, two, first, last)
    torch.testing.assert_close(v - one, w - two, atol=1e-5, rtol=1e-4)
    back, forth = refine_velocities(-two, -one, last, first)
    torch.testing.assert_close(forth, -v, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(back, -w, atol=1e-3, rtol=1e-3)


def test_equal_frames_and_flat_ones_stay_where_they_are():
    still, picture = field(0, 0), moved(0)
    v, _ = refine_velocities(still, still, picture, picture)
    assert v.abs().max() < 1e-6
    grey = torch.full((1, 3, 160, 224), 0.4)
    v, _ = refine_velocities(still, still, grey, grey + 0.1)
    assert v.abs().max() < 1e-4


def test_no_step_is_longer_than_allowed():
    start = field(0, 0)  # 6 px away: beyond what a linearisation sees
    settings = LucasKanade(steps=((1, 1),), longest=0.1)
    v, _ = refine_velocities(start, start, moved(0), moved(1), settings)
    assert 0.05 < v.norm(dim=1).max() <= 0.1 + 1e-6


def test_one_step_solves_the_equation_of_a_ramp():
    """On a plane ``I(x) = s x`` moved by d the exact answer is d along x, and nothing along y."""
    x = torch.arange(224.0).view(1, 1, 1, -1).expand(1, 3, 160, 224) / 1000
    d = 0.4
    settings = LucasKanade(steps=((1, 1),), ridge=1e-12, robust=1e3)
    v, _ = refine_velocities(field(0, 0), field(0, 0), x, x - d / 1000, settings)
    torch.testing.assert_close(v[INNER], field(d, 0)[INNER], atol=1e-4, rtol=1e-3)


def test_each_pair_of_a_batch_is_refined_alone():
    first, last = moved(0), moved(1)
    start = field(6.5, -1.5, 2)
    both, _ = refine_velocities(start, start, torch.cat((first, last)), torch.cat((last, first)))
    alone, _ = refine_velocities(start[:1], start[:1], first, last)
    torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-5)


def test_luma_is_bt601():
    assert luma(torch.eye(3).view(1, 3, 1, 3)).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_other_pyramids_are_refused():
    with pytest.raises(ValueError, match="shrink of 1, 2 or 4"):
        LucasKanade(steps=((3, 1),))


@pytest.mark.parametrize("error", [(0.8, -0.5), (-1.2, 0.6)])
@pytest.mark.parametrize("cell", [2, 4])
def test_a_displacement_to_a_known_frame_becomes_nearly_right(error, cell):
    first, known = moved(0), moved(1)
    height, width = (n // cell for n in first.shape[-2:])
    # Content moves by displacement(0, 1); what pulls the first frame there is minus that.
    true = (-displacement(0, 1)).view(1, 2, 1, 1).expand(1, 2, height, width) / cell
    start = true + torch.tensor(error).view(1, 2, 1, 1) / cell

    aligned = align(start, first, known, LucasKanade(steps=((2, 6), (1, 10))))

    # Where there is texture all of it is found; a part of the photograph is flat.
    missed = cell * (aligned - true)[INNER].norm(dim=1)
    wrong = torch.tensor(error).norm()
    assert missed.median() < 0.15 * wrong and missed.mean() < 0.4 * wrong


def test_a_displacement_that_is_right_stays():
    still = torch.zeros(1, 2, 40, 56)
    assert align(still, moved(0), moved(0)).abs().max() < 1e-4
