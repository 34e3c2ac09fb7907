"""The Warping ODE as a model: what it answers in training, and in a film."""

import pytest
import torch
from torch import nn

from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import warp
from vfi_pipeline.models.checkpoint import save_model
from vfi_pipeline.models.shipped import model_of
from vfi_pipeline.models.warping_ode import WarpingODE, load_node
from vfi_pipeline.nets.fields import FIELDS, PolynomialVelocity, StationaryField
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Solver

LOUD = UNetShape(widths=(8, 12), final=8, head=1.0)
KINDS = sorted(FIELDS)


class Constant(StationaryField):
    """Says the same velocity everywhere: the answer is then known."""

    def __init__(self, dx, dy, **options):
        super().__init__(**options)
        self.speed = nn.Parameter(torch.tensor([dx, dy]).view(1, 2, 1, 1))

    def forward(self, first, last=None):
        return PolynomialVelocity(self.speed.expand(first.shape[0], 2, *first.shape[-2:])[:, None])


def frames(batch=2, channels=3, height=20, width=28):
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(2, batch, channels, 5, 7, generator=generator).flatten(0, 1)
    fine = nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False).clamp(0, 1)
    return fine.unflatten(0, (2, batch)).unbind(0)


def make(kind="svf", sides="first", conditioning="both", channels=3, **options):
    torch.manual_seed(2)
    field = FIELDS[kind](channels=channels, conditioning=conditioning, unet=LOUD)
    return WarpingODE(field, sides, Solver("midpoint", 8), **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sides", ["first", "group", "both"])
def test_every_field_and_side_answers_all_it_is_asked(kind, sides):
    first, last = frames()
    t = torch.tensor([[0.5, 1.0, 0.2], [0.1, 0.1, 0.0]])
    motion = make(kind, sides, there_and_back=True)(first, last, t)
    assert motion.frame.shape == (2, 3, 3, 20, 28) and motion.flow.shape == (2, 3, 2, 20, 28)
    assert motion.path.shape[1:] == (2, 2, 20, 28) and motion.path.shape[0] >= 4
    assert motion.velocity.shape == motion.forward.shape == motion.backward.shape == (2, 2, 20, 28)
    assert motion.nfe > 0 and motion.forward.abs().max() > 0.05
    assert set(motion.auxiliary) == (set() if sides == "first" else {"one_sided/first", "one_sided/last"})
    assert torch.equal(motion.flow[1, 2], torch.zeros(2, 20, 28))  # t = 0
    assert torch.allclose(motion.flow[0, 1], motion.forward[0], atol=1e-5)  # t = 1


def test_a_constant_velocity_shifts_by_t_times_it():
    first, last = frames()
    t = torch.tensor([[0.5, 1.0], [0.25, 2.0]])
    motion = WarpingODE(Constant(4.0, -2.0))(first, last, t)
    assert torch.allclose(motion.frame[0, 1, :, 2:, :-4], first[0, :, :-2, 4:], atol=1e-5)
    assert torch.allclose(motion.frame[0, 0, :, 1:, :-2], first[0, :, :-1, 2:], atol=1e-5)
    assert torch.allclose(motion.flow[1, :, 0, 0, 0], torch.tensor([1.0, 8.0]))
    assert torch.allclose(motion.path[:, 0, 0, 0, 0], torch.tensor([1.0, 2.0, 3.0, 4.0]))  # t = 1/4 ... 1, px in x


def test_group_pulls_the_last_frame_backwards_along_the_same_field():
    first, last = frames()
    motion = WarpingODE(Constant(4.0, 0.0), "group")(first, last, torch.tensor([[0.25], [1.0]]))
    assert torch.allclose(motion.auxiliary["one_sided/last"][0, 0, :, :, 3:], last[0, :, :, :-3], atol=1e-5)
    assert torch.allclose(motion.frame[1, 0], last[1], atol=1e-5)  # at t = 1 it is the last frame


def test_group_on_a_field_that_changes_with_time_meets_itself():
    """x_1 = x_0 o phi_1 pulled to t by phi_1^-1 o phi_t is x_0 o phi_t: with such a pair both sides agree."""
    first, _ = frames(height=40, width=56)
    model = make("time", "group", "first")
    model.solver = Solver("rk4", 16)
    whole = model(first, first, torch.ones(2, 1))
    motion = model(first, warp(first, whole.forward), torch.tensor([[0.3], [0.7]]))
    one, two = motion.auxiliary["one_sided/first"], motion.auxiliary["one_sided/last"]
    change = (one - first[:, None])[..., 8:-8, 8:-8].abs().mean()
    assert (one - two)[..., 8:-8, 8:-8].abs().mean() < 0.15 * change


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_the_frames_and_the_time_makes_the_same_frame(kind):
    first, last = frames()
    model, t = make(kind, "both"), torch.tensor([[0.3], [0.9]])
    forward, backward = model(first, last, t), model(last, first, 1 - t)
    assert torch.allclose(forward.frame, backward.frame, atol=2e-4)


def test_the_frame_at_the_ends_is_the_source_when_both_sides_show():
    first, last = frames()
    made = make(sides="both")(first, last, torch.tensor([[0.0, 1.0]] * 2)).frame
    assert torch.allclose(made[:, 0], first, atol=1e-5) and torch.allclose(made[:, 1], last, atol=1e-5)


def test_no_colour_is_made_that_the_sources_do_not_hold():
    first, last = frames()
    made = make(sides="both")(first, last, torch.rand(2, 3)).frame
    both = torch.stack((first, last))
    assert made.min() >= both.min() - 1e-6 and made.max() <= both.max() + 1e-6


def test_samples_do_not_depend_on_the_times_of_their_batch_mates():
    first, last = frames()
    model = make("svf", "both")
    model.solver = Solver("rk4", 16)
    together = model(first, last, torch.tensor([[0.2, 0.9], [0.6, 0.5]]))
    alone = model(first[1:], last[1:], torch.tensor([[0.6, 0.5]]))
    assert torch.allclose(together.frame[1], alone.frame[0], atol=1e-3)


def test_one_picture_is_enough_when_the_first_frame_conditions():
    first, _ = frames(channels=1)
    model = make("state", conditioning="first", channels=1)
    assert model(first, None, torch.tensor([[1.0], [-0.5]])).frame.shape == (2, 1, 1, 20, 28)


def test_without_times_the_penalties_still_see_the_path():
    first, last = frames()
    motion = make(sides="both")(first, last, torch.zeros(2, 0))
    assert motion.frame.shape == (2, 0, 3, 20, 28) and motion.path.shape[0] == 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sides", ["first", "both"])
def test_adjoint_training_gives_the_direct_methods_gradients(kind, sides):
    first, last = (f.double() for f in frames())
    t = torch.tensor([[0.4, 1.0], [1.0, 0.7]], dtype=torch.float64)
    found = []
    for adjoint in (False, True):
        model = make(kind, sides).double()
        model.solver = Solver("rk4", 6 if kind == "state" else 24, adjoint=adjoint)
        motion = model(first, last, t)
        ((motion.frame - last[:, None]) ** 2).mean().add(0.1 * motion.path.square().mean()).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert found[0].norm() > 1e-3 and (found[0] - found[1]).norm() < 0.05 * found[0].norm()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sides", ["first", "group", "both"])
def test_in_a_film_it_makes_the_frames_of_training(kind, sides):
    first, last = frames(batch=1)
    model = make(kind, sides).eval()
    times = [0.25, 0.5, 2 / 3]
    pair = model.motion(Window.of(first, last))
    trained = model(first, last, torch.tensor([times])).frame[0].detach()
    for made, expected in zip(pair.at(times), trained):
        sides = warp(first, made.flow_to_first), warp(last, made.flow_to_last)
        shown = torch.lerp(sides[1], sides[0], made.blend_weight)
        assert made.blend_weight.shape == (1, 1, 20, 28) and (shown[0] - expected).abs().max() < 1e-3
    report = pair.report()
    assert report.nfe > 0 and report.min_det <= 1.2 and 0 <= report.folded <= 1


def test_a_film_asks_the_network_once_for_all_times():
    first, last = frames(batch=1)
    model, calls = make(sides="group"), []
    model.field.net.register_forward_hook(lambda *_: calls.append(1))
    pair = model.motion(Window.of(first, last))
    pair.at([k / 8 for k in range(1, 8)])
    assert len(calls) == 1 and pair.report().nfe == 2 * 7 * 2  # midpoint: 2 calls a step, 7 steps to t = 7/8, two sides


def test_an_rgb_film_runs_through_a_grey_model():
    first, last = frames(batch=1)
    assert make(channels=1).motion(Window.of(first, last)).at([0.5])[0].flow_to_first.shape == (1, 2, 20, 28)
    assert make(channels=4).motion(Window.of(first, last)).at([0.5])[0].flow_to_first.shape == (1, 2, 20, 28)


def test_going_on_past_the_last_frame_is_allowed():
    first, last = frames(batch=1)
    late, early = WarpingODE(Constant(3.0, 0.0)).motion(Window.of(first, last)).at([1.5, -1.0])
    assert late.flow_to_first[0, 0].mean().item() == pytest.approx(4.5)
    assert early.flow_to_first[0, 0].mean().item() == pytest.approx(-3)


def test_wrong_sides_are_refused():
    with pytest.raises(ValueError, match="No sides 'left'"):
        make(sides="left")
    with pytest.raises(ValueError, match="conditioning=both"):
        make(sides="both", conditioning="first")


def test_exported_weights_choose_their_own_model(tmp_path):
    model = make(sides="both", guide_span=320)
    save_model(tmp_path / "w.safetensors", model)
    assert model_of(tmp_path / "w.safetensors") == "node"
    loaded = load_node(str(tmp_path / "w.safetensors"))
    assert (loaded.name, loaded.guide_span) == ("node", 320)
    assert load_node(str(tmp_path / "w.safetensors"), guide_span=64).guide_span == 64
    first, last = frames(batch=1)
    one, two = (m.motion(Window.of(first, last)).at([0.4])[0] for m in (model, loaded))
    assert torch.equal(one.flow_to_first, two.flow_to_first) and torch.equal(one.flow_to_last, two.flow_to_last)


def test_weights_that_name_no_model_are_left_to_the_reader(tmp_path):
    (tmp_path / "junk").write_bytes(b"\xff" * 40)
    assert model_of(tmp_path / "junk") is None
    with pytest.raises(UserError, match="needs weights"):
        load_node(None)
