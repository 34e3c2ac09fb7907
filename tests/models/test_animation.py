"""Animations of pairs: exact ends, content that goes the right way, and the same again from what a file keeps."""

import math

import pytest
import torch

from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.models.animation import (
    FieldMotion,
    MotionAnimation,
    MotionAnimator,
    SampledMotion,
    animate_one,
    animator,
    blended,
    home_of,
    looked_at,
    restored,
)  # fmt: skip
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.fit import FitModel
from vfi_pipeline.models.flow import FlowInterpolator, FlowModel
from vfi_pipeline.models.motion import Inbetween
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import FIELDS
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Solver

HEIGHT, WIDTH = 48, 64
MOVE = (4.0, -3.0)


def scene(dx: float, dy: float, channels: int = 3) -> torch.Tensor:
    """Smooth waves whose content lies (dx, dy) px further right and down."""
    x, y = pixel_grid(HEIGHT, WIDTH, like=torch.empty(0)).unbind(dim=1)
    x, y = x - dx, y - dy
    waves = [torch.sin(x / 5 + k) * torch.cos(y / 6 - k) + 0.4 * torch.sin((x + y) / 9) for k in range(channels)]
    return (0.5 + 0.3 * torch.stack(waves, dim=1)).clamp(0, 1)


def node(kind: str = "svf", sides: str = "first", conditioning: str = "first") -> WarpingODE:
    torch.manual_seed(0)
    field = FIELDS[kind](conditioning=conditioning, unet=UNetShape(widths=(8, 12), final=8, head=1.0))
    return WarpingODE(field, sides, Solver("rk4", 6), guide_span=32)


def flow() -> FlowModel:
    torch.manual_seed(0)
    whole = FlowInterpolator()
    with torch.no_grad():
        for parameter in whole.net.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return FlowModel(whole.net, 64)


MODELS = {
    "blend": Blend,
    "fit": lambda: FitModel(quality="draft"),
    "flow": flow,
    "group": lambda: node(sides="group"),
    "both": lambda: node(sides="both", conditioning="both"),
    "state": lambda: node("state"),
    "time": lambda: node("time", sides="group"),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_ends_are_the_pictures_bit_for_bit(name, channels):
    first, last = scene(0, 0, channels), scene(*MOVE, channels)
    animation = MotionAnimator(MODELS[name]()).solve(first, last)

    assert torch.equal(animation.frame(0), first) and torch.equal(animation.frame(1), last)
    middle = animation.frame(0.5)
    assert middle.shape == first.shape and 0 <= middle.min() and middle.max() <= 1


@pytest.mark.parametrize("name", MODELS)
def test_what_a_file_keeps_makes_the_same_frames(name):
    first, last = scene(0, 0), scene(*MOVE)
    animation = MotionAnimator(MODELS[name]()).solve(first, last)
    frames = [animation.frame(t) for t in (0.125, 0.3, 0.9)]

    again = restored(home_of(animation), animation.state(), first, last)

    for t, frame in zip((0.125, 0.3, 0.9), frames):
        assert (again.frame(t) - frame).abs().max() < 2e-3
    assert all(isinstance(value, torch.Tensor) for value in animation.state().values())


def test_a_file_renders_larger_pictures_of_the_same_thing():
    first, last = scene(0, 0), scene(*MOVE)
    animation = MotionAnimator(FitModel(quality="draft")).solve(first, last)
    double = [torch.nn.functional.interpolate(p, scale_factor=2, mode="bilinear") for p in (first, last)]

    large = restored(home_of(animation), animation.state(), *double).frame(0.5)

    small = torch.nn.functional.avg_pool2d(large, 2)
    assert large.shape[-2:] == (2 * HEIGHT, 2 * WIDTH)
    assert (small - animation.frame(0.5))[..., 6:-6, 6:-6].abs().max() < 0.05


def test_the_velocity_points_where_the_content_goes():
    animation = MotionAnimator(FitModel(quality="draft")).solve(scene(0, 0), scene(*MOVE))
    inner = animation.velocity()[..., 12:-12, 12:-12]

    assert torch.allclose(inner.mean(dim=(0, 2, 3)), torch.tensor(MOVE), atol=0.3)
    true = scene(MOVE[0] / 2, MOVE[1] / 2)
    error = (animation.frame(0.5) - true)[..., 8:-8, 8:-8].square().mean()
    assert -10 * math.log10(float(error)) > 35


def test_asking_ahead_changes_nothing():
    animation = MotionAnimator(FitModel(quality="draft")).solve(scene(0, 0), scene(*MOVE))
    alone = [animation.frame(t) for t in (0.2, 0.4, 0.6)]
    animation.expect([0.2, 0.4, 0.6])

    for t, frame in zip((0.2, 0.4, 0.6), alone):
        assert (animation.frame(t) - frame).abs().max() < 2e-3


def test_beyond_an_end_only_the_nearer_picture_is_shown():
    first, last = torch.zeros(1, 3, HEIGHT, WIDTH), torch.ones(1, 3, HEIGHT, WIDTH)
    still = torch.zeros(1, 2, HEIGHT, WIDTH)
    animation = MotionAnimation(FieldMotion(still, still, Solver()), first, last)

    assert torch.equal(animation.frame(-0.5), first) and torch.equal(animation.frame(1.5), last)
    assert torch.allclose(animation.frame(0.25), torch.full_like(first, 0.25))


def test_one_picture_moves_by_the_exact_flow_both_ways():
    """A field that moves the pull position by (2, 0) px per unit t: the content moves left by 2 t."""

    class Constant(torch.nn.Module):
        conditioning, kind = "first", "svf"

    field = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)
    model = type("Model", (), {"field": Constant(), "sides": "first", "guide_span": None})()
    model.motion = lambda first, last: FieldMotion(field, None, Solver())
    picture = scene(0, 0)

    for backward, t, dx in ((False, 1.0, -2), (True, 1.0, 2), (False, 1.5, -3), (False, -0.5, 1)):
        animation = animate_one(model, picture, backward)
        made, true = animation.frame(t), scene(dx, 0)
        assert (made - true)[..., 6:-6].abs().max() < 1e-5, (backward, t)
    assert torch.equal(animate_one(model, picture).frame(0), picture)


def test_one_picture_needs_a_model_that_animates_one():
    picture = scene(0, 0)
    with pytest.raises(UserError, match="needs two pictures"):
        animate_one(Blend(), picture)
    with pytest.raises(UserError, match="look at both pictures"):
        animate_one(node(sides="both", conditioning="both"), picture)


def test_points_are_refused_where_nothing_can_use_them():
    points = torch.zeros(1, 2), torch.zeros(1, 2)
    with pytest.raises(UserError, match="model=blend takes no points"):
        animator(Blend()).solve(scene(0, 0), scene(*MOVE), points=points)


def test_a_side_that_leaves_the_frame_yields_to_the_other():
    first, last = torch.zeros(1, 1, 8, 20), torch.ones(1, 1, 8, 20)
    there = torch.zeros(1, 2, 8, 20)
    there[:, 0, :, :5] = -10  # pulled from outside, on the left
    maps = Inbetween(0.5, there, torch.zeros_like(there), torch.full((1, 1, 8, 20), 0.5))

    made = blended(first, last, maps)

    assert (made[..., :5] == 1).all() and (made[..., 5:] == 0.5).all()


def test_a_sampled_motion_is_exact_for_a_motion_quadratic_in_time():
    times = torch.linspace(0, 1, 9).view(-1, 1, 1, 1)
    there = (3 * times**2 - times).expand(-1, 2, 4, 4)
    share = (1 - times).expand(-1, 1, 4, 4)
    (made,) = SampledMotion(there, there, share).at([0.4321])

    # Exact inside; at the ends the interpolation goes straight on.
    assert torch.allclose(made.there, torch.full((1, 2, 4, 4), 3 * 0.4321**2 - 0.4321), atol=1e-5)
    assert torch.allclose(made.share, torch.full((1, 1, 4, 4), 1 - 0.4321), atol=1e-6)
    with pytest.raises(ValueError, match="hold t from 0 to 1"):
        SampledMotion(there, there, share).at([1.2])


def test_models_see_colours_over_grey_and_no_more_than_their_span():
    see_through = torch.zeros(1, 4, 40, 80)
    assert torch.equal(looked_at(see_through, 40), torch.full((1, 3, 20, 40), 0.5))
    assert looked_at(torch.rand(1, 1, 40, 80), 200).shape == (1, 3, 40, 80)
    assert looked_at(torch.rand(1, 1, 40, 80), None).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("home", ["os", "vfi_pipeline.errors", "", "vfi_pipeline.models.checkpoint"])
def test_a_file_cannot_name_any_module(home):
    with pytest.raises(ValueError, match="no kind of maps"):
        restored(home, {}, scene(0, 0), scene(0, 0))


def test_a_state_that_fits_nothing_is_told():
    for state in ({}, {"fit.fields": torch.zeros(2)}, {"unknown.v": torch.zeros(1)}):
        with pytest.raises(ValueError, match="maps"):
            restored("vfi_pipeline.models.animation", state, scene(0, 0), scene(0, 0))


def test_a_model_that_solves_pairs_is_taken_as_it_is():
    model = type("Pairs", (), {"solve": lambda self, first, last, **_: None})()

    assert animator(model) is model and isinstance(animator(Blend()), MotionAnimator)
