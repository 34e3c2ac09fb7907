"""The network that sees the true frame: identity at the start, and the same for either order of the frames."""

import pytest
import torch

from vfi_pipeline.geometry import synthesise
from vfi_pipeline.nets.teacher import PrivilegedTeacher


def scene(height: int = 32, width: int = 48):
    torch.manual_seed(0)
    first, last, target = (torch.rand(2, 3, height, width) for _ in range(3))
    flows = [torch.randn(2, 2, height // 2, width // 2) for _ in range(2)]
    return first, last, target, *flows, 0.1 + 0.8 * torch.rand(2, 1, height // 2, width // 2)


def test_it_begins_with_what_it_is_given():
    *frames, to_first, to_last, weight = scene()
    corrected = PrivilegedTeacher(8, 1)(*frames, to_first, to_last, weight)

    assert torch.equal(corrected[0], to_first) and torch.equal(corrected[1], to_last)
    torch.testing.assert_close(corrected[2], weight)


def test_swapped_frames_are_corrected_alike():
    teacher = PrivilegedTeacher(8, 2)
    for half in (teacher.head.same, teacher.head.other):
        torch.nn.init.normal_(half.weight, std=0.2)
    first, last, target, to_first, to_last, weight = scene()

    one = teacher(first, last, target, to_first, to_last, weight)
    two = teacher(last, first, target, to_last, to_first, 1 - weight)

    assert (one[0] - to_first).abs().max() > 0.05
    for a, b in zip(one, (two[1], two[0], 1 - two[2])):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_weight_of_one_frame_alone_keeps_its_gradient_finite(weight):
    teacher = PrivilegedTeacher(8, 1)
    first, last, target, to_first, to_last, share = scene()
    corrected = teacher(first, last, target, to_first, to_last, torch.full_like(share, weight))
    (synthesise(first, last, *corrected).frame - target).abs().mean().backward()

    assert all(torch.isfinite(p.grad).all() for p in teacher.parameters())


def test_it_learns_to_bring_the_frame_nearer_to_the_true_one():
    torch.manual_seed(1)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 14), (48, 56), mode="bicubic").clamp(0, 1)
    first, target, last = (smooth[..., 8:40, k : k + 48].contiguous() for k in (0, 4, 8))
    still = torch.zeros(1, 2, 16, 24)
    args = first, last, target, still, still, torch.full((1, 1, 16, 24), 0.5)
    teacher = PrivilegedTeacher(12, 1)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = (synthesise(first, last, *teacher(*args)).frame - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    assert losses[-1] < 0.6 * losses[0]
