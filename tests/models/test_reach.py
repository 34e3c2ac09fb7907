"""What is too far for a search from coarse to fine: found, the same in both orders, and nothing else disturbed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data

from vfi_pipeline.models.dis import dis_flow
from vfi_pipeline.models.reach import distant_matches
from vfi_pipeline.models.search import look


def far_flows(first: torch.Tensor, last: torch.Tensor, preset: str) -> tuple[torch.Tensor, torch.Tensor]:
    found = look(first, last, preset=preset, far=True)
    return found.forward, found.backward


def rocks(height: int, width: int, x: int = 0, y: int = 0) -> torch.Tensor:
    """Many things that look alike: nothing coarse to hold on to."""
    whole = torch.from_numpy(np.array(data.gravel())).expand(1, 3, -1, -1).float() / 255
    return whole[..., 100 + y : 100 + y + height, 150 + x : 150 + x + width]


def missed(flow: torch.Tensor, x: float, y: float, margin: tuple[int, int]) -> float:
    """Share of the inner pixels whose flow is more than a pixel off."""
    inner = flow[..., margin[1] : -margin[1], margin[0] : -margin[0]]
    return float(((inner - torch.tensor([x, y]).view(1, 2, 1, 1)).square().sum(1) > 1).float().mean())


@pytest.mark.parametrize("move", [(70, 0), (-66, 14), (0, 50)])
def test_motion_by_a_quarter_of_the_picture_is_found(move):
    first, last = rocks(180, 240), rocks(180, 240, -move[0], -move[1])
    forward, backward = far_flows(first, last, "sparse")
    margin = abs(move[0]) + 10, abs(move[1]) + 10
    assert missed(dis_flow(first, last, "sparse", finest=0), *move, margin) > 0.9, "descent alone would have done"
    assert missed(forward, *move, margin) < 0.02
    assert missed(backward, -move[0], -move[1], margin) < 0.02


def test_swapping_the_pictures_swaps_the_flows_bit_for_bit():
    first, last = rocks(120, 200), rocks(120, 200, 23, -9).flip(-1) * 0.9
    forward, backward = far_flows(first, last, "sparse")
    assert all(torch.equal(a, b) for a, b in zip(far_flows(last, first, "sparse"), (backward, forward)))


def test_small_motion_is_what_descent_finds_and_no_motion_is_none():
    first, last = rocks(120, 200), rocks(120, 200, 2, 1)
    near = dis_flow(first, last, "sparse", finest=0)
    assert (far_flows(first, last, "sparse")[0] - near)[..., 5:-5, 5:-5].abs().max() < 0.1
    assert all(not flow.any() for flow in far_flows(first, first, "sparse"))


def test_pictures_without_anything_in_them_do_not_move():
    flat = torch.full((1, 1, 27, 48), 90.0)
    assert all(not flow.any() for flow in distant_matches(flat, flat + 30))


def test_light_and_contrast_do_not_matter():
    first, last = (F.avg_pool2d(rocks(144, 240, x)[:, :1], 6) * 255 for x in (0, -60))
    dimmed = distant_matches(first, 0.6 * last + 30)[0][..., 4:-4, 14:-14]
    assert dimmed[:, 0].median() == 10
    assert dimmed[:, 1].median() == 0


@pytest.mark.parametrize("size", [(3, 100), (100, 3), (97, 131), (1, 400)])
def test_any_size_gives_finite_flows_of_that_size(size):
    first = F.interpolate(rocks(200, 300), size, mode="area")
    for flow in far_flows(first, first.flip(-1), "sparse"):
        assert flow.shape == (1, 2, *size)
        assert torch.isfinite(flow).all()
