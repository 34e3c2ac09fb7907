"""Unexplained features are matched about the middle: a small thing that jumps is found, still ground stays."""

import pytest
import torch

from vfi_pipeline.nets.flow import STATE
from vfi_pipeline.nets.matching import Matching, bilateral_costs, match_unexplained
from vfi_pipeline.ode import Solver, stationary_flow

ROWS, COLUMNS, CHANNELS = 32, 48, 24


def ground(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (unit length after normalisation) and colours of a textured still background: neighbours are alike."""
    generator = torch.Generator().manual_seed(seed)
    shade = 0.3 * torch.randn(1, CHANNELS, ROWS, COLUMNS, generator=generator)
    return (
        torch.randn(1, CHANNELS, 1, 1, generator=generator) + shade,
        0.3 + 0.1 * torch.rand(1, 3, ROWS, COLUMNS, generator=generator),
    )


def with_ball(at: tuple[int, int], size: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The ground with a square of ``size`` cells of its own colour and features, its first cell at (row, column)."""
    features, colours = (part.clone() for part in ground(seed))
    generator = torch.Generator().manual_seed(99)
    y, x = at
    shade = 0.3 * torch.randn(1, CHANNELS, size, size, generator=generator)
    features[..., y : y + size, x : x + size] = torch.randn(1, CHANNELS, 1, 1, generator=generator) + shade
    colours[..., y : y + size, x : x + size] = torch.tensor([0.9, 0.9, 0.1]).view(1, 3, 1, 1)
    return features, colours


def still() -> torch.Tensor:
    return torch.zeros(2, STATE, ROWS, COLUMNS)


@pytest.mark.parametrize("way", [(0, 8), (4, -6), (-8, 4), (2, 10)])
def test_a_ball_that_jumps_gets_its_velocity_half_way_and_the_ground_none(way):
    dy, dx = way
    start, middle = (14, 22), (14 + dy // 2, 22 + dx // 2)
    first, last = with_ball(start), with_ball((start[0] + dy, start[1] + dx))
    matched = match_unexplained((first[0], last[0]), (first[1], last[1]), still())

    velocity = matched.state[:1, :2]
    inner = velocity[0, :, middle[0] : middle[0] + 3, middle[1] : middle[1] + 3].flatten(1)
    # To about a cell each way: neighbouring cells of a thing are alike. Lucas-Kanade takes it from there.
    torch.testing.assert_close(inner.mean(dim=1), torch.tensor([float(dx), float(dy)]), atol=2.0, rtol=0)
    torch.testing.assert_close(matched.state[1:, :2], -velocity)
    # Its whole way has that velocity, and nothing else: the flow of the field takes it from end to end.
    moving = velocity.abs().amax(dim=1)[0] > 0.1
    assert 9 <= int(moving.sum()) <= 25 + 5 * (abs(dx) + abs(dy))
    path = stationary_flow(-velocity, 0.5, Solver("midpoint", steps=8))[0, :, middle[0] + 1, middle[1] + 1]
    torch.testing.assert_close(path, torch.tensor([-dx / 2, -dy / 2]), atol=1.0, rtol=0)
    # Where the ball was, the first frame does not show what is there half-way.
    assert matched.departed[0, 0, start[0] + 1, start[1] + 1] > 3 * matched.departed[0, 0, 2, 2] + 0.01


def test_swapping_the_frames_swaps_the_halves():
    first, last = with_ball((10, 20)), with_ball((12, 28))
    forward = match_unexplained((first[0], last[0]), (first[1], last[1]), still())
    swapped = match_unexplained((last[0], first[0]), (last[1], first[1]), still())
    torch.testing.assert_close(forward.state, swapped.state.roll(1, dims=0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(forward.departed, swapped.departed.roll(1, dims=0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["nothing moves", "another scene", "moving ground", "explained"])
def test_nothing_is_replaced_where_no_small_thing_jumps(kind):
    first, last, state = with_ball((10, 20)), with_ball((12, 28)), still()
    if kind == "nothing moves":
        last = first
    if kind == "another scene":
        last = ground(7)[0], ground(7)[1] + 0.3
    if kind == "moving ground":
        state[:1, :2], state[1:, :2] = 2.0, -2.0
    if kind == "explained":  # the motion so far knows of the ball
        state[0, :2, 10:15, 20:31] = torch.tensor([8.0, 2.0]).view(2, 1, 1)
        state[1, :2] = -state[0, :2]
    matched = match_unexplained((first[0], last[0]), (first[1], last[1]), state)
    assert (matched.state - state).abs().max() < (0.5 if kind == "explained" else 1e-6)
    if kind != "explained":
        assert matched.departed.abs().max() == 0


def test_each_pair_of_a_batch_is_matched_alone():
    scenes = [(with_ball((10, 20)), with_ball((12, 28))), (ground(3), ground(3))]
    batch = [
        tuple(torch.cat([pair[side][kind] for pair in scenes]) for side in range(2)) for kind in range(2)
    ]  # features, colours
    state = torch.zeros(4, STATE, ROWS, COLUMNS)
    both = match_unexplained(*batch, state)
    alone = match_unexplained(*(tuple(scenes[0][side][kind] for side in range(2)) for kind in range(2)), still())
    torch.testing.assert_close(both.state[[0, 2]], alone.state)
    assert both.state[[1, 3]].abs().max() == 0 and both.departed[[1, 3]].abs().max() == 0


@pytest.mark.parametrize("radius, step", [(1, 1), (2, 1), (2, 2)])
def test_the_cost_volume_is_what_its_definition_says(radius, step):
    first, last = torch.randn(2, 1, 4, 7, 9)
    costs = bilateral_costs(first, last, radius, step)
    line = range(-radius * step, radius * step + 1, step)
    for index, (dy, dx) in enumerate((dy, dx) for dy in line for dx in line):
        for y, x in ((3, 4), (0, 0), (6, 8)):
            inside = 0 <= y - dy < 7 and 0 <= y + dy < 7 and 0 <= x - dx < 9 and 0 <= x + dx < 9
            true = (first[0, :, y - dy, x - dx] @ last[0, :, y + dy, x + dx]).item() if inside else 0.0
            assert costs[0, index, y, x].item() == pytest.approx(true, abs=1e-5)


def test_values_are_settings():
    first, last = with_ball((10, 20)), with_ball((12, 28))
    strict = Matching(score=(2.0, 3.0))
    matched = match_unexplained((first[0], last[0]), (first[1], last[1]), still(), strict)
    assert matched.state.abs().max() == 0
