"""Animations of pairs: exact ends, content that goes the right way, and the same again from what a file keeps."""

import math

import pytest
import torch

from vfi_pipeline.animation.maps import animation_of, state_of
from vfi_pipeline.animation.motion_animation import (
    MotionAnimation,
    MotionAnimator,
    animate_single,
    animator,
    frame_of,
)
from vfi_pipeline.animation.saved_motion import SampledMotion, StationaryMotion
from vfi_pipeline.animation.sizes import guide_image
from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.flow import FlowModel
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.models.hold import Hold
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
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
    whole = FlowInterpolator(guide_span=64, network_span=64)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return FlowModel(whole)


class Known:
    """A motion model that is told how far the content moves, px of the whole pictures, and how far it is believed."""

    name = "known"

    def __init__(self, move=MOVE, confidence=None, guide_span=WIDTH // 2) -> None:
        self.move, self.confidence, self.guide_span = move, confidence, guide_span

    def motion(self, window: Window) -> "Known.Motion":
        height, width = window.first.guide(self.guide_span).shape[-2:]
        move = torch.tensor(self.move).view(1, 2, 1, 1) * (width / WIDTH)
        return Known.Motion(move.expand(1, 2, height, width), self.confidence)

    class Motion:
        def __init__(self, velocity, confidence) -> None:
            self.velocity, self.confidence = velocity, confidence

        def at(self, times):
            v, like = self.velocity, self.velocity[:, :1]
            sure = None if self.confidence is None else torch.full_like(like, self.confidence)
            return [IntermediateMotion(t, -t * v, (1 - t) * v, torch.full_like(like, 1 - t), sure) for t in times]

        def report(self) -> MotionReport:
            return MotionReport(0, 1.0, 0.0)


MODELS = {
    "blend": Blend,
    "hold": Hold,
    "known": Known,
    "doubted": lambda: Known(confidence=0.4),
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

    kind, state = state_of(animation)
    again = animation_of(kind, state, first, last)

    for t, frame in zip((0.125, 0.3, 0.9), frames):
        assert (again.frame(t) - frame).abs().max() < 2e-3
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_a_file_renders_larger_pictures_of_the_same_thing():
    first, last = scene(0, 0), scene(*MOVE)
    animation = MotionAnimator(Known()).solve(first, last)
    double = [torch.nn.functional.interpolate(p, scale_factor=2, mode="bilinear") for p in (first, last)]

    large = animation_of(*state_of(animation), *double).frame(0.5)

    small = torch.nn.functional.avg_pool2d(large, 2)
    assert large.shape[-2:] == (2 * HEIGHT, 2 * WIDTH)
    assert (small - animation.frame(0.5))[..., 6:-6, 6:-6].abs().max() < 0.05


def test_the_velocity_points_where_the_content_goes():
    animation = MotionAnimator(Known(guide_span=WIDTH)).solve(scene(0, 0), scene(*MOVE))
    inner = animation.velocity()[..., 12:-12, 12:-12]

    assert torch.allclose(inner.mean(dim=(0, 2, 3)), torch.tensor(MOVE), atol=0.3)
    true = scene(MOVE[0] / 2, MOVE[1] / 2)
    error = (animation.frame(0.5) - true)[..., 8:-8, 8:-8].square().mean()
    assert -10 * math.log10(float(error)) > 35


def test_asking_ahead_changes_nothing():
    animation = MotionAnimator(Known()).solve(scene(0, 0), scene(*MOVE))
    alone = [animation.frame(t) for t in (0.2, 0.4, 0.6)]
    animation.prepare([0.2, 0.4, 0.6])

    for t, frame in zip((0.2, 0.4, 0.6), alone):
        assert (animation.frame(t) - frame).abs().max() < 2e-3


def test_beyond_an_end_only_the_nearer_picture_is_shown():
    first, last = torch.zeros(1, 3, HEIGHT, WIDTH), torch.ones(1, 3, HEIGHT, WIDTH)
    still = torch.zeros(1, 2, HEIGHT, WIDTH)
    animation = MotionAnimation(StationaryMotion(still, still, Solver()), first, last)

    assert torch.equal(animation.frame(-0.5), first) and torch.equal(animation.frame(1.5), last)
    assert torch.allclose(animation.frame(0.25), torch.full_like(first, 0.25))


def test_one_picture_moves_by_the_exact_flow_both_ways():
    """A field that moves the pull position by (2, 0) px per unit t: the content moves left by 2 t."""

    class Constant(torch.nn.Module):
        conditioning, kind = "first", "svf"

    field = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)
    model = type("Model", (), {"field": Constant(), "sides": "first", "guide_span": None})()
    model.motion = lambda window: StationaryMotion(field, None, Solver())
    picture = scene(0, 0)

    for backward, t, dx in ((False, 1.0, -2), (True, 1.0, 2), (False, 1.5, -3), (False, -0.5, 1)):
        animation = animate_single(model, picture, backward)
        made, true = animation.frame(t), scene(dx, 0)
        assert (made - true)[..., 6:-6].abs().max() < 1e-5, (backward, t)
    assert torch.equal(animate_single(model, picture).frame(0), picture)


def test_one_picture_needs_a_model_that_animates_one():
    picture = scene(0, 0)
    with pytest.raises(UserError, match="needs two pictures"):
        animate_single(Blend(), picture)
    with pytest.raises(UserError, match="look at both pictures"):
        animate_single(node(sides="both", conditioning="both"), picture)


def test_points_are_refused_where_nothing_can_use_them():
    points = torch.zeros(1, 2), torch.zeros(1, 2)
    with pytest.raises(UserError, match="model=blend takes no points"):
        animator(Blend()).solve(scene(0, 0), scene(*MOVE), points=points)


def test_a_side_that_leaves_the_frame_yields_to_the_other():
    first, last = torch.zeros(1, 1, 8, 20), torch.ones(1, 1, 8, 20)
    there = torch.zeros(1, 2, 8, 20)
    there[:, 0, :, :5] = -10  # pulled from outside, on the left
    maps = IntermediateMotion(0.5, there, torch.zeros_like(there), torch.full((1, 1, 8, 20), 0.5))

    made = frame_of(first, last, maps)

    assert (made[..., :5] == 1).all() and (made[..., 5:] == 0.5).all()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_one_picture_alone_is_shown_also_where_it_is_pulled_from_outside(weight):
    first, last = torch.rand(2, 1, 3, 8, 20)
    outside = torch.zeros(1, 2, 8, 20)
    outside[:, 0] = -30  # all of it: the left column is repeated
    still, alone = torch.zeros_like(outside), torch.full((1, 1, 8, 20), weight)
    flows = (outside, still) if weight else (still, outside)

    made = frame_of(first, last, IntermediateMotion(0.5, *flows, alone))

    torch.testing.assert_close(made, (first if weight else last)[..., :1].expand_as(made))


def test_what_is_not_believed_is_cross_faded():
    first, last = scene(0, 0), scene(*MOVE)
    moved, half, faded = (MotionAnimator(Known(confidence=c)).solve(first, last).frame(0.25) for c in (1.0, 0.5, 0.0))

    torch.testing.assert_close(faded, torch.lerp(first, last, 0.25))
    torch.testing.assert_close(half, (moved + faded) / 2)
    assert (moved - faded).abs().max() > 0.05


def test_a_sampled_motion_is_exact_for_a_motion_quadratic_in_time():
    times = torch.linspace(0, 1, 9).view(-1, 1, 1, 1)
    there = (3 * times**2 - times).expand(-1, 2, 4, 4)
    share = (1 - times).expand(-1, 1, 4, 4)
    (made,) = SampledMotion(there, there, share).at([0.4321])

    # Exact inside; at the ends the interpolation goes straight on.
    assert torch.allclose(made.flow_to_first, torch.full((1, 2, 4, 4), 3 * 0.4321**2 - 0.4321), atol=1e-5)
    assert torch.allclose(made.blend_weight, torch.full((1, 1, 4, 4), 1 - 0.4321), atol=1e-6)
    with pytest.raises(ValueError, match="hold t from 0 to 1"):
        SampledMotion(there, there, share).at([1.2])


def test_models_see_colours_over_grey_and_no_more_than_their_span():
    see_through = torch.zeros(1, 4, 40, 80)
    assert torch.equal(guide_image(see_through, 40), torch.full((1, 3, 20, 40), 0.5))
    assert guide_image(torch.rand(1, 1, 40, 80), 200).shape == (1, 3, 40, 80)
    assert guide_image(torch.rand(1, 1, 40, 80), None).shape == (1, 3, 1, 1)


def test_a_model_that_solves_pairs_is_taken_as_it_is():
    model = type("Pairs", (), {"solve": lambda self, first, last, **_: None})()

    assert animator(model) is model and isinstance(animator(Blend()), MotionAnimator)
