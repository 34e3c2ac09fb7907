"""Two processes with half a batch each have the gradients of one process with the whole batch."""

import sys

import pytest
import tiny
import torch
from films import panning, write_film
from pytorch_lightning import Callback

from vfi_pipeline.data.modules import clips
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import StationaryField
from vfi_pipeline.ode import Solver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


class KeepGradients(Callback):
    """Writes what every optimiser step got, as the first process sees it."""

    def __init__(self, path):
        self.path, self.steps = path, []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        grads = {n: p.grad.detach().clone() for n, p in pl_module.named_parameters() if p.grad is not None}
        self.steps.append(grads)

    def on_train_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            torch.save({"steps": self.steps, "global_step": trainer.global_step}, self.path)


class Mixed:
    """The gradient penalty's random points, given by the picture and not by the process that draws them."""

    def draw_mix(self, source):
        return (source.flatten(1).sum(dim=1) * 7.3) % 1


def gradients(tmp_path, make, paired, processes, data=None):
    path = tmp_path / f"{processes}.pt"
    module = make()
    module.draw_mix = Mixed().draw_mix.__get__(module)
    strategy = (
        {}
        if processes == 1
        else {
            "devices": 2,
            "strategy": "ddp_fork" if paired else "ddp_fork_find_unused_parameters_true",
        }
    )
    trainer = tiny.trainer(
        tmp_path / str(processes), steps=6, callbacks=[KeepGradients(path)], num_sanity_val_steps=0, **strategy
    )
    trainer.fit(module, datamodule=data() if data else tiny.digits(paired, batch_size=8, steps=4))
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("make, paired", [(tiny.paired, True), (tiny.adversarial, False)], ids=["l2", "wgan-gp"])
def test_two_processes_compute_the_gradients_of_the_joined_batch(tmp_path, make, paired):
    one, two = (gradients(tmp_path, make, paired, n) for n in (1, 2))
    assert one["global_step"] == two["global_step"] == 6
    assert len(one["steps"]) == len(two["steps"]) == 6
    for step, (alone, shared) in enumerate(zip(one["steps"], two["steps"])):
        trained = [n for n in alone if not n.startswith("critic")] if step == 2 else list(alone)
        assert trained, step
        for name in trained:
            scale = alone[name].abs().max()
            assert torch.allclose(alone[name], shared[name], rtol=2e-3, atol=2e-4 * float(scale) + 1e-7), (step, name)


def test_two_processes_that_make_their_batches_on_the_device_see_the_joined_batch(tmp_path):
    (tmp_path / "films").mkdir()
    for number in range(3):
        write_film(tmp_path / "films" / f"{number}.mkv", panning(8, speed=2 + number, height=40, width=48, seed=number))

    def module():
        made = tiny.paired()
        made.model = WarpingODE(StationaryField(3, "both", tiny.SHAPE), "first", Solver("midpoint", 2), path_times=2)
        return made

    def data():
        return clips(
            str(tmp_path / "films"), cache=str(tmp_path / "cache"), crop=16, val_crop=16, spans=(2, 4), val_samples=2,
            batches="device", batch_size=8, steps=4,
        )  # fmt: skip

    torch.manual_seed(0)
    one, two = (gradients(tmp_path, module, True, n, data) for n in (1, 2))

    assert len(one["steps"]) == len(two["steps"]) == 6
    for alone, shared in zip(one["steps"], two["steps"]):
        for name, value in alone.items():
            assert torch.allclose(value, shared[name], rtol=1e-3, atol=1e-6), name
