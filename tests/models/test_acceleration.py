"""Acceleration from the frames around a pair: exact on a photograph that speeds up, quiet where only one step jumps."""

import numpy as np
import pytest
import torch

from vfi_pipeline.geometry import warp
from vfi_pipeline.models.acceleration import bend
from vfi_pipeline.models.fit import FitModel
from vfi_pipeline.models.flow import FlowInterpolator, FlowModel
from vfi_pipeline.models.motion import ALONE, Context
from vfi_pipeline.models.search import Pair, Search, helpful, look

VELOCITY, ACCELERATION = (6.0, -2.0), (4.0, 3.0)


def moved(time: float, size: tuple[int, int] = (160, 224)) -> torch.Tensor:
    """A photograph at ``time``: displaced by ``v t + a t (t - 1) / 2`` since 0, so that t = 0 and 1 are v apart."""
    from skimage.data import astronaut

    picture = torch.from_numpy(np.array(astronaut())).permute(2, 0, 1)[None].float() / 255
    dx, dy = (v * time + a * time * (time - 1) / 2 for v, a in zip(VELOCITY, ACCELERATION))
    shift = torch.tensor([-dx, -dy]).view(1, 2, 1, 1).expand(1, 2, *picture.shape[-2:])
    top, left = 60, 140
    return warp(picture, shift)[..., top : top + size[0], left : left + size[1]].contiguous()


def around(*times: float) -> Context:
    before, after = times
    return Context(moved(before), moved(after), -before, after - 1)


def pairs(before: float = -1.0, after: float = 2.0) -> tuple[Pair, Pair, Pair]:
    zero, one = moved(0), moved(1)
    return look(moved(before), zero), look(zero, one), look(one, moved(after))


def velocity(pair: Pair) -> torch.Tensor:
    return torch.tensor(VELOCITY).view(1, 2, 1, 1).expand_as(pair.forward)


@pytest.mark.parametrize("before, after", [(-1.0, 2.0), (-0.5, 1.5), (-2.0, 1.5), (-1.0, 3.0)])
def test_acceleration_is_found_whatever_the_neighbours_distance(before, after):
    one, pair, two = pairs(before, after)
    bent = bend(pair, one, two, (-before, after - 1), velocity(pair))

    inner = bent.acceleration[..., 10:-10, 14:-14] * 2  # the grid has half the pixels each way
    found = inner.flatten(2).median(dim=2).values[0]
    torch.testing.assert_close(found, torch.tensor(ACCELERATION), atol=0.15, rtol=0.05)


@pytest.mark.parametrize("which", [0, 2])
def test_one_neighbour_is_believed_in_part(which):
    known = pairs()
    near = [known[0], None] if which == 0 else [None, known[2]]
    bent = bend(known[1], *near, (1.0, 1.0), velocity(known[1]))
    found = (bent.acceleration[..., 10:-10, 14:-14] * 2).flatten(2).median(dim=2).values[0]

    assert (found / torch.tensor(ACCELERATION) > 0.4).all() and (found / torch.tensor(ACCELERATION) < 0.7).all()


def test_no_neighbours_or_far_ones_tell_nothing():
    one, pair, two = pairs()
    assert bend(pair, None, None, (1.0, 1.0), velocity(pair)) is None
    assert bend(pair, one, two, (9.0, 0.1), velocity(pair)) is None


def test_a_single_jump_between_still_frames_stays_on_its_straight_path():
    zero, one = moved(0), moved(1)
    still = look(zero, zero.clone()), look(one, one.clone())
    pair = look(zero, one)
    bent = bend(pair, *still, (1.0, 1.0), velocity(pair))
    assert bent.acceleration[..., 10:-10, 14:-14].abs().max() < 0.1


def test_both_ends_stay_and_the_middle_moves_by_an_eighth():
    one, pair, two = pairs()
    bent = bend(pair, one, two, (1.0, 1.0), velocity(pair))

    assert bent.at(0.0, 160, 224).abs().max() == 0 and bent.at(1.0, 160, 224).abs().max() == 0
    middle = bent.at(0.5, 160, 224)[..., 20:-20, 28:-28].flatten(2).median(dim=2).values[0]
    torch.testing.assert_close(middle, torch.tensor(ACCELERATION) / 8, atol=0.03, rtol=0.05)


@pytest.mark.parametrize("kind", ["fit", "flow"])
def test_a_photograph_that_speeds_up_is_met_in_the_middle(kind):
    model = FitModel() if kind == "fit" else FlowModel(corrects_nothing(), start=True)

    def miss(context: Context) -> float:
        model.reset()
        made = model.motion(zero, one, context).at([0.5])[0]
        there = torch.nn.functional.interpolate(made.there, (160, 224), mode="bilinear") * (160 / made.there.shape[-2])
        return float((warp(zero, there) - moved(0.5))[..., 24:-24, 32:-32].square().mean())

    zero, one = moved(0), moved(1)
    assert miss(around(-1, 2)) < 0.25 * miss(ALONE)


@pytest.mark.parametrize("kind", ["fit", "flow"])
def test_played_backwards_the_paths_are_the_same(kind):
    model = FitModel() if kind == "fit" else FlowModel(corrects_nothing(), start=True)
    zero, one, context = moved(0), moved(1), around(-1, 2)
    onwards = model.motion(zero, one, context).at([0.3])[0]
    model.reset()
    backwards = model.motion(one, zero, Context(context.after, context.before)).at([0.7])[0]

    difference = (onwards.there - backwards.back)[..., 8:-8, 8:-8].abs()
    assert float(difference.mean()) < 0.02 and float(onwards.there.abs().mean()) > 0.2


def test_each_pair_is_looked_at_once(monkeypatch):
    from vfi_pipeline.models import search

    looks = []
    monkeypatch.setattr(search, "look", lambda a, b, *rest: looks.append((a, b)) or look(a, b, *rest))
    frames = [moved(t) for t in range(5)]
    seeker = Search()
    for k in range(1, 4):
        after = frames[k + 2] if k < 3 else None
        seeker.around(frames[k], frames[k + 1], Context(frames[k - 1], after))
    assert len(looks) == 4


def test_a_guess_is_taken_only_where_it_explains_the_pair():
    zero, one = moved(0), moved(1)
    right = torch.tensor(VELOCITY).view(1, 2, 1, 1).expand(1, 2, 160, 224)
    assert helpful(right, zero, one) is right
    assert helpful(-4 * right, zero, one) is None


def corrects_nothing() -> torch.nn.Module:
    net = FlowInterpolator(start=True).net
    for name, parameter in net.named_parameters():
        if ".head." in name:
            torch.nn.init.zeros_(parameter)
    return net
