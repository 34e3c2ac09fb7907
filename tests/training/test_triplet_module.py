"""The paired module: what it asks for, what it measures, and that it learns."""

import math

import pytest
import tiny
import torch

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.errors import UserError
from vfi_pipeline.losses import charbonnier, triplet_objective
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.models.prediction import Motion
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import StationaryField
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Solver
from vfi_pipeline.training.triplet_module import TripletModule


def batch(times=2, size=3):
    first, last = torch.rand(2, size, 1, 16, 16).unbind(0)
    return Triplet(first, torch.rand(size, times, 1, 16, 16), last, torch.rand(size, times))


@pytest.mark.parametrize("ends", [[], [1.0], [0.0, 1.0]])
def test_known_ends_are_asked_for_beside_the_true_middle_frames(ends):
    triplet = batch()
    times, true = tiny.paired(ends=ends).times_and_targets(triplet)
    assert times.shape == (3, 2 + len(ends)) and true.shape[:2] == times.shape
    assert torch.equal(true[:, :2], triplet.targets) and times[:, 2:].tolist() == [ends] * 3
    if ends:
        assert torch.equal(true[:, -1], triplet.last)
    if 0.0 in ends:
        assert torch.equal(true[:, 2], triplet.first)


def test_a_pair_without_middle_frames_is_the_papers_l2():
    module, pair = tiny.paired(), batch(times=0)
    motion, terms = module.terms(pair)
    assert terms["l2"].item() == pytest.approx(((motion.frame[:, 0] - pair.last) ** 2).mean().item())


@pytest.mark.parametrize("sides", ["group", "both"])
@pytest.mark.parametrize("ends", [[1.0], [0.0, 1.0]])
def test_where_both_frames_are_shown_each_end_is_judged_by_the_other_frame_alone(sides, ends):
    """At t = 1 the last frame is shown as it is: 100 dB, whatever was learned."""
    torch.manual_seed(0)
    module, pair = tiny.paired(ends=ends), batch(times=0)
    module.model = tiny.model("both", sides)
    motion = module.model(pair.first, pair.last, torch.tensor([ends] * 3))
    by_first, by_last = motion.auxiliary["one_sided/first"], motion.auxiliary["one_sided/last"]
    expected = {1.0: (by_first[:, -1] - pair.last), 0.0: (by_last[:, 0] - pair.first)}
    found = {}
    module.log_dict = lambda values, **_: found.update(values)
    module.validation_step(pair, 0)

    errors = torch.stack([expected[end] for end in ends]).square().mean()
    assert torch.allclose(motion.frame[:, -1], pair.last, atol=1e-5)
    assert found["val/psnr"].item() < 30 and found["val/l2"].item() == pytest.approx(errors.item(), rel=1e-5)
    module.terms(pair)[1]["total"].backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in module.model.parameters())
    assert not torch.equal(module.panel_sample(pair).frame, module.panel_sample(pair).target)


@pytest.mark.parametrize(("ends", "made"), [([1.0], {"first"}), ([0.0], {"last"}), ([0.0, 1.0], {"first", "last"})])
def test_frames_that_are_the_truth_itself_give_no_figures(ends, made):
    """One-sided frames that the objective weighs are the losses at the ends: a blend is not counted, too."""
    module, pair = tiny.paired(ends=ends), batch(times=0)
    module.model = tiny.model("both", "both")
    module.objective = triplet_objective(
        l2=1.0, charbonnier=1.0, laplacian=1.0, negative_psnr=0.1, auxiliary={"one_sided": 2.0}
    )
    found = {}
    module.log_dict = lambda values, **_: found.update(values)
    module.test_step(pair, 0)

    terms = {name for name in found if name.partition("/")[2] not in ("psnr", "ssim", "nfe", "folded", "outside")}
    assert terms == {"test/loss", "test/max_displacement", *(f"test/one_sided/{side}" for side in made)}
    motion = module.model(pair.first, pair.last, torch.tensor([ends] * 3))
    for side, end, true in (("first", 1.0, pair.last), ("last", 0.0, pair.first)):
        if side in made:
            alone = motion.auxiliary[f"one_sided/{side}"][:, ends.index(end)]
            assert found[f"test/one_sided/{side}"].item() == pytest.approx(charbonnier(alone, true).item(), rel=1e-5)
            assert found[f"test/one_sided/{side}"] > 1e-3
    assert found["test/loss"].item() == pytest.approx(2 * sum(found[f"test/one_sided/{s}"].item() for s in made))


def test_coarser_levels_are_judged_by_what_was_made_from_the_other_end():
    pair = Triplet(*(torch.rand(2, *shape) for shape in ((3, 32, 32), (0, 3, 32, 32), (3, 32, 32), (0,))))
    module = tiny.paired()
    module.model = FlowInterpolator(
        widths=(6, 6), hidden=(4, 4), context_channels=(4,), radii=(1, 2), match=(4, 4), stem=4, depth=(1, 1),
        refinement={"hidden": 4, "context_channels": 4},
    )  # fmt: skip
    module.objective = triplet_objective(
        charbonnier=1.0, auxiliary={"one_sided": 0.2, "coarse": 1.0, "coarse_sided": 0.5}
    )
    _, terms = module.terms(pair)

    levels = {name.split("/")[1] for name in terms if name.startswith("coarse_sided")}
    assert levels and all(value > 1e-3 for name, value in terms.items())
    assert set(terms) == {"one_sided/first", *(f"coarse_sided/{level}/first" for level in levels), "total"}
    assert "coarse/0" in module.terms(with_middle(pair))[1]


def with_middle(pair):
    middle = torch.rand(2, 1, *pair.first.shape[1:])
    return Triplet(pair.first, middle, pair.last, torch.full((2, 1), 0.5))


class ShowsBoth(torch.nn.Module):
    """A cross-fade that does not say what either frame alone makes."""

    channels = 1

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, first, last, t):
        share = t[:, :, None, None, None]
        flow = torch.zeros(len(first), t.shape[1], 2, 16, 16)
        frame = (1 - share) * first[:, None] + share * last[:, None] * self.weight
        return Motion(frame, flow, flow.transpose(0, 1), 0)


def test_what_cannot_be_judged_is_refused():
    module = tiny.paired()
    module.model = ShowsBoth()
    with pytest.raises(UserError, match="At t = 1 this model shows the true frame itself.*\n  Try: net.sides=first"):
        module.validation_step(batch(times=0), 0)
    with pytest.raises(UserError, match="nothing can be learned or judged.\n  Try: training.ends"):
        tiny.paired(ends=[]).terms(batch(times=0))
    module.terms(batch(times=2))


def test_times_other_than_the_ends_have_no_known_frame():
    with pytest.raises(ValueError, match="0 and 1, not"):
        tiny.paired(ends=[0.5])


def bumps(shift):
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(28.0), indexing="ij")
    return torch.exp(-((x - 12 - shift) ** 2 + (y - 12) ** 2) / 18)[None, None]


def test_it_learns_a_shift_and_gets_the_middle_right_too():
    """True motion 3 px right: fitted at t = 1 and t = 0.5, judged at t = 0.25 that it never saw, against the blend."""
    torch.manual_seed(0)
    field = StationaryField(1, "both", UNetShape(widths=(8, 16), final=8))
    module = TripletModule(
        WarpingODE(field, "first", Solver("midpoint", 4)),
        triplet_objective(l2=1.0, smooth=1e-4),
        lambda p: torch.optim.Adam(p, 1e-2),
        lpips=False,
    )
    triplet = Triplet(bumps(0), bumps(1.5)[:, None], bumps(3), torch.tensor([[0.5]]))
    optimizer = module.configure_optimizers()["optimizer"]
    for _ in range(120):
        optimizer.zero_grad()
        _, terms = module.terms(triplet)
        terms["total"].backward()
        optimizer.step()
    with torch.no_grad():
        motion = module.model(triplet.first, triplet.last, torch.tensor([[0.25]]))
    error = ((motion.frame[0, 0] - bumps(0.75)[0]) ** 2).mean()
    blend = ((0.75 * bumps(0) + 0.25 * bumps(3) - bumps(0.75)) ** 2).mean()
    assert error < 0.1 * blend
    # Content moves right: the map pulls from the left where there is something to see.
    assert motion.forward[0, 0, 8:16, 10:18].mean().item() == pytest.approx(-3, abs=0.6)


def test_a_fit_logs_losses_and_metrics_by_name(tmp_path):
    module, trainer = tiny.paired(), tiny.trainer(tmp_path)
    trainer.fit(module, datamodule=tiny.digits())
    names = set(trainer.callback_metrics)
    expected = {f"train/{n}" for n in ("total", "l2", "folding", "smooth", "out_of_grid", "nfe", "folded", "outside")}
    expected |= {f"val/{n}" for n in ("psnr", "ssim", "loss", "l2", "nfe", "folded", "outside")}
    assert expected <= names and "train/grad_norm" in names
    assert trainer.global_step == tiny.STEPS and math.isfinite(trainer.callback_metrics["val/psnr"])
    assert sorted(p.name for p in (tmp_path / "media").iterdir())[:2] == [
        "val_animation_0000004.gif",
        "val_animation_0000008.gif",
    ]


def test_equal_frames_have_a_finite_psnr():
    module, pair = tiny.paired(), batch(times=0)
    still = pair._replace(first=torch.zeros_like(pair.first), last=torch.zeros_like(pair.last))
    found = {}
    module.log_dict = lambda values, **_: found.update(values)
    module.validation_step(still, 0)
    assert found["val/psnr"].item() == 100


def test_accumulated_gradients_equal_those_of_the_larger_batch(tmp_path):
    ends = []
    for size, accumulate in ((4, 2), (8, 1)):
        module = tiny.paired()
        module.optimizer = lambda parameters: torch.optim.SGD(parameters, 0.1)
        trainer = tiny.trainer(
            tmp_path / str(size), steps=4, accumulate_grad_batches=accumulate, val_check_interval=100
        )
        trainer.fit(module, datamodule=tiny.digits(batch_size=size, steps=40))
        assert trainer.global_step == 4
        ends.append(torch.cat([p.detach().flatten() for p in module.model.parameters()]))
    assert torch.allclose(ends[0], ends[1], atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_it_trains_in_reduced_precision(tmp_path, precision):
    module = tiny.paired()
    tiny.trainer(tmp_path, steps=3, precision=precision).fit(module, datamodule=tiny.digits())
    assert all(torch.isfinite(p).all() and p.dtype == torch.float32 for p in module.parameters())
