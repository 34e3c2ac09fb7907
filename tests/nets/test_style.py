"""The style network: contrast, batch, size, and what an unknown earlier frame does."""

from __future__ import annotations

import pytest
import torch

from vfi_pipeline.nets.style import StyleNet, instance_normalised


@pytest.fixture()
def net():
    torch.manual_seed(3)
    return StyleNet((8, 12, 16), blocks=2).eval().requires_grad_(False)


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.2), (0.3, 0.0), (1.0, -0.1), (0.25, 0.7)])
def test_brightness_and_contrast_do_not_change_the_result(net, gain, offset):
    image = 0.1 + 0.8 * torch.rand(1, 3, 37, 50)
    assert (net(gain * image + offset) - net(image)).abs().max() < 2e-3


def test_a_sample_does_not_depend_on_its_batch(net):
    batch = torch.rand(3, 3, 32, 40)
    assert (net(batch)[1:2] - net(batch[1:2])).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(481, 853), (1, 1), (2, 3), (5, 64), (33, 31)])
def test_any_size_comes_back(net, size):
    made = net(torch.rand(1, 3, *size))
    assert made.shape == (1, 3, *size) and torch.isfinite(made).all() and 0 <= made.min() and made.max() <= 1


def test_an_earlier_frame_counts_only_where_the_mask_is_set(net):
    image, earlier = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    nowhere, half = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    half[..., :16] = 1
    assert torch.equal(net(image, earlier, nowhere), net(image))
    assert not torch.allclose(net(image, earlier, half), net(image), atol=1e-4)
    hidden = earlier.clone()
    hidden[..., 16:] = 0.123  # behind the mask
    assert torch.equal(net(image, hidden, half), net(image, earlier, half))


def test_with_an_earlier_frame_contrast_still_does_not_matter(net):
    image, earlier, mask = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    assert (net(0.5 * image + 0.1, earlier, mask) - net(image, earlier, mask)).abs().max() < 2e-3


def test_instance_normalisation_is_torchs():
    x = torch.rand(2, 3, 7, 9, dtype=torch.float64)
    assert torch.allclose(instance_normalised(x, 1e-5), torch.nn.functional.instance_norm(x, eps=1e-5), atol=1e-12)
    assert instance_normalised(torch.full((1, 2, 4, 4), 0.3)).abs().max() < 1e-3
