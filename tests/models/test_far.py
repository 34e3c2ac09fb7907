"""Two pictures at full strength: known motions, true disparity, points, and what holds for every animation."""

import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.bench.dis import dis_flow
from vfi_pipeline.bench.pairs import TIMES, faded, median_error, moved, score, stereo, swirl, turn
from vfi_pipeline.geometry import compose, folding, pixel_grid
from vfi_pipeline.models.animation import animator, home_of, restored
from vfi_pipeline.models.far import Effort, FarAnimation, PictureFit, affine_field, shape, shares_of, tinted
from vfi_pipeline.models.fit import FitModel
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map

QUICK = PictureFit(effort=Effort(20, 10, 1e-2, 1, 0))


@pytest.fixture(scope="module")
def small():
    """32 px of a photograph, moved; its animation."""
    first, *_, last = (F.avg_pool2d(x, 4) for x in moved("astronaut", swirl))
    torch.manual_seed(0)
    return first, last, QUICK.solve(first, last)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.parametrize("velocity", [swirl, turn])
def test_a_known_motion_is_met_at_least_12_db_above_a_cross_fade(name, velocity):
    first, *true, last = moved(name, velocity)
    animation = PictureFit().solve(first, last)
    assert score([animation.frame(t) for t in TIMES], true) > 12 + score(faded(first, last), true)
    assert folding(animation.flow(1.0))[1] == 0


@pytest.mark.slow
def test_disparity_is_found_more_exactly_than_by_dis():
    left, right, true = stereo(4)
    found = median_error(PictureFit().solve(left, right).flow(1.0), true)
    assert found < median_error(dis_flow(left, right), true)
    assert found < median_error(dis_flow(left, right, finest=0), true)


def test_the_ends_are_the_pictures_bit_for_bit(small):
    first, last, animation = small
    assert torch.equal(animation.frame(0.0), first) and torch.equal(animation.frame(1.0), last)
    assert float((animation.frame(1e-6) - first).abs().max()) < 1e-3


def test_moved_pixels_have_no_new_colours(small):
    first, last, animation = small
    for t in (0.2, 0.5, 0.9):
        maps = animation.maps(t)
        for picture, side, flow in zip((first, last), animation.sides(t), (maps.there, maps.back)):
            at = pixel_grid(*flow.shape[-2:], like=flow) + flow
            column, row = (at[0, k].clamp(0, picture.shape[-1 - k] - 1) for k in (0, 1))
            corners = [
                picture[0, :, y.long(), x.long()]
                for x in (column.floor(), column.ceil())
                for y in (row.floor(), row.ceil())
            ]
            low, high = torch.stack(corners).amin(0), torch.stack(corners).amax(0)
            assert bool((side[0] >= low - 1e-4).all()) and bool((side[0] <= high + 1e-4).all())


def test_the_halves_of_the_way_meet(small):
    animation = small[2]
    inner = slice(6, -6)
    for s in (0.3, 0.5):
        joined = compose(animation.flow(s), animation.flow(1 - s))
        off = (joined - animation.flow(1.0))[..., inner, inner].norm(dim=1)
        assert off.mean() < 0.02 and off.max() < 0.1  # maps of 32 px are read between their pixels
    home = compose(animation.flow(1.0), animation.flow(-1.0))[..., inner, inner].norm(dim=1)
    assert home.mean() < 0.02 and home.max() < 0.1


def test_swapped_pictures_run_backwards(small):
    first, last, animation = small
    torch.manual_seed(0)
    other = QUICK.solve(last, first)
    assert -10 * torch.log10((animation.frame(0.3) - other.frame(0.7)).square().mean()) > 30


def test_the_same_seed_gives_the_same_animation(small):
    first, last, _ = small
    model = PictureFit(effort=Effort(10, 10, 1e-2, 1, 1))
    fields = []
    for _ in range(2):
        torch.manual_seed(3)
        fields.append(model.solve(first, last).velocity())
    assert torch.equal(*fields)


def test_identical_pictures_stand_still(small):
    first = small[0]
    animation = QUICK.solve(first, first.clone())
    assert animation.velocity().abs().max() == 0
    assert torch.equal(animation.frame(0.3), first)


def test_a_state_is_rendered_at_another_size(small):
    first, last, animation = small
    large = [F.interpolate(x, (64, 60), mode="bilinear") for x in (first, last)]
    again = restored(home_of(animation), animation.state(), *large)
    assert again.frame(0.5).shape == large[0].shape
    near = F.interpolate(animation.frame(0.5), (64, 60), mode="bilinear")
    assert (again.frame(0.5) - near).abs().mean() < 0.03
    same = restored(home_of(animation), animation.state(), first, last)
    assert torch.equal(same.frame(0.37), animation.frame(0.37))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (5, 7), (40, 17)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_and_channels(size, channels):
    first, last = torch.rand(2, 1, channels, *size)
    if channels == 4:
        first, last = (torch.cat((x[:, :3] * x[:, 3:], x[:, 3:]), dim=1) for x in (first, last))
    made = PictureFit(effort=Effort(2, 1, 1e-2, 1, 0)).solve(first, last).frame(0.5)
    assert made.shape == first.shape and bool(made.isfinite().all())
    assert made.min() >= 0 and made.max() <= 1 + 1e-6
    if channels == 4:
        assert bool((made[:, :3] <= made[:, 3:] + 1e-6).all())


def test_points_pull_what_nothing_else_tells():
    flat = torch.full((1, 3, 32, 40), 0.5)
    first, last = flat.clone(), flat.clone()
    last[..., 0, 0] = 0.6  # not the same picture
    source = torch.tensor([[10.0, 10.0], [30.0, 10.0], [20.0, 24.0]])
    model = PictureFit(effort=Effort(40, 40, 0, 0, 0))
    field = model.solve(first, last, points=(source, source + torch.tensor([4.0, -3.0]))).velocity()
    there = field[0, :, 10, 20]
    assert (there - torch.tensor([4.0, -3.0])).norm() < 0.5


def test_points_of_an_affine_map_give_its_field():
    matrix = torch.tensor([[1.1, -0.3], [0.2, 0.9]])
    source = torch.tensor([[2.0, 3.0], [30.0, 5.0], [12.0, 28.0], [25.0, 20.0]])
    goal = source @ matrix.T + torch.tensor([1.0, 2.0])
    field = affine_field(source, goal, 32, 40)
    flow = flow_map(SampledVelocity(field), source.T[None, :, None, :], 0.0, 1.0, Solver("rk4", 32))
    assert (source + flow[0, :, 0].T - goal).norm(dim=1)[1:].max() < 0.7  # a little of the identity is mixed in


def test_a_tint_is_a_group_and_is_undone():
    torch.manual_seed(0)
    image, tint = torch.rand(1, 3, 4, 5), torch.randn(1, 6, 4, 5) * 0.5
    tint[:, 0] = 0  # a gain of nothing
    halves = tinted(tinted(image, tint, 0.3), tint, 0.7)
    torch.testing.assert_close(halves, tinted(image, tint, 1.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(tinted(halves, tint, -1.0), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(tinted(image, tint, 1.0)[:, 0], image[:, 0] + tint[:, 3], atol=1e-5, rtol=0)


def test_shapes_hardly_see_light():
    picture = moved("astronaut", swirl)[0]
    darker = 0.5 * picture + 0.2  # gradients change by half, shapes only where there is hardly any contrast
    assert (shape(picture) - shape(darker)).abs().mean() < 0.25 * shape(picture).abs().mean()


def test_shares_add_up_and_go_to_who_earned_them():
    last = torch.ones(1, 1, 2, 2)
    worth = {"a": 0.6, "b": 0.2}
    found = shares_of(("a", "b"), lambda on: last * sum(worth[name] for name in on), last)
    assert sum(found.values()) == pytest.approx(1) and found["a"] > found["b"] > 0
    assert found["fade"] == pytest.approx(0.04)


def test_fit_is_at_full_strength_for_pictures(small):
    model = animator(FitModel(quality="best"))
    assert isinstance(model, PictureFit) and model.effort.most > QUICK.effort.most
    seen = []
    first, last, _ = small
    QUICK.solve(first, last, progress=lambda share, animation: seen.append((share, animation)))
    assert seen[-1][0] == 1.0 and isinstance(seen[-1][1], FarAnimation)
