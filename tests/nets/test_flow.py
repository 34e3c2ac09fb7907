"""The flow network: swap symmetry by construction, its budget, and its cost volume against a direct sum."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from vfi_pipeline.nets.flow import (
    FlowNet,
    SwapConv,
    Velocities,
    correlation,
    resize_state,
    reverse_correlation,
    warp_by_velocity,
)


def small_net() -> FlowNet:
    torch.manual_seed(3)
    return FlowNet(
        widths=(8, 8, 8),
        hidden=(6, 6, 6),
        context_channels=(4, 4),
        radii=(0, 1, 2),
        match=(4, 4, 4),
        stem=4,
        depth=(1, 1, 1),
    )


def test_swapping_the_frames_swaps_and_reverses_the_velocities():
    net = small_net()
    a, b = torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96)

    forward, _ = net(net.encode(a), net.encode(b))
    swapped, _ = net(net.encode(b), net.encode(a))

    for one, other in zip(map(Velocities.of_state, forward), map(Velocities.of_state, swapped)):
        assert one.first.abs().max() > 1e-3  # the untrained network does move something
        torch.testing.assert_close(one.first, -other.last, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.visibility, -other.visibility, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.visibility_rate, other.visibility_rate, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.acceleration, other.acceleration, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("learns", [True, False])
def test_a_swap_convolution_mixes_both_halves(learns):
    conv = SwapConv(2, 3)
    firsts, lasts = torch.rand(2, 4, 2, 5, 7)  # four pairs

    with torch.set_grad_enabled(learns):
        y = conv(torch.cat((firsts, lasts)))

    a, b = (torch.nn.functional.pad(x, (1,) * 4) for x in (firsts, lasts))
    torch.testing.assert_close(y[:4], conv.same(a) + conv.other(b))
    torch.testing.assert_close(y[4:], conv.same(b) + conv.other(a))


def test_a_swap_convolution_sees_that_its_weights_have_changed():
    conv, x = SwapConv(3, 4).eval(), torch.rand(2, 3, 6, 5)
    with torch.no_grad():
        before = conv(x)
        assert torch.equal(conv(x), before)
        conv.other.weight.add_(0.1)  # as an optimizer or a moving average does
        changed = conv(x)
        assert not torch.allclose(changed, before)
        conv.load_state_dict(SwapConv(3, 4).state_dict())
        loaded = conv(x)
        assert not torch.allclose(loaded, changed)
    assert torch.allclose(conv(x), loaded, atol=1e-6)  # what learns is computed anew each time
    assert torch.allclose(conv.double()(x.double()).float(), loaded, atol=1e-5)


@torch.no_grad()
def test_validation_sees_weights_that_a_replayed_graph_has_changed():
    conv, x = SwapConv(3, 4), torch.rand(2, 3, 6, 5)
    results = []
    for _ in range(2):
        results.append(conv.eval()(x))
        conv.train()
        conv.other.weight.data.add_(0.1)  # as a replay: no version counts it

    assert not torch.allclose(*results)
    assert torch.allclose(conv(x), conv.eval()(x), atol=1e-6)  # training without gradients keeps nothing


def test_correlation_peaks_where_the_content_has_moved():
    torch.manual_seed(0)
    first = torch.randn(1, 16, 12, 15)
    last = torch.roll(first, (1, -2), dims=(2, 3))  # content moves 1 down, 2 left

    cost = correlation(first, last, radius=2)[0, :, 4:-4, 4:-4]

    assert (cost.argmax(dim=0) == (1 + 2) * 5 + (-2 + 2)).all()


@pytest.mark.parametrize("radius", [1, 2, 3, 4])
def test_correlation_is_what_its_definition_says_both_ways(radius):
    torch.manual_seed(0)
    first, last = torch.randn(2, 2, 5, 9, 11)
    span = 2 * radius + 1
    padded = F.pad(last, (radius,) * 4)
    naive = [(first * padded[..., y : y + 9, x : x + 11]).mean(dim=1) for y in range(span) for x in range(span)]

    costs = correlation(first, last, radius)

    torch.testing.assert_close(costs, torch.stack(naive, dim=1))
    torch.testing.assert_close(reverse_correlation(costs, radius), correlation(last, first, radius))


def test_content_moves_with_the_velocity():
    image = torch.zeros(1, 1, 9, 11)
    image[..., 4, 3] = 1
    velocity = torch.zeros(1, 2, 9, 11)
    velocity[:, 0] = 4  # to the right

    moved = warp_by_velocity(image, velocity, 0.5)

    assert moved[0, 0, 4, 5] == 1 and moved.sum() == 1


def test_the_default_network_keeps_its_budget():
    net = FlowNet()
    picture = torch.zeros(1, 3, 704, 1280)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        net(net.encode(picture), net.encode(picture))

    assert sum(p.numel() for p in net.parameters()) <= 2_500_000
    assert flops.get_total_flops() <= 20e9 * 704 / 720


def test_coarsest_level_reaches_a_tenth_of_the_width():
    net = FlowNet()
    assert net.stride * net.levels[-1].radius >= 1280 / 10


def test_settings_hold_what_the_network_was_built_with():
    settings = small_net().settings
    assert FlowNet(**settings).settings == settings


def test_a_state_on_another_grid_keeps_its_motion_in_pixels_and_its_logits():
    state = torch.tensor([3.0, -2.0, 0.5, 0.1, 1.0, 2.0]).view(1, 6, 1, 1).expand(1, 6, 8, 12)
    finer = resize_state(state, 16, 36)
    assert finer[0, :, 5, 5].tolist() == pytest.approx([9.0, -4.0, 0.5, 0.1, 3.0, 4.0])
