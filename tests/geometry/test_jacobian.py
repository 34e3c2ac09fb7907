"""Determinants of known maps, folds that are counted, and distances outside the frame."""

import math

import pytest
import torch
from fields import GRID, HEIGHT, WIDTH, rotation, shear, translation, zoom

from vfi_pipeline.geometry import folding, jacobian_determinant, outside


@pytest.mark.parametrize(
    "field, expected",
    [(translation(9, -4), 1), (rotation(0.7), 1), (shear(1.3), 1), (zoom(0.5), math.e), (zoom(-1), math.exp(-2))],
)
def test_the_determinant_of_a_linear_flow_is_that_of_its_matrix(field, expected):
    det = jacobian_determinant(field.displacement(GRID, 0.0, 1.0))
    assert det.shape == (1, 1, HEIGHT - 1, WIDTH - 1)
    assert torch.allclose(det, torch.full_like(det, expected))


def test_axes_are_not_mixed_up():
    flow = torch.zeros(1, 2, HEIGHT, WIDTH, dtype=torch.float64)
    flow[:, 0] = 0.5 * GRID[:, 0]  # x stretched by 1.5
    flow[:, 1] = -0.2 * GRID[:, 1]  # y shrunk to 0.8
    assert torch.allclose(jacobian_determinant(flow), torch.tensor(1.5 * 0.8, dtype=torch.float64))


def test_a_fold_is_found_where_it_is():
    flow = torch.zeros(2, 2, 6, 9)
    flow[1, 0, :, 4] = 1.5  # column 4 passes column 5
    smallest, share = folding(flow)
    assert smallest.tolist() == [1.0, -0.5] and share.tolist() == pytest.approx([0, 1 / 8])
    assert (jacobian_determinant(flow)[1, 0] <= 0).nonzero()[:, 1].unique().tolist() == [4]


def test_distance_outside_is_measured_in_pixels_and_zero_inside():
    flow = torch.zeros(1, 2, 4, 6)
    flow[0, 0, 0, 0], flow[0, 1, 3, 5], flow[0, 0, 1, 1] = -2.5, 1.25, 3
    far = outside(flow)
    assert far[0, 0, 0, 0] == 2.5 and far[0, 1, 3, 5] == 1.25 and far.sum() == 3.75
