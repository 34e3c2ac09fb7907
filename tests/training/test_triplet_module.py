"""The paired module: what it asks for, what it measures, and that it learns."""

import math

import pytest
import tiny
import torch

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.losses import TripletObjective
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
    times, true = tiny.paired(ends=ends).asked(triplet)
    assert times.shape == (3, 2 + len(ends)) and true.shape[:2] == times.shape
    assert torch.equal(true[:, :2], triplet.middle) and times[:, 2:].tolist() == [ends] * 3
    if ends:
        assert torch.equal(true[:, -1], triplet.last)
    if 0.0 in ends:
        assert torch.equal(true[:, 2], triplet.first)


def test_a_pair_without_middle_frames_is_the_papers_l2():
    module, pair = tiny.paired(), batch(times=0)
    motion, terms = module._terms(pair)
    assert terms["l2"].item() == pytest.approx(((motion.frame[:, 0] - pair.last) ** 2).mean().item())


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
        TripletObjective(l2=1.0, smooth=1e-4),
        lambda p: torch.optim.Adam(p, 1e-2),
        lpips=False,
    )
    triplet = Triplet(bumps(0), bumps(1.5)[:, None], bumps(3), torch.tensor([[0.5]]))
    optimizer = module.configure_optimizers()["optimizer"]
    for _ in range(120):
        optimizer.zero_grad()
        _, terms = module._terms(triplet)
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
    module._measure(still, "val")
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
