"""The rule by which two warped frames are mixed, against values worked by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.geometry import inside, synthesise, visible_weight, warp

SHARES = st.floats(0, 1)


def one(value):
    return torch.full((1, 1, 1, 1), float(value), dtype=torch.float64)


@pytest.mark.parametrize(
    "weight, in_first, in_last, expected",
    [
        (0.3, 1, 1, 0.3),  # both see it
        (0.3, 0, 0, 0.3),  # none does: the model's word
        (0.3, 1, 0, 1.0),
        (0.3, 0, 1, 0.0),
        (0.5, 1, 0.5, 0.75),  # half out: half of the other's weight
        (0.0, 0.5, 0, 0.5),
    ],
)
def test_a_side_that_leaves_the_frame_yields_to_the_other(weight, in_first, in_last, expected):
    assert visible_weight(one(weight), one(in_first), one(in_last)).item() == pytest.approx(expected)


@given(weight=SHARES, in_first=SHARES, in_last=SHARES)
def test_the_rule_is_the_same_for_either_order_of_the_frames(weight, in_first, in_last):
    forward = visible_weight(one(weight), one(in_first), one(in_last)).item()
    swapped = visible_weight(one(1 - weight), one(in_last), one(in_first)).item()
    assert forward == pytest.approx(1 - swapped, abs=1e-12) and 0 <= forward <= 1


def test_inside_falls_to_nothing_within_one_pixel_of_the_border():
    x = torch.tensor([-2.0, -1.0, -0.25, 0.0, 4.0, 9.0, 9.5, 10.0]).view(1, 1, 1, -1)
    position = torch.cat((x, torch.full_like(x, 3.0)), dim=1)
    assert inside(position, 7, 10).flatten().tolist() == [0, 0, 0.75, 1, 1, 1, 0.5, 0]
    assert inside(position.flip(1), 7, 10).flatten().tolist() == [0, 0, 0.75, 1, 1, 0, 0, 0]


def test_no_motion_and_the_plain_weight_is_the_cross_fade():
    first, last = torch.rand(2, 3, 5, 7), torch.rand(2, 3, 5, 7)
    still, weight = torch.zeros(2, 2, 5, 7), torch.full((2, 1, 5, 7), 0.75)
    made = synthesise(first, last, still, still, weight)
    assert torch.allclose(made.frame, torch.lerp(first, last, 0.25), atol=1e-6)


def test_without_confidence_in_the_motion_the_unmoved_frames_are_mixed():
    first, last = torch.rand(2, 3, 5, 7), torch.rand(2, 3, 5, 7)
    flow, weight = torch.full((2, 2, 5, 7), 1.5), torch.rand(2, 1, 5, 7)
    moved = synthesise(first, last, flow, -flow, weight).frame
    unmoved = weight * first + (1 - weight) * last
    for confidence in (0.0, 0.4, 1.0):
        made = synthesise(first, last, flow, -flow, weight, torch.full_like(weight, confidence)).frame
        assert torch.allclose(made, confidence * moved + (1 - confidence) * unmoved, atol=1e-6)


def test_what_enters_the_frame_comes_from_the_side_that_sees_it():
    first, last = torch.zeros(1, 1, 4, 8), torch.ones(1, 1, 4, 8)
    left = torch.zeros(1, 2, 4, 8)
    left[:, 0] = -3.0  # the first frame is read 3 px to the left, outside for the first three columns
    made = synthesise(first, last, left, torch.zeros_like(left), torch.full((1, 1, 4, 8), 0.5))
    assert made.frame[0, 0, 0].tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert torch.equal(made.from_first, warp(first, left))


def test_coarse_maps_are_in_pixels_of_their_own_grid():
    first = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 8, 16)
    flow = torch.zeros(1, 2, 4, 8)
    flow[:, 0] = 1.0  # one cell of the coarse grid is 2 px
    made = synthesise(first, first, flow, flow, torch.full((1, 1, 4, 8), 0.5))
    assert made.frame[0, 0, 0, :13].tolist() == pytest.approx([k + 2.0 for k in range(13)])


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(3)
    first, last = (torch.rand(1, 1, 4, 5, dtype=torch.float64) for _ in range(2))
    flows = [(0.4 * torch.rand(1, 2, 4, 5, dtype=torch.float64) + 0.2).requires_grad_() for _ in range(2)]
    weight, confidence = (torch.rand(1, 1, 4, 5, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(
        lambda u, v, w, c: synthesise(first, last, u, v, w, c).frame, (*flows, weight, confidence)
    )
