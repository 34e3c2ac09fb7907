"""The flow model's contract: swap symmetry in t, cached features, any size, ends of the interval."""

import pytest
import torch

from vfi_pipeline.geometry import warp
from vfi_pipeline.models.flow import FlowModel, FlowMotion, maps_at
from vfi_pipeline.nets.flow import FlowNet, Velocities


@pytest.fixture(scope="module")
def model() -> FlowModel:
    torch.manual_seed(5)
    net = FlowNet(
        widths=(8, 8, 8), hidden=(6, 6, 6), handed=(4, 4), radii=(0, 1, 2), match=(4, 4, 4), stem=4, depth=(1, 1, 1)
    )
    for parameter in net.parameters():  # a livelier field than the careful initialisation gives
        parameter.data.mul_(1.2)
    return FlowModel(net)


def pictures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(1, 3, height, width), torch.rand(1, 3, height, width)


def test_swapped_frames_give_the_same_picture_at_one_minus_t(model):
    a, b = pictures(64, 96)
    model.reset()
    one = model.motion(a, b).at([0.3])[0]
    model.reset()
    other = model.motion(b, a).at([0.7])[0]

    assert one.there.abs().max() > 0.05
    torch.testing.assert_close(one.there, other.back, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.share, 1 - other.share, atol=1e-5, rtol=1e-4)


def test_cached_features_change_no_bit(model):
    a, b = pictures(64, 96)
    c = torch.rand(1, 3, 64, 96)
    model.reset()
    model.motion(a, b)
    cached = model.motion(b, c).at([0.4])[0]
    model.reset()
    fresh = model.motion(b, c).at([0.4])[0]

    assert torch.equal(cached.there, fresh.there) and torch.equal(cached.share, fresh.share)


@pytest.mark.parametrize("height, width", [(64, 96), (61, 90), (36, 130), (5, 7), (1, 1)])
def test_any_size_gives_maps_that_cover_the_frame(model, height, width):
    a, b = pictures(height, width)
    model.reset()
    made = model.motion(a, b).at([0.5])[0]

    assert made.there.shape[-2:] == (max(1, round(height / 4)), max(1, round(width / 4)))
    assert all(torch.isfinite(x).all() for x in (made.there, made.back, made.share))


def test_the_ends_of_the_interval_are_the_sources(model):
    a, b = pictures(64, 96)
    model.reset()
    start, end = model.motion(a, b).at([0.0, 1.0])

    assert start.there.abs().max() == 0 and (start.share == 1).all()
    assert end.back.abs().max() == 0 and (end.share == 0).all()


def test_all_times_come_from_one_solve(model):
    a, b = pictures(64, 96)
    model.reset()
    motion = model.motion(a, b)
    together = motion.at([0.25, 0.5, 0.75])
    model.reset()
    alone = model.motion(a, b).at([0.5])[0]

    torch.testing.assert_close(together[1].there, alone.there, atol=1e-4, rtol=1e-4)
    assert 0 < motion.report().nfe <= 2 * 2 * 4  # two fields, midpoint, at most four steps


def test_constant_velocity_moves_by_t_times_v():
    velocity = torch.zeros(1, 2, 20, 30)
    velocity[:, 0], velocity[:, 1] = 3.0, -2.0
    nothing = torch.zeros(1, 1, 20, 30)

    made = FlowMotion(Velocities(velocity, velocity, nothing, nothing), (20, 30)).at([0.25])[0]
    batch = maps_at(Velocities(velocity, velocity, nothing, nothing), torch.tensor([0.25]))

    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(made.there[inner], -0.25 * velocity[inner])
    torch.testing.assert_close(made.back[inner], 0.75 * velocity[inner])
    torch.testing.assert_close(made.share, torch.full_like(nothing, 0.75))
    torch.testing.assert_close(batch.there[inner], made.there[inner])


def test_a_moving_edge_meets_itself_in_the_middle():
    first = torch.zeros(1, 1, 16, 24)
    first[..., 8:] = 1
    last = torch.roll(first, 4, dims=3)
    velocity = torch.zeros(1, 2, 16, 24)
    velocity[:, 0] = 4
    nothing = torch.zeros(1, 1, 16, 24)

    made = FlowMotion(Velocities(velocity, velocity, nothing, nothing), (16, 24)).at([0.5])[0]

    inner = (..., slice(4, -4))
    torch.testing.assert_close(warp(first, made.there)[inner], warp(last, made.back)[inner])
