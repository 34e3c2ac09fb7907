"""The contract that every velocity field keeps, and what sets each apart."""

import pytest
import torch

from vfi_pipeline.geometry import folding, pixel_grid
from vfi_pipeline.nets.fields import FIELDS, StateField, StationaryField, TimeField, field_from_config
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Counted, Solver, flow_map

SHAPE = UNetShape(widths=(8, 12), final=8)
LOUD = UNetShape(widths=(8, 12), final=8, head=4.0)
KINDS = sorted(FIELDS)


def frames(batch=2, channels=3, height=20, width=26):
    generator = torch.Generator().manual_seed(7)
    return torch.rand(2, batch, channels, height, width, generator=generator).unbind(0)


def make(kind, **options):
    torch.manual_seed(1)
    return FIELDS[kind](**{"unet": SHAPE, "conditioning": "both", **options})


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("conditioning", ["first", "both"])
def test_the_velocity_has_the_frames_size(kind, conditioning, channels):
    first, last = frames(channels=channels)
    velocity = make(kind, conditioning=conditioning, channels=channels)(first, last)
    x = pixel_grid(20, 26, like=first).expand(2, -1, -1, -1)
    for t in (torch.tensor(0.3), torch.rand(2, 1, 1, 1)):
        assert velocity(t, x).shape == (2, 2, 20, 26) and velocity(t, x).dtype == first.dtype
    assert velocity.picture().shape == (2, 2, 20, 26)


def test_training_starts_near_the_identity(kind):
    first, last = frames()
    velocity = make(kind)(first, last)
    grid = pixel_grid(20, 26, like=first).expand(2, -1, -1, -1)
    there = flow_map(velocity, grid, 0.0, 1.0, Solver("midpoint", 4))
    assert there.abs().max() < 0.2 and folding(there)[1].max() == 0


def test_batch_mates_do_not_change_the_velocity(kind):
    first, last = frames(batch=3)
    field = make(kind, unet=LOUD)
    together = field(first, last).picture()
    alone = field(first[1:2], last[1:2]).picture()
    assert torch.allclose(together[1:2], alone, atol=1e-5) and alone.abs().max() > 0.1


def test_what_is_not_conditioned_on_is_not_seen(kind):
    first, last = frames()
    sees_one, sees_both = make(kind, conditioning="first", unet=LOUD), make(kind, unet=LOUD)
    assert torch.equal(sees_one(first, last).picture(), sees_one(first).picture())
    assert not torch.allclose(sees_both(first, last).picture(), sees_both(first, first).picture())
    with pytest.raises(ValueError, match="needs the last frame"):
        sees_both(first)


def test_the_config_makes_the_same_field_again(kind):
    field = make(kind)
    twin = field_from_config(field.config())
    twin.load_state_dict(field.state_dict())
    assert torch.equal(twin(*frames()).picture(), field(*frames()).picture())


def test_gradients_reach_every_weight(kind):
    field = make(kind)
    velocity = field(*frames())
    x = pixel_grid(20, 26, like=torch.empty(0)).expand(2, -1, -1, -1) + 0.5
    (velocity(torch.tensor(0.4), x) * torch.randn(2, 2, 20, 26)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in field.parameters())


def test_the_adjoint_trains_the_same_weights_as_the_direct_method(kind):
    field = make(kind, unet=LOUD).double()
    first, last = (f.double() for f in frames())
    grid = pixel_grid(20, 26, like=first).expand(2, -1, -1, -1)
    grads = []
    for adjoint in (False, True):
        field.zero_grad()
        velocity = field(first, last)
        flow = flow_map(
            lambda t, x, v=velocity: 0.3 * v(t, x), grid, 0.0, 1.0, Solver("rk4", 6, adjoint=adjoint), velocity.tensors
        )
        (flow**2).mean().backward()
        grads.append(torch.cat([p.grad.flatten() for p in field.parameters()]))
    assert (grads[0] - grads[1]).norm() < 0.03 * grads[0].norm()


def test_the_reverse_undoes_the_first_small_step(kind):
    first, last = frames()
    velocity = make(kind, unet=LOUD)(first, last)
    grid = pixel_grid(20, 26, like=first).expand(2, -1, -1, -1)
    forward, backward = velocity(torch.tensor(1.0), grid), velocity.reversed()(torch.tensor(0.0), grid)
    assert torch.allclose(forward, -backward, atol=1e-5) and forward.abs().max() > 0.1


@pytest.mark.parametrize("kind", ["svf", "time"])
def test_a_true_flow_is_undone_by_its_reverse(kind):
    field = make(kind, unet=UNetShape(widths=(8, 12), final=8, head=1.0))
    first, last = (torch.nn.functional.interpolate(f, (40, 52), mode="bicubic") for f in frames())
    velocity = field(first, last)
    grid, solver = pixel_grid(40, 52, like=first).expand(2, -1, -1, -1), Solver("rk4", 32)
    there = flow_map(velocity, grid, 0.0, 1.0, solver)
    # Followed from where it arrived, the reverse leads home: no interpolation enters.
    home = flow_map(velocity.reversed(), grid + there, 0.0, 1.0, solver)
    assert (there + home).abs().max() < 0.02 * there.abs().max() and there.abs().max() > 0.2


def test_networks_are_asked_once_a_pair_except_by_state():
    for kind, expected in (("svf", 1), ("time", 1), ("state", 8)):
        field, calls = make(kind), []
        field.net.register_forward_hook(lambda *_: calls.append(1))  # noqa: B023
        velocity = Counted(field(*frames()))
        flow_map(velocity, pixel_grid(20, 26, like=torch.empty(0)).expand(2, -1, -1, -1), 0, 1, Solver("euler", 8))
        assert velocity.nfe == 8 and len(calls) == expected, kind


def test_degree_zero_in_time_is_svf():
    svf, time = make("svf"), make("time", degree=0)
    time.load_state_dict(svf.state_dict())
    assert torch.equal(svf(*frames()).picture(0.7), time(*frames()).picture(0.7))


def test_a_polynomial_in_time_runs_from_its_first_to_its_last_coefficient():
    velocity = make("time", degree=3, unet=LOUD)(*frames())
    fields = velocity.coefficients
    assert torch.allclose(velocity.picture(0.0), fields[:, 0]) and torch.allclose(velocity.picture(1.0), fields[:, 3])
    middle = (fields[:, 0] + 3 * fields[:, 1] + 3 * fields[:, 2] + fields[:, 3]) / 8
    assert torch.allclose(velocity.picture(torch.tensor(0.5)), middle, atol=1e-5)
    assert torch.allclose(velocity.reversed().picture(0.2), -velocity.picture(0.8), atol=1e-5)


@pytest.mark.parametrize("reads", ["displacement", "warped"])
def test_state_reads_the_map_so_far(reads):
    first, _ = frames()
    velocity = make("state", conditioning="first", reads=reads, unet=LOUD)(first)
    grid = pixel_grid(20, 26, like=first).expand(2, -1, -1, -1)
    assert not torch.allclose(velocity(torch.tensor(0.0), grid), velocity(torch.tensor(0.0), grid + 3.0))


def test_a_paper_sized_network_has_the_papers_weights():
    paper = UNetShape(widths=(64, 128, 256, 512), decoder=(1024, 512, 256, 128), final=64)
    weights = sum(p.numel() for p in StateField(channels=3, unet=paper).parameters())
    assert 13e6 < weights < 15e6  # 14.1 M in the reference code


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: StationaryField(conditioning="last"), "No conditioning 'last'"),
        (lambda: TimeField(degree=-1), "degree of 0 or more"),
        (lambda: StateField(reads="mind"), "displacement' or 'warped"),
        (lambda: UNetShape(norm="batch"), "No normalisation 'batch'"),
        (lambda: UNetShape(widths=(8, 8), decoder=(8,)), "one width per level"),
        (lambda: UNetShape(widths=()), "at least one width"),
        (lambda: field_from_config({"kind": "pickle", "unet": {}}), "No velocity field 'pickle'"),
        (lambda: StationaryField(channels=1)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)), "1 channels, got 3"),
    ],
)
def test_wrong_options_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
