"""What is measured of styles: on films whose motion and changes are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.style import Measured, table_text, warp_error
from benchmarks.style_checks import REGION, contrast_gap, hidden_film, pan_film, returned


def tensors(film):
    return [torch.from_numpy(np.ascontiguousarray(f)).permute(2, 0, 1)[None].float() / 255 for f in film]


def test_a_style_that_moves_with_the_film_has_no_warp_error_and_noise_has_its_own():
    own = tensors(pan_film(4, 4))
    steady = warp_error([1 - frame for frame in own], own)
    noise = [frame + 0.1 * torch.randn(frame.shape) for frame in own]
    flickering = warp_error(noise, own)
    assert steady < 4
    # Two independent frames; the warp averages the earlier one's noise a little.
    assert 255 * 0.1 < flickering < 255 * 0.1 * 2**0.5 + 4


def test_the_hidden_region_is_hidden_for_five_frames_and_comes_back():
    film = hidden_film()
    rows, columns = REGION
    assert np.array_equal(film[0], film[6])
    assert all((film[k][rows, columns] != film[0][rows, columns]).any(-1).mean() > 0.95 for k in range(1, 6))
    frames = tensors(film)
    assert returned(frames) == 0
    frames[-1] = frames[-1] + 0.1
    assert returned(frames) == pytest.approx(25.5, rel=1e-4)


def test_a_border_of_half_the_contrast_lacks_half():
    frame = torch.rand(1, 1, 96, 128).expand(1, 3, 96, 128).clone()
    weight = torch.full((96, 128), 0.5)
    weight[10:-10, 10:-10] = 1
    assert abs(contrast_gap([frame])) < 0.05
    assert contrast_gap([(frame - 0.5) * weight + 0.5]) == pytest.approx(0.5, abs=0.05)


def test_the_table_has_means_over_clips():
    text = table_text({"a": [Measured(1.0, 0.2, 0.3, 0.1, 4.0), Measured(3.0, 0.4, 0.5, 0.3, 6.0)]})
    assert text.splitlines()[-1] == "| a | 2.00 | 0.300 | 0.400 | 0.200 | 5.00 |"
