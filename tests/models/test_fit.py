"""The fit: real photographs moved by known velocities, an object that hides its background, the model's contract."""

import math

import pytest
import torch
import torch.nn.functional as F
from skimage import data

from vfi_pipeline.geometry import pixel_grid, sample, warp
from vfi_pipeline.models.fit import QUALITY, FitModel, FitMotion, Weights, descend
from vfi_pipeline.models.search import look
from vfi_pipeline.ode import Solver, flow_map

HEIGHT, WIDTH, MARGIN = 104, 128, 12
ACCURATE = Solver("rk4", 16)


def photograph(name: str = "astronaut") -> torch.Tensor:
    """Twice the resolution that the tests look at, softened so that no detail is lost on the way down."""
    picture = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None, :3].float() / 255
    return F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def swirl(t, x):
    """Between 1.5 and 8 px per unit t, different everywhere, stationary."""
    a, b = x[:, :1] * (2 * math.pi / WIDTH), x[:, 1:] * (2 * math.pi / HEIGHT)
    return torch.cat((4.5 + 2 * torch.sin(b + 0.5), 4 * torch.sin(a) * torch.cos(b / 2)), dim=1)


def film(velocity, times) -> list[torch.Tensor]:
    """A photograph that flows along ``velocity``: the picture at t shows at x what was at ``phi_-t(x)`` at first."""
    picture, grid = photograph(), pixel_grid(HEIGHT, WIDTH, like=torch.empty(0))
    start = torch.tensor([120.0, 60.0]).view(1, 2, 1, 1)
    moved = [grid + flow_map(velocity, grid, t, 0, ACCURATE) if t else grid for t in times]
    return [sample(picture, start + 2 * x) for x in moved]


def constant(dx: float, dy: float):
    return lambda t, x: torch.tensor([dx, dy]).view(1, 2, 1, 1).expand_as(x)


def show(first, last, made):
    return made.share * warp(first, made.there) + (1 - made.share) * warp(last, made.back)


def decibel(a, b):
    inner = (a - b)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    return -10 * math.log10(inner.square().mean())


@pytest.mark.parametrize("quality", QUALITY)
def test_a_photograph_in_a_known_flow_is_met_at_every_t(quality):
    times = [0.25, 0.5, 0.75]
    first, *truth, last = film(swirl, [0, *times, 1])
    motion = FitModel(quality=quality).motion(first, last)
    for t, true, made in zip(times, truth, motion.at(times)):
        assert decibel(show(first, last, made), true) > 12 + decibel((1 - t) * first + t * last, true)
    report = motion.report()
    assert report.folded == 0 and report.min_det > 0.2 and report.nfe > 0


@pytest.mark.parametrize("dx, dy", [(7.0, -2.0), (-3.5, 0.25), (0.0, 6.0)])
def test_a_shift_is_recovered(dx, dy):
    first, last = film(constant(dx, dy), [0, 1])
    made = FitModel().motion(first, last).at([0.25])[0]
    wanted = torch.tensor([dx, dy]).view(1, 2, 1, 1)
    inner = slice(MARGIN, -MARGIN)
    for found, exact in ((made.there, -0.25 * wanted), (made.back, 0.75 * wanted)):
        assert (found - exact)[..., inner, inner].norm(dim=1).mean() < 0.1
    assert (made.share[..., inner, inner] - 0.75).abs().max() < 0.02


@pytest.mark.parametrize("quality", QUALITY)
def test_identical_frames_do_not_move(quality):
    (first,) = film(swirl, [0])
    for made in FitModel(quality=quality).motion(first, first.clone()).at([0.0, 0.3, 1.0]):
        assert made.there.abs().max() == 0 and made.back.abs().max() == 0
        assert (made.share - (1 - made.t)).abs().max() < 1e-6


def test_the_ends_are_the_sources():
    first, last = film(swirl, [0, 1])
    begin, end = FitModel().motion(first, last).at([0.0, 1.0])
    assert (show(first, last, begin) - first).abs().max() < 1e-5
    assert (show(first, last, end) - last).abs().max() < 1e-5


def test_swapped_frames_give_the_same_picture_at_one_minus_t():
    first, last = film(swirl, [0, 1])
    one = FitModel().motion(first, last).at([0.3])[0]
    other = FitModel().motion(last, first).at([0.7])[0]
    assert (show(first, last, one) - show(last, first, other)).abs().max() < 1 / 255


def test_the_same_pictures_give_the_same_motion_with_or_without_a_history_that_was_reset():
    first, middle, last = film(swirl, [0, 0.5, 1])
    for warm in (False, True):
        model = FitModel(warm_start=warm)
        fresh = model.motion(middle, last).at([0.5])[0]
        model.reset()
        model.motion(first, middle)
        model.reset()
        again = model.motion(middle, last).at([0.5])[0]
        assert torch.equal(fresh.there, again.there) and torch.equal(fresh.share, again.share)


def test_all_times_come_from_one_solve():
    first, last = film(swirl, [0, 1])
    motion = FitModel(solver=Solver("midpoint", 8)).motion(first, last)
    several = motion.at([0.25, 0.5, 0.75])
    assert motion.report().nfe == 2 * 2 * 6  # two fields, midpoint calls twice a step, six of eight steps to t = 0.75
    alone = FitModel(solver=Solver("midpoint", 8)).motion(first, last).at([0.5])[0]
    torch.testing.assert_close(several[1].there, alone.there, atol=1e-5, rtol=0)


def crossing(shift: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A textured square, 40 px wide, that moves right over a still photograph: first, middle and last picture."""
    ground = photograph("chelsea")[..., 40 : 40 + 2 * HEIGHT : 2, 60 : 60 + 2 * WIDTH : 2]
    thing = photograph()[..., 40:120:2, 160:240:2]
    films = []
    for step in (0, shift // 2, shift):
        picture = ground.clone()
        picture[..., 32:72, 40 + step : 80 + step] = thing
        films.append(picture)
    return tuple(films)


def test_what_only_one_frame_sees_is_taken_from_that_frame():
    first, middle, last = crossing()
    made = FitModel().motion(first, last).at([0.5])[0]
    share = made.share[..., 36:68, :].mean(dim=(0, 1, 2))
    assert share[40:46].mean() < 0.42  # uncovered since t = 0: at t = 1/2 the square covers columns 46 to 85
    assert share[86:92].mean() > 0.58  # not yet covered
    assert (share[52:80] - 0.5).abs().max() < 0.1 and (share[20:32] - 0.5).abs().max() < 0.1
    assert decibel(show(first, last, made), middle) > 8 + decibel((first + last) / 2, middle)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (5, 7), (33, 20)])
def test_any_size_works(size):
    torch.manual_seed(0)
    first, last = torch.rand(2, 1, 3, *size)
    motion = FitModel().motion(first, last)
    for made in motion.at([0.5, 0.75]):
        assert made.there.shape == (1, 2, *size) and made.share.shape == (1, 1, *size)
        assert bool(made.there.isfinite().all()) and 0 <= made.share.min() and made.share.max() <= 1
    assert math.isfinite(motion.report().min_det)


def test_descent_mends_a_bad_start():
    first, middle, last = film(swirl, [0, 0.5, 1])
    pair = look(first, last)
    wrong = swirl(0, pixel_grid(HEIGHT, WIDTH, like=first)) + torch.tensor([1.0, -0.8]).view(1, 2, 1, 1)
    start = wrong.repeat(2, 1, 1, 1)
    better = descend(pair, start, 40, Weights())
    before, after = (decibel(show(first, last, FitMotion(pair, v).at([0.5])[0]), middle) for v in (start, better))
    assert after > before + 2


def test_descent_unfolds_what_it_can():
    first, last = film(swirl, [0, 1])
    pair = look(first, last)
    torch.manual_seed(3)
    bumps = F.interpolate(8 * torch.randn(2, 2, HEIGHT // 8, WIDTH // 8), (HEIGHT, WIDTH), mode="bicubic")
    crumpled = swirl(0, pixel_grid(HEIGHT, WIDTH, like=first)) + bumps
    better = descend(pair, crumpled, 15, Weights(middle=0, smooth=0, apart=0, folding=100.0))
    coarse = Solver("midpoint", 2)
    before, after = (FitMotion(pair, fields, coarse).report() for fields in (crumpled, better))
    assert before.folded > 0.05 and after.folded < before.folded and after.min_det > before.min_det + 0.3


def test_an_unknown_quality_is_named():
    with pytest.raises(ValueError, match="one of draft, balanced, best"):
        FitModel(quality="ultra")
