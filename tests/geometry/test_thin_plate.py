"""Thin-plate splines: exact answers, and scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.geometry.thin_plate import displacement, thin_plate


def pairs(count=9, seed=0):
    random = torch.Generator().manual_seed(seed)
    points = 60 * torch.rand(count, 2, generator=random, dtype=torch.float64)
    return points, points + 6 * torch.randn(count, 2, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("count", [3, 4, 16])
def test_control_points_are_met_without_smoothing(count):
    points, targets = pairs(count)
    assert (thin_plate(points, targets)(points) - targets).abs().max() < 1e-8


def test_it_is_scipys_spline_between_the_points():
    points, targets = pairs()
    at = torch.tensor(np.random.default_rng(1).uniform(-10, 70, (50, 2)))
    wanted = RBFInterpolator(points.numpy(), targets.numpy(), kernel="thin_plate_spline")(at.numpy())
    assert np.abs(thin_plate(points, targets)(at).numpy() - wanted).max() < 1e-6


def test_it_becomes_the_best_affine_map_as_smoothness_grows():
    points, targets = pairs(12)
    terms = torch.cat((torch.ones(12, 1), points), dim=1)
    best = torch.linalg.lstsq(terms, targets).solution
    at = 60 * torch.rand(20, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    affine = torch.cat((torch.ones(20, 1), at), dim=1) @ best
    misses = [float((thin_plate(points, targets, s)(at) - affine).abs().max()) for s in (0.0, 1.0, 1e3, 1e6)]
    assert misses[0] > 1 and misses[1] > misses[2] > misses[3] and misses[3] < 1e-3


@pytest.mark.parametrize("smoothness", [0.0, 0.1, 10.0])
def test_an_affine_map_is_found_whatever_the_smoothness(smoothness):
    points, _ = pairs(8)
    matrix = torch.tensor([[1.1, 0.2], [-0.1, 0.9]], dtype=torch.float64)
    targets = points @ matrix + torch.tensor([3.0, -2.0])
    at = torch.tensor([[0.0, 0.0], [100.0, -20.0], [31.5, 7.25]], dtype=torch.float64)
    assert (thin_plate(points, targets, smoothness)(at) - at @ matrix - torch.tensor([3.0, -2.0])).abs().max() < 1e-7


def test_a_displacement_field_is_the_spline_on_the_grid():
    points, targets = pairs()
    grid = pixel_grid(36, 52, like=torch.empty(0, dtype=torch.float64))
    spline = thin_plate(points, points + (targets - points) / 6, 0.05)  # moves of a pixel: smooth
    whole = displacement(spline, grid, coarse=1)
    at = grid[0].permute(1, 2, 0)
    assert (whole[0].permute(1, 2, 0) - (spline(at) - at)).abs().max() < 1e-9
    for coarse in (3, 4):
        close = displacement(spline, grid, coarse)
        assert close.shape == whole.shape and (close - whole).abs().max() < 0.15 > 10 * (close - whole).abs().mean()


@pytest.mark.parametrize(
    ("points", "match"),
    [
        ([[0.0, 0.0], [1.0, 0.0]], "three pairs"),
        ([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [5.0, 5.0]], "on a line"),
        ([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0], [5.0, 5.0]], "same"),
    ],
)
def test_points_that_no_spline_fits_are_refused(points, match):
    points = torch.tensor(points)
    with pytest.raises(ValueError, match=match):
        thin_plate(points, points)
