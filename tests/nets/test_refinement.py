"""The last level: convex combinations of coarse velocities, swap symmetry, bilinear where it is untrained."""

import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.nets.flow import STATE
from vfi_pipeline.nets.refinement import NEIGHBOURS, Refinement


def inputs(seed: int = 0, batch: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = torch.randn(2 * batch, STATE, 12, 16)
    return {
        "first": torch.rand(batch, 3, 24, 32), "last": torch.rand(batch, 3, 24, 32), "state": state,
        "hidden": torch.randn(2 * batch, 6, 12, 16), "departed": torch.rand(2 * batch, 1, 12, 16),
    }  # fmt: skip


def lively(**options) -> Refinement:
    torch.manual_seed(1)
    net = Refinement(6, **options)
    for half in (net.head.same, net.head.other):
        torch.nn.init.normal_(half.weight, std=0.3)
    return net


def test_swapping_the_frames_swaps_and_reverses_what_is_refined():
    net, given = lively(context_channels=4, hidden=8), inputs()
    with torch.no_grad():
        forward = net(**given)
        swapped = net(
            given["last"], given["first"],
            *(given[name].roll(2, dims=0) for name in ("state", "hidden", "departed")),
        )  # fmt: skip
    assert forward.first.std() > 0.5
    torch.testing.assert_close(forward.first, -swapped.last, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(forward.visibility, -swapped.visibility, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(forward.visibility_rate, swapped.visibility_rate, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(forward.confidence, swapped.confidence, atol=1e-4, rtol=1e-4)


def test_an_untrained_level_interpolates_bilinearly():
    net = Refinement(6)
    coarse = torch.randn(2, 3, 7, 9)
    fine = net.upsample(coarse, torch.zeros(2, NEIGHBOURS, 14, 18))
    expected = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    assert (fine - expected).abs().max() < 0.05 * coarse.abs().max()  # the other weights are 0.3 %, not 0


@pytest.mark.parametrize("dy", [-1, 0, 1])
@pytest.mark.parametrize("dx", [-1, 0, 1])
def test_each_weight_chooses_its_neighbour(dy, dx):
    net = Refinement(6)
    coarse = torch.arange(5.0 * 6).view(1, 1, 5, 6)
    logits = torch.zeros(1, NEIGHBOURS, 10, 12)
    logits[:, 3 * (dy + 1) + dx + 1] = 100.0
    fine = net.upsample(coarse, logits)
    rows, columns = (torch.arange(5) + dy).clamp(0, 4), (torch.arange(6) + dx).clamp(0, 5)
    expected = coarse[0, 0][rows][:, columns].repeat_interleave(2, 0).repeat_interleave(2, 1)
    torch.testing.assert_close(fine[0, 0], expected)


def test_what_is_upsampled_stays_within_the_nine_values_around():
    net = Refinement(6)
    coarse, logits = torch.randn(1, 2, 8, 10), 5 * torch.randn(1, NEIGHBOURS, 16, 20)
    fine = net.upsample(coarse, logits)
    padded = F.pad(coarse, (1,) * 4, mode="replicate")
    high = F.max_pool2d(padded, 3, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    low = -F.max_pool2d(-padded, 3, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert bool(((fine <= high + 1e-5) & (fine >= low - 1e-5)).all())


def test_gradients_reach_every_weight():
    net, given = lively(context_channels=4, hidden=8), inputs(batch=1)
    refined = net(**given)
    (refined.first.square().mean() + refined.visibility.mean() + refined.visibility_rate.mean()
     + refined.confidence.mean()).backward()  # fmt: skip
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
