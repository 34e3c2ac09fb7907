"""Small things that move by more than their size, and what stands still in noise."""

import pytest
import torch
from skimage import data

from vfi_pipeline.geometry import warp
from vfi_pipeline.models.search import look, stilled
from vfi_pipeline.models.strays import matches, mended

HEIGHT, WIDTH = 240, 400


def scene(x: int, y: int, ball: int = 12, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    """A photograph with a bright blotched ball of that radius around (x, y)."""
    picture = torch.from_numpy(data.coffee()).permute(2, 0, 1)[None, :, :HEIGHT, :WIDTH].float() / 255 * 0.6
    down, across = torch.meshgrid(torch.arange(HEIGHT) - y, torch.arange(WIDTH) - x, indexing="ij")
    inside = down.square() + across.square() <= ball**2
    blotches = 0.8 + 0.2 * torch.sin(across / 3.0 + torch.sin(down / 4.0)) * torch.cos(down / 5.0)
    picture = torch.where(inside, blotches, picture)
    return (picture + noise * torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


def at(flow: torch.Tensor, x: int, y: int, radius: int = 6) -> list[float]:
    part = flow[0, :, y - radius : y + radius + 1, x - radius : x + radius + 1]
    return part.flatten(1).median(dim=1).values.tolist()


@pytest.mark.parametrize("way", [(33, 33), (-48, -30), (70, 4)])
def test_a_ball_that_moves_by_more_than_its_size_is_found_both_ways(way):
    first, last = scene(200, 110), scene(200 + way[0], 110 + way[1])
    pair = look(first, last)
    near, near_back = pair.forward, pair.backward
    assert abs(at(near, 200, 110)[0] - way[0]) + abs(at(near, 200, 110)[1] - way[1]) > 10, (
        "the search alone would have done"
    )

    forward, backward = mended(first, last, near, near_back, "sparse")

    assert at(forward, 200, 110) == pytest.approx(way, abs=1.0)
    assert at(backward, 200 + way[0], 110 + way[1]) == pytest.approx((-way[0], -way[1]), abs=1.0)
    elsewhere = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    elsewhere[..., 110 - 40 : 110 + 41, 200 - 40 : 200 + 41] = False
    assert torch.equal(forward * elsewhere, near * elsewhere)


def test_swapping_the_pictures_swaps_the_flows():
    first, last = scene(200, 110), scene(233, 143)
    pair = look(first, last)
    there = mended(first, last, pair.forward, pair.backward, "sparse")
    back = mended(last, first, pair.backward, pair.forward, "sparse")
    assert torch.equal(there[0], back[1]) and torch.equal(there[1], back[0])
    assert not torch.equal(there[0], pair.forward) and not torch.equal(there[1], pair.backward)


def test_what_appears_without_a_likeness_is_matched_with_nothing():
    first, last = scene(200, 110, ball=0), scene(205, 172)
    pair = look(first, last)
    forward, backward = mended(first, last, pair.forward, pair.backward, "sparse")
    assert torch.equal(forward, pair.forward) and torch.equal(backward, pair.backward)
    assert all(not len(part) for part in matches(torch.full((2, 1, 30, 50), 90.0), torch.zeros(2, 2, 30, 50)))


def test_what_stands_still_in_noise_has_no_motion_and_what_moves_slowly_keeps_it():
    first, last = scene(200, 110, noise=0.005, seed=1), scene(200, 110, noise=0.005, seed=2)
    found = look(first, last)
    flows = stilled(first, last, found.forward, found.backward)
    assert all(float((flow != 0).any(dim=1).float().mean()) < 0.1 for flow in flows)
    assert bool((found.forward != 0).any())

    slow = torch.full((1, 2, HEIGHT, WIDTH), 0.6)
    moved = warp(first, -slow)
    kept = stilled(first, moved, slow, -slow)[0]
    # Where the picture shows anything to see the motion by.
    detail = (first - moved).abs().mean(1) > 0.02
    assert float((kept[:, 0][detail] == 0.6).float().mean()) > 0.95


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 7)])
def test_tiny_pictures_are_left_as_they_are(size):
    first, last = torch.rand(2, 1, 3, *size, generator=torch.Generator().manual_seed(0)).split(1)
    pair = look(first[0], last[0], far=True)
    assert pair.forward.shape == (1, 2, *size) and bool(pair.forward.isfinite().all())
