import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from vfi_pipeline.geometry import blur


@pytest.mark.parametrize("sigma", [0.8, 2.0, 3.4, 9.0])  # radius 2 and 5, 9 and 23: both ways of adding up
def test_blur_is_scipys_gaussian_with_the_border_drawn_out(sigma):
    image = torch.rand(2, 3, 31, 24, generator=torch.Generator().manual_seed(0))
    radius = int(2.5 * sigma + 0.5)
    expected = gaussian_filter(image.double().numpy(), sigma, axes=(2, 3), mode="nearest", radius=radius)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = blur(image.to(memory_format=layout), sigma).numpy()
        assert found.shape == image.shape and np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_blur_has_the_gradient_that_differences_say(sigma):
    image = torch.rand(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: blur(x, sigma), image)
