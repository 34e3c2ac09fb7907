"""``refine=N``: begins at the network's velocities, lowers what it says it lowers, leaves the rest alone."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import warp
from vfi_pipeline.models.flow import FlowModel, FlowMotion
from vfi_pipeline.models.refine import RefinedFlow, load_refined
from vfi_pipeline.nets.flow import FlowNet, Velocities


def picture(height, width, seed=0):
    """A smooth picture, wider than it is shown."""
    torch.manual_seed(seed)
    return F.interpolate(torch.rand(1, 3, height // 5, width // 5), (height, width), mode="bicubic").clamp(0, 1)


class Wrong(FlowModel):
    """A network that is off by a known velocity everywhere (cells per unit t)."""

    def __init__(self, velocity):
        super().__init__(FlowNet())
        self.velocity = velocity

    def motion(self, first, last, context=None):
        height, width = first.shape[-2:]
        field = torch.tensor(self.velocity).view(1, 2, 1, 1).expand(1, 2, -(-height // 4), -(-width // 4)).contiguous()
        nothing = torch.zeros_like(field[:, :1])
        return FlowMotion(Velocities(field, field.clone(), nothing, nothing, 0 * field), (height / 4, width / 4))


def moved(height=96, width=128, by=4):
    wide = picture(height, width + by)
    return wide[..., by:], wide[..., :width]  # content moves to the right by ``by``


def test_no_steps_change_no_bit():
    first, last = moved()
    begun = FlowModel(FlowNet().eval())
    plain, refined = begun.motion(first, last), RefinedFlow(begun, 0).motion(first, last)
    for a, b in zip(plain.at([0.3])[0].__dict__.values(), refined.at([0.3])[0].__dict__.values()):
        assert a == b if isinstance(a, float) else torch.equal(a, b)


def test_steps_bring_a_wrong_velocity_towards_the_true_one():
    first, last = moved(by=4)  # one cell per unit t
    model = Wrong([0.6, 0.2])

    def miss(motion):
        inside = motion.found.first[..., 4:-4, 4:-4] - torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
        return inside.norm(dim=1).mean()

    before, after = (miss(RefinedFlow(model, n).motion(first, last)) for n in (0, 60))
    assert before > 0.4
    assert after < 0.6 * before


def test_the_middle_gets_better_on_a_pair_that_the_network_sees_wrongly():
    first, last = moved(by=4)
    truth = picture(96, 132)[..., 2:130]

    def error(steps):
        between = RefinedFlow(Wrong([0.6, 0.0]), steps).motion(first, last).at([0.5])[0]
        there, back = (F.interpolate(4 * u, (96, 128), mode="bilinear") for u in (between.there, between.back))
        made = 0.5 * warp(first, there) + 0.5 * warp(last, back)
        return (made - truth)[..., 8:-8].abs().mean()

    assert error(24) < 0.6 * error(0)


@pytest.mark.parametrize("size", [(41, 67), (96, 128), (33, 30)])
def test_any_size_gives_velocities_on_the_networks_grid(size):
    height, width = size
    first, last = picture(48, 72)[..., :height, :width], picture(48, 72, 1)[..., :height, :width]
    if size == (96, 128):
        first, last = moved()
    model = FlowModel(FlowNet().eval())
    plain, refined = model.motion(first, last), RefinedFlow(model, 2).motion(first, last)
    assert refined.found.first.shape == plain.found.first.shape and refined.size == plain.size
    assert torch.equal(refined.found.visibility, plain.found.visibility)
    assert bool(torch.isfinite(refined.found.first).all()) and bool((refined.found.first != plain.found.first).any())


def test_equal_frames_stay_as_the_network_has_them():
    first, _ = moved()
    model = FlowModel(FlowNet().eval())
    assert torch.equal(
        RefinedFlow(model, 3).motion(first, first.clone()).found.first, model.motion(first, first.clone()).found.first
    )


def test_a_negative_number_of_steps_is_refused():
    with pytest.raises(ValueError, match="refine=-1"):
        RefinedFlow(FlowModel(FlowNet()), -1)
    with pytest.raises(UserError):
        load_refined(str(Path("no") / "such.safetensors"))
