"""Two pictures at full strength: known motions, true disparity, points, and what holds for every animation."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.pairs import TIMES, faded, median_error, moved, score, stereo, swirl, turn
from vfi_pipeline.animation.colour import apply_colour_change
from vfi_pipeline.animation.initialisation import Starts, affine_field, learned_velocity, starting_fields
from vfi_pipeline.animation.maps import animation_of, state_of
from vfi_pipeline.animation.motion_animation import animator
from vfi_pipeline.animation.objective import oriented_gradients
from vfi_pipeline.animation.optimiser import QUALITY, Effort
from vfi_pipeline.animation.picture_fit import FieldAnimation, PictureFit, picture_fit
from vfi_pipeline.animation.shares import shapley_shares
from vfi_pipeline.evaluation.dis import dis_flow
from vfi_pipeline.geometry import compose, folding, pixel_grid
from vfi_pipeline.models import flow as flow_model
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map

QUICK = PictureFit(effort=Effort(20, 10, 1e-2, Starts(0, 0)))


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
        for picture, side, flow in zip((first, last), animation.sides(t), (maps.flow_to_first, maps.flow_to_last)):
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
    model = PictureFit(effort=Effort(10, 10, 1e-2, Starts(0, 1)))
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
    again = animation_of(*state_of(animation), *large)
    assert again.frame(0.5).shape == large[0].shape
    near = F.interpolate(animation.frame(0.5), (64, 60), mode="bilinear")
    assert (again.frame(0.5) - near).abs().mean() < 0.03
    same = animation_of(*state_of(animation), first, last)
    assert torch.equal(same.frame(0.37), animation.frame(0.37))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (5, 7), (40, 17)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_and_channels(size, channels):
    first, last = torch.rand(2, 1, channels, *size)
    if channels == 4:
        first, last = (torch.cat((x[:, :3] * x[:, 3:], x[:, 3:]), dim=1) for x in (first, last))
    made = PictureFit(effort=Effort(2, 1, 1e-2, Starts(0, 0))).solve(first, last).frame(0.5)
    assert made.shape == first.shape and bool(made.isfinite().all())
    assert made.min() >= 0 and made.max() <= 1 + 1e-6
    if channels == 4:
        assert bool((made[:, :3] <= made[:, 3:] + 1e-6).all())


def test_points_pull_what_nothing_else_tells():
    flat = torch.full((1, 3, 32, 40), 0.5)
    first, last = flat.clone(), flat.clone()
    last[..., 0, 0] = 0.6  # not the same picture
    source = torch.tensor([[10.0, 10.0], [30.0, 10.0], [20.0, 24.0]])
    model = PictureFit(effort=Effort(40, 40, 0, Starts(0, 0)))
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
    halves = apply_colour_change(apply_colour_change(image, tint, 0.3), tint, 0.7)
    torch.testing.assert_close(halves, apply_colour_change(image, tint, 1.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(apply_colour_change(halves, tint, -1.0), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(apply_colour_change(image, tint, 1.0)[:, 0], image[:, 0] + tint[:, 3], atol=1e-5, rtol=0)


def test_shapes_hardly_see_light():
    picture = moved("astronaut", swirl)[0]
    darker = 0.5 * picture + 0.2  # gradients change by half, shapes only where there is hardly any contrast
    shape, other = oriented_gradients(picture), oriented_gradients(darker)
    assert (shape - other).abs().mean() < 0.25 * shape.abs().mean()


def test_shares_add_up_and_go_to_who_earned_them():
    last = torch.ones(1, 1, 2, 2)
    worth = {"a": 0.6, "b": 0.2}
    found = shapley_shares(("a", "b"), lambda on: last * sum(worth[name] for name in on), last)
    assert sum(found.values()) == pytest.approx(1) and found["a"] > found["b"] > 0
    assert found["fade"] == pytest.approx(0.04)


def test_progress_ends_with_the_animation(small):
    seen = []
    first, last, _ = small
    QUICK.solve(first, last, progress=lambda share, animation: seen.append((share, animation)))
    assert seen[-1][0] == 1.0 and isinstance(seen[-1][1], FieldAnimation)
    assert animator(QUICK) is QUICK


class KnownVelocity:
    """A motion model that knows the answer: a velocity on the grid of the pictures it sees, of 20 px by 24."""

    name, guide_span = "known", 24

    def __init__(self, velocity):
        self.velocity = velocity

    def motion(self, window):
        assert window.first.guide(self.guide_span).shape[-2:] == (20, 24)
        return MotionFrom(self.velocity)


def constant(dx, dy):
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, 20, 24)


class MotionFrom:
    def __init__(self, velocity):
        self.velocity = velocity

    def at(self, times):
        weight = torch.full_like(self.velocity[:, :1], 0.5)
        return [IntermediateMotion(t, -t * self.velocity, (1 - t) * self.velocity, weight) for t in times]

    def report(self):
        return MotionReport(0, 1.0, 0.0)


def test_a_learned_flow_is_one_of_the_starts():
    first, last = torch.rand(2, 1, 3, 40, 48)
    learned = learned_velocity(KnownVelocity(constant(3.0, -1.0)), first, last)
    fields = starting_fields(first, last, Starts(0, 0), learned)

    assert len(fields) == 2 and not fields[0].any()
    # Told in pixels of pictures of 24 px, used on 48.
    torch.testing.assert_close(fields[1], torch.tensor([6.0, -2.0]).view(1, 2, 1, 1).expand_as(fields[1]))
    assert len(starting_fields(first, last, Starts(2, 1))) == 4


def test_a_learned_flow_leads_where_standing_still_does_not():
    ground = F.avg_pool2d(torch.rand(1, 3, 42, 62), 3, stride=1)  # grain tells nothing of where it goes from afar
    first, true, last = (ground[..., left : left + 48].contiguous() for left in (10, 5, 0))
    effort = Effort(20, 10, 1e-2, Starts(0, 0))

    def miss(model):
        animation = PictureFit(effort=effort, initial_flow=model).solve(first, last)
        return float((animation.frame(0.5) - true)[..., 12:-12].square().mean())

    assert miss(KnownVelocity(constant(5.0, 0.0))) < 0.1 * miss(None)


def test_identical_pictures_ask_no_model(small):
    class Refusing(KnownVelocity):
        def motion(self, window):
            raise AssertionError("there is nothing to estimate")

    model = PictureFit(effort=QUICK.effort, initial_flow=Refusing(constant(0.0, 0.0)))
    assert not model.solve(small[0], small[0].clone()).velocity().any()


def test_a_better_quality_works_longer():
    efforts = [QUALITY[name] for name in ("draft", "balanced", "best")]
    assert all(
        a.max_steps < b.max_steps and a.starts.similarities < b.starts.similarities
        for a, b in zip(efforts, efforts[1:])
    )
    assert all(a.tolerance > b.tolerance for a, b in zip(efforts, efforts[1:]))


def test_the_configured_model_starts_at_the_learned_flow(monkeypatch):
    known = {"flow": KnownVelocity(constant(1.0, 1.0))}
    monkeypatch.setattr(flow_model, "load_flow", lambda name, device: known[name])
    model = picture_fit(320, "best", None, "cpu")
    assert model.initial_flow is known["flow"]
    assert model.guide_span == 320 and model.effort == QUALITY["best"]
    assert picture_fit(iterations=7).effort.max_steps == 7
    for mistake in ({"quality": "good"}, {"iterations": 0}):
        with pytest.raises(ValueError, match="quality|iterations"):
            picture_fit(**mistake)
